/** What an agent tells of the kernel's counters and tables on its socket. Protocols are IANA's numbers; times are RFC 3339. */

/** What one node counted of one rule, over its processors: `GET /v1/policy/stats`. */
export interface RuleStatRow {
  readonly rule: number;
  readonly address?: string;
  readonly packets: number;
  readonly bytes: number;
  readonly connections: number;
  readonly lastHit?: string;
}

/** A verdict that would have been another with the shadow policy in force: `GET /v1/policy/shadow`. */
export interface ShadowRow {
  readonly rule: number;
  readonly address: string;
  readonly policy: { readonly kind: string; readonly namespace?: string; readonly name: string };
  /** What it would be with the shadow policies. */
  readonly verdict: 'allow' | 'deny';
  readonly direction: 'ingress' | 'egress';
  /** `ns/pod`; the node's name for the node itself. */
  readonly endpoint: string;
  readonly peer: { readonly identity: number; readonly labels: readonly string[] };
  readonly protocol: number;
  readonly port: number;
  readonly connections: number;
  readonly packets: number;
  readonly bytes: number;
  readonly lastHit: string;
}

/** A connection: `GET /v1/conntrack`. The source opened it; addresses are those after a service was resolved. */
export interface ConntrackRow {
  readonly protocol: number;
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly destinationPort: number;
  readonly sourceIdentity: number;
  readonly destinationIdentity: number;
  /** `ns/pod`, where the end is a pod of that node. */
  readonly sourceEndpoint?: string;
  readonly destinationEndpoint?: string;
  readonly forwardPackets: number;
  readonly replyPackets: number;
  readonly bytes: number;
  readonly closing: boolean;
  /** Opened by the node's own stack. */
  readonly host: boolean;
}
