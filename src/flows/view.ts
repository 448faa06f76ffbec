import type { Flow, FlowConnection, FlowEndpoint, FlowL7, FlowPolicy, FlowRule, TcpFlag } from '../model/flow.ts';
import { flag, l7Mark, l7Verdicts, slotSize, slotWords, type Columns } from './columns.ts';
import type { FlowView } from './consumer.ts';
import { layout } from './decode.ts';
import { observationPoints, policyMatches, protocolName, summaryOf, tcpFlagsOf } from './enrich.ts';
import { EventType, Protocol } from './event.ts';
import { flowId } from './flow-id.ts';
import type { KnownRule } from './known.ts';
import type { L7Saying } from './l7-saying.ts';
import { l7Summary } from './l7-summary.ts';
import { dropReasonName } from './reasons.ts';

export interface ViewNames {
  readonly nodeName: string;
  /** Of the node when it told its flow of that number. */
  nodeLabels(sequence: number): readonly string[] | undefined;
  interfaceName(ifindex: number): string | undefined;
  dropReason(code: number): string | undefined;
}

const none: readonly FlowPolicy[] = [];
const directions = ['UNKNOWN', 'INGRESS', 'EGRESS'] as const;
const traceReasons = ['new', 'established', 'reply', 'related'] as const;
const ends = ['closed', 'reset', 'idle', 'revoked'] as const;
const verdictDeny = 2;
/** POLICY_DENIED and POLICY_DENY. */
const [deniedByDefault, deniedByRule] = [133, 181];

/** The one flow that consumers see: getters over the columns, at the slot that `at` names. */
export class ColumnView implements FlowView {
  readonly columns: Columns;
  slot = 0;
  readonly nodeName: string;
  readonly #names: ViewNames;
  readonly #reasonTexts: (string | undefined)[] = [];
  #l7: FlowL7 | undefined;
  #l7Of: L7Saying | undefined;
  #l7Sequence = -1;

  constructor(columns: Columns, names: ViewNames) {
    this.columns = columns;
    this.#names = names;
    this.nodeName = names.nodeName;
  }

  at(slot: number): this {
    this.slot = slot;
    return this;
  }

  get seconds(): number {
    return this.columns.seconds[this.slot]!;
  }

  get nanos(): number {
    return this.columns.nanos[this.slot]!;
  }

  /** Counts the flows of this life. */
  get sequence(): number {
    return this.columns.sequences[this.slot]!;
  }

  get time(): string {
    const { seconds, nanos } = this;
    return `${secondText(seconds)}.${String(nanos).padStart(9, '0')}Z`;
  }

  get id(): string {
    return flowId(this.nodeName, this.seconds, this.nanos, this.sequence);
  }

  get nodeLabels(): readonly string[] | undefined {
    return this.#names.nodeLabels(this.sequence);
  }

  get type(): Flow['type'] {
    switch (this.#byte(layout.type)) {
      case EventType.drop: return 'drop';
      case EventType.trace: return 'trace';
      case EventType.policyVerdict: return 'policy-verdict';
      default: return 'l7';
    }
  }

  get verdict(): Flow['verdict'] {
    const type = this.#byte(layout.type);
    if (type === EventType.drop) return 'DROPPED';
    if (type === EventType.trace) return 'FORWARDED';
    const told = l7Verdicts[this.#l7Mark & l7Mark.verdict];
    if (told !== undefined) return told;
    const flags = this.#byte(layout.flags);
    const verdict = this.#byte(layout.verdict);
    if (flags & flag.shadow) return 'TRACED';
    if (flags & flag.audit || verdict === 4) return 'AUDIT';
    if (verdict === verdictDeny) return 'DROPPED';
    return verdict === 3 ? 'REDIRECTED' : 'FORWARDED';
  }

  /** Of a denial the verdict has it too: which of the two reasons tells whether a rule matched. */
  get dropReasonCode(): number | undefined {
    const type = this.#byte(layout.type);
    if (type === EventType.drop) return this.#byte(layout.reasonOrPoint);
    if (type !== EventType.policyVerdict || this.verdict !== 'DROPPED') return undefined;
    return this.#byte(layout.match) === 0 ? deniedByDefault : deniedByRule;
  }

  get dropReason(): string | undefined {
    const code = this.dropReasonCode;
    return code === undefined ? undefined : this.#reasonText(code);
  }

  get observationPoint(): string | undefined {
    if (this.#byte(layout.type) !== EventType.trace || this.packetless) return undefined;
    const point = this.#byte(layout.reasonOrPoint);
    return observationPoints[point] ?? `point-${point}`;
  }

  get traceReason(): Flow['traceReason'] {
    return this.#byte(layout.type) === EventType.trace ? traceReasons[this.#byte(layout.ctState)] ?? 'unknown' : undefined;
  }

  get direction(): Flow['direction'] {
    return directions[this.#byte(layout.direction)] ?? 'UNKNOWN';
  }

  /** Of drops nobody says, as upstream. */
  get isReply(): boolean | undefined {
    const { saying } = this;
    if (saying !== undefined) return saying.l7.type === 'RESPONSE';
    return this.verdict === 'DROPPED' ? undefined : (this.#byte(layout.flags) & flag.reply) !== 0;
  }

  get ipVersion(): Flow['ipVersion'] {
    return this.#byte(layout.flags) & flag.ipv6 || this.source.ip.includes(':') ? 'IPv6' : 'IPv4';
  }

  get protocol(): string {
    return protocolName(this.#byte(layout.protocol));
  }

  get source(): FlowEndpoint {
    return this.columns.sources[this.slot]!;
  }

  get destination(): FlowEndpoint {
    return this.columns.destinations[this.slot]!;
  }

  /** An echo's identifier stands where the client's port would: it tells two pings apart. */
  get sourcePort(): number | undefined {
    return this.#hasPorts ? this.columns.port(this.slot, layout.sourcePort) : undefined;
  }

  get destinationPort(): number | undefined {
    return this.#hasPorts ? this.columns.port(this.slot, layout.destinationPort) : undefined;
  }

  get tcpFlags(): readonly TcpFlag[] | undefined {
    return this.#byte(layout.protocol) === Protocol.tcp && this.#byte(layout.type) !== EventType.l7 ? tcpFlagsOf(this.#byte(layout.tcpFlags)) : undefined;
  }

  get icmpType(): number | undefined {
    return this.#isIcmp ? this.#byte(layout.icmpType) : undefined;
  }

  get icmpCode(): number | undefined {
    return this.#isIcmp ? this.#byte(layout.icmpCode) : undefined;
  }

  get encrypted(): boolean | undefined {
    return (this.#byte(layout.flags) & flag.encrypted) !== 0 || undefined;
  }

  /** Put together once for those who look at the same flow. */
  get l7(): FlowL7 | undefined {
    const { saying, l7LatencyNs } = this;
    if (saying === undefined || l7LatencyNs < 0) return saying?.l7;
    const { sequence } = this;
    if (this.#l7 === undefined || this.#l7Sequence !== sequence || this.#l7Of !== saying) {
      const { type, http } = saying.l7;
      this.#l7 = http !== undefined ? { type, latencyNs: l7LatencyNs, http } : { ...saying.l7, latencyNs: l7LatencyNs };
      this.#l7Sequence = sequence;
      this.#l7Of = saying;
    }
    return this.#l7;
  }

  /** What `l7` is made of, with `l7LatencyNs`. */
  get saying(): L7Saying | undefined {
    return this.columns.isL7(this.slot) ? this.columns.sayings[this.slot] : undefined;
  }

  /** Of L7 flows; -1: the saying has it, or there is none. */
  get l7LatencyNs(): number {
    return this.columns.l7Latencies[this.slot]!;
  }

  get traceId(): string | undefined {
    return (this.#l7Mark & l7Mark.trace) !== 0 ? this.columns.traceIds[this.slot] : undefined;
  }

  get proxyPort(): number | undefined {
    return this.columns.isL7(this.slot) ? this.columns.proxyPorts[this.slot] || undefined : undefined;
  }

  get egressAllowedBy(): readonly FlowPolicy[] | undefined {
    return this.#policies(2, false);
  }

  get ingressAllowedBy(): readonly FlowPolicy[] | undefined {
    return this.#policies(1, false);
  }

  get egressDeniedBy(): readonly FlowPolicy[] | undefined {
    return this.#policies(2, true);
  }

  get ingressDeniedBy(): readonly FlowPolicy[] | undefined {
    return this.#policies(1, true);
  }

  get policyLog(): readonly string[] | undefined {
    return this.shadow === undefined ? this.#known?.log : undefined;
  }

  get connection(): FlowConnection | undefined {
    if ((this.#byte(layout.flags) & flag.end) === 0 || this.columns.lengths[this.slot]! < slotSize) return undefined;
    const { columns, slot } = this;
    return {
      packetsOut: columns.uint64(slot, layout.forwardPackets), bytesOut: columns.uint64(slot, layout.forwardBytes),
      packetsBack: columns.uint64(slot, layout.replyPackets), bytesBack: columns.uint64(slot, layout.replyBytes),
      durationNs: columns.uint64(slot, layout.durationNs), end: ends[this.#byte(layout.end) - 1] ?? 'idle',
    };
  }

  get packetless(): boolean {
    return (this.#byte(layout.flags) & flag.packetless) !== 0;
  }

  get connectLatencyNs(): number | undefined {
    const latencyUs = this.columns.uint32(this.slot, layout.latencyUs);
    return latencyUs === 0 || this.#byte(layout.type) === EventType.l7 ? undefined : latencyUs * 1000;
  }

  get inKernel(): true | undefined {
    return (this.#l7Mark & l7Mark.inKernel) !== 0 || undefined;
  }

  get service(): Flow['service'] {
    return this.columns.mayHaveService(this.slot) ? this.columns.services[this.slot] : undefined;
  }

  get policyMatch(): string | undefined {
    const type = this.#byte(layout.type);
    const asked = type === EventType.policyVerdict || (type === EventType.drop && this.columns.uint32(this.slot, layout.rule) !== 0);
    return asked && this.shadow === undefined ? policyMatches[this.#byte(layout.match)] : undefined;
  }

  get rule(): FlowRule | undefined {
    return this.#known?.rule;
  }

  get shadow(): Flow['shadow'] {
    if ((this.#byte(layout.flags) & flag.shadow) === 0) return undefined;
    return this.#byte(layout.verdict) === verdictDeny ? 'deny' : 'allow';
  }

  get summary(): string {
    const { l7 } = this;
    return l7 ? l7Summary(l7) : summaryOf(this.#byte(layout.protocol), this.#byte(layout.tcpFlags), this.#byte(layout.icmpType), this.#byte(layout.icmpCode));
  }

  get interfaceIndex(): number | undefined {
    return this.columns.uint32(this.slot, layout.ifindex) || undefined;
  }

  get interfaceName(): string | undefined {
    const index = this.interfaceIndex;
    return index === undefined ? undefined : this.#names.interfaceName(index);
  }

  /** What decides who decided: the rule, and a number below 12. */
  get decidedBy(): KnownRule | undefined {
    return this.#known;
  }

  get decision(): number {
    const isDenied = this.#byte(layout.type) === EventType.l7 && this.verdict === 'DROPPED';
    return (this.#byte(layout.direction) & 3) % 3 + (isDenied ? 3 : 0) + (this.shadow === undefined ? 0 : 6);
  }

  /** All that a flow's kind comes from but texts: seven numbers, the same ones for the same kind (history/dictionary.ts). */
  kindKey(key: Int32Array): void {
    const { words } = this.columns;
    const at = this.slot * slotWords;
    key[0] = words[at + layout.protocol / 4]!;
    key[1] = words[at + layout.ifindex / 4]!;
    key[2] = words[at + layout.direction / 4]!;
    key[3] = words[at + (layout.servicePort >> 2)]! & 0xffff0000;
    key[4] = words[at + layout.icmpCode / 4]! & 0xffff;
    key[5] = words[at + layout.rule / 4] === 0 ? 0 : 1;
    key[6] = this.#l7Mark & l7Mark.verdict | (this.saying === undefined ? 0 : this.saying.l7.type === 'RESPONSE' ? 16 : 8);
  }

  get #known(): KnownRule | undefined {
    return this.columns.uint32(this.slot, layout.rule) === 0 ? undefined : this.columns.rules[this.slot];
  }

  get #l7Mark(): number {
    return this.columns.isL7(this.slot) ? this.columns.l7Marks[this.slot]! : 0;
  }

  get #hasPorts(): boolean {
    return this.columns.uint32(this.slot, layout.sourcePort) !== 0;
  }

  get #isIcmp(): boolean {
    const protocol = this.#byte(layout.protocol);
    return protocol === Protocol.icmp || protocol === Protocol.icmp6;
  }

  #byte(offset: number): number {
    return this.columns.byte(this.slot, offset);
  }

  #reasonText(code: number): string {
    return (this.#reasonTexts[code] ??= dropReasonName(code, this.#names.dropReason).text);
  }

  /** What allowed or denied in this direction; of neither an absent list nor an empty one. */
  #policies(direction: number, denied: boolean): readonly FlowPolicy[] | undefined {
    const known = this.#known;
    if (known === undefined || known.policies.length === 0 || this.#byte(layout.direction) !== direction || this.shadow !== undefined) return undefined;
    const { effect } = known.rule;
    if (effect === 'pass' || effect === 'default-allow') return undefined;
    // What was said did not pass a rule that let the connection pass: of that rule's policies it was denied.
    const denies = effect === 'deny' || effect === 'default-deny' || (this.#byte(layout.type) === EventType.l7 && this.verdict === 'DROPPED');
    return denies === denied ? known.policies : undefined;
  }
}

/** A flow for those who keep it: the same fields, of which only those that say something are there. */
export function plainFlow(view: FlowView): Flow {
  const flow: Record<string, unknown> = {};
  for (const field of plainFields) {
    const value = view[field];
    if (value !== undefined) flow[field] = value;
  }
  // Known to be unknown: filters and printers ask.
  if (!('isReply' in flow)) flow['isReply'] = undefined;
  return flow as unknown as Flow;
}

const plainFields = [
  'time', 'nodeName', 'nodeLabels', 'verdict', 'type', 'dropReason', 'dropReasonCode', 'observationPoint', 'traceReason', 'direction', 'isReply', 'ipVersion',
  'protocol', 'source', 'destination', 'sourcePort', 'destinationPort', 'tcpFlags', 'icmpType', 'icmpCode', 'encrypted', 'l7', 'inKernel', 'traceId', 'proxyPort',
  'egressAllowedBy', 'ingressAllowedBy', 'egressDeniedBy', 'ingressDeniedBy', 'policyLog', 'connection', 'connectLatencyNs', 'service', 'policyMatch',
  'rule', 'shadow', 'summary', 'interfaceName', 'interfaceIndex', 'id',
] as const satisfies readonly (keyof Flow)[];

export { flowId };

let lastSecond = -1;
let lastSecondText = '';

function secondText(seconds: number): string {
  if (seconds !== lastSecond) {
    lastSecond = seconds;
    lastSecondText = new Date(seconds * 1000).toISOString().slice(0, 19);
  }
  return lastSecondText;
}
