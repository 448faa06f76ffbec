import type { MapInterval, MapNode } from '../model/service-map.ts';
import { EdgeCounter, type CountedInterval, type CountedNode, type EdgeCounterOptions } from './edges.ts';
import type { FlowPipeline } from './pipeline.ts';

/** The service map of this node as it happens. */
export interface ServiceMap {
  /** One interval a second until the signal aborts. Nodes are named when they first occur, and again when more services led to them. */
  watch(signal: AbortSignal): AsyncIterable<MapInterval>;
}

export interface ServiceMapOptions extends EdgeCounterOptions {
  readonly intervalMs?: number;
}

/** Intervals that wait for one who watches; who is slower loses the oldest, and sees the gap between `until` and `since`. */
const queueLimit = 8;

/** Counts while somebody watches, once for all who do. */
export function createServiceMap(flows: Pick<FlowPipeline, 'consume'>, { intervalMs = 1000, ...options }: ServiceMapOptions = {}): ServiceMap {
  const watchers = new Set<Watcher>();
  let stop = () => {};

  const start = () => {
    const counter = new EdgeCounter(options);
    const leave = flows.consume(counter);
    let since = new Date();
    const timer = setInterval(() => {
      const until = new Date();
      const interval = counter.take();
      for (const watcher of watchers) watcher.offer(interval, since, until);
      since = until;
    }, intervalMs);
    stop = () => {
      clearInterval(timer);
      leave();
    };
  };

  return {
    async *watch(signal) {
      if (signal.aborted) return;
      const watcher = new Watcher(signal);
      watchers.add(watcher);
      if (watchers.size === 1) start();
      try {
        for (;;) {
          const interval = await watcher.next();
          if (interval === undefined) return;
          yield interval;
        }
      } finally {
        watchers.delete(watcher);
        if (watchers.size === 0) stop();
      }
    },
  };
}

class Watcher {
  readonly #signal: AbortSignal;
  readonly #queue: MapInterval[] = [];
  /** By id: the version that was told last. */
  readonly #told = new Map<string, number>();
  #wake: (() => void) | undefined;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    signal.addEventListener('abort', () => this.#wake?.(), { once: true });
  }

  offer({ nodes, edges, overflow }: CountedInterval, since: Date, until: Date): void {
    // Of an interval that is lost the nodes must not be: they go with the next.
    const lost = this.#queue.length >= queueLimit ? this.#queue.shift() : undefined;
    const news = nodes.filter(node => this.#isNews(node)).map(mapNode);
    const first = this.#queue[0];
    if (lost && first) this.#queue[0] = { ...first, nodes: [...lost.nodes, ...first.nodes] };
    this.#queue.push({ since: since.toISOString(), until: until.toISOString(), nodes: news, edges, ...(overflow > 0 && { overflow }) });
    this.#wake?.();
  }

  async next(): Promise<MapInterval | undefined> {
    while (this.#queue.length === 0 && !this.#signal.aborted) {
      await new Promise<void>(resolve => {
        this.#wake = resolve;
      });
    }
    this.#wake = undefined;
    return this.#signal.aborted ? undefined : this.#queue.shift();
  }

  #isNews({ node, version }: CountedNode): boolean {
    if (this.#told.get(node.id) === version) return false;
    // Pods come and go: of those long gone nothing need be remembered.
    if (this.#told.size >= rememberedNodes) this.#told.clear();
    this.#told.set(node.id, version);
    return true;
  }
}

const rememberedNodes = 50_000;

function mapNode({ node, services }: CountedNode): MapNode {
  return services.size === 0 ? node : { ...node, services: [...services] };
}
