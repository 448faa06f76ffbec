/** A thread that runs programs on frames when all threads are ready, and hands back what became of each: for what two processors do at once. */
import { parentPort, workerData } from 'node:worker_threads';
import { programOf } from '../../src/ebpf/program.ts';

export interface RacerOrder {
  readonly laps: readonly { readonly fd: number; readonly frame: Uint8Array; readonly mark: number }[];
  /** One counter: how many threads are at their lap. */
  readonly gate: SharedArrayBuffer;
  readonly threads: number;
}

export interface RacerResult {
  readonly verdict: number;
  readonly frame: Uint8Array;
  readonly mark: number;
}

const { laps, gate, threads } = workerData as RacerOrder;
const ready = new Int32Array(gate);
const markOffset = 8;
const programs = new Map(laps.map(({ fd }) => [fd, programOf('raced', fd)]));
const results: RacerResult[] = laps.map(({ fd, frame, mark }, lap) => {
  const context = new Uint8Array(192);
  new DataView(context.buffer).setUint32(markOffset, mark, true);
  const program = programs.get(fd)!;
  Atomics.add(ready, 0, 1);
  // They leave the gate within a microsecond of each other: whoever sleeps here comes too late.
  while (Atomics.load(ready, 0) < threads * (lap + 1));
  const { returnValue, data, context: left } = program.testRun({ data: frame, context });
  return { verdict: returnValue, frame: data, mark: new DataView(left!.buffer, left!.byteOffset).getUint32(markOffset, true) };
});
parentPort!.postMessage(results);
