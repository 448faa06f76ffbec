/** 36^6: the last six digits of a time. */
const span = 2_176_782_336;
/** Of 2^16 seconds in nanoseconds: how often `span` is in them, and what is left. */
const spansIn65536s = Math.floor(65_536e9 / span);
const restOf65536s = 65_536e9 - spansIn65536s * span;

const digits = '0123456789abcdefghijklmnopqrstuvwxyz';
const pairs = Array.from({ length: 1296 }, (_, i) => digits[Math.floor(i / 36)]! + digits[i % 36]!);

let lastHead = -1;
let lastHeadText = '';

/**
 * `NODE-TIME-N`: nanoseconds since 1970 and the flow's number among those of its moment, in base 36. Unique on the node and in
 * order of time; `cirri policy explain` takes it. Without bigints, which take most of a microsecond: the time does not fit into
 * one number, so its last six digits and what stands before them are computed apart, and the latter is the same for two seconds.
 */
export function flowId(nodeName: string, seconds: number, nanos: number, sequence: number): string {
  const high = Math.floor(seconds / 65_536);
  const rest = high * restOf65536s + (seconds - high * 65_536) * 1e9 + nanos;
  const carried = Math.floor(rest / span);
  const head = high * spansIn65536s + carried;
  const tail = rest - carried * span;
  if (head !== lastHead) {
    lastHead = head;
    lastHeadText = head === 0 ? '' : head.toString(36);
  }
  const first = Math.floor(tail / 1_679_616);
  const text = pairs[first]! + pairs[Math.floor((tail - first * 1_679_616) / 1296)]! + pairs[tail % 1296]!;
  const small = sequence % 1296;
  return `${nodeName}-${lastHeadText === '' ? text.replace(/^0+(?=.)/, '') : lastHeadText + text}-${small < 36 ? digits[small]! : pairs[small]!}`;
}

/** When the flow with this id was, to a millisecond; undefined for what is no id. */
export function timeOfFlowId(id: string): Date | undefined {
  const digits = /-([0-9a-z]{10,13})-[0-9a-z]+$/.exec(id)?.[1];
  return digits === undefined ? undefined : new Date(parseInt(digits, 36) / 1e6);
}
