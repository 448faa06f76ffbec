/** A thread that runs a program on frames, one after the other, when it is told to begin: for what two processors do at once. */
import { parentPort, workerData } from 'node:worker_threads';
import { programOf } from '../../src/ebpf/program.ts';

/** `gate` counts the threads that are ready. */
export interface SenderOrder {
  readonly fd: number;
  readonly frames: readonly Uint8Array[];
  readonly gate: SharedArrayBuffer;
  readonly threads: number;
}

const { fd, frames, gate, threads } = workerData as SenderOrder;
const program = programOf('sent', fd);
const ready = new Int32Array(gate);
/** All threads run their first frame together, their second together, and so on: each step waits for the others. */
for (let i = 0; i < frames.length; i++) {
  Atomics.add(ready, 0, 1);
  Atomics.notify(ready, 0);
  for (let seen = Atomics.load(ready, 0); seen < threads * (i + 1); seen = Atomics.load(ready, 0)) Atomics.wait(ready, 0, seen, 5);
  program.testRun({ data: frames[i]! });
}
parentPort!.postMessage('done');
