import { fork } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';
import type { HistoryQuery } from '../../src/model/history.ts';
import { createLogger } from '../../src/std/log.ts';
import { keepMemorySmall } from '../../src/sys/footprint.ts';
import { allocatorOptions } from '../../src/history/allocator.ts';
import { queryHistory } from '../../src/history/client.ts';
import { HistoryFeed } from '../../src/history/feed.ts';

/**
 * What the flow history costs: `node tools/bench/history.ts [--flows 20000000] [--days 30] [--keep FOLDER]`. A store as a process of
 * its own, fed over its socket as an agent does, then asked what users ask: cold (a new process and an empty page cache for
 * DuckDB's buffers) and warm. `--requests N`: instead, what N requests and their answers cost the agent's side and the store, as the kernel
 * tells of them over 32 connections, 50,000 a second.
 */
const { values } = parseArgs({
  options: { flows: { type: 'string', default: '20000000' }, days: { type: 'string', default: '30' }, folder: { type: 'string', default: '/tmp/cirri-history-bench' }, keep: { type: 'boolean', default: false }, serve: { type: 'boolean', default: false }, ask: { type: 'boolean', default: false }, requests: { type: 'string' } },
});
const folder = values.folder;
const socketPath = join(folder, 'history.sock');
const log = createLogger({ component: 'bench' }, line => process.stderr.write(line + '\n'), 'warn');
const now = Date.parse('2026-11-28T00:00:00Z');

async function serve(): Promise<void> {
  process.env['DUCKDB_JE_MALLOC_CONF'] = allocatorOptions;
  const [{ HistoryStore }, { serveHistory }] = await Promise.all([import('../../src/history/store.ts'), import('../../src/history/server.ts')]);
  const stop = new AbortController();
  keepMemorySmall({ signal: stop.signal });
  const store = await HistoryStore.open({ folder, node: 'node1', days: 36_500, maxMegabytes: 16_384 }, log);
  await serveHistory(store, socketPath, { log, signal: stop.signal });
  process.send?.('ready');
  for (const end of ['SIGTERM', 'disconnect'] as const) process.on(end, () => process.exit(0));
}

interface Child {
  readonly pid: number;
  stop(): Promise<void>;
}

async function start(): Promise<Child> {
  const child = fork(fileURLToPath(import.meta.url), ['--serve', '--folder', folder], { execArgv: ['--max-semi-space-size=2', '--expose-gc'], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  await new Promise(resolve => child.once('message', resolve));
  return {
    pid: child.pid!,
    stop: () => new Promise(resolve => {
      child.once('exit', () => resolve());
      child.kill();
    }),
  };
}

function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function memory(pid: number): string {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8');
  const megabytes = (name: string) => Math.round(Number(new RegExp(`${name}:\\s+(\\d+)`).exec(text)![1]) / 1024);
  return `${megabytes('VmRSS')} MB now, ${megabytes('VmHWM')} MB at most`;
}

async function fill(pid: number, count: number, days: number): Promise<void> {
  const { flowView, TestWorld } = await import('../../src/history/testing.ts');
  const world = new TestWorld({ namespaces: 40, workloads: 200, pods: 2000, outside: 20_000 });
  const since = BigInt(now - days * 86_400_000) * 1_000_000n;
  const step = (BigInt(days) * 86_400_000_000_000n) / BigInt(count);
  const stop = new AbortController();
  const feed = new HistoryFeed({ socketPath, nodeName: 'node1', backlog: 64 }, log);
  feed.start(stop.signal);
  const [startedAt, cpu] = [performance.now(), cpuSeconds(pid)];
  for (let i = 0; i < count; i++) {
    feed.flow(flowView(world.flow(since + step * BigInt(i))));
    if (i % 4096 === 0) {
      feed.settle();
      do await new Promise(resolve => setImmediate(resolve)); while (feed.status.waiting > 150_000);
    }
    if (i % 2_000_000 === 0 && i > 0) console.log(`  ${i / 1e6} M flows, ${Math.round((performance.now() - startedAt) / 1000)} s, store: CPU ${(cpuSeconds(pid) - cpu).toFixed(1)} s, ${memory(pid)}`);
  }
  while (feed.status.waiting > 0) {
    feed.settle();
    await new Promise(resolve => setTimeout(resolve, 50));
  }
  const cpuUsed = cpuSeconds(pid) - cpu;
  console.log(`inserted ${count} flows: store CPU ${cpuUsed.toFixed(1)} s = ${Math.round(count / cpuUsed)} flows for a second of one core; lost ${feed.status.lost}; ${memory(pid)}`);
  await feed.stop();
}

/** Microseconds of processor time a request: of this process, which reads and packs, and of the store's. */
async function tellRequests(pid: number, count: number): Promise<void> {
  const [{ createFlowPipeline }, { MemoryRing }, { httpRecord }, { emptyLookups }] = await Promise.all([import('../../src/flows/pipeline.ts'), import('../../src/flows/testing.ts'), import('../../src/flows/testing-http.ts'), import('../../src/flows/enrich.ts')]);
  const rings = { drops: new MemoryRing(), flows: new MemoryRing() };
  const pipeline = createFlowPipeline({ rings, lookups: emptyLookups, nodeName: 'node1' });
  const stop = new AbortController();
  const feed = new HistoryFeed({ socketPath, nodeName: 'node1', backlog: 64 }, log);
  feed.start(stop.signal);
  pipeline.consume(feed);
  const records = Array.from({ length: 64 }, (_, i) => httpRecord({ connection: i >> 1, clientPort: 40_000 + (i >> 1), ...(i % 2 === 0 ? { method: 'GET', url: `/api/v1/products/${(i >> 1) % 8}`, host: 'shop' } : { isAnswer: true, status: 200, latencyUs: 200 + i }) }));
  const nanoseconds = new DataView(new ArrayBuffer(8));
  const step = async (until: number) => {
    const startedAt = performance.now();
    for (let i = 0; i < until; i += 32 * records.length) {
      nanoseconds.setBigUint64(0, process.hrtime.bigint() - 10_000_000n, true);
      const [low, high] = [nanoseconds.getUint32(0, true), nanoseconds.getUint32(4, true)];
      for (const [at, record] of records.entries()) {
        record.setUint32(0, low + at, true);
        record.setUint32(4, high, true);
      }
      for (let round = 0; round < 64; round++) rings.flows.queued.push(...records);
      pipeline.drain();
      // Neither waits for the other without a pause: that would be counted.
      do await new Promise(resolve => setTimeout(resolve, Math.max(1, startedAt + i / 50 - performance.now()))); while (feed.status.waiting > 100_000);
    }
  };
  await step(20_000);
  const [own, cpu] = [process.cpuUsage(), cpuSeconds(pid)];
  await step(count);
  while (feed.status.waiting > 0) {
    feed.settle();
    await new Promise(resolve => setTimeout(resolve, 20));
  }
  const used = process.cpuUsage(own);
  console.log(`${count} requests and answers: ${((used.user + used.system) / count).toFixed(2)} µs each here, ${((cpuSeconds(pid) - cpu) * 1e6 / count).toFixed(2)} µs in the store; lost ${feed.status.lost}; ${memory(pid)}`);
  await feed.stop();
}

const since = (days: number) => new Date(now - days * 86_400_000).toISOString();
const toNamespace = { whitelist: [{ destination_pod: ['ns-3/'] }] };
const questions: Readonly<Record<string, HistoryQuery>> = {
  'who talked to namespace ns-3 in 7 days (workloads)': { kind: 'groups', by: ['source-workload'], since: since(7), ...toNamespace },
  'who talked to namespace ns-3 in 7 days (pods and addresses, port, verdict)': { kind: 'groups', by: ['source', 'port', 'verdict'], since: since(7), ...toNamespace },
  'who talked to namespace ns-3 in all 20 M flows (workloads)': { kind: 'groups', by: ['source-workload'], ...toNamespace },
  'denied in 7 days, by pair of workloads': { kind: 'groups', by: ['source-workload', 'destination-workload'], since: since(7), whitelist: [{ verdict: ['DROPPED'] }] },
  'top 10 pairs of pods of all time': { kind: 'groups', by: ['source-pod', 'destination-pod'], top: 10 },
  'last 20 flows to app=app-3': { kind: 'flows', last: 20, whitelist: [{ destination_label: ['app=app-3'] }] },
  'what was at 03:12 (one minute, one namespace)': { kind: 'flows', since: '2026-11-15T03:12:00Z', until: '2026-11-15T03:13:00Z', ...toNamespace },
  'pairs of a namespace in 7 days': { kind: 'pairs', namespace: 'ns-3', since: since(7) },
  'timeline of 24 hours': { kind: 'timeline', since: since(1), until: since(0), buckets: 120 },
  'timeline of 30 days': { kind: 'timeline', since: since(30), until: since(0), buckets: 120 },
};

async function ask(query: HistoryQuery): Promise<{ readonly ms: number; readonly rows: number }> {
  const startedAt = performance.now();
  let rows = 0;
  for await (const answer of queryHistory(socketPath, query)) {
    if (answer.kind === 'groups') rows += answer.groups.length;
    else if (answer.kind === 'flows') rows += answer.flows.length;
    else if (answer.kind === 'pairs') rows += answer.pairs.length;
    else if (answer.kind === 'timeline') rows += answer.buckets.length;
  }
  return { ms: performance.now() - startedAt, rows };
}

async function main(): Promise<void> {
  if (values.serve) return serve();
  if (!values.ask) {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    const store = await start();
    if (values.requests !== undefined) {
      await tellRequests(store.pid, Number(values.requests));
      await store.stop();
      return rmSync(folder, { recursive: true, force: true });
    }
    await fill(store.pid, Number(values.flows), Number(values.days));
    for (;;) {
      let over = 0;
      for await (const answer of queryHistory(socketPath, { kind: 'status' })) if (answer.kind === 'status') over = answer.status.partitions.filter(({ sealed }) => !sealed).length;
      if (over <= 1) break;
      await new Promise(resolve => setTimeout(resolve, 500));
    }
    console.log(`summed up; store CPU in all ${cpuSeconds(store.pid).toFixed(1)} s, ${memory(store.pid)}`);
    await store.stop();
    const bytes = readdirSync(folder).filter(name => name.endsWith('.duckdb')).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
    console.log(`${Math.round(bytes / 1e6)} MB on the disk, ${(bytes / Number(values.flows)).toFixed(1)} bytes a flow`);
  }
  const store = await start();
  for (const [name, query] of Object.entries(questions)) {
    const cold = await ask(query);
    const warm = [];
    for (let i = 0; i < 5; i++) warm.push((await ask(query)).ms);
    warm.sort((a, b) => a - b);
    console.log(`${name}: ${cold.rows} rows, first ${cold.ms.toFixed(0)} ms, then ${warm[2]!.toFixed(0)} ms (${warm[0]!.toFixed(0)}–${warm[4]!.toFixed(0)})`);
  }
  console.log(`store: ${memory(store.pid)}`);
  await store.stop();
  if (!values.keep && !values.ask) rmSync(folder, { recursive: true, force: true });
}

await main();
if (!values.serve) process.exit(0);
