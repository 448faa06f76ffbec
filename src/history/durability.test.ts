import assert from 'node:assert/strict';
import { execFileSync, fork, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync, openSync, writeSync, closeSync, mkdirSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { DuckDBInstance } from '@duckdb/node-api';
import { waitFor } from '../std/async.ts';
import { silentLogger } from '../std/log.ts';
import { HistoryFeed } from './feed.ts';
import { queryHistory } from './client.ts';
import type { HistoryStatus } from '../model/history.ts';
import { formatVersion } from './schema.ts';
import { flowView, TestHistory, TestWorld } from './testing.ts';
import { timeNs } from './time.ts';

const since = timeNs('2026-11-20T00:00:00Z');
const hour = 3_600_000_000_000n;
const small = { namespaces: 2, workloads: 4, pods: 10, outside: 5 };

async function statusOf(history: TestHistory): Promise<HistoryStatus> {
  for (const answer of await history.ask({ kind: 'status' })) if (answer.kind === 'status') return answer.status;
  throw new Error('no status');
}

test('a store that is killed in the middle of inserts loses nothing: the feed sends again what was not on the disk', { timeout: 60_000 }, async t => {
  const folder = mkdtempSync(join(tmpdir(), 'cirri-history-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const socketPath = join(folder, 'history.sock');
  const start = async () => {
    const child = fork(fileURLToPath(new URL('./testing-store.ts', import.meta.url)), [folder, socketPath], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    await once(child, 'message');
    return child;
  };
  let child = await start();
  t.after(() => child.kill('SIGKILL'));
  const stop = new AbortController();
  const feed = new HistoryFeed({ socketPath, nodeName: 'node1' }, silentLogger);
  feed.start(stop.signal);
  const flows = [...new TestWorld(small).flows(60_000, since, since + hour)];
  for (const [i, flow] of flows.entries()) {
    feed.flow(flowView(flow));
    if (i % 1000 === 999) await new Promise(resolve => setImmediate(resolve));
    if (i % 20_000 === 19_999) {
      await waitFor('some of it is on the disk', () => (feed.settle(), feed.status.committed > i - 15_000), { timeoutMs: 20_000 });
      child.kill('SIGKILL');
      await once(child, 'exit');
      child = await start();
    }
  }
  await waitFor('all of it is on the disk', () => (feed.settle(), feed.status.committed === flows.length), { timeoutMs: 30_000 });
  const found: string[] = [];
  for await (const answer of queryHistory(socketPath, { kind: 'flows' })) if (answer.kind === 'flows') found.push(...answer.flows.map(({ id }) => id));
  assert.deepEqual(found, flows.map(({ id }) => id), 'nothing missing, nothing twice, in order');
  stop.abort();
  await feed.stop();
});

test('an agent that ended without a word leaves a gap; one that said good-bye does not', async () => {
  await using history = await TestHistory.start();
  const flows = [...new TestWorld(small).flows(30, since, since + hour)];
  await history.record(flows.slice(0, 10));
  await history.record(flows.slice(10, 20));
  assert.deepEqual((await statusOf(history)).gaps, []);
  const feed = history.feed();
  for (const flow of flows.slice(20)) feed.flow(flowView(flow));
  await waitFor('they are on the disk', () => (feed.settle(), feed.status.committed === 10));
  feed.abandon();
  const next = history.feed();
  await waitFor('the next feed is there', () => next.status.connected);
  next.flow(flowView(flows[0]!));
  await waitFor('it is on the disk', () => (next.settle(), next.status.committed === 1));
  const [gap, ...others] = (await statusOf(history)).gaps;
  assert.equal(others.length, 0);
  assert.ok(gap && gap.class === 'agent' && gap.count === undefined && gap.since < gap.until);
});

test('what finds no room while the store is away is counted, and the count is a gap in the record', async () => {
  await using history = await TestHistory.start();
  await history.end();
  const feed = new HistoryFeed({ socketPath: history.socketPath, nodeName: 'node1', backlog: 2 }, silentLogger);
  const stop = new AbortController();
  feed.start(stop.signal);
  const flows = [...new TestWorld(small).flows(20_000, since, since + hour)];
  for (const flow of flows) feed.flow(flowView(flow));
  const kept = 3 * 4096;
  assert.equal(feed.status.lost, flows.length - kept);
  await history.begin();
  await waitFor('the rest is on the disk', () => (feed.settle(), feed.status.committed === kept && feed.status.waiting === 0), { timeoutMs: 20_000 });
  await waitFor('so is the gap', async () => (feed.settle(), (await statusOf(history)).gaps.length === 1), { timeoutMs: 20_000 });
  const [gap] = (await statusOf(history)).gaps;
  assert.deepEqual([gap!.class, gap!.count, gap!.since, gap!.until], ['backlog', flows.length - kept, flows[kept]!.time, flows.at(-1)!.time]);
  const answers = await history.ask({ kind: 'groups', by: ['verdict'], since: flows[kept]!.time });
  const end = answers.at(-1);
  assert.ok(end?.kind === 'end' && end.gaps.length === 1, 'every answer about that time says so');
  stop.abort();
  await feed.stop();
});

for (const [how, damage] of [
  ['overwritten', (path: string) => overwrite(path)],
  ['cut off', (path: string) => truncateSync(path, Math.floor(statSync(path).size / 2))],
  ['no database at all', (path: string) => writeFileSync(path, 'this is no database')],
] as const) {
  test(`a file that is ${how} is set aside by name, said in the status and as a gap; the rest is read, and recording goes on`, { timeout: 60_000 }, async () => {
    await using history = await TestHistory.start();
    const world = new TestWorld(small);
    const [first, second] = [[...world.flows(3000, since, since + hour)], [...world.flows(2000, since + 24n * hour, since + 25n * hour)]];
    await history.record(first);
    await history.record(second);
    await history.end();
    const [name] = readdirSync(history.folder).filter(file => file.endsWith('.duckdb')).sort();
    damage(join(history.folder, name!));
    await history.begin();
    // Some damage shows only when the data are read.
    assert.equal((await history.flows()).length, second.length);
    const status = await statusOf(history);
    assert.equal(status.setAside.length, 1);
    assert.match(status.setAside[0]!, /^history\.corrupt-.*flows-20261120-0001\.duckdb$/);
    assert.ok(status.gaps.some(gap => gap.class === 'store' && gap.since.startsWith('2026-11-20')));
    const third = [...world.flows(10, since + 26n * hour, since + 27n * hour)];
    await history.record(third);
    assert.equal((await history.flows()).length, second.length + third.length);
  });
}

function overwrite(path: string): void {
  const file = openSync(path, 'r+');
  const { size } = statSync(path);
  for (let at = 12_288; at < size; at += 4096) writeSync(file, Buffer.alloc(2048, 0xa5), 0, 2048, at);
  closeSync(file);
}

test('a file of a newer store is left as it is', async () => {
  await using history = await TestHistory.start();
  await history.record([...new TestWorld(small).flows(100, since, since + hour)]);
  await history.end();
  const [name] = readdirSync(history.folder).filter(file => file.endsWith('.duckdb'));
  const path = join(history.folder, name!);
  const instance = await DuckDBInstance.create(path);
  const connection = await instance.connect();
  await connection.run(`UPDATE format SET version = ${formatVersion + 1}`);
  connection.closeSync();
  instance.closeSync();
  const { mtimeMs } = statSync(path);
  await history.begin();
  const status = await statusOf(history);
  assert.match(status.problem ?? '', /newer version/);
  assert.equal(status.flows, 0);
  await history.record([...new TestWorld(small).flows(10, since, since + hour)]);
  assert.equal((await history.flows()).length, 10);
  assert.equal(statSync(path).mtimeMs, mtimeMs);
  assert.equal(readdirSync(history.folder).filter(file => file.endsWith('.duckdb')).length, 2);
});

test('retention: by days and by size, whole files at a time, and answers keep to the days exactly', async () => {
  let now = Date.parse('2026-11-24T12:00:00Z');
  await using history = await TestHistory.start({ days: 2, now: () => now });
  const world = new TestWorld(small);
  // One flow an hour for five days.
  for (let day = 0n; day < 5n; day++) await history.record([...world.flows(24, since + day * 24n * hour, since + (day + 1n) * 24n * hour)]);
  assert.equal((await history.flows()).length, 12 + 24 + 24, 'from 22 November, 12:00 on');
  const stop = new AbortController();
  while (await history.store.tidy(stop.signal));
  assert.deepEqual(readdirSync(history.folder).filter(name => name.endsWith('.duckdb')).map(name => name.slice(6, 14)), ['20261122', '20261123', '20261124']);
  now = Date.parse('2026-12-24T12:00:00Z');
  await history.store.tidy(stop.signal);
  assert.equal((await history.flows()).length, 0);
});

test('retention by size removes the oldest files until the rest fits', async () => {
  await using history = await TestHistory.start({ maxMegabytes: 16 });
  const world = new TestWorld(small);
  const stop = new AbortController();
  for (let day = 0n; day < 8n; day++) await history.record([...world.flows(20_000, since + day * 24n * hour, since + (day + 1n) * 24n * hour)]);
  const before = readdirSync(history.folder).filter(name => name.endsWith('.duckdb')).length;
  while (await history.store.tidy(stop.signal));
  await history.store.tidy(stop.signal);
  const status = await statusOf(history);
  assert.ok(status.bytes <= 17 << 20, `${status.bytes} bytes`);
  assert.ok(status.partitions.length < before && status.partitions.length > 1);
  assert.ok(status.partitions.at(-1)!.until.startsWith('2026-11-27'), 'the newest stays');
});

test('on a full disk writing stops and is counted; with room it goes on', { timeout: 60_000 }, async t => {
  const folder = mkdtempSync(join(tmpdir(), 'cirri-history-disk-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', folder]);
  t.after(() => {
    spawnSync('umount', [folder]);
    rmSync(folder, { recursive: true, force: true });
  });
  mkdirSync(join(folder, 'history'));
  await using history = await TestHistory.start({ folder: join(folder, 'history'), reserveMegabytes: 2 });
  const world = new TestWorld(small);
  await history.record([...world.flows(1000, since, since + hour)]);
  const filling = join(folder, 'filling');
  const fillerBytes = 24 << 20;
  try {
    writeFileSync(filling, Buffer.alloc(fillerBytes));
  } catch {
    // As much as there was room for.
  }
  const feed = history.feed({ backlog: 2 });
  await waitFor('the feed is there', () => feed.status.connected);
  for (const flow of world.flows(20_000, since + hour, since + 2n * hour)) feed.flow(flowView(flow));
  await waitFor('the store says that the disk is full', async () => (await statusOf(history)).state === 'full', { timeoutMs: 20_000 });
  assert.ok(feed.status.lost > 0);
  assert.equal((await history.flows()).length, 1000, 'what was recorded is still read');
  rmSync(filling);
  await waitFor('it is written again', () => (feed.settle(), feed.status.waiting === 0), { timeoutMs: 20_000 });
  await waitFor('so is the gap', async () => (feed.settle(), (await statusOf(history)).gaps.some(gap => gap.class === 'disk' && gap.count === feed.status.lost)), { timeoutMs: 20_000 });
  assert.equal((await statusOf(history)).state, 'recording');
});

test('agents that come and go without a word disturb no commit', async () => {
  await using history = await TestHistory.start();
  const world = new TestWorld(small);
  const feed = history.feed();
  feed.flow(flowView(world.flow(since)));
  await waitFor('the first flow', () => (feed.settle(), feed.status.committed === 1), { timeoutMs: 10_000 });
  const [partition] = history.store.partitions;
  let sent = 1;
  for (let i = 0; i < 10; i++) {
    const other = history.feed();
    for (let j = 0; j < 5_000; j++) feed.flow(flowView(world.flow(since + BigInt(sent++))));
    other.flow(flowView(world.flow(since + BigInt(sent))));
    await waitFor('the other agent', () => (feed.settle(), other.settle(), other.status.committed === 1), { timeoutMs: 20_000, everyMs: 2 });
    other.abandon();
  }
  await waitFor('all flows', () => (feed.settle(), feed.status.committed === sent), { timeoutMs: 30_000 });
  const status = await statusOf(history);
  assert.deepEqual([status.flows, status.state, feed.status.lost], [sent + 10, 'recording', 0]);
  assert.equal(history.store.partitions[0], partition, 'nothing had to be opened again');
});
