/**
 * A flow as users see it: one kernel event, decoded and enriched at the moment it was seen. Field names and enums follow
 * Hubble's flow.proto, so that its clients, filters and printers apply.
 */
export interface Flow {
  /** RFC 3339 with nanoseconds, UTC. */
  readonly time: string;
  readonly nodeName: string;
  /** Labels of that node, `key=value`. */
  readonly nodeLabels?: readonly string[];
  readonly verdict: 'FORWARDED' | 'DROPPED' | 'AUDIT' | 'REDIRECTED' | 'ERROR' | 'TRANSLATED' | 'TRACED' | 'VERDICT_UNKNOWN';
  /** `sock`, `capture`, `debug` and `unknown` come from other systems' flows only. */
  readonly type: 'drop' | 'trace' | 'policy-verdict' | 'l7' | 'sock' | 'capture' | 'debug' | 'unknown';
  /** Hubble's event sub-type, where `type` and the fields below do not imply it. */
  readonly subType?: number;
  /** Text of the drop reason ("Policy denied") for drops. */
  readonly dropReason?: string;
  readonly dropReasonCode?: number;
  /** Observation point for traces: to-endpoint, to-overlay, … */
  readonly observationPoint?: string;
  /** Why a trace was written; with what conntrack knew of the packet. */
  readonly traceReason?: 'new' | 'established' | 'reply' | 'related' | 'unknown';
  readonly direction: 'INGRESS' | 'EGRESS' | 'UNKNOWN';
  readonly isReply: boolean | undefined;
  readonly ipVersion: 'IPv4' | 'IPv6';
  readonly protocol: 'TCP' | 'UDP' | 'SCTP' | 'ICMPv4' | 'ICMPv6' | string;
  readonly source: FlowEndpoint;
  readonly destination: FlowEndpoint;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly tcpFlags?: readonly TcpFlag[];
  readonly icmpType?: number;
  readonly icmpCode?: number;
  /** SCTP's chunk type, flow.proto's word for it. */
  readonly sctpChunkType?: string;
  readonly ethernet?: { readonly source: string; readonly destination: string };
  /** Source address after masquerade. */
  readonly sourceXlated?: string;
  readonly encrypted?: boolean;
  readonly tunnel?: { readonly protocol: 'VXLAN' | 'GENEVE' | 'UNKNOWN'; readonly source: string; readonly destination: string; readonly vni?: number };
  readonly authType?: 'DISABLED' | 'SPIRE' | 'TEST_ALWAYS_FAIL';
  readonly l7?: FlowL7;
  /** Of a request or an answer: the kernel carried it out, and no proxy. */
  readonly inKernel?: true;
  readonly traceId?: string;
  readonly ipTraceId?: number;
  /** The IP option that carried it. */
  readonly ipTraceOption?: number;
  readonly proxyPort?: number;
  readonly file?: { readonly name: string; readonly line: number };
  /** flow.proto's word: SOCK_XLATE_POINT_PRE_DIRECTION_FWD and so on. */
  readonly socketTranslation?: string;
  readonly socketCookie?: bigint;
  readonly cgroupId?: bigint;
  /** Policies that decided, as Hubble's four lists; of our own flows at most the one of the flow's direction. */
  readonly egressAllowedBy?: readonly FlowPolicy[];
  readonly ingressAllowedBy?: readonly FlowPolicy[];
  readonly egressDeniedBy?: readonly FlowPolicy[];
  readonly ingressDeniedBy?: readonly FlowPolicy[];
  /** `log.value` of the policies that decided. */
  readonly policyLog?: readonly string[];
  /** What passed in all, on the flow that tells of a connection's end. */
  readonly connection?: FlowConnection;
  /** On a connection's first answer: the time since its first packet, as this end saw both. Nanoseconds. */
  readonly connectLatencyNs?: number;
  /** Address the client asked for, when a service was translated. */
  readonly service?: { readonly namespace: string; readonly name: string; readonly ip: string; readonly port: number };
  /** Services whose addresses the ends have, where other systems name more than `service` would. */
  readonly services?: { readonly source?: FlowService; readonly destination?: FlowService };
  /** none, L3-Only, L3-L4, L4-Only, all, L3-Proto, Proto-Only. */
  readonly policyMatch?: string;
  /** The rule that decided; for a default denial, the policies that turned it on. */
  readonly rule?: FlowRule;
  /**
   * What the shadow policies would have said; `rule` is theirs, and the verdict is TRACED: nothing was done to the packet, whose
   * own verdict is another flow.
   */
  readonly shadow?: 'allow' | 'deny';
  /** One line, as Hubble prints it: "TCP Flags: SYN". */
  readonly summary: string;
  readonly interfaceName?: string;
  readonly interfaceIndex?: number;
  /** Paste into `cirri policy explain`. */
  readonly id: string;
}

export interface FlowService {
  readonly namespace: string;
  readonly name: string;
}

export interface FlowEndpoint {
  readonly ip: string;
  readonly identity: number;
  /** Local endpoint id, 0 when remote. */
  readonly id: number;
  readonly namespace?: string;
  readonly podName?: string;
  readonly clusterName?: string;
  readonly labels: readonly string[];
  /** DNS names under which pods were given the address. */
  readonly names?: readonly string[];
  /** Who runs the pod: Deployment, StatefulSet, … */
  readonly workloads?: readonly { readonly name: string; readonly kind: string }[];
}

/** What a layer 7 protocol says: a DNS message, an HTTP or Kafka request or its answer. */
export interface FlowL7 {
  readonly type: 'REQUEST' | 'RESPONSE' | 'SAMPLE' | 'UNKNOWN_L7_TYPE';
  /** Of a response: the time since its request. */
  readonly latencyNs?: number;
  readonly dns?: {
    /** With the final dot. */
    readonly query: string;
    readonly ips?: readonly string[];
    readonly ttl?: number;
    readonly cnames?: readonly string[];
    /** Who read the message. */
    readonly observationSource: string;
    readonly rcode?: number;
    readonly qtypes?: readonly string[];
    readonly rrtypes?: readonly string[];
  };
  readonly http?: {
    /** Absent in requests. */
    readonly code?: number;
    readonly method: string;
    readonly url: string;
    /** HTTP/1.1, HTTP/2. */
    readonly protocol: string;
    readonly headers?: readonly { readonly key: string; readonly value: string }[];
  };
  readonly kafka?: { readonly errorCode?: number; readonly apiVersion: number; readonly apiKey: string; readonly correlationId: number; readonly topic?: string };
}

/** Totals of a connection as the end that tells saw them: `out` is what its opener sent. */
export interface FlowConnection {
  readonly packetsOut: number;
  readonly bytesOut: number;
  readonly packetsBack: number;
  readonly bytesBack: number;
  readonly durationNs: number;
  readonly end: 'closed' | 'reset' | 'idle' | 'revoked';
}

export interface FlowPolicy {
  readonly name: string;
  readonly namespace?: string;
  readonly kind?: string;
  readonly labels?: readonly string[];
  readonly revision?: number;
}

export interface FlowRule {
  readonly id: number;
  readonly kind: string;
  readonly namespace?: string;
  readonly name: string;
  /** Where in the object: `spec.ingress[0]`. */
  readonly path: string;
  readonly effect: 'allow' | 'deny' | 'pass' | 'default-deny' | 'default-allow';
  readonly because: string;
}

export type TcpFlag = 'FIN' | 'SYN' | 'RST' | 'PSH' | 'ACK' | 'URG' | 'ECE' | 'CWR' | 'NS';
