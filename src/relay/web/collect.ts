import { mergeIntervals } from '../../model/map-merge.ts';
import type { MapInterval } from '../../model/service-map.ts';
import { delay, Signal } from '../../std/async.ts';

/**
 * Streams of all nodes as one: what has come since, every `everyMs` at most, until the signal aborts. Each source is opened again
 * when it ends or fails; nobody waits for a slow one.
 */
export async function* gather<T>(options: { readonly sources: readonly ((signal: AbortSignal) => AsyncIterable<T>)[]; readonly everyMs: number; readonly retryMs: number; readonly onState: (source: number, error: unknown) => void }, signal: AbortSignal): AsyncGenerator<readonly T[], void, undefined> {
  const news = new Signal();
  let waiting: T[] = [];
  const run = async (index: number) => {
    while (!signal.aborted) {
      try {
        for await (const value of options.sources[index]!(signal)) {
          options.onState(index, undefined);
          waiting.push(value);
          news.mark();
        }
        if (!signal.aborted) options.onState(index, new Error('the stream ended'));
      } catch (error) {
        if (!signal.aborted) options.onState(index, error);
      }
      await delay(options.retryMs, signal).catch(() => {});
    }
  };
  for (const index of options.sources.keys()) void run(index);
  while (!signal.aborted) {
    await news.wait({ signal });
    await delay(options.everyMs, signal).catch(() => {});
    if (signal.aborted) return;
    const values = waiting;
    waiting = [];
    if (values.length > 0) yield values;
  }
}

/** The intervals that several nodes told of one moment, as one. */
export function together(intervals: readonly MapInterval[]): MapInterval {
  return intervals.length === 1 ? intervals[0]! : mergeIntervals(intervals);
}
