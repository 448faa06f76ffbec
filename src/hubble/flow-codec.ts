import { fromBinary } from '@bufbuild/protobuf';
import type { FlowView } from '../flows/consumer.ts';
import { policyMatches } from '../flows/enrich.ts';
import { eventTypeOf } from '../flows/filter.ts';
import type { Flow, FlowEndpoint, FlowPolicy, FlowService } from '../model/flow.ts';
import { encodeDetails } from './details-codec.ts';
import type { FlowMask } from './field-mask.ts';
import { authNumbers, chunkWords, flagFields, layer4Fields, pointNumbers, socketPointWords, traceReasonNumbers, tunnelNumbers, verdictNumbers } from './flow-words.ts';
import { FlowSchema, type Flow as FlowMessage } from './generated/flow_pb.js';
import { encodeL7 } from './l7-codec.ts';
import { BackwardWriter, bytesTag, pruneMessage, varintTag } from './wire.ts';

/** Field numbers of flow.Flow (src/hubble/proto/flow.proto). */
const F = {
  time: 1, verdict: 2, dropReason: 3, ethernet: 4, ip: 5, l4: 6, source: 8, destination: 9, type: 10, nodeName: 11, sourceNames: 13, destinationNames: 14, l7: 15,
  reply: 16, eventType: 19, sourceService: 20, destinationService: 21, direction: 22, policyMatch: 23, point: 24, reasonName: 25, isReply: 26, interface: 28,
  proxyPort: 29, trace: 30, socketPoint: 31, socketCookie: 32, cgroup: 33, uuid: 34, auth: 35, traceReason: 36, nodeLabels: 37, file: 38, tunnel: 39, ipTrace: 40,
  egressAllowed: 21001, ingressAllowed: 21002, egressDenied: 21004, ingressDenied: 21005, policyLog: 21006, details: 50001, summary: 100000,
} as const;

const flowTypes: Partial<Record<Flow['type'], number>> = { unknown: 0, l7: 2, sock: 3 };

/**
 * Flows as observer.GetFlowsResponse. The bytes that an encoder returns are good until its next call: whoever keeps them copies
 * them. What is the same for many flows is encoded once: ends while nothing about them changes, node names.
 *
 * A hand-written encoder because a general one takes 16 µs for a flow and this one takes about one.
 */
export class FlowEncoder {
  readonly #writer = new BackwardWriter();
  readonly #mask: FlowMask | undefined;
  readonly #sources = new WeakMap<FlowEndpoint, Uint8Array>();
  readonly #destinations = new WeakMap<FlowEndpoint, Uint8Array>();
  readonly #flags = new WeakMap<readonly string[], Uint8Array>();
  readonly #nodeName = new LastText(writer => text => writer.string(bytesTag(F.nodeName), text));
  readonly #outerName = new LastText(writer => text => writer.string(bytesTag(1000), text));

  /** With a mask only the fields that it names are written. */
  constructor(mask?: FlowMask) {
    this.#mask = mask;
  }

  /** GetFlowsResponse with the flow, `node_name` and `time`. */
  response(flow: Flow & Partial<FlowView>): Uint8Array {
    const w = this.#writer;
    w.reset();
    const { seconds = secondsOf(flow.time), nanos = nanosOf(flow.time) } = flow;
    writeTime(w, 1001, seconds, nanos);
    this.#outerName.write(w, flow.nodeName);
    const mark = w.length;
    this.#flow(flow, seconds, nanos);
    if (this.#mask?.isDeep) {
      const pruned = pruneMessage(w.copyFrom(mark), this.#mask.fields);
      w.rewind(mark);
      w.raw(pruned);
    }
    w.close(bytesTag(1), mark);
    return w.finish();
  }

  /** flow.Flow alone. */
  flow(flow: Flow): Uint8Array {
    const w = this.#writer;
    w.reset();
    this.#flow(flow, secondsOf(flow.time), nanosOf(flow.time));
    return this.#mask?.isDeep ? pruneMessage(w.finish(), this.#mask.fields) : w.finish();
  }

  #has(field: number): boolean {
    return this.#mask === undefined || this.#mask.fields.has(field);
  }

  #flow(flow: Flow, seconds: number, nanos: number): void {
    const w = this.#writer;
    if (this.#has(F.summary)) w.string(bytesTag(F.summary), flow.summary);
    if (this.#has(F.details)) encodeDetails(w, bytesTag(F.details), flow);
    if (this.#has(F.policyLog)) w.strings(bytesTag(F.policyLog), flow.policyLog);
    this.#policies(flow);
    this.#seldom(flow);
    if (this.#has(F.nodeLabels)) w.strings(bytesTag(F.nodeLabels), flow.nodeLabels);
    if (this.#has(F.traceReason) && flow.traceReason !== undefined) w.number(varintTag(F.traceReason), traceReasonNumbers[flow.traceReason]);
    if (this.#has(F.auth) && flow.authType !== undefined) w.number(varintTag(F.auth), authNumbers[flow.authType]);
    if (this.#has(F.uuid)) w.string(bytesTag(F.uuid), flow.id);
    this.#sockets(flow);
    const { isReply, service, dropReasonCode } = flow;
    if (isReply !== undefined && this.#has(F.isReply)) {
      const mark = w.length;
      w.flag(varintTag(1), isReply);
      w.close(bytesTag(F.isReply), mark);
    }
    if (this.#has(F.reasonName)) w.number(varintTag(F.reasonName), dropReasonCode);
    if (flow.observationPoint !== undefined && this.#has(F.point)) w.number(varintTag(F.point), pointNumbers[flow.observationPoint]);
    if (flow.policyMatch !== undefined && this.#has(F.policyMatch)) w.number(varintTag(F.policyMatch), Math.max(0, policyMatches.indexOf(flow.policyMatch)));
    if (this.#has(F.direction)) w.number(varintTag(F.direction), flow.direction === 'INGRESS' ? 1 : flow.direction === 'EGRESS' ? 2 : 0);
    if (service !== undefined) this.#service(isReply === true ? F.sourceService : F.destinationService, service);
    else if (flow.services !== undefined) {
      this.#service(F.destinationService, flow.services.destination);
      this.#service(F.sourceService, flow.services.source);
    }
    if (this.#has(F.eventType)) {
      const mark = w.length;
      const { type, subType } = eventTypeOf(flow);
      w.number(varintTag(2), subType);
      w.number(varintTag(1), type);
      w.close(bytesTag(F.eventType), mark);
    }
    if (this.#has(F.reply)) w.flag(varintTag(F.reply), isReply);
    if (flow.l7 !== undefined && this.#has(F.l7)) encodeL7(w, bytesTag(F.l7), flow.l7);
    if (this.#has(F.destinationNames)) w.strings(bytesTag(F.destinationNames), flow.destination.names);
    if (this.#has(F.sourceNames)) w.strings(bytesTag(F.sourceNames), flow.source.names);
    if (this.#has(F.nodeName)) this.#nodeName.write(w, flow.nodeName);
    if (this.#has(F.type)) w.number(varintTag(F.type), flowTypes[flow.type] ?? 1);
    if (this.#has(F.destination)) this.#endpoint(flow.destination, bytesTag(F.destination), this.#destinations);
    if (this.#has(F.source)) this.#endpoint(flow.source, bytesTag(F.source), this.#sources);
    if (this.#has(F.l4)) this.#layer4(flow);
    if (this.#has(F.ip)) this.#addresses(flow);
    const { ethernet } = flow;
    if (ethernet !== undefined && this.#has(F.ethernet)) {
      const mark = w.length;
      w.string(bytesTag(2), ethernet.destination);
      w.string(bytesTag(1), ethernet.source);
      w.close(bytesTag(F.ethernet), mark);
    }
    if (this.#has(F.dropReason)) w.number(varintTag(F.dropReason), dropReasonCode);
    if (this.#has(F.verdict)) w.number(varintTag(F.verdict), verdictNumbers[flow.verdict]);
    if (this.#has(F.time)) writeTime(w, F.time, seconds, nanos);
  }

  #service(field: number, service: FlowService | undefined): void {
    if (service === undefined || !this.#has(field)) return;
    const w = this.#writer;
    const mark = w.length;
    w.string(bytesTag(2), service.namespace);
    w.string(bytesTag(1), service.name);
    w.close(bytesTag(field), mark);
  }

  #policies(flow: Flow): void {
    this.#policyList(F.ingressDenied, flow.ingressDeniedBy);
    this.#policyList(F.egressDenied, flow.egressDeniedBy);
    this.#policyList(F.ingressAllowed, flow.ingressAllowedBy);
    this.#policyList(F.egressAllowed, flow.egressAllowedBy);
  }

  #policyList(field: number, policies: readonly FlowPolicy[] | undefined): void {
    if (policies === undefined || !this.#has(field)) return;
    const w = this.#writer;
    for (let i = policies.length - 1; i >= 0; i--) {
      const policy = policies[i]!;
      const mark = w.length;
      w.string(bytesTag(5), policy.kind);
      w.number(varintTag(4), policy.revision);
      w.strings(bytesTag(3), policy.labels);
      w.string(bytesTag(2), policy.namespace);
      w.string(bytesTag(1), policy.name);
      w.close(bytesTag(field), mark);
    }
  }

  /** Fields 38 to 40: of other systems' flows. */
  #seldom(flow: Flow): void {
    const w = this.#writer;
    const { ipTraceId, tunnel, file } = flow;
    if (ipTraceId !== undefined && this.#has(F.ipTrace)) {
      const mark = w.length;
      w.number(varintTag(2), flow.ipTraceOption);
      w.number(varintTag(1), ipTraceId);
      w.close(bytesTag(F.ipTrace), mark);
    }
    if (tunnel !== undefined && this.#has(F.tunnel)) {
      const mark = w.length;
      w.number(varintTag(4), tunnel.vni);
      const ip = w.length;
      w.number(varintTag(3), tunnel.source === '' ? 0 : tunnel.source.includes(':') ? 2 : 1);
      w.string(bytesTag(2), tunnel.destination);
      w.string(bytesTag(1), tunnel.source);
      if (w.length > ip) w.close(bytesTag(2), ip);
      w.number(varintTag(1), tunnelNumbers[tunnel.protocol]);
      w.close(bytesTag(F.tunnel), mark);
    }
    if (file !== undefined && this.#has(F.file)) {
      const mark = w.length;
      w.number(varintTag(2), file.line);
      w.string(bytesTag(1), file.name);
      w.close(bytesTag(F.file), mark);
    }
  }

  /** Fields 28 to 33. */
  #sockets(flow: Flow): void {
    const w = this.#writer;
    if (this.#has(F.cgroup)) w.bigint(varintTag(F.cgroup), flow.cgroupId);
    if (this.#has(F.socketCookie)) w.bigint(varintTag(F.socketCookie), flow.socketCookie);
    if (flow.socketTranslation !== undefined && this.#has(F.socketPoint)) w.number(varintTag(F.socketPoint), Math.max(0, socketPointWords.indexOf(flow.socketTranslation)));
    if (flow.traceId !== undefined && this.#has(F.trace)) {
      const mark = w.length;
      w.string(bytesTag(1), flow.traceId);
      w.close(bytesTag(1), mark);
      w.close(bytesTag(F.trace), mark);
    }
    if (this.#has(F.proxyPort)) w.number(varintTag(F.proxyPort), flow.proxyPort);
    if ((flow.interfaceName !== undefined || flow.interfaceIndex !== undefined) && this.#has(F.interface)) {
      const mark = w.length;
      w.string(bytesTag(2), flow.interfaceName);
      w.number(varintTag(1), flow.interfaceIndex);
      w.close(bytesTag(F.interface), mark);
    }
  }

  #endpoint(end: FlowEndpoint, tag: number, cache: WeakMap<FlowEndpoint, Uint8Array>): void {
    const w = this.#writer;
    const known = cache.get(end);
    if (known !== undefined) return w.raw(known);
    const mark = w.length;
    w.string(bytesTag(7), end.clusterName);
    const workloads = end.workloads ?? [];
    for (let i = workloads.length - 1; i >= 0; i--) {
      const start = w.length;
      w.string(bytesTag(2), workloads[i]!.kind);
      w.string(bytesTag(1), workloads[i]!.name);
      w.close(bytesTag(6), start);
    }
    w.string(bytesTag(5), end.podName);
    w.strings(bytesTag(4), end.labels);
    w.string(bytesTag(3), end.namespace);
    w.number(varintTag(2), end.identity);
    w.number(varintTag(1), end.id);
    const kept = this.#mask?.fields.get(tag >> 3);
    if (kept !== undefined) {
      const pruned = pruneMessage(w.copyFrom(mark), kept);
      w.rewind(mark);
      w.raw(pruned);
    }
    w.close(tag, mark);
    cache.set(end, w.copyFrom(mark));
  }

  #layer4(flow: Flow): void {
    const { protocol } = flow;
    const field = layer4Fields[protocol];
    if (field === undefined) return;
    const w = this.#writer;
    const mark = w.length;
    if (protocol === 'ICMPv4' || protocol === 'ICMPv6') {
      w.number(varintTag(2), flow.icmpCode);
      w.number(varintTag(1), flow.icmpType);
    } else if (protocol === 'TCP' || protocol === 'UDP' || protocol === 'SCTP') {
      if (protocol === 'TCP') this.#tcpFlags(flow.tcpFlags);
      else if (protocol === 'SCTP' && flow.sctpChunkType !== undefined) w.number(varintTag(3), Math.max(0, chunkWords.indexOf(flow.sctpChunkType)));
      w.number(varintTag(2), flow.destinationPort);
      w.number(varintTag(1), flow.sourcePort);
    }
    w.close(bytesTag(field), mark);
    w.close(bytesTag(F.l4), mark);
  }

  #tcpFlags(flags: readonly string[] | undefined): void {
    if (flags === undefined || flags.length === 0) return;
    const w = this.#writer;
    // Decoded flags are the same list for the same bits.
    const known = this.#flags.get(flags);
    if (known !== undefined) return w.raw(known);
    let bits = 0;
    for (const flag of flags) bits |= 1 << (flagFields[flag] ?? 0);
    const mark = w.length;
    for (let field = 9; field >= 1; field--) if (bits & (1 << field)) w.number(varintTag(field), 1);
    w.close(bytesTag(3), mark);
    this.#flags.set(flags, w.copyFrom(mark));
  }

  #addresses(flow: Flow): void {
    const w = this.#writer;
    const mark = w.length;
    w.string(bytesTag(5), flow.sourceXlated);
    w.flag(varintTag(4), flow.encrypted);
    w.number(varintTag(3), flow.ipVersion === 'IPv4' ? 1 : flow.ipVersion === 'IPv6' ? 2 : 0);
    w.string(bytesTag(2), flow.destination.ip);
    w.string(bytesTag(1), flow.source.ip);
    if (w.length > mark) w.close(bytesTag(F.ip), mark);
  }
}

/** The flow as protobuf-es has it. */
export function flowToProto(flow: Flow): FlowMessage {
  return fromBinary(FlowSchema, new FlowEncoder().flow(flow));
}

/** The field of the text that was written last: almost always the next one's too. */
class LastText {
  readonly #encode: (writer: BackwardWriter) => (text: string) => void;
  #text: string | undefined;
  #bytes: Uint8Array = new Uint8Array(0);

  constructor(encode: (writer: BackwardWriter) => (text: string) => void) {
    this.#encode = encode;
  }

  write(w: BackwardWriter, text: string): void {
    if (text === this.#text) return w.raw(this.#bytes);
    const mark = w.length;
    this.#encode(w)(text);
    this.#text = text;
    this.#bytes = w.copyFrom(mark);
  }
}

function writeTime(w: BackwardWriter, field: number, seconds: number, nanos: number): void {
  const mark = w.length;
  w.number(varintTag(2), nanos);
  w.number(varintTag(1), seconds);
  w.close(bytesTag(field), mark);
}

function secondsOf(time: string): number {
  return Math.floor(Date.parse(`${time.slice(0, 19)}Z`) / 1000);
}

function nanosOf(time: string): number {
  return Number((/\.(\d{1,9})/.exec(time)?.[1] ?? '').padEnd(9, '0'));
}
