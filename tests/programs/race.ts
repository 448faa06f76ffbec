/** Two processors at once: pairs of frames, each pair at the same moment. */
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { RacerOrder, RacerResult } from './racer-thread.ts';

export type Lap = RacerOrder['laps'][number];

/** Each pair is run once, one frame by each of two threads; what became of them, in the same order. */
export async function race(pairs: readonly (readonly [Lap, Lap])[]): Promise<(readonly [RacerResult, RacerResult])[]> {
  const gate = new SharedArrayBuffer(4);
  const results = await Promise.all([0, 1].map(async i => {
    const worker = new Worker(fileURLToPath(new URL('racer-thread.ts', import.meta.url)), { workerData: { laps: pairs.map(pair => pair[i]!), gate, threads: 2 } satisfies RacerOrder });
    const [message] = await once(worker, 'message') as [RacerResult[]];
    await worker.terminate();
    return message;
  }));
  return pairs.map((_, i) => [results[0]![i]!, results[1]![i]!] as const);
}
