// Generated from build/cirri.bpf.o by tools/generate.ts. Do not edit: change the C and generate again.
import { type Codec, defineCodec, readBytes, writeBytes, zero } from '../../ebpf/codec.ts';

/** struct affinity, 16 bytes */
export interface Affinity {
  readonly lastUsedNs: bigint;
  readonly backend: number;
}

export const affinityCodec: Codec<Affinity> = defineCodec<Affinity>(
  16,
  (view, at, value) => {
    view.setBigUint64(at, value.lastUsedNs, true);
    view.setUint32(at + 8, value.backend, true);
    zero(view, at + 12, 4);
  },
  (view, at) => ({
    lastUsedNs: view.getBigUint64(at, true),
    backend: view.getUint32(at + 8, true),
  }),
);

/** struct affinity_key, 24 bytes */
export interface AffinityKey {
  readonly client: Uint8Array;
  readonly service: number;
  readonly kind: number;
}

export const affinityKeyCodec: Codec<AffinityKey> = defineCodec<AffinityKey>(
  24,
  (view, at, value) => {
    writeBytes(view, at, value.client, 16);
    view.setUint32(at + 16, value.service, true);
    view.setUint32(at + 20, value.kind, true);
  },
  (view, at) => ({
    client: readBytes(view, at, 16),
    service: view.getUint32(at + 16, true),
    kind: view.getUint32(at + 20, true),
  }),
);

/** struct answer_pseudo, 40 bytes */
export interface AnswerPseudo {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly length: number;
  readonly protocol: number;
}

export const answerPseudoCodec: Codec<AnswerPseudo> = defineCodec<AnswerPseudo>(
  40,
  (view, at, value) => {
    writeBytes(view, at, value.source, 16);
    writeBytes(view, at + 16, value.destination, 16);
    view.setUint32(at + 32, value.length, false);
    view.setUint32(at + 36, value.protocol, false);
  },
  (view, at) => ({
    source: readBytes(view, at, 16),
    destination: readBytes(view, at + 16, 16),
    length: view.getUint32(at + 32, false),
    protocol: view.getUint32(at + 36, false),
  }),
);

/** struct backend, 20 bytes */
export interface Backend {
  readonly addr: Uint8Array;
  readonly port: number;
  readonly protocol: number;
  readonly state: number;
}

export const backendCodec: Codec<Backend> = defineCodec<Backend>(
  20,
  (view, at, value) => {
    writeBytes(view, at, value.addr, 16);
    view.setUint16(at + 16, value.port, false);
    view.setUint8(at + 18, value.protocol);
    view.setUint8(at + 19, value.state);
  },
  (view, at) => ({
    addr: readBytes(view, at, 16),
    port: view.getUint16(at + 16, false),
    protocol: view.getUint8(at + 18),
    state: view.getUint8(at + 19),
  }),
);

/** struct backend_key, 4 bytes */
export interface BackendKey {
  readonly id: number;
}

export const backendKeyCodec: Codec<BackendKey> = defineCodec<BackendKey>(
  4,
  (view, at, value) => {
    view.setUint32(at, value.id, true);
  },
  (view, at) => ({
    id: view.getUint32(at, true),
  }),
);

/** struct connection_event, 152 bytes */
export interface ConnectionEvent {
  readonly event: FlowEvent;
  readonly forwardPackets: bigint;
  readonly forwardBytes: bigint;
  readonly replyPackets: bigint;
  readonly replyBytes: bigint;
  readonly durationNs: bigint;
}

export const connectionEventCodec: Codec<ConnectionEvent> = defineCodec<ConnectionEvent>(
  152,
  (view, at, value) => {
    flowEventCodec.write(view, at, value.event);
    view.setBigUint64(at + 112, value.forwardPackets, true);
    view.setBigUint64(at + 120, value.forwardBytes, true);
    view.setBigUint64(at + 128, value.replyPackets, true);
    view.setBigUint64(at + 136, value.replyBytes, true);
    view.setBigUint64(at + 144, value.durationNs, true);
  },
  (view, at) => ({
    event: flowEventCodec.read(view, at),
    forwardPackets: view.getBigUint64(at + 112, true),
    forwardBytes: view.getBigUint64(at + 120, true),
    replyPackets: view.getBigUint64(at + 128, true),
    replyBytes: view.getBigUint64(at + 136, true),
    durationNs: view.getBigUint64(at + 144, true),
  }),
);

/** struct conntrack_end, 12 bytes */
export interface ConntrackEnd {
  readonly target: number;
  readonly mac: Uint8Array;
  readonly kind: number;
}

export const conntrackEndCodec: Codec<ConntrackEnd> = defineCodec<ConntrackEnd>(
  12,
  (view, at, value) => {
    view.setUint32(at, value.target, true);
    writeBytes(view, at + 4, value.mac, 6);
    view.setUint8(at + 10, value.kind);
    zero(view, at + 11, 1);
  },
  (view, at) => ({
    target: view.getUint32(at, true),
    mac: readBytes(view, at + 4, 6),
    kind: view.getUint8(at + 10),
  }),
);

/** struct conntrack_entry, 128 bytes */
export interface ConntrackEntry {
  readonly expiresNs: bigint;
  readonly forwardPackets: bigint;
  readonly forwardBytes: bigint;
  readonly replyPackets: bigint;
  readonly replyBytes: bigint;
  readonly flags: number;
  readonly generation: number;
  readonly sourceIdentity: number;
  readonly destinationIdentity: number;
  readonly sourceEndpoint: number;
  readonly destinationEndpoint: number;
  readonly service: number;
  readonly backend: number;
  readonly egressRule: number;
  readonly ingressRule: number;
  readonly creditedPackets: number;
  readonly creditedBytes: number;
  readonly sourceEnd: ConntrackEnd;
  readonly destinationEnd: ConntrackEnd;
  readonly wayGeneration: number;
  readonly l7: number;
  readonly startedNs: bigint;
}

export const conntrackEntryCodec: Codec<ConntrackEntry> = defineCodec<ConntrackEntry>(
  128,
  (view, at, value) => {
    view.setBigUint64(at, value.expiresNs, true);
    view.setBigUint64(at + 8, value.forwardPackets, true);
    view.setBigUint64(at + 16, value.forwardBytes, true);
    view.setBigUint64(at + 24, value.replyPackets, true);
    view.setBigUint64(at + 32, value.replyBytes, true);
    view.setUint32(at + 40, value.flags, true);
    view.setUint32(at + 44, value.generation, true);
    view.setUint32(at + 48, value.sourceIdentity, true);
    view.setUint32(at + 52, value.destinationIdentity, true);
    view.setUint32(at + 56, value.sourceEndpoint, true);
    view.setUint32(at + 60, value.destinationEndpoint, true);
    view.setUint32(at + 64, value.service, true);
    view.setUint32(at + 68, value.backend, true);
    view.setUint32(at + 72, value.egressRule, true);
    view.setUint32(at + 76, value.ingressRule, true);
    view.setUint32(at + 80, value.creditedPackets, true);
    view.setUint32(at + 84, value.creditedBytes, true);
    conntrackEndCodec.write(view, at + 88, value.sourceEnd);
    conntrackEndCodec.write(view, at + 100, value.destinationEnd);
    view.setUint32(at + 112, value.wayGeneration, true);
    view.setUint32(at + 116, value.l7, true);
    view.setBigUint64(at + 120, value.startedNs, true);
  },
  (view, at) => ({
    expiresNs: view.getBigUint64(at, true),
    forwardPackets: view.getBigUint64(at + 8, true),
    forwardBytes: view.getBigUint64(at + 16, true),
    replyPackets: view.getBigUint64(at + 24, true),
    replyBytes: view.getBigUint64(at + 32, true),
    flags: view.getUint32(at + 40, true),
    generation: view.getUint32(at + 44, true),
    sourceIdentity: view.getUint32(at + 48, true),
    destinationIdentity: view.getUint32(at + 52, true),
    sourceEndpoint: view.getUint32(at + 56, true),
    destinationEndpoint: view.getUint32(at + 60, true),
    service: view.getUint32(at + 64, true),
    backend: view.getUint32(at + 68, true),
    egressRule: view.getUint32(at + 72, true),
    ingressRule: view.getUint32(at + 76, true),
    creditedPackets: view.getUint32(at + 80, true),
    creditedBytes: view.getUint32(at + 84, true),
    sourceEnd: conntrackEndCodec.read(view, at + 88),
    destinationEnd: conntrackEndCodec.read(view, at + 100),
    wayGeneration: view.getUint32(at + 112, true),
    l7: view.getUint32(at + 116, true),
    startedNs: view.getBigUint64(at + 120, true),
  }),
);

/** struct conntrack_key, 40 bytes */
export interface ConntrackKey {
  readonly low: Uint8Array;
  readonly high: Uint8Array;
  readonly lowPort: number;
  readonly highPort: number;
  readonly protocol: number;
  readonly kind: number;
}

export const conntrackKeyCodec: Codec<ConntrackKey> = defineCodec<ConntrackKey>(
  40,
  (view, at, value) => {
    writeBytes(view, at, value.low, 16);
    writeBytes(view, at + 16, value.high, 16);
    view.setUint16(at + 32, value.lowPort, false);
    view.setUint16(at + 34, value.highPort, false);
    view.setUint8(at + 36, value.protocol);
    view.setUint8(at + 37, value.kind);
    zero(view, at + 38, 2);
  },
  (view, at) => ({
    low: readBytes(view, at, 16),
    high: readBytes(view, at + 16, 16),
    lowPort: view.getUint16(at + 32, false),
    highPort: view.getUint16(at + 34, false),
    protocol: view.getUint8(at + 36),
    kind: view.getUint8(at + 37),
  }),
);

/** struct dns_address, 20 bytes */
export interface DnsAddress {
  readonly addr: Uint8Array;
  readonly ttl: number;
}

export const dnsAddressCodec: Codec<DnsAddress> = defineCodec<DnsAddress>(
  20,
  (view, at, value) => {
    writeBytes(view, at, value.addr, 16);
    view.setUint32(at + 16, value.ttl, true);
  },
  (view, at) => ({
    addr: readBytes(view, at, 16),
    ttl: view.getUint32(at + 16, true),
  }),
);

/** struct dns_header, 12 bytes */
export interface DnsHeader {
  readonly id: number;
  readonly flags: number;
  readonly questions: number;
  readonly answers: number;
  readonly authorities: number;
  readonly additionals: number;
}

export const dnsHeaderCodec: Codec<DnsHeader> = defineCodec<DnsHeader>(
  12,
  (view, at, value) => {
    view.setUint16(at, value.id, false);
    view.setUint16(at + 2, value.flags, false);
    view.setUint16(at + 4, value.questions, false);
    view.setUint16(at + 6, value.answers, false);
    view.setUint16(at + 8, value.authorities, false);
    view.setUint16(at + 10, value.additionals, false);
  },
  (view, at) => ({
    id: view.getUint16(at, false),
    flags: view.getUint16(at + 2, false),
    questions: view.getUint16(at + 4, false),
    answers: view.getUint16(at + 6, false),
    authorities: view.getUint16(at + 8, false),
    additionals: view.getUint16(at + 10, false),
  }),
);

/** struct dns_room, 13492 bytes */
export interface DnsRoom {
  readonly pseudo: AnswerPseudo;
  readonly udp: Udphdr;
  readonly header: DnsHeader;
  readonly walk: NameWalk;
  readonly records: number;
  readonly at: number;
  readonly found: number;
  readonly failed: number;
  readonly key: NameAddressKey;
  readonly nowS: number;
  readonly addresses: readonly DnsAddress[];
}

export const dnsRoomCodec: Codec<DnsRoom> = defineCodec<DnsRoom>(
  13492,
  (view, at, value) => {
    answerPseudoCodec.write(view, at, value.pseudo);
    udphdrCodec.write(view, at + 40, value.udp);
    dnsHeaderCodec.write(view, at + 48, value.header);
    zero(view, at + 60, 8244);
    nameWalkCodec.write(view, at + 8304, value.walk);
    view.setUint32(at + 8332, value.records, true);
    view.setUint32(at + 8336, value.at, true);
    view.setUint32(at + 8340, value.found, true);
    view.setUint32(at + 8344, value.failed, true);
    nameAddressKeyCodec.write(view, at + 8348, value.key);
    view.setUint32(at + 8368, value.nowS, true);
    for (let i = 0; i < 256; i++) dnsAddressCodec.write(view, at + 8372 + i * 20, value.addresses[i]!);
  },
  (view, at) => ({
    pseudo: answerPseudoCodec.read(view, at),
    udp: udphdrCodec.read(view, at + 40),
    header: dnsHeaderCodec.read(view, at + 48),
    walk: nameWalkCodec.read(view, at + 8304),
    records: view.getUint32(at + 8332, true),
    at: view.getUint32(at + 8336, true),
    found: view.getUint32(at + 8340, true),
    failed: view.getUint32(at + 8344, true),
    key: nameAddressKeyCodec.read(view, at + 8348),
    nowS: view.getUint32(at + 8368, true),
    addresses: Array.from({ length: 256 }, (_, i) => dnsAddressCodec.read(view, at + 8372 + i * 20)),
  }),
);

/** struct endpoint, 56 bytes */
export interface Endpoint {
  readonly ifindex: number;
  readonly id: number;
  readonly identity: number;
  readonly policyIdentity: number;
  readonly ingressSet: number;
  readonly egressSet: number;
  readonly mac: Uint8Array;
  readonly hostMac: Uint8Array;
  readonly flags: number;
  readonly other: Uint8Array;
}

export const endpointCodec: Codec<Endpoint> = defineCodec<Endpoint>(
  56,
  (view, at, value) => {
    view.setUint32(at, value.ifindex, true);
    view.setUint32(at + 4, value.id, true);
    view.setUint32(at + 8, value.identity, true);
    view.setUint32(at + 12, value.policyIdentity, true);
    view.setUint32(at + 16, value.ingressSet, true);
    view.setUint32(at + 20, value.egressSet, true);
    writeBytes(view, at + 24, value.mac, 6);
    writeBytes(view, at + 30, value.hostMac, 6);
    view.setUint32(at + 36, value.flags, true);
    writeBytes(view, at + 40, value.other, 16);
  },
  (view, at) => ({
    ifindex: view.getUint32(at, true),
    id: view.getUint32(at + 4, true),
    identity: view.getUint32(at + 8, true),
    policyIdentity: view.getUint32(at + 12, true),
    ingressSet: view.getUint32(at + 16, true),
    egressSet: view.getUint32(at + 20, true),
    mac: readBytes(view, at + 24, 6),
    hostMac: readBytes(view, at + 30, 6),
    flags: view.getUint32(at + 36, true),
    other: readBytes(view, at + 40, 16),
  }),
);

/** struct endpoint_key, 16 bytes */
export interface EndpointKey {
  readonly addr: Uint8Array;
}

export const endpointKeyCodec: Codec<EndpointKey> = defineCodec<EndpointKey>(
  16,
  (view, at, value) => {
    writeBytes(view, at, value.addr, 16);
  },
  (view, at) => ({
    addr: readBytes(view, at, 16),
  }),
);

/** struct flow_event, 112 bytes */
export interface FlowEvent {
  readonly timeNs: bigint;
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly protocol: number;
  readonly tcpFlags: number;
  readonly type: number;
  readonly reasonOrPoint: number;
  readonly sourceIdentity: number;
  readonly destinationIdentity: number;
  readonly sourceEndpoint: number;
  readonly destinationEndpoint: number;
  readonly rule: number;
  readonly ifindex: number;
  readonly length: number;
  readonly direction: number;
  readonly verdict: number;
  readonly match: number;
  readonly flags: number;
  readonly service: Uint8Array;
  readonly servicePort: number;
  readonly ctState: number;
  readonly icmpType: number;
  readonly icmpCode: number;
  readonly end: number;
  readonly latencyUs: number;
}

export const flowEventCodec: Codec<FlowEvent> = defineCodec<FlowEvent>(
  112,
  (view, at, value) => {
    view.setBigUint64(at, value.timeNs, true);
    writeBytes(view, at + 8, value.source, 16);
    writeBytes(view, at + 24, value.destination, 16);
    view.setUint16(at + 40, value.sourcePort, false);
    view.setUint16(at + 42, value.destinationPort, false);
    view.setUint8(at + 44, value.protocol);
    view.setUint8(at + 45, value.tcpFlags);
    view.setUint8(at + 46, value.type);
    view.setUint8(at + 47, value.reasonOrPoint);
    view.setUint32(at + 48, value.sourceIdentity, true);
    view.setUint32(at + 52, value.destinationIdentity, true);
    view.setUint32(at + 56, value.sourceEndpoint, true);
    view.setUint32(at + 60, value.destinationEndpoint, true);
    view.setUint32(at + 64, value.rule, true);
    view.setUint32(at + 68, value.ifindex, true);
    view.setUint32(at + 72, value.length, true);
    view.setUint8(at + 76, value.direction);
    view.setUint8(at + 77, value.verdict);
    view.setUint8(at + 78, value.match);
    view.setUint8(at + 79, value.flags);
    writeBytes(view, at + 80, value.service, 16);
    view.setUint16(at + 96, value.servicePort, false);
    view.setUint8(at + 98, value.ctState);
    view.setUint8(at + 99, value.icmpType);
    view.setUint8(at + 100, value.icmpCode);
    view.setUint8(at + 101, value.end);
    zero(view, at + 102, 2);
    view.setUint32(at + 104, value.latencyUs, true);
    zero(view, at + 108, 4);
  },
  (view, at) => ({
    timeNs: view.getBigUint64(at, true),
    source: readBytes(view, at + 8, 16),
    destination: readBytes(view, at + 24, 16),
    sourcePort: view.getUint16(at + 40, false),
    destinationPort: view.getUint16(at + 42, false),
    protocol: view.getUint8(at + 44),
    tcpFlags: view.getUint8(at + 45),
    type: view.getUint8(at + 46),
    reasonOrPoint: view.getUint8(at + 47),
    sourceIdentity: view.getUint32(at + 48, true),
    destinationIdentity: view.getUint32(at + 52, true),
    sourceEndpoint: view.getUint32(at + 56, true),
    destinationEndpoint: view.getUint32(at + 60, true),
    rule: view.getUint32(at + 64, true),
    ifindex: view.getUint32(at + 68, true),
    length: view.getUint32(at + 72, true),
    direction: view.getUint8(at + 76),
    verdict: view.getUint8(at + 77),
    match: view.getUint8(at + 78),
    flags: view.getUint8(at + 79),
    service: readBytes(view, at + 80, 16),
    servicePort: view.getUint16(at + 96, false),
    ctState: view.getUint8(at + 98),
    icmpType: view.getUint8(at + 99),
    icmpCode: view.getUint8(at + 100),
    end: view.getUint8(at + 101),
    latencyUs: view.getUint32(at + 104, true),
  }),
);

/** struct fragment, 8 bytes */
export interface Fragment {
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly icmpType: number;
}

export const fragmentCodec: Codec<Fragment> = defineCodec<Fragment>(
  8,
  (view, at, value) => {
    view.setUint16(at, value.sourcePort, false);
    view.setUint16(at + 2, value.destinationPort, false);
    view.setUint8(at + 4, value.icmpType);
    zero(view, at + 5, 3);
  },
  (view, at) => ({
    sourcePort: view.getUint16(at, false),
    destinationPort: view.getUint16(at + 2, false),
    icmpType: view.getUint8(at + 4),
  }),
);

/** struct fragment_key, 40 bytes */
export interface FragmentKey {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly id: number;
  readonly protocol: number;
}

export const fragmentKeyCodec: Codec<FragmentKey> = defineCodec<FragmentKey>(
  40,
  (view, at, value) => {
    writeBytes(view, at, value.source, 16);
    writeBytes(view, at + 16, value.destination, 16);
    view.setUint32(at + 32, value.id, false);
    view.setUint8(at + 36, value.protocol);
    zero(view, at + 37, 3);
  },
  (view, at) => ({
    source: readBytes(view, at, 16),
    destination: readBytes(view, at + 16, 16),
    id: view.getUint32(at + 32, false),
    protocol: view.getUint8(at + 36),
  }),
);

/** struct gone_backend_key, 20 bytes */
export interface GoneBackendKey {
  readonly addr: Uint8Array;
  readonly port: number;
  readonly protocol: number;
}

export const goneBackendKeyCodec: Codec<GoneBackendKey> = defineCodec<GoneBackendKey>(
  20,
  (view, at, value) => {
    writeBytes(view, at, value.addr, 16);
    view.setUint16(at + 16, value.port, false);
    view.setUint8(at + 18, value.protocol);
    zero(view, at + 19, 1);
  },
  (view, at) => ({
    addr: readBytes(view, at, 16),
    port: view.getUint16(at + 16, false),
    protocol: view.getUint8(at + 18),
  }),
);

/** struct headers, 120 bytes */
export interface Headers {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly reporter: Uint8Array;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly protocol: number;
  readonly tcpFlags: number;
  readonly icmpType: number;
  readonly icmpCode: number;
  readonly l4Offset: number;
  readonly quotedL3Offset: number;
  readonly quotedL4Offset: number;
  readonly l4Length: number;
  readonly flags: number;
  readonly hopLimit: number;
  readonly fragmentId: number;
  readonly sourceIdentity: number;
  readonly destinationIdentity: number;
  readonly service: number;
  readonly backend: number;
  readonly destinationPolicyIdentity: number;
  readonly rule: number;
  readonly shadowRule: number;
  readonly egressRule: number;
  readonly ingressRule: number;
  readonly verdict: number;
  readonly match: number;
  readonly direction: number;
  readonly ctState: number;
  readonly shadowVerdict: number;
  readonly verdictFlags: number;
  readonly tell: number;
  readonly ctFlags: number;
}

export const headersCodec: Codec<Headers> = defineCodec<Headers>(
  120,
  (view, at, value) => {
    writeBytes(view, at, value.source, 16);
    writeBytes(view, at + 16, value.destination, 16);
    writeBytes(view, at + 32, value.reporter, 16);
    view.setUint16(at + 48, value.sourcePort, false);
    view.setUint16(at + 50, value.destinationPort, false);
    view.setUint8(at + 52, value.protocol);
    view.setUint8(at + 53, value.tcpFlags);
    view.setUint8(at + 54, value.icmpType);
    view.setUint8(at + 55, value.icmpCode);
    view.setUint16(at + 56, value.l4Offset, true);
    view.setUint16(at + 58, value.quotedL3Offset, true);
    view.setUint16(at + 60, value.quotedL4Offset, true);
    view.setUint16(at + 62, value.l4Length, true);
    view.setUint16(at + 64, value.flags, true);
    view.setUint8(at + 66, value.hopLimit);
    zero(view, at + 67, 1);
    view.setUint32(at + 68, value.fragmentId, false);
    view.setUint32(at + 72, value.sourceIdentity, true);
    view.setUint32(at + 76, value.destinationIdentity, true);
    view.setUint32(at + 80, value.service, true);
    view.setUint32(at + 84, value.backend, true);
    view.setUint32(at + 88, value.destinationPolicyIdentity, true);
    view.setUint32(at + 92, value.rule, true);
    view.setUint32(at + 96, value.shadowRule, true);
    view.setUint32(at + 100, value.egressRule, true);
    view.setUint32(at + 104, value.ingressRule, true);
    view.setUint8(at + 108, value.verdict);
    view.setUint8(at + 109, value.match);
    view.setUint8(at + 110, value.direction);
    view.setUint8(at + 111, value.ctState);
    view.setUint8(at + 112, value.shadowVerdict);
    view.setUint8(at + 113, value.verdictFlags);
    view.setUint8(at + 114, value.tell);
    zero(view, at + 115, 1);
    view.setUint32(at + 116, value.ctFlags, true);
  },
  (view, at) => ({
    source: readBytes(view, at, 16),
    destination: readBytes(view, at + 16, 16),
    reporter: readBytes(view, at + 32, 16),
    sourcePort: view.getUint16(at + 48, false),
    destinationPort: view.getUint16(at + 50, false),
    protocol: view.getUint8(at + 52),
    tcpFlags: view.getUint8(at + 53),
    icmpType: view.getUint8(at + 54),
    icmpCode: view.getUint8(at + 55),
    l4Offset: view.getUint16(at + 56, true),
    quotedL3Offset: view.getUint16(at + 58, true),
    quotedL4Offset: view.getUint16(at + 60, true),
    l4Length: view.getUint16(at + 62, true),
    flags: view.getUint16(at + 64, true),
    hopLimit: view.getUint8(at + 66),
    fragmentId: view.getUint32(at + 68, false),
    sourceIdentity: view.getUint32(at + 72, true),
    destinationIdentity: view.getUint32(at + 76, true),
    service: view.getUint32(at + 80, true),
    backend: view.getUint32(at + 84, true),
    destinationPolicyIdentity: view.getUint32(at + 88, true),
    rule: view.getUint32(at + 92, true),
    shadowRule: view.getUint32(at + 96, true),
    egressRule: view.getUint32(at + 100, true),
    ingressRule: view.getUint32(at + 104, true),
    verdict: view.getUint8(at + 108),
    match: view.getUint8(at + 109),
    direction: view.getUint8(at + 110),
    ctState: view.getUint8(at + 111),
    shadowVerdict: view.getUint8(at + 112),
    verdictFlags: view.getUint8(at + 113),
    tell: view.getUint8(at + 114),
    ctFlags: view.getUint32(at + 116, true),
  }),
);

/** struct http_answer_reader, 88 bytes */
export interface HttpAnswerReader {
  readonly body: HttpBody;
  readonly status: number;
  readonly headOnly: number;
  readonly upgrade: number;
  readonly interims: number;
}

export const httpAnswerReaderCodec: Codec<HttpAnswerReader> = defineCodec<HttpAnswerReader>(
  88,
  (view, at, value) => {
    httpBodyCodec.write(view, at, value.body);
    view.setUint16(at + 80, value.status, true);
    view.setUint8(at + 82, value.headOnly);
    view.setUint8(at + 83, value.upgrade);
    view.setUint8(at + 84, value.interims);
    zero(view, at + 85, 3);
  },
  (view, at) => ({
    body: httpBodyCodec.read(view, at),
    status: view.getUint16(at + 80, true),
    headOnly: view.getUint8(at + 82),
    upgrade: view.getUint8(at + 83),
    interims: view.getUint8(at + 84),
  }),
);

/** struct http_answer_segment, 328 bytes */
export interface HttpAnswerSegment {
  readonly pseudo: AnswerPseudo;
  readonly tcp: Uint8Array;
  readonly options: Uint8Array;
  readonly payload: Uint8Array;
}

export const httpAnswerSegmentCodec: Codec<HttpAnswerSegment> = defineCodec<HttpAnswerSegment>(
  328,
  (view, at, value) => {
    answerPseudoCodec.write(view, at, value.pseudo);
    writeBytes(view, at + 40, value.tcp, 20);
    writeBytes(view, at + 60, value.options, 12);
    writeBytes(view, at + 72, value.payload, 256);
  },
  (view, at) => ({
    pseudo: answerPseudoCodec.read(view, at),
    tcp: readBytes(view, at + 40, 20),
    options: readBytes(view, at + 60, 12),
    payload: readBytes(view, at + 72, 256),
  }),
);

/** struct http_body, 80 bytes */
export interface HttpBody {
  readonly opaque: bigint;
  readonly contentLength: bigint;
  readonly text: readonly bigint[];
  readonly flags: number;
  readonly extensions: number;
  readonly trailers: number;
  readonly row: number;
  readonly headBytes: number;
  readonly at: number;
  readonly piece: number;
  readonly place: number;
  readonly fault: number;
  readonly textLength: number;
  readonly digits: number;
  readonly minor: number;
  readonly fieldCount: number;
  readonly has: number;
  readonly repeated: number;
  readonly kind: number;
  readonly field: number;
  readonly extensionBegins: number;
  readonly end: number;
  readonly begin: number;
}

export const httpBodyCodec: Codec<HttpBody> = defineCodec<HttpBody>(
  80,
  (view, at, value) => {
    view.setBigUint64(at, value.opaque, true);
    view.setBigUint64(at + 8, value.contentLength, true);
    for (let i = 0; i < 4; i++) view.setBigUint64(at + 16 + i * 8, value.text[i]!, true);
    view.setUint32(at + 48, value.flags, true);
    view.setUint16(at + 52, value.extensions, true);
    view.setUint16(at + 54, value.trailers, true);
    view.setUint16(at + 56, value.row, true);
    view.setUint16(at + 58, value.headBytes, true);
    view.setUint16(at + 60, value.at, true);
    view.setUint16(at + 62, value.piece, true);
    view.setUint8(at + 64, value.place);
    view.setUint8(at + 65, value.fault);
    view.setUint8(at + 66, value.textLength);
    view.setUint8(at + 67, value.digits);
    view.setUint8(at + 68, value.minor);
    view.setUint8(at + 69, value.fieldCount);
    view.setUint8(at + 70, value.has);
    view.setUint8(at + 71, value.repeated);
    view.setUint8(at + 72, value.kind);
    view.setUint8(at + 73, value.field);
    view.setUint8(at + 74, value.extensionBegins);
    zero(view, at + 75, 1);
    view.setUint16(at + 76, value.end, true);
    view.setUint16(at + 78, value.begin, true);
  },
  (view, at) => ({
    opaque: view.getBigUint64(at, true),
    contentLength: view.getBigUint64(at + 8, true),
    text: Array.from({ length: 4 }, (_, i) => view.getBigUint64(at + 16 + i * 8, true)),
    flags: view.getUint32(at + 48, true),
    extensions: view.getUint16(at + 52, true),
    trailers: view.getUint16(at + 54, true),
    row: view.getUint16(at + 56, true),
    headBytes: view.getUint16(at + 58, true),
    at: view.getUint16(at + 60, true),
    piece: view.getUint16(at + 62, true),
    place: view.getUint8(at + 64),
    fault: view.getUint8(at + 65),
    textLength: view.getUint8(at + 66),
    digits: view.getUint8(at + 67),
    minor: view.getUint8(at + 68),
    fieldCount: view.getUint8(at + 69),
    has: view.getUint8(at + 70),
    repeated: view.getUint8(at + 71),
    kind: view.getUint8(at + 72),
    field: view.getUint8(at + 73),
    extensionBegins: view.getUint8(at + 74),
    end: view.getUint16(at + 76, true),
    begin: view.getUint16(at + 78, true),
  }),
);

/** struct http_chunk, 264 bytes */
export interface HttpChunk {
  readonly bytes: Uint8Array;
}

export const httpChunkCodec: Codec<HttpChunk> = defineCodec<HttpChunk>(
  264,
  (view, at, value) => {
    writeBytes(view, at, value.bytes, 264);
  },
  (view, at) => ({
    bytes: readBytes(view, at, 264),
  }),
);

/** struct http_connection, 3680 bytes */
export interface HttpConnection {
  readonly key: ProxyConnectionKey;
  readonly ifindex: number;
  readonly seenNs: bigint;
  readonly secret: readonly bigint[];
  readonly number: number;
  readonly sourceIdentity: number;
  readonly destinationIdentity: number;
  readonly sourceEndpoint: number;
  readonly destinationEndpoint: number;
  readonly service: number;
  readonly set: number;
  readonly rule: number;
  readonly requestBusy: number;
  readonly requestNext: number;
  readonly requestFirst: number;
  readonly cut: number;
  readonly cutBefore: number;
  readonly cutStart: number;
  readonly cutEnd: number;
  readonly swallowed: number;
  readonly ownStart: number;
  readonly ownEnd: number;
  readonly ownPending: number;
  readonly addedBefore: number;
  readonly addedAt: number;
  readonly clientAcked: number;
  readonly asked: number;
  readonly told: number;
  readonly rangeCount: number;
  readonly numbers: number;
  readonly phase: number;
  readonly ownKind: number;
  readonly requestFin: number;
  readonly inHead: number;
  readonly heard: number;
  readonly answerBusy: number;
  readonly answerFirst: number;
  readonly serverAcked: number;
  readonly answered: number;
  readonly serverWindow: number;
  readonly established: number;
  readonly answerFin: number;
  readonly answering: number;
  readonly unknown: number;
  readonly opened: number;
  readonly refused: number;
  readonly answers: bigint;
  readonly serviceAddr: Uint8Array;
  readonly servicePort: number;
  readonly exchanges: readonly HttpExchange[];
  readonly ranges: readonly HttpRange[];
  readonly request: HttpReader;
  readonly answer: HttpAnswerReader;
}

export const httpConnectionCodec: Codec<HttpConnection> = defineCodec<HttpConnection>(
  3680,
  (view, at, value) => {
    proxyConnectionKeyCodec.write(view, at, value.key);
    view.setUint32(at + 36, value.ifindex, true);
    view.setBigUint64(at + 40, value.seenNs, true);
    for (let i = 0; i < 2; i++) view.setBigUint64(at + 48 + i * 8, value.secret[i]!, true);
    view.setUint32(at + 64, value.number, true);
    view.setUint32(at + 68, value.sourceIdentity, true);
    view.setUint32(at + 72, value.destinationIdentity, true);
    view.setUint32(at + 76, value.sourceEndpoint, true);
    view.setUint32(at + 80, value.destinationEndpoint, true);
    view.setUint32(at + 84, value.service, true);
    view.setUint32(at + 88, value.set, true);
    view.setUint32(at + 92, value.rule, true);
    view.setUint32(at + 96, value.requestBusy, true);
    view.setUint32(at + 100, value.requestNext, true);
    view.setUint32(at + 104, value.requestFirst, true);
    view.setUint32(at + 108, value.cut, true);
    view.setUint32(at + 112, value.cutBefore, true);
    view.setUint32(at + 116, value.cutStart, true);
    view.setUint32(at + 120, value.cutEnd, true);
    view.setUint32(at + 124, value.swallowed, true);
    view.setUint32(at + 128, value.ownStart, true);
    view.setUint32(at + 132, value.ownEnd, true);
    view.setUint32(at + 136, value.ownPending, true);
    view.setUint32(at + 140, value.addedBefore, true);
    view.setUint32(at + 144, value.addedAt, true);
    view.setUint32(at + 148, value.clientAcked, true);
    view.setUint32(at + 152, value.asked, true);
    view.setUint32(at + 156, value.told, true);
    view.setUint32(at + 160, value.rangeCount, true);
    view.setUint32(at + 164, value.numbers, true);
    view.setUint8(at + 168, value.phase);
    view.setUint8(at + 169, value.ownKind);
    view.setUint8(at + 170, value.requestFin);
    view.setUint8(at + 171, value.inHead);
    view.setUint8(at + 172, value.heard);
    zero(view, at + 173, 3);
    view.setUint32(at + 176, value.answerBusy, true);
    view.setUint32(at + 180, value.answerFirst, true);
    view.setUint32(at + 184, value.serverAcked, true);
    view.setUint32(at + 188, value.answered, true);
    view.setUint16(at + 192, value.serverWindow, false);
    view.setUint8(at + 194, value.established);
    view.setUint8(at + 195, value.answerFin);
    view.setUint8(at + 196, value.answering);
    view.setUint8(at + 197, value.unknown);
    view.setUint8(at + 198, value.opened);
    view.setUint8(at + 199, value.refused);
    view.setBigUint64(at + 200, value.answers, true);
    writeBytes(view, at + 208, value.serviceAddr, 16);
    view.setUint16(at + 224, value.servicePort, false);
    zero(view, at + 226, 2);
    zero(view, at + 228, 4);
    for (let i = 0; i < 16; i++) httpExchangeCodec.write(view, at + 232 + i * 24, value.exchanges[i]!);
    for (let i = 0; i < 128; i++) httpRangeCodec.write(view, at + 616 + i * 16, value.ranges[i]!);
    httpReaderCodec.write(view, at + 2664, value.request);
    httpAnswerReaderCodec.write(view, at + 3592, value.answer);
  },
  (view, at) => ({
    key: proxyConnectionKeyCodec.read(view, at),
    ifindex: view.getUint32(at + 36, true),
    seenNs: view.getBigUint64(at + 40, true),
    secret: Array.from({ length: 2 }, (_, i) => view.getBigUint64(at + 48 + i * 8, true)),
    number: view.getUint32(at + 64, true),
    sourceIdentity: view.getUint32(at + 68, true),
    destinationIdentity: view.getUint32(at + 72, true),
    sourceEndpoint: view.getUint32(at + 76, true),
    destinationEndpoint: view.getUint32(at + 80, true),
    service: view.getUint32(at + 84, true),
    set: view.getUint32(at + 88, true),
    rule: view.getUint32(at + 92, true),
    requestBusy: view.getUint32(at + 96, true),
    requestNext: view.getUint32(at + 100, true),
    requestFirst: view.getUint32(at + 104, true),
    cut: view.getUint32(at + 108, true),
    cutBefore: view.getUint32(at + 112, true),
    cutStart: view.getUint32(at + 116, true),
    cutEnd: view.getUint32(at + 120, true),
    swallowed: view.getUint32(at + 124, true),
    ownStart: view.getUint32(at + 128, true),
    ownEnd: view.getUint32(at + 132, true),
    ownPending: view.getUint32(at + 136, true),
    addedBefore: view.getUint32(at + 140, true),
    addedAt: view.getUint32(at + 144, true),
    clientAcked: view.getUint32(at + 148, true),
    asked: view.getUint32(at + 152, true),
    told: view.getUint32(at + 156, true),
    rangeCount: view.getUint32(at + 160, true),
    numbers: view.getUint32(at + 164, true),
    phase: view.getUint8(at + 168),
    ownKind: view.getUint8(at + 169),
    requestFin: view.getUint8(at + 170),
    inHead: view.getUint8(at + 171),
    heard: view.getUint8(at + 172),
    answerBusy: view.getUint32(at + 176, true),
    answerFirst: view.getUint32(at + 180, true),
    serverAcked: view.getUint32(at + 184, true),
    answered: view.getUint32(at + 188, true),
    serverWindow: view.getUint16(at + 192, false),
    established: view.getUint8(at + 194),
    answerFin: view.getUint8(at + 195),
    answering: view.getUint8(at + 196),
    unknown: view.getUint8(at + 197),
    opened: view.getUint8(at + 198),
    refused: view.getUint8(at + 199),
    answers: view.getBigUint64(at + 200, true),
    serviceAddr: readBytes(view, at + 208, 16),
    servicePort: view.getUint16(at + 224, false),
    exchanges: Array.from({ length: 16 }, (_, i) => httpExchangeCodec.read(view, at + 232 + i * 24)),
    ranges: Array.from({ length: 128 }, (_, i) => httpRangeCodec.read(view, at + 616 + i * 16)),
    request: httpReaderCodec.read(view, at + 2664),
    answer: httpAnswerReaderCodec.read(view, at + 3592),
  }),
);

/** struct http_counts, 64 bytes */
export interface HttpCounts {
  readonly connections: bigint;
  readonly requests: bigint;
  readonly denied: bigint;
  readonly faults: bigint;
  readonly answers: bigint;
  readonly unknownAnswers: bigint;
  readonly held: bigint;
  readonly resets: bigint;
}

export const httpCountsCodec: Codec<HttpCounts> = defineCodec<HttpCounts>(
  64,
  (view, at, value) => {
    view.setBigUint64(at, value.connections, true);
    view.setBigUint64(at + 8, value.requests, true);
    view.setBigUint64(at + 16, value.denied, true);
    view.setBigUint64(at + 24, value.faults, true);
    view.setBigUint64(at + 32, value.answers, true);
    view.setBigUint64(at + 40, value.unknownAnswers, true);
    view.setBigUint64(at + 48, value.held, true);
    view.setBigUint64(at + 56, value.resets, true);
  },
  (view, at) => ({
    connections: view.getBigUint64(at, true),
    requests: view.getBigUint64(at + 8, true),
    denied: view.getBigUint64(at + 16, true),
    faults: view.getBigUint64(at + 24, true),
    answers: view.getBigUint64(at + 32, true),
    unknownAnswers: view.getBigUint64(at + 40, true),
    held: view.getBigUint64(at + 48, true),
    resets: view.getBigUint64(at + 56, true),
  }),
);

/** struct http_event, 136 bytes */
export interface HttpEvent {
  readonly event: FlowEvent;
  readonly connection: number;
  readonly exchange: number;
  readonly status: number;
  readonly minor: number;
  readonly fault: number;
  readonly methodLength: number;
  readonly urlLength: number;
  readonly hostLength: number;
  readonly traceLength: number;
}

export const httpEventCodec: Codec<HttpEvent> = defineCodec<HttpEvent>(
  136,
  (view, at, value) => {
    flowEventCodec.write(view, at, value.event);
    view.setUint32(at + 112, value.connection, true);
    view.setUint32(at + 116, value.exchange, true);
    view.setUint16(at + 120, value.status, true);
    view.setUint8(at + 122, value.minor);
    view.setUint8(at + 123, value.fault);
    view.setUint16(at + 124, value.methodLength, true);
    view.setUint16(at + 126, value.urlLength, true);
    view.setUint16(at + 128, value.hostLength, true);
    view.setUint16(at + 130, value.traceLength, true);
    zero(view, at + 132, 4);
  },
  (view, at) => ({
    event: flowEventCodec.read(view, at),
    connection: view.getUint32(at + 112, true),
    exchange: view.getUint32(at + 116, true),
    status: view.getUint16(at + 120, true),
    minor: view.getUint8(at + 122),
    fault: view.getUint8(at + 123),
    methodLength: view.getUint16(at + 124, true),
    urlLength: view.getUint16(at + 126, true),
    hostLength: view.getUint16(at + 128, true),
    traceLength: view.getUint16(at + 130, true),
  }),
);

/** struct http_exchange, 24 bytes */
export interface HttpExchange {
  readonly startedNs: bigint;
  readonly number: number;
  readonly rule: number;
  readonly flags: number;
}

export const httpExchangeCodec: Codec<HttpExchange> = defineCodec<HttpExchange>(
  24,
  (view, at, value) => {
    view.setBigUint64(at, value.startedNs, true);
    view.setUint32(at + 8, value.number, true);
    view.setUint32(at + 12, value.rule, true);
    view.setUint32(at + 16, value.flags, true);
    zero(view, at + 20, 4);
  },
  (view, at) => ({
    startedNs: view.getBigUint64(at, true),
    number: view.getUint32(at + 8, true),
    rule: view.getUint32(at + 12, true),
    flags: view.getUint32(at + 16, true),
  }),
);

/** struct http_field, 16 bytes */
export interface HttpField {
  readonly start: number;
  readonly absent: bigint;
}

export const httpFieldCodec: Codec<HttpField> = defineCodec<HttpField>(
  16,
  (view, at, value) => {
    view.setUint16(at, value.start, true);
    zero(view, at + 2, 6);
    view.setBigUint64(at + 8, value.absent, true);
  },
  (view, at) => ({
    start: view.getUint16(at, true),
    absent: view.getBigUint64(at + 8, true),
  }),
);

/** struct http_range, 16 bytes */
export interface HttpRange {
  readonly start: number;
  readonly end: number;
  readonly hash: bigint;
}

export const httpRangeCodec: Codec<HttpRange> = defineCodec<HttpRange>(
  16,
  (view, at, value) => {
    view.setUint32(at, value.start, true);
    view.setUint32(at + 4, value.end, true);
    view.setBigUint64(at + 8, value.hash, true);
  },
  (view, at) => ({
    start: view.getUint32(at, true),
    end: view.getUint32(at + 4, true),
    hash: view.getBigUint64(at + 8, true),
  }),
);

/** struct http_reader, 928 bytes */
export interface HttpReader {
  readonly body: HttpBody;
  readonly passes: bigint;
  readonly second: bigint;
  readonly set: number;
  readonly asked: number;
  readonly rowKept: number;
  readonly hostRow: number;
  readonly methodLength: number;
  readonly targetLength: number;
  readonly hostLength: number;
  readonly rows: readonly number[];
  readonly behind: readonly number[];
  readonly emptyLines: number;
  readonly traceLength: number;
  readonly depth: number;
  readonly segment: number;
  readonly line: Uint8Array;
  readonly host: Uint8Array;
  readonly trace: Uint8Array;
}

export const httpReaderCodec: Codec<HttpReader> = defineCodec<HttpReader>(
  928,
  (view, at, value) => {
    httpBodyCodec.write(view, at, value.body);
    view.setBigUint64(at + 80, value.passes, true);
    view.setBigUint64(at + 88, value.second, true);
    view.setUint32(at + 96, value.set, true);
    view.setUint16(at + 100, value.asked, true);
    view.setUint16(at + 102, value.rowKept, true);
    view.setUint16(at + 104, value.hostRow, true);
    view.setUint16(at + 106, value.methodLength, true);
    view.setUint16(at + 108, value.targetLength, true);
    view.setUint16(at + 110, value.hostLength, true);
    for (let i = 0; i < 16; i++) view.setUint16(at + 112 + i * 2, value.rows[i]!, true);
    for (let i = 0; i < 32; i++) view.setUint16(at + 144 + i * 2, value.behind[i]!, true);
    view.setUint8(at + 208, value.emptyLines);
    view.setUint8(at + 209, value.traceLength);
    view.setUint8(at + 210, value.depth);
    view.setUint8(at + 211, value.segment);
    zero(view, at + 212, 4);
    writeBytes(view, at + 216, value.line, 520);
    writeBytes(view, at + 736, value.host, 136);
    writeBytes(view, at + 872, value.trace, 56);
  },
  (view, at) => ({
    body: httpBodyCodec.read(view, at),
    passes: view.getBigUint64(at + 80, true),
    second: view.getBigUint64(at + 88, true),
    set: view.getUint32(at + 96, true),
    asked: view.getUint16(at + 100, true),
    rowKept: view.getUint16(at + 102, true),
    hostRow: view.getUint16(at + 104, true),
    methodLength: view.getUint16(at + 106, true),
    targetLength: view.getUint16(at + 108, true),
    hostLength: view.getUint16(at + 110, true),
    rows: Array.from({ length: 16 }, (_, i) => view.getUint16(at + 112 + i * 2, true)),
    behind: Array.from({ length: 32 }, (_, i) => view.getUint16(at + 144 + i * 2, true)),
    emptyLines: view.getUint8(at + 208),
    traceLength: view.getUint8(at + 209),
    depth: view.getUint8(at + 210),
    segment: view.getUint8(at + 211),
    line: readBytes(view, at + 216, 520),
    host: readBytes(view, at + 736, 136),
    trace: readBytes(view, at + 872, 56),
  }),
);

/** struct http_record, 1512 bytes */
export interface HttpRecord {
  readonly event: HttpEvent;
  readonly texts: Uint8Array;
}

export const httpRecordCodec: Codec<HttpRecord> = defineCodec<HttpRecord>(
  1512,
  (view, at, value) => {
    httpEventCodec.write(view, at, value.event);
    writeBytes(view, at + 136, value.texts, 1375);
    zero(view, at + 1511, 1);
  },
  (view, at) => ({
    event: httpEventCodec.read(view, at),
    texts: readBytes(view, at + 136, 1375),
  }),
);

/** struct http_room, 1928 bytes */
export interface HttpRoom {
  readonly headers: Headers;
  readonly segment: TcpSegment;
  readonly work: HttpWork;
  readonly chunk: HttpChunk;
  readonly own: HttpAnswerSegment;
  readonly before: HttpReader;
  readonly beforeIsKept: number;
  readonly beforeInHead: number;
  readonly ifindex: number;
  readonly isHere: number;
  readonly loadedAt: number;
  readonly loaded: number;
  readonly options: readonly bigint[];
  readonly blanked: readonly bigint[];
}

export const httpRoomCodec: Codec<HttpRoom> = defineCodec<HttpRoom>(
  1928,
  (view, at, value) => {
    headersCodec.write(view, at, value.headers);
    tcpSegmentCodec.write(view, at + 120, value.segment);
    httpWorkCodec.write(view, at + 160, value.work);
    httpChunkCodec.write(view, at + 224, value.chunk);
    httpAnswerSegmentCodec.write(view, at + 488, value.own);
    httpReaderCodec.write(view, at + 816, value.before);
    view.setUint32(at + 1744, value.beforeIsKept, true);
    view.setUint32(at + 1748, value.beforeInHead, true);
    view.setUint32(at + 1752, value.ifindex, true);
    view.setUint32(at + 1756, value.isHere, true);
    view.setUint32(at + 1760, value.loadedAt, true);
    view.setUint32(at + 1764, value.loaded, true);
    for (let i = 0; i < 10; i++) view.setBigUint64(at + 1768 + i * 8, value.options[i]!, true);
    for (let i = 0; i < 10; i++) view.setBigUint64(at + 1848 + i * 8, value.blanked[i]!, true);
  },
  (view, at) => ({
    headers: headersCodec.read(view, at),
    segment: tcpSegmentCodec.read(view, at + 120),
    work: httpWorkCodec.read(view, at + 160),
    chunk: httpChunkCodec.read(view, at + 224),
    own: httpAnswerSegmentCodec.read(view, at + 488),
    before: httpReaderCodec.read(view, at + 816),
    beforeIsKept: view.getUint32(at + 1744, true),
    beforeInHead: view.getUint32(at + 1748, true),
    ifindex: view.getUint32(at + 1752, true),
    isHere: view.getUint32(at + 1756, true),
    loadedAt: view.getUint32(at + 1760, true),
    loaded: view.getUint32(at + 1764, true),
    options: Array.from({ length: 10 }, (_, i) => view.getBigUint64(at + 1768 + i * 8, true)),
    blanked: Array.from({ length: 10 }, (_, i) => view.getBigUint64(at + 1848 + i * 8, true)),
  }),
);

/** struct http_set, 140072 bytes */
export interface HttpSet {
  readonly columns: number;
  readonly method: number;
  readonly path: number;
  readonly host: number;
  readonly names: number;
  readonly fieldCount: number;
  readonly ruleCount: number;
  readonly noPath: bigint;
  readonly noHost: bigint;
  readonly fields: readonly HttpField[];
  readonly rules: readonly number[];
  readonly masks: readonly bigint[];
  readonly classOf: Uint8Array;
  readonly cells: readonly number[];
  readonly initials: number;
  readonly asksHost: number;
}

export const httpSetCodec: Codec<HttpSet> = defineCodec<HttpSet>(
  140072,
  (view, at, value) => {
    view.setUint16(at, value.columns, true);
    view.setUint16(at + 2, value.method, true);
    view.setUint16(at + 4, value.path, true);
    view.setUint16(at + 6, value.host, true);
    view.setUint16(at + 8, value.names, true);
    view.setUint16(at + 10, value.fieldCount, true);
    view.setUint16(at + 12, value.ruleCount, true);
    zero(view, at + 14, 2);
    view.setBigUint64(at + 16, value.noPath, true);
    view.setBigUint64(at + 24, value.noHost, true);
    for (let i = 0; i < 16; i++) httpFieldCodec.write(view, at + 32 + i * 16, value.fields[i]!);
    for (let i = 0; i < 64; i++) view.setUint32(at + 288 + i * 4, value.rules[i]!, true);
    for (let i = 0; i < 1024; i++) view.setBigUint64(at + 544 + i * 8, value.masks[i]!, true);
    writeBytes(view, at + 8736, value.classOf, 256);
    for (let i = 0; i < 65536; i++) view.setUint16(at + 8992 + i * 2, value.cells[i]!, true);
    view.setUint32(at + 140064, value.initials, true);
    view.setUint32(at + 140068, value.asksHost, true);
  },
  (view, at) => ({
    columns: view.getUint16(at, true),
    method: view.getUint16(at + 2, true),
    path: view.getUint16(at + 4, true),
    host: view.getUint16(at + 6, true),
    names: view.getUint16(at + 8, true),
    fieldCount: view.getUint16(at + 10, true),
    ruleCount: view.getUint16(at + 12, true),
    noPath: view.getBigUint64(at + 16, true),
    noHost: view.getBigUint64(at + 24, true),
    fields: Array.from({ length: 16 }, (_, i) => httpFieldCodec.read(view, at + 32 + i * 16)),
    rules: Array.from({ length: 64 }, (_, i) => view.getUint32(at + 288 + i * 4, true)),
    masks: Array.from({ length: 1024 }, (_, i) => view.getBigUint64(at + 544 + i * 8, true)),
    classOf: readBytes(view, at + 8736, 256),
    cells: Array.from({ length: 65536 }, (_, i) => view.getUint16(at + 8992 + i * 2, true)),
    initials: view.getUint32(at + 140064, true),
    asksHost: view.getUint32(at + 140068, true),
  }),
);

/** struct http_trial, 9496 bytes */
export interface HttpTrial {
  readonly at: number;
  readonly cut: number;
  readonly pieceEnd: number;
  readonly count: number;
  readonly heads: number;
  readonly answered: number;
  readonly events: readonly HttpTrialEvent[];
  readonly reader: HttpReader;
  readonly answer: HttpAnswerReader;
  readonly chunk: HttpChunk;
}

export const httpTrialCodec: Codec<HttpTrial> = defineCodec<HttpTrial>(
  9496,
  (view, at, value) => {
    view.setUint32(at, value.at, true);
    view.setUint32(at + 4, value.cut, true);
    view.setUint32(at + 8, value.pieceEnd, true);
    view.setUint32(at + 12, value.count, true);
    view.setUint32(at + 16, value.heads, true);
    view.setUint32(at + 20, value.answered, true);
    for (let i = 0; i < 256; i++) httpTrialEventCodec.write(view, at + 24 + i * 32, value.events[i]!);
    httpReaderCodec.write(view, at + 8216, value.reader);
    httpAnswerReaderCodec.write(view, at + 9144, value.answer);
    httpChunkCodec.write(view, at + 9232, value.chunk);
  },
  (view, at) => ({
    at: view.getUint32(at, true),
    cut: view.getUint32(at + 4, true),
    pieceEnd: view.getUint32(at + 8, true),
    count: view.getUint32(at + 12, true),
    heads: view.getUint32(at + 16, true),
    answered: view.getUint32(at + 20, true),
    events: Array.from({ length: 256 }, (_, i) => httpTrialEventCodec.read(view, at + 24 + i * 32)),
    reader: httpReaderCodec.read(view, at + 8216),
    answer: httpAnswerReaderCodec.read(view, at + 9144),
    chunk: httpChunkCodec.read(view, at + 9232),
  }),
);

/** struct http_trial_event, 32 bytes */
export interface HttpTrialEvent {
  readonly passes: bigint;
  readonly length: bigint;
  readonly at: number;
  readonly flags: number;
  readonly kind: number;
  readonly fault: number;
  readonly minor: number;
  readonly status: number;
}

export const httpTrialEventCodec: Codec<HttpTrialEvent> = defineCodec<HttpTrialEvent>(
  32,
  (view, at, value) => {
    view.setBigUint64(at, value.passes, true);
    view.setBigUint64(at + 8, value.length, true);
    view.setUint32(at + 16, value.at, true);
    view.setUint32(at + 20, value.flags, true);
    view.setUint8(at + 24, value.kind);
    view.setUint8(at + 25, value.fault);
    view.setUint8(at + 26, value.minor);
    zero(view, at + 27, 1);
    view.setUint16(at + 28, value.status, true);
    zero(view, at + 30, 2);
  },
  (view, at) => ({
    passes: view.getBigUint64(at, true),
    length: view.getBigUint64(at + 8, true),
    at: view.getUint32(at + 16, true),
    flags: view.getUint32(at + 20, true),
    kind: view.getUint8(at + 24),
    fault: view.getUint8(at + 25),
    minor: view.getUint8(at + 26),
    status: view.getUint16(at + 28, true),
  }),
);

/** struct http_work, 64 bytes */
export interface HttpWork {
  readonly begin: number;
  readonly at: number;
  readonly head: number;
  readonly headIsHere: number;
  readonly run: number;
  readonly runEnd: number;
  readonly ranges: number;
  readonly keep: number;
  readonly decision: number;
  readonly kind: number;
  readonly asked: number;
  readonly fits: number;
  readonly fitsAsked: number;
  readonly phase: number;
  readonly seen: number;
}

export const httpWorkCodec: Codec<HttpWork> = defineCodec<HttpWork>(
  64,
  (view, at, value) => {
    view.setUint32(at, value.begin, true);
    view.setUint32(at + 4, value.at, true);
    view.setUint32(at + 8, value.head, true);
    view.setUint32(at + 12, value.headIsHere, true);
    view.setUint32(at + 16, value.run, true);
    view.setUint32(at + 20, value.runEnd, true);
    view.setUint32(at + 24, value.ranges, true);
    view.setUint32(at + 28, value.keep, true);
    view.setUint32(at + 32, value.decision, true);
    view.setUint32(at + 36, value.kind, true);
    view.setUint32(at + 40, value.asked, true);
    view.setUint32(at + 44, value.fits, true);
    view.setUint32(at + 48, value.fitsAsked, true);
    view.setUint32(at + 52, value.phase, true);
    view.setUint32(at + 56, value.seen, true);
    zero(view, at + 60, 4);
  },
  (view, at) => ({
    begin: view.getUint32(at, true),
    at: view.getUint32(at + 4, true),
    head: view.getUint32(at + 8, true),
    headIsHere: view.getUint32(at + 12, true),
    run: view.getUint32(at + 16, true),
    runEnd: view.getUint32(at + 20, true),
    ranges: view.getUint32(at + 24, true),
    keep: view.getUint32(at + 28, true),
    decision: view.getUint32(at + 32, true),
    kind: view.getUint32(at + 36, true),
    asked: view.getUint32(at + 40, true),
    fits: view.getUint32(at + 44, true),
    fitsAsked: view.getUint32(at + 48, true),
    phase: view.getUint32(at + 52, true),
    seen: view.getUint32(at + 56, true),
  }),
);

/** struct ipcache_entry, 28 bytes */
export interface IpcacheEntry {
  readonly identity: number;
  readonly policyIdentity: number;
  readonly flags: number;
  readonly tunnel: Uint8Array;
}

export const ipcacheEntryCodec: Codec<IpcacheEntry> = defineCodec<IpcacheEntry>(
  28,
  (view, at, value) => {
    view.setUint32(at, value.identity, true);
    view.setUint32(at + 4, value.policyIdentity, true);
    view.setUint32(at + 8, value.flags, true);
    writeBytes(view, at + 12, value.tunnel, 16);
  },
  (view, at) => ({
    identity: view.getUint32(at, true),
    policyIdentity: view.getUint32(at + 4, true),
    flags: view.getUint32(at + 8, true),
    tunnel: readBytes(view, at + 12, 16),
  }),
);

/** struct ipcache_key, 20 bytes */
export interface IpcacheKey {
  readonly prefixBits: number;
  readonly addr: Uint8Array;
}

export const ipcacheKeyCodec: Codec<IpcacheKey> = defineCodec<IpcacheKey>(
  20,
  (view, at, value) => {
    view.setUint32(at, value.prefixBits, true);
    writeBytes(view, at + 4, value.addr, 16);
  },
  (view, at) => ({
    prefixBits: view.getUint32(at, true),
    addr: readBytes(view, at + 4, 16),
  }),
);

/** struct joined_socket, 96 bytes */
export interface JoinedSocket {
  readonly peer: SocketReference;
  readonly connection: ConntrackKey;
  readonly isLow: number;
  readonly isClear: number;
  readonly clearSequence: number;
  readonly generation: number;
  readonly askedJiffies: bigint;
  readonly messages: bigint;
  readonly bytes: bigint;
}

export const joinedSocketCodec: Codec<JoinedSocket> = defineCodec<JoinedSocket>(
  96,
  (view, at, value) => {
    socketReferenceCodec.write(view, at, value.peer);
    conntrackKeyCodec.write(view, at + 16, value.connection);
    view.setUint8(at + 56, value.isLow);
    view.setUint8(at + 57, value.isClear);
    zero(view, at + 58, 2);
    view.setUint32(at + 60, value.clearSequence, true);
    view.setUint32(at + 64, value.generation, true);
    zero(view, at + 68, 4);
    view.setBigUint64(at + 72, value.askedJiffies, true);
    view.setBigUint64(at + 80, value.messages, true);
    view.setBigUint64(at + 88, value.bytes, true);
  },
  (view, at) => ({
    peer: socketReferenceCodec.read(view, at),
    connection: conntrackKeyCodec.read(view, at + 16),
    isLow: view.getUint8(at + 56),
    isClear: view.getUint8(at + 57),
    clearSequence: view.getUint32(at + 60, true),
    generation: view.getUint32(at + 64, true),
    askedJiffies: view.getBigUint64(at + 72, true),
    messages: view.getBigUint64(at + 80, true),
    bytes: view.getBigUint64(at + 88, true),
  }),
);

/** struct masquerade_exclusion_key, 20 bytes */
export interface MasqueradeExclusionKey {
  readonly prefixBits: number;
  readonly addr: Uint8Array;
}

export const masqueradeExclusionKeyCodec: Codec<MasqueradeExclusionKey> = defineCodec<MasqueradeExclusionKey>(
  20,
  (view, at, value) => {
    view.setUint32(at, value.prefixBits, true);
    writeBytes(view, at + 4, value.addr, 16);
  },
  (view, at) => ({
    prefixBits: view.getUint32(at, true),
    addr: readBytes(view, at + 4, 16),
  }),
);

/** struct metric, 16 bytes */
export interface Metric {
  readonly packets: bigint;
  readonly bytes: bigint;
}

export const metricCodec: Codec<Metric> = defineCodec<Metric>(
  16,
  (view, at, value) => {
    view.setBigUint64(at, value.packets, true);
    view.setBigUint64(at + 8, value.bytes, true);
  },
  (view, at) => ({
    packets: view.getBigUint64(at, true),
    bytes: view.getBigUint64(at + 8, true),
  }),
);

/** struct metric_key, 4 bytes */
export interface MetricKey {
  readonly reason: number;
  readonly direction: number;
}

export const metricKeyCodec: Codec<MetricKey> = defineCodec<MetricKey>(
  4,
  (view, at, value) => {
    view.setUint8(at, value.reason);
    view.setUint8(at + 1, value.direction);
    zero(view, at + 2, 2);
  },
  (view, at) => ({
    reason: view.getUint8(at),
    direction: view.getUint8(at + 1),
  }),
);

/** struct name_address, 72 bytes */
export interface NameAddress {
  readonly slots: readonly NameSlot[];
  readonly place: number;
}

export const nameAddressCodec: Codec<NameAddress> = defineCodec<NameAddress>(
  72,
  (view, at, value) => {
    for (let i = 0; i < 8; i++) nameSlotCodec.write(view, at + i * 8, value.slots[i]!);
    view.setUint32(at + 64, value.place, true);
    zero(view, at + 68, 4);
  },
  (view, at) => ({
    slots: Array.from({ length: 8 }, (_, i) => nameSlotCodec.read(view, at + i * 8)),
    place: view.getUint32(at + 64, true),
  }),
);

/** struct name_address_key, 20 bytes */
export interface NameAddressKey {
  readonly endpoint: number;
  readonly addr: Uint8Array;
}

export const nameAddressKeyCodec: Codec<NameAddressKey> = defineCodec<NameAddressKey>(
  20,
  (view, at, value) => {
    view.setUint32(at, value.endpoint, true);
    writeBytes(view, at + 4, value.addr, 16);
  },
  (view, at) => ({
    endpoint: view.getUint32(at, true),
    addr: readBytes(view, at + 4, 16),
  }),
);

/** struct name_event, 120 bytes */
export interface NameEvent {
  readonly event: FlowEvent;
  readonly length: number;
  readonly captured: number;
}

export const nameEventCodec: Codec<NameEvent> = defineCodec<NameEvent>(
  120,
  (view, at, value) => {
    flowEventCodec.write(view, at, value.event);
    view.setUint16(at + 112, value.length, true);
    view.setUint16(at + 114, value.captured, true);
    zero(view, at + 116, 4);
  },
  (view, at) => ({
    event: flowEventCodec.read(view, at),
    length: view.getUint16(at + 112, true),
    captured: view.getUint16(at + 114, true),
  }),
);

/** struct name_head, 4 bytes */
export interface NameHead {
  readonly next: number;
}

export const nameHeadCodec: Codec<NameHead> = defineCodec<NameHead>(
  4,
  (view, at, value) => {
    view.setUint32(at, value.next, true);
  },
  (view, at) => ({
    next: view.getUint32(at, true),
  }),
);

/** struct name_pending, 128 bytes */
export interface NamePending {
  readonly ways: readonly NameQuestion[];
}

export const namePendingCodec: Codec<NamePending> = defineCodec<NamePending>(
  128,
  (view, at, value) => {
    for (let i = 0; i < 8; i++) nameQuestionCodec.write(view, at + i * 16, value.ways[i]!);
  },
  (view, at) => ({
    ways: Array.from({ length: 8 }, (_, i) => nameQuestionCodec.read(view, at + i * 16)),
  }),
);

/** struct name_pending_key, 8 bytes */
export interface NamePendingKey {
  readonly endpoint: number;
  readonly bucket: number;
}

export const namePendingKeyCodec: Codec<NamePendingKey> = defineCodec<NamePendingKey>(
  8,
  (view, at, value) => {
    view.setUint32(at, value.endpoint, true);
    view.setUint32(at + 4, value.bucket, true);
  },
  (view, at) => ({
    endpoint: view.getUint32(at, true),
    bucket: view.getUint32(at + 4, true),
  }),
);

/** struct name_put, 64 bytes */
export interface NamePut {
  readonly key: NameAddressKey;
  readonly identity: number;
  readonly expiresS: number;
  readonly replaces: readonly number[];
  readonly done: number;
}

export const namePutCodec: Codec<NamePut> = defineCodec<NamePut>(
  64,
  (view, at, value) => {
    nameAddressKeyCodec.write(view, at, value.key);
    view.setUint32(at + 20, value.identity, true);
    view.setUint32(at + 24, value.expiresS, true);
    for (let i = 0; i < 8; i++) view.setUint32(at + 28 + i * 4, value.replaces[i]!, true);
    view.setUint32(at + 60, value.done, true);
  },
  (view, at) => ({
    key: nameAddressKeyCodec.read(view, at),
    identity: view.getUint32(at + 20, true),
    expiresS: view.getUint32(at + 24, true),
    replaces: Array.from({ length: 8 }, (_, i) => view.getUint32(at + 28 + i * 4, true)),
    done: view.getUint32(at + 60, true),
  }),
);

/** struct name_question, 16 bytes */
export interface NameQuestion {
  readonly tag: bigint;
  readonly askedMs: number;
  readonly answered: number;
}

export const nameQuestionCodec: Codec<NameQuestion> = defineCodec<NameQuestion>(
  16,
  (view, at, value) => {
    view.setBigUint64(at, value.tag, true);
    view.setUint32(at + 8, value.askedMs, true);
    view.setUint32(at + 12, value.answered, true);
  },
  (view, at) => ({
    tag: view.getBigUint64(at, true),
    askedMs: view.getUint32(at + 8, true),
    answered: view.getUint32(at + 12, true),
  }),
);

/** struct name_ring_key, 8 bytes */
export interface NameRingKey {
  readonly endpoint: number;
  readonly place: number;
}

export const nameRingKeyCodec: Codec<NameRingKey> = defineCodec<NameRingKey>(
  8,
  (view, at, value) => {
    view.setUint32(at, value.endpoint, true);
    view.setUint32(at + 4, value.place, true);
  },
  (view, at) => ({
    endpoint: view.getUint32(at, true),
    place: view.getUint32(at + 4, true),
  }),
);

/** struct name_room, 1592 bytes */
export interface NameRoom {
  readonly name: NameEvent;
  readonly payload: Uint8Array;
}

export const nameRoomCodec: Codec<NameRoom> = defineCodec<NameRoom>(
  1592,
  (view, at, value) => {
    nameEventCodec.write(view, at, value.name);
    writeBytes(view, at + 120, value.payload, 1472);
  },
  (view, at) => ({
    name: nameEventCodec.read(view, at),
    payload: readBytes(view, at + 120, 1472),
  }),
);

/** struct name_rule, 4 bytes */
export interface NameRule {
  readonly rule: number;
}

export const nameRuleCodec: Codec<NameRule> = defineCodec<NameRule>(
  4,
  (view, at, value) => {
    view.setUint32(at, value.rule, true);
  },
  (view, at) => ({
    rule: view.getUint32(at, true),
  }),
);

/** struct name_rule_key, 8 bytes */
export interface NameRuleKey {
  readonly l7: number;
  readonly class: number;
}

export const nameRuleKeyCodec: Codec<NameRuleKey> = defineCodec<NameRuleKey>(
  8,
  (view, at, value) => {
    view.setUint32(at, value.l7, true);
    view.setUint32(at + 4, value.class, true);
  },
  (view, at) => ({
    l7: view.getUint32(at, true),
    class: view.getUint32(at + 4, true),
  }),
);

/** struct name_slot, 8 bytes */
export interface NameSlot {
  readonly identity: number;
  readonly expiresS: number;
}

export const nameSlotCodec: Codec<NameSlot> = defineCodec<NameSlot>(
  8,
  (view, at, value) => {
    view.setUint32(at, value.identity, true);
    view.setUint32(at + 4, value.expiresS, true);
  },
  (view, at) => ({
    identity: view.getUint32(at, true),
    expiresS: view.getUint32(at + 4, true),
  }),
);

/** struct name_state, 88 bytes */
export interface NameState {
  readonly next: readonly number[];
  readonly class: number;
  readonly identity: number;
}

export const nameStateCodec: Codec<NameState> = defineCodec<NameState>(
  88,
  (view, at, value) => {
    for (let i = 0; i < 40; i++) view.setUint16(at + i * 2, value.next[i]!, true);
    view.setUint32(at + 80, value.class, true);
    view.setUint32(at + 84, value.identity, true);
  },
  (view, at) => ({
    next: Array.from({ length: 40 }, (_, i) => view.getUint16(at + i * 2, true)),
    class: view.getUint32(at + 80, true),
    identity: view.getUint32(at + 84, true),
  }),
);

/** struct name_walk, 28 bytes */
export interface NameWalk {
  readonly at: number;
  readonly end: number;
  readonly left: number;
  readonly state: number;
  readonly hash: number;
  readonly class: number;
  readonly identity: number;
}

export const nameWalkCodec: Codec<NameWalk> = defineCodec<NameWalk>(
  28,
  (view, at, value) => {
    view.setUint32(at, value.at, true);
    view.setUint32(at + 4, value.end, true);
    view.setUint32(at + 8, value.left, true);
    view.setUint32(at + 12, value.state, true);
    view.setUint32(at + 16, value.hash, true);
    view.setUint32(at + 20, value.class, true);
    view.setUint32(at + 24, value.identity, true);
  },
  (view, at) => ({
    at: view.getUint32(at, true),
    end: view.getUint32(at + 4, true),
    left: view.getUint32(at + 8, true),
    state: view.getUint32(at + 12, true),
    hash: view.getUint32(at + 16, true),
    class: view.getUint32(at + 20, true),
    identity: view.getUint32(at + 24, true),
  }),
);

/** struct namespace_endpoint, 16 bytes */
export interface NamespaceEndpoint {
  readonly cookie: bigint;
  readonly endpoint: number;
}

export const namespaceEndpointCodec: Codec<NamespaceEndpoint> = defineCodec<NamespaceEndpoint>(
  16,
  (view, at, value) => {
    view.setBigUint64(at, value.cookie, true);
    view.setUint32(at + 8, value.endpoint, true);
    zero(view, at + 12, 4);
  },
  (view, at) => ({
    cookie: view.getBigUint64(at, true),
    endpoint: view.getUint32(at + 8, true),
  }),
);

/** struct nat_entry, 32 bytes */
export interface NatEntry {
  readonly addr: Uint8Array;
  readonly port: number;
  readonly endpoint: number;
  readonly createdNs: bigint;
}

export const natEntryCodec: Codec<NatEntry> = defineCodec<NatEntry>(
  32,
  (view, at, value) => {
    writeBytes(view, at, value.addr, 16);
    view.setUint16(at + 16, value.port, false);
    zero(view, at + 18, 2);
    view.setUint32(at + 20, value.endpoint, true);
    view.setBigUint64(at + 24, value.createdNs, true);
  },
  (view, at) => ({
    addr: readBytes(view, at, 16),
    port: view.getUint16(at + 16, false),
    endpoint: view.getUint32(at + 20, true),
    createdNs: view.getBigUint64(at + 24, true),
  }),
);

/** struct nat_key, 40 bytes */
export interface NatKey {
  readonly local: Uint8Array;
  readonly remote: Uint8Array;
  readonly localPort: number;
  readonly remotePort: number;
  readonly protocol: number;
  readonly direction: number;
}

export const natKeyCodec: Codec<NatKey> = defineCodec<NatKey>(
  40,
  (view, at, value) => {
    writeBytes(view, at, value.local, 16);
    writeBytes(view, at + 16, value.remote, 16);
    view.setUint16(at + 32, value.localPort, false);
    view.setUint16(at + 34, value.remotePort, false);
    view.setUint8(at + 36, value.protocol);
    view.setUint8(at + 37, value.direction);
    zero(view, at + 38, 2);
  },
  (view, at) => ({
    local: readBytes(view, at, 16),
    remote: readBytes(view, at + 16, 16),
    localPort: view.getUint16(at + 32, false),
    remotePort: view.getUint16(at + 34, false),
    protocol: view.getUint8(at + 36),
    direction: view.getUint8(at + 37),
  }),
);

/** struct occupancy, 80 bytes */
export interface Occupancy {
  readonly conntrack: bigint;
  readonly nat: bigint;
  readonly affinities: bigint;
  readonly socketServices: bigint;
  readonly endpoints: bigint;
  readonly policyClasses: bigint;
  readonly services: bigint;
  readonly serviceSlots: bigint;
  readonly backends: bigint;
  readonly serviceAddresses: bigint;
}

export const occupancyCodec: Codec<Occupancy> = defineCodec<Occupancy>(
  80,
  (view, at, value) => {
    view.setBigUint64(at, value.conntrack, true);
    view.setBigUint64(at + 8, value.nat, true);
    view.setBigUint64(at + 16, value.affinities, true);
    view.setBigUint64(at + 24, value.socketServices, true);
    view.setBigUint64(at + 32, value.endpoints, true);
    view.setBigUint64(at + 40, value.policyClasses, true);
    view.setBigUint64(at + 48, value.services, true);
    view.setBigUint64(at + 56, value.serviceSlots, true);
    view.setBigUint64(at + 64, value.backends, true);
    view.setBigUint64(at + 72, value.serviceAddresses, true);
  },
  (view, at) => ({
    conntrack: view.getBigUint64(at, true),
    nat: view.getBigUint64(at + 8, true),
    affinities: view.getBigUint64(at + 16, true),
    socketServices: view.getBigUint64(at + 24, true),
    endpoints: view.getBigUint64(at + 32, true),
    policyClasses: view.getBigUint64(at + 40, true),
    services: view.getBigUint64(at + 48, true),
    serviceSlots: view.getBigUint64(at + 56, true),
    backends: view.getBigUint64(at + 64, true),
    serviceAddresses: view.getBigUint64(at + 72, true),
  }),
);

/** struct policy_class, 4 bytes */
export interface PolicyClass {
  readonly class: number;
}

export const policyClassCodec: Codec<PolicyClass> = defineCodec<PolicyClass>(
  4,
  (view, at, value) => {
    view.setUint32(at, value.class, true);
  },
  (view, at) => ({
    class: view.getUint32(at, true),
  }),
);

/** struct policy_class_key, 8 bytes */
export interface PolicyClassKey {
  readonly set: number;
  readonly identity: number;
}

export const policyClassKeyCodec: Codec<PolicyClassKey> = defineCodec<PolicyClassKey>(
  8,
  (view, at, value) => {
    view.setUint32(at, value.set, true);
    view.setUint32(at + 4, value.identity, true);
  },
  (view, at) => ({
    set: view.getUint32(at, true),
    identity: view.getUint32(at + 4, true),
  }),
);

/** struct policy_verdict, 16 bytes */
export interface PolicyVerdict {
  readonly rule: number;
  readonly shadowRule: number;
  readonly l7: number;
  readonly verdict: number;
  readonly match: number;
  readonly shadowVerdict: number;
  readonly flags: number;
}

export const policyVerdictCodec: Codec<PolicyVerdict> = defineCodec<PolicyVerdict>(
  16,
  (view, at, value) => {
    view.setUint32(at, value.rule, true);
    view.setUint32(at + 4, value.shadowRule, true);
    view.setUint32(at + 8, value.l7, true);
    view.setUint8(at + 12, value.verdict);
    view.setUint8(at + 13, value.match);
    view.setUint8(at + 14, value.shadowVerdict);
    view.setUint8(at + 15, value.flags);
  },
  (view, at) => ({
    rule: view.getUint32(at, true),
    shadowRule: view.getUint32(at + 4, true),
    l7: view.getUint32(at + 8, true),
    verdict: view.getUint8(at + 12),
    match: view.getUint8(at + 13),
    shadowVerdict: view.getUint8(at + 14),
    flags: view.getUint8(at + 15),
  }),
);

/** struct policy_verdict_key, 16 bytes */
export interface PolicyVerdictKey {
  readonly prefixBits: number;
  readonly set: number;
  readonly class: number;
  readonly protocol: number;
  readonly port: number;
}

export const policyVerdictKeyCodec: Codec<PolicyVerdictKey> = defineCodec<PolicyVerdictKey>(
  16,
  (view, at, value) => {
    view.setUint32(at, value.prefixBits, true);
    view.setUint32(at + 4, value.set, true);
    view.setUint32(at + 8, value.class, true);
    view.setUint8(at + 12, value.protocol);
    zero(view, at + 13, 1);
    view.setUint16(at + 14, value.port, false);
  },
  (view, at) => ({
    prefixBits: view.getUint32(at, true),
    set: view.getUint32(at + 4, true),
    class: view.getUint32(at + 8, true),
    protocol: view.getUint8(at + 12),
    port: view.getUint16(at + 14, false),
  }),
);

/** struct proxy_connection, 48 bytes */
export interface ProxyConnection {
  readonly generation: number;
  readonly flags: number;
  readonly sourceIdentity: number;
  readonly destinationIdentity: number;
  readonly sourceEndpoint: number;
  readonly destinationEndpoint: number;
  readonly egressL7: number;
  readonly ingressL7: number;
  readonly egressRule: number;
  readonly ingressRule: number;
  readonly service: number;
}

export const proxyConnectionCodec: Codec<ProxyConnection> = defineCodec<ProxyConnection>(
  48,
  (view, at, value) => {
    view.setUint32(at, value.generation, true);
    view.setUint32(at + 4, value.flags, true);
    view.setUint32(at + 8, value.sourceIdentity, true);
    view.setUint32(at + 12, value.destinationIdentity, true);
    view.setUint32(at + 16, value.sourceEndpoint, true);
    view.setUint32(at + 20, value.destinationEndpoint, true);
    view.setUint32(at + 24, value.egressL7, true);
    view.setUint32(at + 28, value.ingressL7, true);
    view.setUint32(at + 32, value.egressRule, true);
    view.setUint32(at + 36, value.ingressRule, true);
    view.setUint32(at + 40, value.service, true);
    zero(view, at + 44, 4);
  },
  (view, at) => ({
    generation: view.getUint32(at, true),
    flags: view.getUint32(at + 4, true),
    sourceIdentity: view.getUint32(at + 8, true),
    destinationIdentity: view.getUint32(at + 12, true),
    sourceEndpoint: view.getUint32(at + 16, true),
    destinationEndpoint: view.getUint32(at + 20, true),
    egressL7: view.getUint32(at + 24, true),
    ingressL7: view.getUint32(at + 28, true),
    egressRule: view.getUint32(at + 32, true),
    ingressRule: view.getUint32(at + 36, true),
    service: view.getUint32(at + 40, true),
  }),
);

/** struct proxy_connection_key, 36 bytes */
export interface ProxyConnectionKey {
  readonly client: Uint8Array;
  readonly server: Uint8Array;
  readonly clientPort: number;
  readonly serverPort: number;
}

export const proxyConnectionKeyCodec: Codec<ProxyConnectionKey> = defineCodec<ProxyConnectionKey>(
  36,
  (view, at, value) => {
    writeBytes(view, at, value.client, 16);
    writeBytes(view, at + 16, value.server, 16);
    view.setUint16(at + 32, value.clientPort, false);
    view.setUint16(at + 34, value.serverPort, false);
  },
  (view, at) => ({
    client: readBytes(view, at, 16),
    server: readBytes(view, at + 16, 16),
    clientPort: view.getUint16(at + 32, false),
    serverPort: view.getUint16(at + 34, false),
  }),
);

/** struct redirect_exempt_key, 16 bytes */
export interface RedirectExemptKey {
  readonly who: bigint;
  readonly service: number;
  readonly kind: number;
}

export const redirectExemptKeyCodec: Codec<RedirectExemptKey> = defineCodec<RedirectExemptKey>(
  16,
  (view, at, value) => {
    view.setBigUint64(at, value.who, true);
    view.setUint32(at + 8, value.service, true);
    view.setUint32(at + 12, value.kind, true);
  },
  (view, at) => ({
    who: view.getBigUint64(at, true),
    service: view.getUint32(at + 8, true),
    kind: view.getUint32(at + 12, true),
  }),
);

/** struct report_budget, 16 bytes */
export interface ReportBudget {
  readonly second: bigint;
  readonly reports: bigint;
}

export const reportBudgetCodec: Codec<ReportBudget> = defineCodec<ReportBudget>(
  16,
  (view, at, value) => {
    view.setBigUint64(at, value.second, true);
    view.setBigUint64(at + 8, value.reports, true);
  },
  (view, at) => ({
    second: view.getBigUint64(at, true),
    reports: view.getBigUint64(at + 8, true),
  }),
);

/** struct rule_stat, 32 bytes */
export interface RuleStat {
  readonly packets: bigint;
  readonly bytes: bigint;
  readonly connections: bigint;
  readonly lastHitNs: bigint;
}

export const ruleStatCodec: Codec<RuleStat> = defineCodec<RuleStat>(
  32,
  (view, at, value) => {
    view.setBigUint64(at, value.packets, true);
    view.setBigUint64(at + 8, value.bytes, true);
    view.setBigUint64(at + 16, value.connections, true);
    view.setBigUint64(at + 24, value.lastHitNs, true);
  },
  (view, at) => ({
    packets: view.getBigUint64(at, true),
    bytes: view.getBigUint64(at + 8, true),
    connections: view.getBigUint64(at + 16, true),
    lastHitNs: view.getBigUint64(at + 24, true),
  }),
);

/** struct runtime, 8 bytes */
export interface Runtime {
  readonly policyGeneration: number;
  readonly flags: number;
}

export const runtimeCodec: Codec<Runtime> = defineCodec<Runtime>(
  8,
  (view, at, value) => {
    view.setUint32(at, value.policyGeneration, true);
    view.setUint32(at + 4, value.flags, true);
  },
  (view, at) => ({
    policyGeneration: view.getUint32(at, true),
    flags: view.getUint32(at + 4, true),
  }),
);

/** struct service, 20 bytes */
export interface Service {
  readonly id: number;
  readonly count: number;
  readonly affinityTimeout: number;
  readonly maglev: number;
  readonly flags: number;
  readonly type: number;
}

export const serviceCodec: Codec<Service> = defineCodec<Service>(
  20,
  (view, at, value) => {
    view.setUint32(at, value.id, true);
    view.setUint32(at + 4, value.count, true);
    view.setUint32(at + 8, value.affinityTimeout, true);
    view.setUint32(at + 12, value.maglev, true);
    view.setUint16(at + 16, value.flags, true);
    view.setUint8(at + 18, value.type);
    zero(view, at + 19, 1);
  },
  (view, at) => ({
    id: view.getUint32(at, true),
    count: view.getUint32(at + 4, true),
    affinityTimeout: view.getUint32(at + 8, true),
    maglev: view.getUint32(at + 12, true),
    flags: view.getUint16(at + 16, true),
    type: view.getUint8(at + 18),
  }),
);

/** struct service_address, 20 bytes */
export interface ServiceAddress {
  readonly addr: Uint8Array;
  readonly port: number;
}

export const serviceAddressCodec: Codec<ServiceAddress> = defineCodec<ServiceAddress>(
  20,
  (view, at, value) => {
    writeBytes(view, at, value.addr, 16);
    view.setUint16(at + 16, value.port, false);
    zero(view, at + 18, 2);
  },
  (view, at) => ({
    addr: readBytes(view, at, 16),
    port: view.getUint16(at + 16, false),
  }),
);

/** struct service_id, 4 bytes */
export interface ServiceId {
  readonly id: number;
}

export const serviceIdCodec: Codec<ServiceId> = defineCodec<ServiceId>(
  4,
  (view, at, value) => {
    view.setUint32(at, value.id, true);
  },
  (view, at) => ({
    id: view.getUint32(at, true),
  }),
);

/** struct service_key, 20 bytes */
export interface ServiceKey {
  readonly addr: Uint8Array;
  readonly port: number;
  readonly protocol: number;
  readonly scope: number;
}

export const serviceKeyCodec: Codec<ServiceKey> = defineCodec<ServiceKey>(
  20,
  (view, at, value) => {
    writeBytes(view, at, value.addr, 16);
    view.setUint16(at + 16, value.port, false);
    view.setUint8(at + 18, value.protocol);
    view.setUint8(at + 19, value.scope);
  },
  (view, at) => ({
    addr: readBytes(view, at, 16),
    port: view.getUint16(at + 16, false),
    protocol: view.getUint8(at + 18),
    scope: view.getUint8(at + 19),
  }),
);

/** struct service_member_key, 8 bytes */
export interface ServiceMemberKey {
  readonly service: number;
  readonly backend: number;
}

export const serviceMemberKeyCodec: Codec<ServiceMemberKey> = defineCodec<ServiceMemberKey>(
  8,
  (view, at, value) => {
    view.setUint32(at, value.service, true);
    view.setUint32(at + 4, value.backend, true);
  },
  (view, at) => ({
    service: view.getUint32(at, true),
    backend: view.getUint32(at + 4, true),
  }),
);

/** struct service_slot, 4 bytes */
export interface ServiceSlot {
  readonly backend: number;
}

export const serviceSlotCodec: Codec<ServiceSlot> = defineCodec<ServiceSlot>(
  4,
  (view, at, value) => {
    view.setUint32(at, value.backend, true);
  },
  (view, at) => ({
    backend: view.getUint32(at, true),
  }),
);

/** struct service_slot_key, 8 bytes */
export interface ServiceSlotKey {
  readonly service: number;
  readonly slot: number;
}

export const serviceSlotKeyCodec: Codec<ServiceSlotKey> = defineCodec<ServiceSlotKey>(
  8,
  (view, at, value) => {
    view.setUint32(at, value.service, true);
    view.setUint32(at + 4, value.slot, true);
  },
  (view, at) => ({
    service: view.getUint32(at, true),
    slot: view.getUint32(at + 4, true),
  }),
);

/** struct service_source_key, 24 bytes */
export interface ServiceSourceKey {
  readonly prefixBits: number;
  readonly service: number;
  readonly addr: Uint8Array;
}

export const serviceSourceKeyCodec: Codec<ServiceSourceKey> = defineCodec<ServiceSourceKey>(
  24,
  (view, at, value) => {
    view.setUint32(at, value.prefixBits, true);
    view.setUint32(at + 4, value.service, true);
    writeBytes(view, at + 8, value.addr, 16);
  },
  (view, at) => ({
    prefixBits: view.getUint32(at, true),
    service: view.getUint32(at + 4, true),
    addr: readBytes(view, at + 8, 16),
  }),
);

/** struct shadow_key, 20 bytes */
export interface ShadowKey {
  readonly rule: number;
  readonly endpoint: number;
  readonly identity: number;
  readonly port: number;
  readonly protocol: number;
  readonly direction: number;
  readonly verdict: number;
}

export const shadowKeyCodec: Codec<ShadowKey> = defineCodec<ShadowKey>(
  20,
  (view, at, value) => {
    view.setUint32(at, value.rule, true);
    view.setUint32(at + 4, value.endpoint, true);
    view.setUint32(at + 8, value.identity, true);
    view.setUint16(at + 12, value.port, false);
    view.setUint8(at + 14, value.protocol);
    view.setUint8(at + 15, value.direction);
    view.setUint8(at + 16, value.verdict);
    zero(view, at + 17, 3);
  },
  (view, at) => ({
    rule: view.getUint32(at, true),
    endpoint: view.getUint32(at + 4, true),
    identity: view.getUint32(at + 8, true),
    port: view.getUint16(at + 12, false),
    protocol: view.getUint8(at + 14),
    direction: view.getUint8(at + 15),
    verdict: view.getUint8(at + 16),
  }),
);

/** struct socket_pair, 36 bytes */
export interface SocketPair {
  readonly local: Uint8Array;
  readonly remote: Uint8Array;
  readonly localPort: number;
  readonly remotePort: number;
}

export const socketPairCodec: Codec<SocketPair> = defineCodec<SocketPair>(
  36,
  (view, at, value) => {
    writeBytes(view, at, value.local, 16);
    writeBytes(view, at + 16, value.remote, 16);
    view.setUint16(at + 32, value.localPort, false);
    view.setUint16(at + 34, value.remotePort, false);
  },
  (view, at) => ({
    local: readBytes(view, at, 16),
    remote: readBytes(view, at + 16, 16),
    localPort: view.getUint16(at + 32, false),
    remotePort: view.getUint16(at + 34, false),
  }),
);

/** struct socket_reference, 16 bytes */
export interface SocketReference {
  readonly address: bigint;
  readonly cookie: bigint;
}

export const socketReferenceCodec: Codec<SocketReference> = defineCodec<SocketReference>(
  16,
  (view, at, value) => {
    view.setBigUint64(at, value.address, true);
    view.setBigUint64(at + 8, value.cookie, true);
  },
  (view, at) => ({
    address: view.getBigUint64(at, true),
    cookie: view.getBigUint64(at + 8, true),
  }),
);

/** struct socket_service, 32 bytes */
export interface SocketService {
  readonly addr: Uint8Array;
  readonly port: number;
  readonly service: number;
  readonly backend: number;
  readonly usedSeconds: number;
}

export const socketServiceCodec: Codec<SocketService> = defineCodec<SocketService>(
  32,
  (view, at, value) => {
    writeBytes(view, at, value.addr, 16);
    view.setUint16(at + 16, value.port, false);
    zero(view, at + 18, 2);
    view.setUint32(at + 20, value.service, true);
    view.setUint32(at + 24, value.backend, true);
    view.setUint32(at + 28, value.usedSeconds, true);
  },
  (view, at) => ({
    addr: readBytes(view, at, 16),
    port: view.getUint16(at + 16, false),
    service: view.getUint32(at + 20, true),
    backend: view.getUint32(at + 24, true),
    usedSeconds: view.getUint32(at + 28, true),
  }),
);

/** struct socket_service_key, 32 bytes */
export interface SocketServiceKey {
  readonly cookie: bigint;
  readonly addr: Uint8Array;
  readonly port: number;
  readonly protocol: number;
  readonly kind: number;
}

export const socketServiceKeyCodec: Codec<SocketServiceKey> = defineCodec<SocketServiceKey>(
  32,
  (view, at, value) => {
    view.setBigUint64(at, value.cookie, true);
    writeBytes(view, at + 8, value.addr, 16);
    view.setUint16(at + 24, value.port, false);
    view.setUint8(at + 26, value.protocol);
    view.setUint8(at + 27, value.kind);
    zero(view, at + 28, 4);
  },
  (view, at) => ({
    cookie: view.getBigUint64(at, true),
    addr: readBytes(view, at + 8, 16),
    port: view.getUint16(at + 24, false),
    protocol: view.getUint8(at + 26),
    kind: view.getUint8(at + 27),
  }),
);

/** struct sweep, 16 bytes */
export interface Sweep {
  readonly count: number;
  readonly removed: number;
}

export const sweepCodec: Codec<Sweep> = defineCodec<Sweep>(
  16,
  (view, at, value) => {
    view.setUint32(at, value.count, true);
    view.setUint32(at + 4, value.removed, true);
    zero(view, at + 8, 8);
  },
  (view, at) => ({
    count: view.getUint32(at, true),
    removed: view.getUint32(at + 4, true),
  }),
);

/** struct tcp_segment, 40 bytes */
export interface TcpSegment {
  readonly seq: number;
  readonly ack: number;
  readonly length: number;
  readonly l4: number;
  readonly payload: number;
  readonly window: number;
  readonly flags: number;
  readonly v6: number;
  readonly timeValue: number;
  readonly timeEcho: number;
  readonly hasTimes: number;
}

export const tcpSegmentCodec: Codec<TcpSegment> = defineCodec<TcpSegment>(
  40,
  (view, at, value) => {
    view.setUint32(at, value.seq, true);
    view.setUint32(at + 4, value.ack, true);
    view.setUint32(at + 8, value.length, true);
    view.setUint32(at + 12, value.l4, true);
    view.setUint32(at + 16, value.payload, true);
    view.setUint16(at + 20, value.window, false);
    view.setUint8(at + 22, value.flags);
    view.setUint8(at + 23, value.v6);
    view.setUint32(at + 24, value.timeValue, false);
    view.setUint32(at + 28, value.timeEcho, false);
    view.setUint8(at + 32, value.hasTimes);
    zero(view, at + 33, 7);
  },
  (view, at) => ({
    seq: view.getUint32(at, true),
    ack: view.getUint32(at + 4, true),
    length: view.getUint32(at + 8, true),
    l4: view.getUint32(at + 12, true),
    payload: view.getUint32(at + 16, true),
    window: view.getUint16(at + 20, false),
    flags: view.getUint8(at + 22),
    v6: view.getUint8(at + 23),
    timeValue: view.getUint32(at + 24, false),
    timeEcho: view.getUint32(at + 28, false),
    hasTimes: view.getUint8(at + 32),
  }),
);

/** struct udphdr, 8 bytes */
export interface Udphdr {
  readonly source: number;
  readonly dest: number;
  readonly len: number;
  readonly check: number;
}

export const udphdrCodec: Codec<Udphdr> = defineCodec<Udphdr>(
  8,
  (view, at, value) => {
    view.setUint16(at, value.source, false);
    view.setUint16(at + 2, value.dest, false);
    view.setUint16(at + 4, value.len, false);
    view.setUint16(at + 6, value.check, true);
  },
  (view, at) => ({
    source: view.getUint16(at, false),
    dest: view.getUint16(at + 2, false),
    len: view.getUint16(at + 4, false),
    check: view.getUint16(at + 6, true),
  }),
);
