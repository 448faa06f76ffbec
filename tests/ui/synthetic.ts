/** A cluster that is not there: as many nodes, edges and flows a second as a test wants, behind the interface that the server reads. */
import type { Flow, FlowEndpoint } from '../../src/model/flow.ts';
import { latencyBucket, latencyBucketCount, type MapEdge, type MapInterval, type MapNode } from '../../src/model/service-map.ts';
import type { WebExplanation, WebMatrix, WebPolicies } from '../../src/model/web.ts';
import { compileQuery } from '../../src/flows/query.ts';
import type { FlowBatch, WebHistory, WebSources } from '../../src/relay/web/sources.ts';
import { mapNodeOf } from '../../src/flows/map-nodes.ts';
import { delay } from '../../src/std/async.ts';

export interface SyntheticOptions {
  readonly namespaces: number;
  readonly nodes: number;
  readonly edges: number;
  readonly flowsPerSecond: number;
  /** Names of the first workloads and of a name outside, as hostile as a test likes. */
  readonly names?: readonly string[];
  readonly history?: boolean;
}

/** Small, quick and the same each time. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export class SyntheticCluster implements WebSources {
  readonly cluster = { name: 'synthetic', version: '0.0.0' };
  readonly ends: readonly FlowEndpoint[];
  readonly #pairs: readonly (readonly [number, number, number])[];
  readonly #random = random(7);
  readonly #perSecond: number;
  /** Asked for, to see that filters reach the nodes. */
  readonly queries: string[] = [];
  readonly recent: Flow[] = [];
  state: 'connected' | 'unavailable' = 'connected';
  readonly history?: WebHistory;
  #sequence = 0;

  constructor(options: SyntheticOptions) {
    const { namespaces, nodes, edges, flowsPerSecond, names = [] } = options;
    this.#perSecond = flowsPerSecond;
    this.ends = [
      ...Array.from({ length: nodes - 2 }, (_, i) => workload(`team-${String(i % namespaces).padStart(2, '0')}`, names[i] ?? `service-${i}`, i)),
      { ip: '203.0.113.7', identity: 2, id: 0, labels: ['reserved:world'], names: [names.at(-1) ?? 'api.example.com.'] },
      { ip: '198.51.100.9', identity: 2, id: 0, labels: ['reserved:world'] },
    ];
    const pairs = new Set<string>();
    while (pairs.size < edges) {
      const from = Math.floor(this.#random() * (nodes - 2));
      // Most talk within their namespace.
      const to = this.#random() < 0.7 ? (from + namespaces * (1 + Math.floor(this.#random() * 8))) % nodes : Math.floor(this.#random() * nodes);
      if (from !== to) pairs.add(`${from},${to}`);
    }
    this.#pairs = [...pairs].map(text => text.split(',').map(Number) as [number, number]).map(([from, to], i) => [from, to, [80, 443, 5432, 6379, 8080, 9090][i % 6]!] as const);
    if (options.history) this.history = this.#pastOf();
    for (let i = 0; i < 100; i++) this.recent.push(this.flow(Date.now() - (100 - i) * 10));
  }

  nodes() {
    return ['node1', 'node2'].map(name => ({ name, state: name === 'node1' ? 'connected' as const : this.state, ...(this.state === 'unavailable' && name === 'node2' && { message: 'its agent does not answer' }) }));
  }

  interval(since: Date, until: Date, named: boolean): MapInterval {
    const edges = this.#pairs.map(([from, to, port], i): MapEdge => {
      const forwarded = 1 + Math.floor(this.#random() * (i % 50 === 0 ? 200 : 5));
      const dropped = i % 40 === 3 ? 1 : 0;
      const latency = new Array<number>(latencyBucketCount).fill(0);
      latency[latencyBucket(2e6 * (1 + this.#random()))] = forwarded;
      return {
        source: mapNode(this.ends[from]!).id, destination: mapNode(this.ends[to]!).id, protocol: 'TCP', port, forwarded, dropped, audited: 0, errors: i % 90 === 1 ? 1 : 0, requests: 0,
        bytesOut: 800 * forwarded, bytesBack: 9000 * forwarded, packetsOut: 8, packetsBack: 8, latency, ...(dropped > 0 && { lastDrop: this.recent.find(flow => flow.verdict === 'DROPPED')?.id ?? 'none', dropReasons: { 'Policy denied': dropped } }),
      };
    });
    return { since: since.toISOString(), until: until.toISOString(), nodes: named ? this.ends.map(mapNode) : [], edges };
  }

  async* watchMap(signal: AbortSignal): AsyncGenerator<MapInterval, void, undefined> {
    for (let isFirst = true; !signal.aborted; isFirst = false) {
      const until = new Date();
      yield this.interval(new Date(until.getTime() - 1000), until, isFirst);
      await delay(1000, signal).catch(() => {});
    }
  }

  flow(time = Date.now()): Flow {
    const [from, to, port] = this.#pairs[Math.floor(this.#random() * this.#pairs.length)]!;
    const isDrop = this.#random() < 0.04;
    const id = `node1-synthetic-${this.#sequence++}`;
    return {
      id, time: `${new Date(time).toISOString().slice(0, 23)}${String(this.#sequence % 1_000_000).padStart(6, '0')}Z`, nodeName: 'node1', verdict: isDrop ? 'DROPPED' : 'FORWARDED', type: isDrop ? 'drop' : 'policy-verdict', direction: 'INGRESS', isReply: false,
      ipVersion: 'IPv4', protocol: 'TCP', source: this.ends[from]!, destination: this.ends[to]!, sourcePort: 30_000 + (this.#sequence % 30_000), destinationPort: port, summary: 'TCP Flags: SYN', tcpFlags: ['SYN'],
      ...(isDrop && { dropReason: 'Policy denied', dropReasonCode: 133, rule: { id: 1, kind: 'default', name: 'closed', namespace: 'team-00', path: '', effect: 'default-deny' as const, because: 'CiliumNetworkPolicy team-00/closed puts the endpoint into default deny at ingress, and no rule allows this peer and port' } }),
    };
  }

  async* followFlows({ perSecond, ...query }: Parameters<WebSources['followFlows']>[0], signal: AbortSignal): AsyncGenerator<FlowBatch, void, undefined> {
    this.queries.push(JSON.stringify(query));
    const matches = compileQuery(query);
    while (!signal.aborted) {
      await delay(200, signal).catch(() => {});
      const made = Array.from({ length: Math.round(this.#perSecond / 5) }, () => this.flow());
      this.recent.push(...made);
      this.recent.splice(0, Math.max(0, this.recent.length - 2000));
      const found = made.filter(matches);
      const most = Math.round(perSecond / 5);
      yield { flows: found.slice(0, most), left: Math.max(0, found.length - most), lost: 0 };
    }
  }

  async recentFlows(query: Parameters<WebSources['recentFlows']>[0]) {
    return this.recent.filter(compileQuery(query)).slice(-(query.last ?? Infinity));
  }

  async findFlow(id: string) {
    return this.recent.find(flow => flow.id === id);
  }

  async explain(flow: Flow): Promise<WebExplanation> {
    return { flow, verdict: 'deny', notes: [], legs: [] };
  }

  async policies(): Promise<WebPolicies> {
    return { policies: [], silent: [] };
  }

  async matrix(namespace: string): Promise<WebMatrix> {
    return { namespace, parties: [], cells: [] };
  }

  async why() {
    return undefined;
  }

  #pastOf(): WebHistory {
    return {
      timeline: async ({ since, until, buckets }) => {
        const bucketMs = (Date.parse(until) - Date.parse(since)) / buckets;
        return { since, until, bucketMs, buckets: Array.from({ length: buckets }, (_, i) => ({ forwarded: 500 + Math.round(400 * Math.sin(i / 9)), dropped: i % 17 === 0 ? 30 : 0, audited: 0, other: 0 })) };
      },
      map: async ({ since, until }) => this.interval(new Date(since), new Date(until), true),
      flows: async ({ until, whitelist = [] }) => Array.from({ length: 50 }, (_, i) => this.flow(Date.parse(until) - i * 100)).filter(compileQuery({ whitelist })).reverse(),
    };
  }
}

function workload(namespace: string, name: string, i: number): FlowEndpoint {
  return { ip: `10.244.1.${1 + (i % 250)}`, identity: 1000 + i, id: 1 + i, namespace, podName: `${name}-7d9f-${i}`, workloads: [{ kind: i % 9 === 0 ? 'StatefulSet' : 'Deployment', name }], labels: [`k8s:app=${name}`, `k8s:io.kubernetes.pod.namespace=${namespace}`] };
}

function mapNode(end: FlowEndpoint): MapNode {
  return mapNodeOf(end, () => undefined);
}
