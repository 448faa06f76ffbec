import type { FlowL7 } from '../model/flow.ts';
import { httpFaultText } from '../model/l7-kernel.ts';
import type { SlotExtra } from './columns.ts';
import { layout, minimumSize } from './decode.ts';
import { EventType } from './event.ts';

/** Requests whose answers have not come yet. */
const mostWaiting = 16_384;
/** Exchanges of a connection that are told apart: what is behind is the connection's number, and both fit into 53 bits. */
const exchanges = 2 ** 21;
const replyFlag = 1;
const verdictDeny = 2;

/** Where a record says why a request could not be read: no header has such a name. */
export const faultKey = ':fault';

/** What the two ends of a record change places with, and how many bytes of it. */
const swapped = [
  [layout.source, layout.destination, 16], [layout.sourcePort, layout.destinationPort, 2],
  [layout.sourceIdentity, layout.destinationIdentity, 4], [layout.sourceEndpoint, layout.destinationEndpoint, 4],
] as const;

interface Asked {
  readonly clientPort: number;
  readonly method: string;
  readonly url: string;
  readonly traceId: string | undefined;
}

/** A record of HTTP that the kernel carries out: `struct http_event` (bpf/lib/http_event.h) and its texts. */
export function isHttpRecord(view: DataView, at: number, size: number): boolean {
  if (size < layout.httpTexts || view.getUint8(at + layout.type) !== EventType.l7) return false;
  const length = (offset: number) => view.getUint16(at + offset, true);
  return layout.httpTexts + length(layout.httpMethodLength) + length(layout.httpUrlLength) + length(layout.httpHostLength) + length(layout.httpTraceLength) <= size;
}

/** What such records say, as the proxy's say it. An answer bears what its request asked for, where that record was not lost. */
export class HttpEvents {
  readonly #waiting = new Map<number, Asked>();
  /** An answer that the kernel has given itself: it has no record of its own. */
  readonly #own = new DataView(new ArrayBuffer(minimumSize));
  l7: FlowL7 = { type: 'UNKNOWN_L7_TYPE' };
  extra: SlotExtra = {};

  /** Of a record that `isHttpRecord` takes: `l7` and `extra` are this one's until the next. True: it was denied. */
  read(view: DataView, at: number): boolean {
    const connection = view.getUint32(at + layout.httpConnection, true);
    const key = connection * exchanges + (view.getUint32(at + layout.httpExchange, true) % exchanges);
    const protocol = `HTTP/1.${view.getUint8(at + layout.httpMinor)}`;
    if ((view.getUint8(at + layout.flags) & replyFlag) !== 0) this.#answer(view, at, key, protocol);
    else this.#request(view, at, key, protocol);
    return this.extra.verdict === 'DROPPED';
  }

  /** The kernel's own answer to the request that was read last, as a record, with `l7` and `extra` its; undefined: it has passed the request on. */
  ownAnswer(view: DataView, at: number): DataView | undefined {
    const code = view.getUint16(at + layout.httpStatus, true);
    const { type, http } = this.l7;
    if (type !== 'REQUEST' || code === 0 || !http) return undefined;
    const own = this.#own;
    for (let i = 0; i < minimumSize; i += 4) own.setUint32(i, view.getUint32(at + i));
    for (const [from, to, size] of swapped) {
      for (let i = 0; i < size; i += 2) {
        own.setUint16(from + i, view.getUint16(at + to + i));
        own.setUint16(to + i, view.getUint16(at + from + i));
      }
    }
    own.setUint8(layout.flags, view.getUint8(at + layout.flags) | replyFlag);
    const { traceId } = this.extra;
    this.l7 = { type: 'RESPONSE', latencyNs: 0, http: { code, ...http } };
    this.extra = { verdict: 'FORWARDED', inKernel: true, ...(traceId !== undefined && { traceId }) };
    return own;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  #request(view: DataView, at: number, key: number, protocol: string): void {
    let text = view.byteOffset + at + layout.httpTexts;
    const next = (offset: number) => {
      const length = view.getUint16(at + offset, true);
      text += length;
      return length === 0 ? '' : Buffer.from(view.buffer, text - length, length).toString('latin1');
    };
    const method = next(layout.httpMethodLength);
    const target = next(layout.httpUrlLength);
    const host = next(layout.httpHostLength);
    const traceId = traceIdOf(next(layout.httpTraceLength));
    const url = target === '' && host === '' ? '' : `http://${host}${target === '*' ? '' : target}`;
    const fault = view.getUint8(at + layout.httpFault);
    const verdict = fault !== 0 ? 'ERROR' : view.getUint8(at + layout.verdict) === verdictDeny ? 'DROPPED' : 'FORWARDED';
    this.l7 = { type: 'REQUEST', http: { method, url, protocol, ...(fault !== 0 && { headers: [{ key: faultKey, value: httpFaultText(fault) }] }) } };
    this.extra = { verdict, inKernel: true, ...(traceId !== undefined && { traceId }) };
    // What the kernel has answered itself has no other answer.
    if (verdict !== 'FORWARDED' || view.getUint16(at + layout.httpStatus, true) !== 0) return;
    if (this.#waiting.size >= mostWaiting) this.#waiting.delete(this.#waiting.keys().next().value!);
    this.#waiting.set(key, { clientPort: view.getUint16(at + layout.sourcePort), method, url, traceId });
  }

  #answer(view: DataView, at: number, key: number, protocol: string): void {
    const found = this.#waiting.get(key);
    this.#waiting.delete(key);
    // Two connections may have got the same number by chance.
    const asked = found?.clientPort === view.getUint16(at + layout.destinationPort) ? found : undefined;
    const code = view.getUint16(at + layout.httpStatus, true);
    const latencyNs = view.getUint32(at + layout.latencyUs, true) * 1000;
    const traceId = asked?.traceId;
    this.l7 = { type: 'RESPONSE', latencyNs, http: { code, method: asked?.method ?? '', url: asked?.url ?? '', protocol } };
    this.extra = { verdict: 'FORWARDED', inKernel: true, ...(traceId !== undefined && { traceId }) };
  }
}

/** Of a W3C `traceparent`; undefined when it is none. */
function traceIdOf(header: string): string | undefined {
  return header === '' ? undefined : /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}/.exec(header)?.[1];
}
