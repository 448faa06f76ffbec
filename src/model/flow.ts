/**
 * A flow as users see it: one kernel event, decoded and enriched at the moment it was seen. Field names and enums follow
 * Hubble's flow.proto, so that its clients, filters and printers apply.
 */
export interface Flow {
  /** RFC 3339 with nanoseconds, UTC. */
  readonly time: string;
  readonly nodeName: string;
  readonly verdict: 'FORWARDED' | 'DROPPED' | 'AUDIT' | 'REDIRECTED' | 'ERROR' | 'TRANSLATED' | 'TRACED';
  readonly type: 'drop' | 'trace' | 'policy-verdict' | 'l7';
  /** Text of the drop reason ("Policy denied") for drops. */
  readonly dropReason?: string;
  readonly dropReasonCode?: number;
  /** Observation point for traces: to-endpoint, to-overlay, … */
  readonly observationPoint?: string;
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
  /** Address the client asked for, when a service was translated. */
  readonly service?: { readonly namespace: string; readonly name: string; readonly ip: string; readonly port: number };
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
  /** Paste into `cirri policy explain`. */
  readonly id: string;
}

export interface FlowEndpoint {
  readonly ip: string;
  readonly identity: number;
  /** Local endpoint id, 0 when remote. */
  readonly id: number;
  readonly namespace?: string;
  readonly podName?: string;
  readonly labels: readonly string[];
  readonly names?: readonly string[];
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

export type TcpFlag = 'FIN' | 'SYN' | 'RST' | 'PSH' | 'ACK' | 'URG' | 'ECE' | 'CWR';
