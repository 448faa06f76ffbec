import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { bringDown } from '../../cluster/down.ts';
import { ensureNetwork, hostPrefixes } from '../../cluster/network.ts';
import { freeSubnet, makeRecord } from '../../cluster/record.ts';
import { statePaths } from '../../model/cluster.ts';
import { cgroupRoot } from '../../sys/cgroup.ts';
import { ProbeHelper } from './helper.ts';
import type { End, PodResult, ProbeOrder } from './protocol.ts';

const instance = `tp${process.pid % 100000}`;
const state = mkdtempSync(join(tmpdir(), 'cirri-probe-'));
const paths = statePaths(instance, state);
const record = makeRecord({ instance, version: '0', nodes: 2, subnet: freeSubnet(hostPrefixes())!, routing: 'tunnel', apiserverPort: 1 });
const silent = { step: <T>(_: string, run: () => T | Promise<T>) => Promise.resolve(run()), note: () => {} };
const [one, two] = record.nodes as readonly [(typeof record.nodes)[0], (typeof record.nodes)[0]];
let helper: ProbeHelper;
let server: ChildProcess;
let nextId = 1;

before(async () => {
  ensureNetwork(record, paths);
  const cgroup = `${cgroupRoot()}/${instance}/node1`;
  mkdirSync(cgroup, { recursive: true });
  helper = new ProbeHelper({ label: 'node1', netns: paths.node('node1').netns, cgroup });
  const code = `
    const answer = { http: (q, r) => { r.statusCode = q.url === '/secret' ? 403 : 200; r.end(q.headers['x-who'] ?? ''); } };
    require('node:http').createServer(answer.http).listen(8080, '::', () => {
      const udp = require('node:dgram').createSocket('udp6');
      udp.on('message', (m, from) => udp.send(m, from.port, from.address));
      udp.bind(5353, '::', () => console.log('ready'));
    });`;
  server = spawn('nsenter', [`--net=${paths.node('node2').netns}`, process.execPath, '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise<void>(resolve => void server.stdout!.once('data', () => resolve()));
});
after(async () => {
  helper.close();
  server.kill('SIGKILL');
  await bringDown({ instance, paths, keepState: false }, silent);
  rmSync(state, { recursive: true, force: true });
});

async function probe(order: Partial<ProbeOrder>): Promise<{ result: PodResult; source: End | undefined }> {
  let source: End | undefined;
  const full: ProbeOrder = { id: nextId++, host: two.underlay4, family: 0, dns: { server: two.underlay4, search: [] }, port: 8080, protocol: 'TCP', timeoutMs: 10_000, ...order };
  const result = await helper.run(full, { onSource: end => (source = end) });
  return { result, source };
}

test('TCP: allowed, with both ends; refused where nobody listens', async () => {
  const { result, source } = await probe({});
  assert.equal(result.outcome, 'allowed');
  assert.equal(source?.ip, one.underlay4);
  assert.deepEqual(result.source, source);
  assert.deepEqual(result.peer, { ip: two.underlay4, port: 8080 });
  assert.equal((await probe({ port: 9 })).result.outcome, 'refused');
  assert.equal((await probe({ host: two.underlay6 })).result.outcome, 'allowed');
});

test('HTTP: the status comes through, headers go out', async () => {
  const http = { method: 'GET', path: '/', headers: [['X-Who', 'me']] as const, host: 'x' };
  assert.equal((await probe({ http })).result.httpStatus, 200);
  assert.equal((await probe({ http: { ...http, path: '/secret' } })).result.httpStatus, 403);
});

test('UDP: an answer is needed', async () => {
  assert.equal((await probe({ protocol: 'UDP', port: 5353 })).result.outcome, 'allowed');
  assert.equal((await probe({ protocol: 'UDP', port: 5353, host: two.underlay6 })).result.outcome, 'allowed');
  assert.equal((await probe({ protocol: 'UDP', port: 9 })).result.outcome, 'refused');
});

test('ICMP: an echo with an identifier of its own, both families', async () => {
  const { result, source } = await probe({ protocol: 'ICMP' });
  assert.equal(result.outcome, 'allowed', result.error ?? '');
  assert.equal(source?.ip, one.underlay4);
  assert.ok(source.port > 0);
  assert.equal((await probe({ protocol: 'ICMP', host: two.underlay6 })).result.outcome, 'allowed');
});

test('silence is a timeout, and can be cut short', async () => {
  const startedAt = performance.now();
  // Nobody has this address: the neighbour never answers.
  const host = two.underlay4.replace(/\d+$/, '99');
  assert.equal((await probe({ host, timeoutMs: 200 })).result.outcome, 'timed-out');
  const order: ProbeOrder = { id: nextId++, host, family: 0, dns: { server: host, search: [] }, port: 80, protocol: 'TCP', timeoutMs: 60_000 };
  const { outcome } = await helper.run(order, { onSource: () => helper.cancel(order.id) });
  assert.equal(outcome, 'timed-out');
  assert.ok(performance.now() - startedAt < 5_000);
});

test('a name that the DNS server does not answer for is unreachable, and says so', async () => {
  const { result } = await probe({ host: 'web.shop', dns: { server: two.underlay4, search: ['svc.cluster.local'] } });
  assert.equal(result.outcome, 'unreachable');
  assert.match(result.error ?? '', /DNS .* did not answer for web\.shop\.svc\.cluster\.local/);
});

test('hundreds at once', async () => {
  const results = await Promise.all(Array.from({ length: 300 }, () => probe({})));
  assert.ok(results.every(({ result }) => result.outcome === 'allowed'));
});
