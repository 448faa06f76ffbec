import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, createServer, request } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { ProxyStatus } from '../model/l7-proxy.ts';
import { waitFor } from '../std/async.ts';
import { ask, KeptForTests, TestingProxies, type TestingProxy } from './testing-process.ts';
import { freePort } from '../std/testing-port.ts';

const proxies = new TestingProxies();
const { folder } = proxies;
after(() => proxies[Symbol.dispose]());

const startProxy = (name: string, listen: string, upstream: number, ...more: string[]) => proxies.start(name, listen, upstream, ...more);

async function startHttp(): Promise<number> {
  const server = createServer((incoming, response) => setTimeout(() => response.end(`you asked for ${incoming.url}`), 3));
  server.keepAliveTimeout = 60_000;
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  after(() => (server.closeAllConnections(), server.close()));
  return (server.address() as AddressInfo).port;
}

function get(port: number, path: string, agent: Agent): Promise<string> {
  return new Promise((resolve, reject) => {
    const call = request({ port, host: '127.0.0.1', path, agent }, response => {
      let text = '';
      response.on('data', chunk => (text += String(chunk)));
      response.on('end', () => resolve(text));
      response.on('error', reject);
    });
    call.on('error', reject);
    call.end();
  });
}

test('a new process takes the place of a running one: no request fails, connections live on, the old one ends', async () => {
  const upstream = await startHttp();
  const port = await freePort();
  const old = await startProxy('handover', `127.0.0.1:${port}`, upstream);
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  let sent = 0;
  let stopping = false;
  const local = new Set<number>();
  agent.on('free', socket => local.add((socket as { localPort: number }).localPort));
  const clients = Array.from({ length: 8 }, async (_, client) => {
    while (!stopping) {
      const path = `/${client}/${sent++}`;
      assert.equal(await get(port, path, agent), `you asked for ${path}`);
    }
  });
  while (sent < 200) await new Promise(resolve => setTimeout(resolve, 5));
  const next = await startProxy('handover', `127.0.0.1:${port}`, upstream);
  await old.exited;
  assert.equal(old.child.exitCode, 0);
  const before = sent;
  while (sent < before + 200) await new Promise(resolve => setTimeout(resolve, 5));
  stopping = true;
  await Promise.all(clients);
  const status = await ask<ProxyStatus>(next.socket, '/v1/status');
  assert.equal(status.pid, next.child.pid);
  assert.equal(status.takenOver, 8);
  assert.equal(local.size, 8, 'no client had to connect again');
  agent.destroy();
});

test('after kill -9 the listening socket lives on with who kept it: who connects meanwhile waits, and is served by the next process', async () => {
  const upstream = await startHttp();
  const port = await freePort();
  const kept = await KeptForTests.start(join(folder, 'kill-l7.sock'));
  const first = await startProxy('kill', `127.0.0.1:${port}`, upstream);
  await kept.waitForListeners();
  const agent = new Agent({ keepAlive: true });
  assert.equal(await get(port, '/a', agent), 'you asked for /a');
  first.child.kill('SIGKILL');
  await first.exited;
  const waiting = connect(port, '127.0.0.1');
  await once(waiting, 'connect');
  waiting.write('GET /waited HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
  const startedAt = performance.now();
  await startProxy('kill', `127.0.0.1:${port}`, upstream);
  let text = '';
  for await (const chunk of waiting) text += String(chunk);
  assert.match(text, /you asked for \/waited/);
  assert.ok(performance.now() - startedAt < 10_000);
  kept.close();
  agent.destroy();
});

test('a spare goes on at once after kill -9: nothing is started, nobody is told, and the sockets need no keeper', async () => {
  const upstream = await startHttp();
  const port = await freePort();
  const first = await startProxy('spare', `127.0.0.1:${port}`, upstream);
  const socket = first.socket;
  const chain = [first, await startProxy('spare', `127.0.0.1:${port}`, upstream, '--spare')];
  const standsBy = async (pid: number) => {
    while ((await ask<ProxyStatus>(socket, '/v1/status')).spare?.pid !== pid) await new Promise(resolve => setTimeout(resolve, 5));
  };
  for (let round = 0; round < 3; round++) {
    const [dying, spare] = chain.slice(-2) as [typeof first, typeof first];
    await standsBy(spare.child.pid!);
    const before = await get(port, '/before', new Agent());
    assert.equal(before, 'you asked for /before');
    dying.child.kill('SIGKILL');
    await dying.exited;
    // It has bound nothing of its own and is not told by anybody: that the socket takes connections is the spare's doing.
    assert.equal(await get(port, '/after', new Agent()), 'you asked for /after');
    while ((await ask<ProxyStatus>(socket, '/v1/status').catch(() => undefined))?.pid !== spare.child.pid) await new Promise(resolve => setTimeout(resolve, 5));
    spare.child.kill('SIGUSR2');
    chain.push(await startProxy('spare', `127.0.0.1:${port}`, upstream, '--spare'));
  }
});

test('a spare follows a restart: it stands by beside the new process, and ends when it is asked to', async () => {
  const upstream = await startHttp();
  const port = await freePort();
  const old = await startProxy('follows', `127.0.0.1:${port}`, upstream);
  const spare = await startProxy('follows', `127.0.0.1:${port}`, upstream, '--spare');
  const status = () => ask<ProxyStatus>(old.socket, '/v1/status').catch(() => undefined);
  while ((await status())?.spare?.pid !== spare.child.pid) await new Promise(resolve => setTimeout(resolve, 5));
  const next = await startProxy('follows', `127.0.0.1:${port}`, upstream);
  await old.exited;
  for (let said = await status(); said?.pid !== next.child.pid || said?.spare?.pid !== spare.child.pid; said = await status()) await new Promise(resolve => setTimeout(resolve, 5));
  spare.child.kill('SIGTERM');
  await spare.exited;
  assert.equal(spare.child.exitCode, 0);
  assert.equal((await status())!.pid, next.child.pid);
});

test('under 60 MB resident with HTTP rules loaded, the one that works and its spare', async () => {
  const upstream = await startHttp();
  const port = await freePort();
  const set = join(folder, 'memory.json');
  writeFileSync(set, JSON.stringify({ protocol: 'http', rules: [{ rule: 1, path: '/public.*', headers: [] }] }));
  const start = (...more: string[]) => startProxy('memory', `127.0.0.1:${port}`, upstream, '--set', set, ...more);
  // The first leaves Node's compile cache behind: those that compile for themselves are larger.
  const first = await start();
  assert.equal(await get(port, '/public', new Agent()), 'you asked for /public');
  first.child.kill('SIGTERM');
  await first.exited;
  await start();
  await start('--spare');
  assert.equal(await get(port, '/public', new Agent()), 'you asked for /public');
  await waitFor('both to be small', async () => {
    const { rssBytes, spare } = await ask<ProxyStatus>(first.socket, '/v1/status');
    return spare && rssBytes < 60e6 && spare.rssBytes < 60e6 ? true : undefined;
  }, { timeoutMs: 30_000 });
});

test('a process rehearses before it takes a place, a spare while it stands by, and the first while nobody is served', async () => {
  const upstream = await startHttp();
  const port = await freePort();
  const set = join(folder, 'warm.json');
  writeFileSync(set, JSON.stringify({ protocol: 'http', rules: [{ rule: 1, path: '/public.*', headers: [] }] }));
  const start = (...more: string[]) => startProxy('warm', `127.0.0.1:${port}`, upstream, '--set', set, ...more);
  const isWarm = async ({ said }: TestingProxy) => waitFor('a rehearsal', () => (said().includes('"warm"') ? true : undefined), { timeoutMs: 30_000 });
  const first = await start();
  assert.ok(!first.said().includes('"warm"'), 'nobody waits for it when there is nobody to take over from');
  await isWarm(first);
  const next = await start();
  assert.match(next.said(), /"warm"[^]*"ready"/);
  await isWarm(await start('--spare'));
  assert.equal(await get(port, '/public', new Agent()), 'you asked for /public');
});

test('a process that dies while it takes over leaves everything to the old one', async () => {
  const upstream = await startHttp();
  const port = await freePort();
  const { child, socket } = await startProxy('abandoned', `127.0.0.1:${port}`, upstream);
  const agent = new Agent({ keepAlive: true });
  assert.equal(await get(port, '/before', agent), 'you asked for /before');
  // One that says that it listens, is offered the idle connection, and goes without taking it.
  const call = connect(socket);
  call.write('POST /v1/handover HTTP/1.1\r\n\r\n');
  let lines = '';
  for await (const chunk of call) {
    lines += String(chunk);
    if (lines.includes('"listeners"') && !lines.includes('offer')) call.write('{"listening":true}\n');
    if (lines.includes('offer')) break;
  }
  call.destroy();
  assert.equal(await get(port, '/after', agent), 'you asked for /after');
  assert.equal(child.exitCode, null);
  assert.equal((await ask<ProxyStatus>(socket, '/v1/status')).draining, false);
  assert.ok(existsSync(socket));
  agent.destroy();
});

test('a process whose successor died in its place takes the place again, and the next one takes over from it', async () => {
  const upstream = await startHttp();
  const port = await freePort();
  const old = await startProxy('again', `127.0.0.1:${port}`, upstream);
  const agent = new Agent({ keepAlive: true });
  assert.equal(await get(port, '/before', agent), 'you asked for /before');
  await abandon(old.socket, true);
  assert.equal(await get(port, '/between', agent), 'you asked for /between');
  await waitFor('it to be found again', async () => ((await ask<ProxyStatus>(old.socket, '/v1/status').catch(() => undefined))?.pid === old.child.pid ? true : undefined), { timeoutMs: 10_000 });
  const next = await startProxy('again', `127.0.0.1:${port}`, upstream);
  await old.exited;
  assert.equal(old.child.exitCode, 0);
  assert.equal(await get(port, '/after', agent), 'you asked for /after');
  assert.equal((await ask<ProxyStatus>(next.socket, '/v1/status')).takenOver, 1);
  agent.destroy();
});

test('a process whose successor died leaves when another works in its place, and its clients are told', async () => {
  const upstream = await startHttp();
  const port = await freePort();
  const kept = await KeptForTests.start(join(folder, 'left-l7.sock'));
  const set = join(folder, 'left.json');
  writeFileSync(set, JSON.stringify({ protocol: 'http', rules: [{ rule: 1, path: '/.*', headers: [] }] }));
  const old = await startProxy('left', `127.0.0.1:${port}`, upstream, '--set', set);
  await kept.waitForListeners();
  const agent = new Agent({ keepAlive: true });
  assert.equal(await get(port, '/before', agent), 'you asked for /before');
  // The place is taken while nobody answers there: the new one has the listening sockets from their keeper.
  renameSync(old.socket, `${old.socket}.old`);
  const next = await startProxy('left', `127.0.0.1:${port}`, upstream, '--set', set);
  await abandon(`${old.socket}.old`, false);
  const left = old.exited.then(() => true);
  while (!(await Promise.race([left, get(port, '/after', agent).then(said => said !== 'you asked for /after')])));
  assert.equal(old.child.exitCode, 0);
  assert.equal(await get(port, '/then', agent), 'you asked for /then');
  assert.equal((await ask<ProxyStatus>(next.socket, '/v1/status')).pid, next.child.pid);
  kept.close();
  agent.destroy();
});

/** As one that says that it listens, and dies. `takesPlace`: it has taken the control socket's place before. */
async function abandon(socket: string, takesPlace: boolean): Promise<void> {
  const call = connect(socket);
  call.on('error', () => {});
  call.write('POST /v1/handover HTTP/1.1\r\n\r\n');
  await new Promise<void>(resolve => call.on('data', chunk => String(chunk).includes('"listeners"') && resolve()));
  call.write('{"listening":true}\n');
  while (!(await ask<ProxyStatus>(socket, '/v1/status')).draining) await new Promise(resolve => setTimeout(resolve, 5));
  if (takesPlace) rmSync(socket);
  call.destroy();
}
