import type { Endpoint } from '../endpoints/endpoint.ts';
import type { NodeMaps } from '../../datapath/maps.ts';
import { sockmapAttachment, sockmapPrograms, type Programs } from '../../datapath/programs.ts';
import { attachMessageProgram } from '../../ebpf/sockets.ts';
import type { FeatureStatus } from '../../model/status.ts';
import type { Logger } from '../../std/log.ts';
import { KernelError } from '../../sys/errno.ts';
import { netnsCookie, openNetns, withNetns } from '../../sys/netns.ts';
import { derive } from '../../table/derive.ts';
import type { Table } from '../../table/table.ts';

export interface SockmapOptions {
  readonly enabled: boolean;
  readonly cgroup: { readonly fd: number; readonly path: string };
  /** The node's own namespace, and the id of the rows of its addresses. */
  readonly host: { readonly cookie: bigint; readonly endpoint: number };
}

export interface SockmapDependencies {
  readonly programs: Programs;
  readonly maps: Pick<NodeMaps, 'sockets' | 'messagePrograms' | 'namespaceEndpoints'>;
  readonly endpoints: Table<Endpoint>;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

const SLOT = 0;

/**
 * TCP between two sockets of this node from socket to socket (`sockmap.enabled`). Sockets of connections that are established from now
 * on take part. Switched off, the ones that do lose the program at once and go by the stack: they cannot be taken out of the map, for
 * that would throw away what they have not read yet.
 */
export function startSockmap(options: SockmapOptions, dependencies: SockmapDependencies): FeatureStatus {
  const { programs, maps, log } = dependencies;
  const name = 'SocketToSocket';
  const missing = sockmapPrograms.map(program => programs.refusalOf(program)).find(text => text !== undefined)?.split('\n')[0];
  if (!options.enabled || missing !== undefined) {
    maps.messagePrograms.delete(SLOT);
    if (!options.enabled) return { name, state: 'off', detail: 'TCP between pods of this node passes through their stacks (sockmap.enabled)' };
    log.warn('this kernel cannot connect sockets of one node with each other; their traffic goes by the stack', { reason: missing });
    return { name, state: 'degraded', detail: `sockmap.enabled is set, and this kernel cannot: ${missing}` };
  }
  const namespaces = new NamespaceEndpoints(options.host, dependencies);
  namespaces.sweep();
  void derive({ name: 'namespaces of endpoints', inputs: [dependencies.endpoints], step: () => namespaces.bring() }, dependencies);
  // The program in its slot before sockets are joined for it; without it they would go by the stack, which is no harm either.
  maps.messagePrograms.update(SLOT, programs.program('sockmap_message').fd);
  attachMessageProgram(maps.sockets, programs.program('sockmap_gate'));
  programs.attach(sockmapAttachment(options.cgroup));
  return { name, state: 'on', detail: `sockmap for TCP between endpoints of this node, up to ${maps.sockets.spec.maxEntries / 2} connections` };
}

/**
 * Whose socket it is, says the namespace: a pod can give itself any address inside. Until its row is there, a pod's sockets are not
 * joined. Each namespace is entered once.
 */
export class NamespaceEndpoints {
  readonly #map: NodeMaps['namespaceEndpoints'];
  readonly #endpoints: Table<Endpoint>;
  /** By endpoint id; the node itself among them. */
  readonly #cookies: Map<number, bigint>;
  readonly #host: number;

  constructor(host: SockmapOptions['host'], { maps, endpoints }: { readonly maps: Pick<NodeMaps, 'namespaceEndpoints'>; readonly endpoints: Table<Endpoint> }) {
    this.#map = maps.namespaceEndpoints;
    this.#endpoints = endpoints;
    this.#host = host.endpoint;
    this.#cookies = new Map([[host.endpoint, host.cookie]]);
    this.#map.update({ cookie: host.cookie, endpoint: host.endpoint }, 1);
  }

  /** What an earlier agent left of pods that are gone. Once, when the endpoints have been taken over. */
  sweep(): void {
    this.bring();
    const gone = [...this.#map.entries()].map(([key]) => key).filter(key => this.#cookies.get(key.endpoint) !== key.cookie);
    this.#map.deleteBatch(gone);
  }

  bring(): void {
    const here = new Map([...this.#endpoints.rows()].map(endpoint => [endpoint.id, endpoint]));
    for (const [endpoint, cookie] of this.#cookies) {
      if (endpoint === this.#host || here.has(endpoint)) continue;
      this.#map.delete({ cookie, endpoint });
      this.#cookies.delete(endpoint);
    }
    for (const { id, netns } of here.values()) {
      if (this.#cookies.has(id)) continue;
      const cookie = cookieOf(netns);
      if (cookie === undefined) continue;
      this.#map.update({ cookie, endpoint: id }, 1);
      this.#cookies.set(id, cookie);
    }
  }
}

/** Undefined where the namespace is no more: a pod that is going, whose end CNI will tell. */
function cookieOf(path: string): bigint | undefined {
  try {
    using namespace = openNetns(path);
    return withNetns(namespace.fd, netnsCookie);
  } catch (error) {
    if (error instanceof KernelError) return undefined;
    throw error;
  }
}
