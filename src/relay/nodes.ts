import type { Logger } from '../std/log.ts';
import { NodeConnection, type NodeTimes, type Peer } from './node.ts';

/** `replaced`: the same node is to be reached otherwise; another connection takes its place. */
export type NodeChange = { readonly kind: 'connected' | 'unavailable' | 'gone' | 'replaced'; readonly node: NodeConnection };

/** The nodes that the relay knows, each with its connection. */
export class Nodes {
  readonly #nodes = new Map<string, NodeConnection>();
  readonly #listeners = new Set<(change: NodeChange) => void>();
  readonly #log: Logger;
  readonly #times: NodeTimes | undefined;

  constructor(dependencies: { readonly log: Logger }, times?: NodeTimes) {
    this.#log = dependencies.log;
    this.#times = times;
  }

  /** In the order of their names. */
  get all(): NodeConnection[] {
    return [...this.#nodes.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Adds a node, or connects anew when it is to be reached otherwise. */
  upsert(peer: Peer): void {
    const known = this.#nodes.get(peer.name);
    if (known && sameWay(known.peer, peer)) return;
    if (known) {
      this.#take(known);
      this.#tell({ kind: 'replaced', node: known });
    }
    const node = new NodeConnection(peer, changed => this.#changed(changed), this.#times);
    this.#nodes.set(peer.name, node);
    this.#log.info('a node', { node: peer.name, address: peer.address });
    void node.run();
  }

  remove(name: string): void {
    const node = this.#nodes.get(name);
    if (!node) return;
    this.#take(node);
    this.#log.info('a node is gone', { node: name });
    this.#tell({ kind: 'gone', node });
  }

  /** Calls back when a node comes, goes or changes its state; call the result to stop. */
  listen(listener: (change: NodeChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Resolves when every node has been reached or not, or after `atMostMs`: who asks right after the start is not to hear that nobody is there. */
  async settled(atMostMs: number, signal: AbortSignal): Promise<void> {
    const isSettled = () => this.#nodes.size > 0 && this.all.every(node => node.state !== 'connecting');
    if (isSettled() || signal.aborted) return;
    await new Promise<void>(resolve => {
      const done = () => {
        clearTimeout(timer);
        stop();
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, atMostMs);
      const stop = this.listen(() => void (isSettled() && done()));
      signal.addEventListener('abort', done, { once: true });
    });
  }

  close(): void {
    for (const node of this.#nodes.values()) node.close();
    this.#nodes.clear();
  }

  #take(node: NodeConnection): void {
    this.#nodes.delete(node.name);
    node.close();
  }

  #changed(node: NodeConnection): void {
    if (this.#nodes.get(node.name) !== node || node.state === 'connecting') return;
    if (node.state === 'connected') this.#log.info('a node is connected', { node: node.name });
    else this.#log.warn('a node is not reached', { node: node.name, error: node.error });
    this.#tell({ kind: node.state, node });
  }

  #tell(change: NodeChange): void {
    for (const listener of [...this.#listeners]) listener(change);
  }
}

function sameWay(a: Peer, b: Peer): boolean {
  return a.address === b.address && a.serverName === b.serverName;
}
