import type { Endpoint, Node, Service } from '../kube/types.ts';

export const zoneLabel = 'topology.kubernetes.io/zone';
type Hints = NonNullable<Endpoint['hints']>;

/** Each zone's share of the cluster's processors, of all shares 1. Undefined where a node has no zone or says no CPU. */
export type ZoneShares = ReadonlyMap<string, number> | undefined;

/** How a service wants its traffic kept near. `auto`: by the older annotation, in proportion to the zones' sizes. */
export function preferenceOf({ spec, metadata }: Service): 'zone' | 'node' | 'auto' | undefined {
  // As upstream: the annotation counts before the field.
  const mode = metadata.annotations?.['service.kubernetes.io/topology-mode'] ?? metadata.annotations?.['service.kubernetes.io/topology-aware-hints'];
  if (mode?.toLowerCase() === 'auto') return 'auto';
  if (spec.trafficDistribution === 'PreferSameNode') return 'node';
  return spec.trafficDistribution === 'PreferClose' || spec.trafficDistribution === 'PreferSameZone' ? 'zone' : undefined;
}

/**
 * For whom each endpoint is meant, in the order of `endpoints` (KEP-2433, KEP-4444, KEP-3015). With `zone` and `node` it is its
 * own zone (and node); proxies fall back to all endpoints where a zone has none.
 */
export function hintsFor(endpoints: readonly Endpoint[], preference: ReturnType<typeof preferenceOf>, shares: ZoneShares): readonly (Hints | undefined)[] {
  if (preference === undefined) return endpoints.map(() => undefined);
  if (preference === 'auto') return proportional(endpoints, shares);
  return endpoints.map(({ zone, nodeName }) => {
    const forZones = zone === undefined ? {} : { forZones: [{ name: zone }] };
    const forNodes = preference === 'node' && nodeName !== undefined ? { forNodes: [{ name: nodeName }] } : {};
    const hints = { ...forZones, ...forNodes };
    return Object.keys(hints).length === 0 ? undefined : hints;
  });
}

/** A zone may get at most this much more than its share before hints are given up, as upstream. */
const overload = 0.2;

/**
 * Every zone gets endpoints in proportion to its processors: its own first, then what others have too many of. No hints where
 * that cannot be kept within the overload, since then all are better shared by all.
 */
function proportional(endpoints: readonly Endpoint[], shares: ZoneShares): readonly (Hints | undefined)[] {
  const none = endpoints.map(() => undefined);
  const ready = endpoints.map((endpoint, i) => ({ endpoint, i })).filter(({ endpoint }) => endpoint.conditions?.ready ?? true);
  if (!shares || shares.size < 2 || ready.length < shares.size || ready.some(({ endpoint }) => endpoint.zone === undefined)) return none;
  const wanted = apportion(shares, ready.length);
  for (const [zone, share] of shares) if (share * ready.length > (wanted.get(zone) ?? 0) * (1 + overload)) return none;
  const hints: (Hints | undefined)[] = none.slice();
  const left = new Map(wanted);
  const give = (i: number, zone: string) => {
    left.set(zone, left.get(zone)! - 1);
    hints[i] = { forZones: [{ name: zone }] };
  };
  const byAddress = ready.toSorted((a, b) => ((a.endpoint.addresses[0] ?? '') < (b.endpoint.addresses[0] ?? '') ? -1 : 1));
  for (const { endpoint, i } of byAddress) if ((left.get(endpoint.zone!) ?? 0) > 0) give(i, endpoint.zone!);
  for (const { i } of byAddress) if (hints[i] === undefined) give(i, [...left].find(([, count]) => count > 0)![0]);
  return hints;
}

/** Whole numbers that sum up to `total`, in proportion to the shares and at least 1 each (largest remainders, then by name). */
function apportion(shares: ReadonlyMap<string, number>, total: number): Map<string, number> {
  const zones = [...shares].sort(([a], [b]) => (a < b ? -1 : 1));
  const counts = new Map(zones.map(([zone, share]) => [zone, Math.max(1, Math.floor(share * total))]));
  const sum = () => [...counts.values()].reduce((a, b) => a + b, 0);
  const lack = ([zone, share]: [string, number]) => share * total - counts.get(zone)!;
  while (sum() < total) {
    const [zone] = zones.toSorted((a, b) => lack(b) - lack(a))[0]!;
    counts.set(zone, counts.get(zone)! + 1);
  }
  while (sum() > total) {
    const [zone] = zones.filter(([name]) => counts.get(name)! > 1).toSorted((a, b) => lack(a) - lack(b))[0]!;
    counts.set(zone, counts.get(zone)! - 1);
  }
  return counts;
}

/** Of the nodes that can take pods. */
export function zoneShares(nodes: Iterable<Node>): ZoneShares {
  const processors = new Map<string, number>();
  let total = 0;
  for (const { metadata: { labels }, spec, status } of nodes) {
    const ready = status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true;
    if (!ready || spec.unschedulable === true) continue;
    const zone = labels?.[zoneLabel];
    const cpu = processorsOf(status?.allocatable?.['cpu']);
    if (zone === undefined || cpu === undefined) return undefined;
    processors.set(zone, (processors.get(zone) ?? 0) + cpu);
    total += cpu;
  }
  return total === 0 ? undefined : new Map([...processors].map(([zone, cpu]) => [zone, cpu / total]));
}

/** `2`, `1500m`. */
function processorsOf(quantity: string | undefined): number | undefined {
  const match = /^(\d+(?:\.\d+)?)(m?)$/.exec(quantity ?? '');
  return match ? Number(match[1]) / (match[2] === 'm' ? 1000 : 1) : undefined;
}
