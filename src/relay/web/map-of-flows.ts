import type { Flow, FlowEndpoint } from '../../model/flow.ts';
import type { MapEdge, MapInterval, MapNode } from '../../model/service-map.ts';
import { addEdges, edgeKey } from '../../model/map-merge.ts';

/**
 * A map of flows that somebody else has picked: of the past where no edges were kept. A connection is counted where its verdict was
 * told: at the destination's node when that is a pod, else at the source's.
 */
export class MapOfFlows {
  #edges = new Map<string, MapEdge>();
  readonly #known = new Set<string>();
  #nodes: MapNode[] = [];

  add(flow: Flow): void {
    const edge = edgeOf(flow);
    if (!edge) return;
    for (const [id, end] of [[edge.source, flow.source], [edge.destination, flow.destination]] as const) this.#name(id, end, flow);
    const key = edgeKey(edge);
    const before = this.#edges.get(key);
    this.#edges.set(key, before ? addEdges(before, edge) : edge);
  }

  take(since: string, until: string): MapInterval {
    const interval = { since, until, nodes: this.#nodes, edges: [...this.#edges.values()] };
    this.#nodes = [];
    this.#edges = new Map();
    return interval;
  }

  #name(id: string, end: FlowEndpoint, flow: Flow): void {
    if (this.#known.has(id)) return;
    this.#known.add(id);
    this.#nodes.push(nodeOf(id, end, flow));
  }
}

function edgeOf(flow: Flow): MapEdge | undefined {
  if (flow.isReply === true || flow.shadow !== undefined) return undefined;
  const isDrop = flow.verdict === 'DROPPED' || flow.verdict === 'ERROR';
  const tells = isDrop ? flow.type === 'drop' : flow.type === 'policy-verdict' && (flow.direction === 'INGRESS' || flow.destination.podName === undefined);
  if (!tells) return undefined;
  return {
    source: nodeId(flow.source), destination: nodeId(flow.destination), protocol: flow.protocol, port: flow.destinationPort ?? 0,
    forwarded: isDrop || flow.verdict === 'AUDIT' ? 0 : 1, dropped: isDrop ? 1 : 0, audited: flow.verdict === 'AUDIT' ? 1 : 0,
    errors: 0, requests: 0, bytesOut: 0, bytesBack: 0, packetsOut: 0, packetsBack: 0,
    ...(isDrop && { lastDrop: flow.id, dropReasons: { [flow.dropReason ?? 'unknown']: 1 } }),
  };
}

export function nodeId(end: FlowEndpoint): string {
  const [workload] = end.workloads ?? [];
  if (workload && end.namespace !== undefined) return `workload:${end.namespace}/${workload.kind}/${workload.name}`;
  if (end.podName !== undefined) return `pod:${end.namespace ?? ''}/${end.podName}`;
  const [name] = end.names ?? [];
  if (name !== undefined) return `name:${name.replace(/\.$/, '')}`;
  const reserved = end.labels.map(label => /^reserved:(.+)$/.exec(label)?.[1]).find(each => each !== undefined);
  const cidr = end.labels.map(label => /^cidr:(.+?)=?$/.exec(label)?.[1]).find(each => each !== undefined);
  if (cidr !== undefined) return `cidr:${cidr}`;
  return `reserved:${reserved ?? 'world'}`;
}

function nodeOf(id: string, end: FlowEndpoint, flow: Flow): MapNode {
  const kind = id.slice(0, id.indexOf(':')) as MapNode['kind'];
  const [workload] = end.workloads ?? [];
  const name = kind === 'workload' ? workload!.name : kind === 'pod' ? end.podName! : id.slice(kind.length + 1);
  const services = end === flow.destination && flow.service ? [`${flow.service.namespace}/${flow.service.name}`] : [];
  return { id, kind, name, labels: end.labels, services, ...(end.namespace !== undefined && { namespace: end.namespace }), ...(kind === 'workload' && { workloadKind: workload!.kind }) };
}
