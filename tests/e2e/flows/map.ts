import { request, type ClientRequest } from 'node:http';
import { createInterface } from 'node:readline';
import type { MapEdge, MapInterval } from '../../../src/model/service-map.ts';
import type { Deed, Party } from './expected.ts';

/** What nodes have counted of an edge, over all intervals. */
export type EdgeSums = Pick<MapEdge, 'forwarded' | 'dropped' | 'errors' | 'requests'>;

/** The service maps of nodes from now on, added up. */
export class WatchedMaps {
  readonly sums = new Map<string, EdgeSums>();
  readonly named = new Set<string>();
  readonly #calls: ClientRequest[];
  #intervals: number[];

  constructor(sockets: readonly string[]) {
    this.#intervals = sockets.map(() => 0);
    this.#calls = sockets.map((socketPath, node) => {
      const call = request({ socketPath, path: '/v1/map' }, response => {
        createInterface({ input: response }).on('line', line => this.#add(node, JSON.parse(line) as MapInterval)).on('error', () => {});
      });
      call.on('error', () => {});
      call.end();
      return call;
    });
  }

  /** Of the node that has told the fewest. */
  get intervals(): number {
    return Math.min(...this.#intervals);
  }

  stop(): void {
    for (const call of this.#calls) call.destroy();
  }

  #add(node: number, { nodes, edges }: MapInterval): void {
    this.#intervals[node]!++;
    for (const { id } of nodes) this.named.add(id);
    for (const edge of edges) {
      if (!this.named.has(edge.source) || !this.named.has(edge.destination)) throw new Error(`an edge from ${edge.source} to ${edge.destination}, which nobody has named`);
      add(this.sums, `${edge.source} > ${edge.destination} ${edge.protocol} ${edge.port}`, edge);
    }
  }
}

/** The same from what was done: each call once, whichever nodes it touched. */
export function expectedSums(deeds: readonly Deed[]): Map<string, EdgeSums> {
  const sums = new Map<string, EdgeSums>();
  for (const { call, said, client, server, port, egress, ingress } of deeds) {
    const isDenied = egress.verdict === 'deny' || ingress.verdict === 'deny';
    const protocol = call.kind === 'tcp' ? 'TCP' : call.kind === 'icmp' ? 'ICMPv4' : 'UDP';
    const isRefused = call.kind === 'tcp' && said.outcome === 'refused';
    add(sums, `${idOf(client)} > ${idOf(server)} ${protocol} ${port}`, {
      forwarded: isDenied ? 0 : 1, dropped: isDenied ? 1 : 0, errors: isRefused || (said.rcode ?? 0) !== 0 ? 1 : 0, requests: call.kind === 'dns' ? 1 : 0,
    });
  }
  return sums;
}

function idOf({ namespace, workload, name }: Party): string {
  return workload !== undefined ? `workload:${namespace}/${workload}` : name !== undefined ? `name:${name.replace(/\.$/, '')}` : 'reserved:world';
}

function add(sums: Map<string, EdgeSums>, key: string, { forwarded, dropped, errors, requests }: EdgeSums): void {
  const before = sums.get(key) ?? { forwarded: 0, dropped: 0, errors: 0, requests: 0 };
  sums.set(key, { forwarded: before.forwarded + forwarded, dropped: before.dropped + dropped, errors: before.errors + errors, requests: before.requests + requests });
}
