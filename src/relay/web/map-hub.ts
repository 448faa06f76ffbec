import { mergeIntervals } from '../../model/map-merge.ts';
import type { MapInterval, MapNode } from '../../model/service-map.ts';
import { delay } from '../../std/async.ts';
import { errorText } from '../../std/errors.ts';
import type { Logger } from '../../std/log.ts';
import type { WebHistory, WebSources } from './sources.ts';

/** Intervals of a second that are kept as they came, and older ones in quarters of a minute: a quarter of an hour in all. */
const fineIntervals = 60;
const coarseIntervals = 60;
const coarseSize = 15;
/** Nobody looks: the nodes go on counting for so long, so that a page that is opened again has its past. */
const lingerMs = 60_000;
const retryMs = 1000;
/** What the history is asked for when somebody begins to look, newest first: the last minute by quarters, then the rest of the quarter of an hour by minutes. */
const recalled: readonly (readonly number[])[] = [new Array<number>(4).fill(15), new Array<number>(14).fill(60)];

export interface MapListener {
  interval(interval: MapInterval): void;
  /** More is known of before: `intervals` and `nodes` have it. */
  recalled(): void;
}

/**
 * The map of the cluster, once for all who look at it: one subscription while there are any, and its last quarter of an hour for
 * those who come. Of the time before the first one came, what the history has.
 */
export class MapHub {
  readonly #sources: Pick<WebSources, 'watchMap' | 'history'>;
  readonly #log: Logger;
  readonly #nodes = new Map<string, MapNode>();
  readonly #listeners = new Set<MapListener>();
  #coarse: MapInterval[] = [];
  #fine: MapInterval[] = [];
  #watching: AbortController | undefined;
  #linger: NodeJS.Timeout | undefined;

  constructor(sources: Pick<WebSources, 'watchMap' | 'history'>, dependencies: { readonly log: Logger }) {
    this.#sources = sources;
    this.#log = dependencies.log;
  }

  get nodes(): ReadonlyMap<string, MapNode> {
    return this.#nodes;
  }

  /** Oldest first. */
  get intervals(): readonly MapInterval[] {
    return [...this.#coarse, ...this.#fine];
  }

  /** Tells the listener of each interval from now on, until the returned function is called. */
  listen(listener: MapListener): () => void {
    this.#listeners.add(listener);
    clearTimeout(this.#linger);
    if (!this.#watching) void this.#watch(this.#watching = new AbortController());
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size > 0) return;
      clearTimeout(this.#linger);
      this.#linger = setTimeout(() => this.close(), lingerMs).unref();
    };
  }

  close(): void {
    clearTimeout(this.#linger);
    this.#watching?.abort();
    this.#watching = undefined;
    this.#coarse = [];
    this.#fine = [];
    this.#nodes.clear();
  }

  async #watch({ signal }: AbortController): Promise<void> {
    let isFirst = true;
    while (!signal.aborted) {
      try {
        for await (const interval of this.#sources.watchMap(signal)) {
          if (signal.aborted) return;
          this.#take(interval);
          if (isFirst && this.#sources.history) void this.#recall(this.#sources.history, Date.parse(interval.since), signal);
          isFirst = false;
        }
      } catch (error) {
        if (!signal.aborted) this.#log.warn('the service map cannot be watched', { error: errorText(error) });
      }
      await delay(retryMs, signal).catch(() => {});
    }
  }

  /** One question after the other: the histories have others to answer. */
  async #recall(history: WebHistory, began: number, signal: AbortSignal): Promise<void> {
    let until = began;
    try {
      for (const stage of recalled) {
        const found: MapInterval[] = [];
        for (const seconds of stage) {
          const since = until - seconds * 1000;
          found.unshift(await history.map({ since: new Date(since).toISOString(), until: new Date(until).toISOString(), whitelist: [] }));
          if (signal.aborted) return;
          until = since;
        }
        // What is said now of a node is newer.
        for (const node of found.flatMap(({ nodes }) => nodes)) if (!this.#nodes.has(node.id)) this.#nodes.set(node.id, node);
        this.#coarse.unshift(...found);
        for (const listener of this.#listeners) listener.recalled();
      }
    } catch (error) {
      if (!signal.aborted) this.#log.warn('the map begins now: the history does not tell of before', { error: errorText(error) });
    }
  }

  #take(interval: MapInterval): void {
    for (const node of interval.nodes) this.#nodes.set(node.id, node);
    this.#fine.push(interval);
    if (this.#fine.length >= fineIntervals + coarseSize) {
      this.#coarse.push(mergeIntervals(this.#fine.splice(0, coarseSize)));
      if (this.#coarse.length > coarseIntervals) this.#forget(this.#coarse.shift()!);
    }
    for (const listener of this.#listeners) listener.interval(interval);
  }

  /** Nodes that no interval speaks of any more: pods come and go for ever. */
  #forget(oldest: MapInterval): void {
    const named = new Set(this.intervals.flatMap(({ edges }) => edges.flatMap(edge => [edge.source, edge.destination])));
    for (const { source, destination } of oldest.edges) for (const id of [source, destination]) if (!named.has(id)) this.#nodes.delete(id);
  }
}
