/**
 * A flood of drops, and the agent's own pipeline that reads them: `node26 tests/programs/drop-flood.ts [PER_SECOND] [SECONDS]`. A thread
 * runs from_pod on packets that policy denies, so many a second as asked for, in handfuls each millisecond; the kernel's count of drops must be
 * what the pipeline has seen. Not a test: what else the machine does decides how late the reader is. Ends with 1 where a drop was lost.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { programOf } from '../../src/ebpf/program.ts';
import { RingBuffer } from '../../src/ebpf/ring.ts';
import { emptyLookups } from '../../src/flows/enrich.ts';
import { createFlowPipeline } from '../../src/flows/pipeline.ts';
import { backendPort, Datapath, families, mac, set } from './harness.ts';
import { buildFrame } from './packet.ts';

interface Order {
  readonly fd: number;
  readonly frame: Uint8Array;
  readonly perSecond: number;
  readonly seconds: number;
}

if (isMainThread) process.exitCode = await main(Number(process.argv[2] ?? 200_000), Number(process.argv[3] ?? 10));
else await flood(workerData as Order);

async function flood({ fd, frame, perSecond, seconds }: Order): Promise<void> {
  const program = programOf('from_pod', fd);
  const began = performance.now();
  let sent = 0;
  for (let elapsed = 0; elapsed < seconds * 1000; elapsed = performance.now() - began) {
    const due = Math.floor((elapsed / 1000) * perSecond) - sent;
    // A signal would begin a long run anew and count it twice.
    if (due > 0) program.testRun({ data: frame, repeat: due });
    sent += Math.max(0, due);
    await sleep(1);
  }
  parentPort!.postMessage({ sent, seconds: (performance.now() - began) / 1000 });
}

async function main(perSecond: number, seconds: number): Promise<number> {
  const world = new Datapath();
  const [family] = families;
  world.denyAll(set.bIngress);
  const frame = buildFrame({ sourceMac: mac.a, destinationMac: mac.host, source: family!.a, destination: family!.b, protocol: 'tcp', sourcePort: 40000, destinationPort: backendPort, flags: 'S' });
  const open = (map: { readonly fd: number; readonly spec: { readonly maxEntries: number } }) => RingBuffer.open({ fd: map.fd, maxEntries: map.spec.maxEntries });
  const lost = (row: number) => Number(world.maps.lostEvents.lookupPerCpu(row)!.reduce((sum, n) => sum + n, 0n));
  const pipeline = createFlowPipeline({
    rings: { drops: open(world.maps.dropEvents), flows: open(world.maps.flowEvents) }, lookups: emptyLookups, nodeName: 'flood',
    lost: () => ({ flows: lost(0), drops: lost(1), names: lost(2) }),
  });
  let seen = 0;
  pipeline.consume({ flow: flow => { if (flow.type === 'drop') seen++; } });
  const stopping = new AbortController();
  pipeline.start(stopping.signal);
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const before = process.cpuUsage();
  const worker = new Worker(new URL(import.meta.url), { workerData: { fd: world.programFd('from_pod'), frame, perSecond, seconds } satisfies Order });
  const thread = await new Promise<{ readonly sent: number; readonly seconds: number }>((resolve, reject) => void worker.once('message', resolve).once('error', reject));
  await sleep(100);
  pipeline.drain();
  stopping.abort();
  const cpu = process.cpuUsage(before);
  const dropped = Number([...world.dropCounts().values()].reduce((sum, n) => sum + n, 0n));
  console.log(`${dropped} dropped, ${Math.round(thread.sent / thread.seconds)} a second; told ${seen}, lost ${lost(1)}; records of the other ring lost ${lost(0)}`);
  console.log(`processor, with the sender: ${((cpu.user + cpu.system) / 1e4 / thread.seconds).toFixed(0)} % of one; the loop was late by ${(delay.percentile(99) / 1e6).toFixed(1)} ms (99 %), ${(delay.max / 1e6).toFixed(1)} ms (most)`);
  const isWhole = seen === dropped && lost(1) === 0 && dropped >= thread.sent;
  world.close();
  return isWhole ? 0 : 1;
}
