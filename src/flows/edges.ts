import type { Flow, FlowEndpoint } from '../model/flow.ts';
import { latencyBucket, latencyBucketCount, type MapEdge, type MapNode } from '../model/service-map.ts';
import type { FlowConsumer, FlowView } from './consumer.ts';
import { isOutside } from './ends.ts';
import { mapNodeOf } from './map-nodes.ts';
import { ColumnView, flowId } from './view.ts';
import { WordMap } from './word-map.ts';

export interface EdgeCounterOptions {
  /** Edges of one interval. What comes on others is counted as overflow. */
  readonly maxEdges?: number;
  /** The cluster's node that has an address. */
  readonly nodeName?: (ip: string) => string | undefined;
}

/** A node of the map as it is counted. `version` changes with what `node()` says. */
export interface CountedNode {
  readonly node: MapNode;
  readonly index: number;
  readonly services: Set<string>;
  /** Flows share the objects of services: these have been looked at. */
  readonly seen: WeakSet<NonNullable<Flow['service']>>;
  version: number;
}

export interface CountedInterval {
  /** The same object in each interval for the same node of the map. */
  readonly nodes: readonly CountedNode[];
  readonly edges: readonly MapEdge[];
  /** Flows of edges beyond the bound. */
  readonly overflow: number;
}

/** Ends of one flow with the opener first. */
interface Ends {
  client: FlowEndpoint;
  server: FlowEndpoint;
  port: number;
}

/**
 * Counts flows into the edges of the service map, as they come. A connection is counted once: where its destination is a pod, by
 * that pod's node; else by its source's. Drops are counted where they happen. Nothing is allocated for a flow of a known edge.
 */
export class EdgeCounter implements FlowConsumer {
  readonly #maxEdges: number;
  readonly #nodeName: (ip: string) => string | undefined;
  readonly #edges: WordMap<Edge>;
  readonly #key = new Int32Array(3);
  #byEnd = new WeakMap<FlowEndpoint, CountedNode>();
  #nodes = new Map<string, CountedNode>();
  #nextIndex = 0;
  #touched: Edge[] = [];
  #overflow = 0;
  readonly #ends: Ends = { client: nobody, server: nobody, port: 0 };

  constructor({ maxEdges = 10_000, nodeName = () => undefined }: EdgeCounterOptions = {}) {
    this.#maxEdges = maxEdges;
    this.#nodeName = nodeName;
    this.#edges = new WordMap<Edge>(maxEdges, 3);
  }

  flow(flow: FlowView): void {
    if (flow.shadow !== undefined) return;
    this.#orient(flow);
    switch (flow.type) {
      case 'drop': return this.#drop(flow);
      case 'policy-verdict': return this.#verdict(flow);
      case 'trace': return this.#trace(flow);
      case 'l7': return this.#l7(flow);
    }
  }

  /** What came since the last call. */
  take(): CountedInterval {
    const nodes = new Set<CountedNode>();
    const edges = this.#touched.map(edge => {
      nodes.add(edge.source);
      nodes.add(edge.destination);
      return edge.take();
    });
    const overflow = this.#overflow;
    this.#touched = [];
    this.#overflow = 0;
    // Nodes come and go with pods; what still talks comes back under a new number.
    if (this.#nodes.size > 2 * this.#maxEdges) {
      this.#nodes = new Map();
      this.#byEnd = new WeakMap();
    }
    return { nodes: [...nodes], edges, overflow };
  }

  #verdict(flow: FlowView): void {
    const { client, server } = this.#ends;
    const { verdict } = flow;
    // A denial is a drop too, which is counted there.
    if (verdict === 'DROPPED' || flow.direction !== (isCountedByServer(client, server) ? 'INGRESS' : 'EGRESS')) return;
    const edge = this.#edge(flow);
    if (!edge) return;
    if (verdict === 'AUDIT') edge.audited++;
    else edge.forwarded++;
  }

  #trace(flow: FlowView): void {
    const latencyNs = flow.connectLatencyNs;
    const connection = flow.connection;
    if ((latencyNs === undefined && connection === undefined) || !this.#isMine()) return;
    const edge = this.#edge(flow);
    if (!edge) return;
    if (latencyNs !== undefined) edge.connects = count(edge.connects, latencyNs);
    if (connection === undefined) return;
    edge.bytesOut += connection.bytesOut;
    edge.bytesBack += connection.bytesBack;
    edge.packetsOut += connection.packetsOut;
    edge.packetsBack += connection.packetsBack;
    if (connection.end === 'reset') edge.errors++;
  }

  #l7(flow: FlowView): void {
    const { l7 } = flow;
    // A DNS message is told by one node alone.
    if (!l7 || (!l7.dns && !this.#isMine())) return;
    const edge = this.#edge(flow);
    if (!edge) return;
    edge.l7 = l7.dns ? 'DNS' : l7.http ? 'HTTP' : 'Kafka';
    if (l7.type === 'REQUEST') edge.requests++;
    if (l7.latencyNs !== undefined) edge.answers = count(edge.answers, l7.latencyNs);
    if (flow.verdict === 'DROPPED') edge.drop(flow, 'Denied by an L7 rule');
    else if (isFailure(l7)) edge.errors++;
  }

  #drop(flow: FlowView): void {
    this.#edge(flow)?.drop(flow, flow.dropReason ?? 'Unknown reason');
  }

  #orient(flow: FlowView): void {
    const ends = this.#ends;
    const isReply = flow.isReply === true;
    ends.client = isReply ? flow.destination : flow.source;
    ends.server = isReply ? flow.source : flow.destination;
    const { protocol } = flow;
    const hasPort = protocol === 'TCP' || protocol === 'UDP' || protocol === 'SCTP';
    ends.port = hasPort ? (isReply ? flow.sourcePort : flow.destinationPort) ?? 0 : 0;
  }

  #isMine(): boolean {
    const { client, server } = this.#ends;
    return isCountedByServer(client, server) ? server.id !== 0 : client.id !== 0;
  }

  #edge(flow: FlowView): Edge | undefined {
    const { client, server, port } = this.#ends;
    const [source, destination] = [this.#node(client), this.#node(server)];
    const { service, protocol } = flow;
    if (service && destination.services.size < maxServices) addService(destination, service);
    const key = this.#key;
    key[0] = source.index;
    key[1] = destination.index;
    key[2] = (port << 8) | protocolNumber(protocol);
    let edge = this.#edges.get(key);
    if (edge === undefined || !edge.isTouched) {
      if (this.#touched.length >= this.#maxEdges) {
        this.#overflow++;
        return undefined;
      }
      if (edge === undefined) {
        edge = new Edge(source, destination, protocol, port);
        this.#edges.set(key, edge);
      }
      edge.isTouched = true;
      this.#touched.push(edge);
    }
    return edge;
  }

  #node(end: FlowEndpoint): CountedNode {
    let counted = this.#byEnd.get(end);
    if (counted === undefined) {
      const node = mapNodeOf(end, this.#nodeName);
      counted = this.#nodes.get(node.id);
      if (counted === undefined) {
        counted = { node, index: this.#nextIndex++, services: new Set(), seen: new WeakSet(), version: 0 };
        this.#nodes.set(node.id, counted);
      }
      this.#byEnd.set(end, counted);
    }
    return counted;
  }
}

const maxServices = 32;
const nobody: FlowEndpoint = { ip: '', identity: 0, id: 0, labels: [] };
const protocolNumbers: Readonly<Record<string, number>> = { TCP: 6, UDP: 17, SCTP: 132, ICMPv4: 1, ICMPv6: 58 };

function protocolNumber(name: string): number {
  return protocolNumbers[name] ?? Number(name.slice(3)) & 255;
}

/** Not where nobody's node but the server's could count it: what comes from outside to a node itself. */
function isCountedByServer(client: FlowEndpoint, server: FlowEndpoint): boolean {
  return server.podName !== undefined || (client.podName === undefined && isOutside(client.identity));
}

function addService(node: CountedNode, service: NonNullable<Flow['service']>): void {
  if (node.seen.has(service)) return;
  node.seen.add(service);
  const text = `${service.namespace}/${service.name}`;
  if (node.services.has(text)) return;
  node.services.add(text);
  node.version++;
}

function isFailure({ type, http, dns, kafka }: NonNullable<Flow['l7']>): boolean {
  if (type !== 'RESPONSE') return false;
  return (http?.code ?? 0) >= 500 || (dns?.rcode ?? 0) !== 0 || (kafka?.errorCode ?? 0) !== 0;
}

function count(counts: number[] | undefined, latencyNs: number): number[] {
  counts ??= new Array<number>(latencyBucketCount).fill(0);
  const bucket = latencyBucket(latencyNs);
  counts[bucket] = counts[bucket]! + 1;
  return counts;
}

/** One edge's numbers since they were last taken. */
class Edge {
  readonly source: CountedNode;
  readonly destination: CountedNode;
  readonly #protocol: string;
  readonly #port: number;
  isTouched = false;
  l7: MapEdge['l7'];
  forwarded = 0;
  audited = 0;
  errors = 0;
  requests = 0;
  bytesOut = 0;
  bytesBack = 0;
  packetsOut = 0;
  packetsBack = 0;
  connects: number[] | undefined;
  answers: number[] | undefined;
  #dropped = 0;
  readonly #reasons = new Map<string, number>();
  #lastDrop: string | undefined;
  #dropNode = '';
  #dropSeconds = 0;
  #dropNanos = 0;
  #dropSequence = 0;

  constructor(source: CountedNode, destination: CountedNode, protocol: string, port: number) {
    this.source = source;
    this.destination = destination;
    this.#protocol = protocol;
    this.#port = port;
  }

  drop(flow: FlowView, reason: string): void {
    this.#dropped++;
    this.#reasons.set(reason, (this.#reasons.get(reason) ?? 0) + 1);
    this.#lastDrop = undefined;
    // The id's text is made for the last one only.
    if (!(flow instanceof ColumnView)) this.#lastDrop = flow.id;
    else {
      this.#dropNode = flow.nodeName;
      this.#dropSeconds = flow.seconds;
      this.#dropNanos = flow.nanos;
      this.#dropSequence = flow.sequence;
    }
  }

  take(): MapEdge {
    const latency = this.answers ?? this.connects;
    const edge: MapEdge = {
      source: this.source.node.id, destination: this.destination.node.id, protocol: this.#protocol, port: this.#port, ...(this.l7 && { l7: this.l7 }),
      forwarded: this.forwarded, dropped: this.#dropped, audited: this.audited, errors: this.errors, requests: this.requests,
      bytesOut: this.bytesOut, bytesBack: this.bytesBack, packetsOut: this.packetsOut, packetsBack: this.packetsBack,
      ...(latency && { latency }),
      ...(this.#dropped > 0 && {
        lastDrop: this.#lastDrop ?? flowId(this.#dropNode, this.#dropSeconds, this.#dropNanos, this.#dropSequence), dropReasons: Object.fromEntries(this.#reasons),
      }),
    };
    this.isTouched = false;
    this.forwarded = this.audited = this.errors = this.requests = this.#dropped = 0;
    this.bytesOut = this.bytesBack = this.packetsOut = this.packetsBack = 0;
    this.connects = this.answers = undefined;
    this.#reasons.clear();
    return edge;
  }
}
