/**
 * The service map: who talks to whom, in numbers. One shape for what an agent counts as it happens and for what the history
 * answers about the past. Runs in the browser.
 */
export interface MapNode {
  /** Stable: `workload:NAMESPACE/KIND/NAME`, `pod:NAMESPACE/NAME` (of no workload), `name:api.example.com`, `cidr:10.0.0.0/8`, `reserved:world`, `node:NAME`. */
  readonly id: string;
  readonly kind: 'workload' | 'pod' | 'name' | 'cidr' | 'reserved' | 'node';
  readonly name: string;
  readonly namespace?: string;
  /** Deployment, StatefulSet, … */
  readonly workloadKind?: string;
  readonly labels: readonly string[];
  /** Services that were called to get there, `namespace/name`. */
  readonly services?: readonly string[];
}

/**
 * What one node saw on one edge in one interval. A connection is counted once: where its destination is a pod, by the
 * destination's node; else by the source's.
 */
export interface MapEdge {
  readonly source: string;
  readonly destination: string;
  /** TCP, UDP, SCTP, ICMPv4, ICMPv6. */
  readonly protocol: string;
  /** Destination port; 0 where the protocol has none. */
  readonly port: number;
  readonly l7?: 'HTTP' | 'DNS' | 'Kafka';
  /** New connections, by what became of them. */
  readonly forwarded: number;
  readonly dropped: number;
  readonly audited: number;
  /** Connections that the other end refused or broke off (RST), and failed requests (HTTP 5xx, DNS errors). */
  readonly errors: number;
  readonly requests: number;
  readonly bytesOut: number;
  readonly bytesBack: number;
  readonly packetsOut: number;
  readonly packetsBack: number;
  /** Time to a connection's first answer; of requests, when there are any. Counts in `latencyBuckets`, absent when all are 0. */
  readonly latency?: readonly number[];
  /** The last drop's id, for its explanation. */
  readonly lastDrop?: string;
  readonly dropReasons?: Readonly<Record<string, number>>;
}

export interface MapInterval {
  /** RFC 3339. */
  readonly since: string;
  readonly until: string;
  /** Nodes that this interval names and no earlier one of the same stream did, or that more services have led to since. */
  readonly nodes: readonly MapNode[];
  readonly edges: readonly MapEdge[];
  /** Flows of edges beyond those that a node counts in one interval. */
  readonly overflow?: number;
}

/** Bucket i holds latencies in [10 µs × 2^(i/2), 10 µs × 2^((i+1)/2)); the first also what is below, the last what is above (some 40 s). */
export const latencyBucketCount = 44;

export function latencyBucket(nanoseconds: number): number {
  if (!(nanoseconds > 10_000)) return 0;
  return Math.min(latencyBucketCount - 1, Math.floor(Math.log2(nanoseconds / 10_000) * 2));
}

/** The latency in nanoseconds below which the given share (0…1) of the counts lie; undefined when there are none. */
export function latencyQuantile(counts: readonly number[], share: number): number | undefined {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return undefined;
  let seen = 0;
  for (let i = 0; i < counts.length; i++) {
    seen += counts[i] ?? 0;
    if (seen >= total * share) return 10_000 * 2 ** ((i + 1) / 2);
  }
  return 10_000 * 2 ** (counts.length / 2);
}
