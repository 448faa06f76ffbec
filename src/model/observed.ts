/**
 * What was seen between two parties over some time, the same thing many times in one row: what policies are proposed from and
 * tried on. Labels are those of the moment; who changed his labels in between is in several rows.
 */
export interface ObservedPair {
  /** Whose view it is: EGRESS was judged where the source is, INGRESS where the destination is. */
  readonly direction: 'INGRESS' | 'EGRESS';
  readonly source: ObservedEnd;
  readonly destination: ObservedEnd;
  /** TCP, UDP, SCTP, ICMPv4, ICMPv6. */
  readonly protocol: string;
  /** Destination port; the type for ICMP. */
  readonly port: number;
  readonly verdict: 'FORWARDED' | 'DROPPED' | 'AUDIT' | 'REDIRECTED';
  /** New connections. */
  readonly count: number;
  /** RFC 3339. */
  readonly first: string;
  readonly last: string;
}

export interface ObservedEnd {
  readonly identity: number;
  /** `k8s:app=web`, `reserved:world`. */
  readonly labels: readonly string[];
  /** Of pods. */
  readonly namespace?: string;
  readonly workload?: { readonly kind: string; readonly name: string };
  /** One pod of those that the row counts. */
  readonly podName?: string;
  /** Of what is no pod: its address, and the DNS names by which it was looked up. */
  readonly ip?: string;
  readonly names?: readonly string[];
}
