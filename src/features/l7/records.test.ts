import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { L7Record } from '../../flows/l7-record.ts';
import type { KeptListeners } from '../../model/l7-proxy.ts';
import { parseAddr } from '../../std/ip.ts';
import { silentLogger } from '../../std/log.ts';
import { closeSocket, ownAddress } from '../../sys/net.ts';
import { listenOn } from '../../sys/streams.ts';
import { L7Listener } from './records.ts';

const folder = mkdtempSync(join(tmpdir(), 'cirri-l7-'));
after(() => rmSync(folder, { recursive: true }));

function started(name: string): { listener: L7Listener; path: string; taken: L7Record[] } {
  const taken: L7Record[] = [];
  const listener = new L7Listener({ take: record => void taken.push(record), http: () => assert.fail('no frame'), service: key => (key === 4 ? { ip: '10.96.0.1', port: 80 } : undefined), log: silentLogger });
  const path = join(folder, name);
  listener.listen(path);
  after(() => listener.close());
  return { listener, path, taken };
}

async function until(what: () => boolean): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!what()) {
    assert.ok(performance.now() < deadline);
    await new Promise(resolve => setTimeout(resolve, 2));
  }
}

const ends = ['10.0.0.1', 1000, '10.0.0.2', 80, 11, 12, 1, 2] as const;
const http = { method: 'GET', url: 'http://x/', protocol: 'HTTP/1.1' };

test('a request goes from the client to the server, its answer back; lines that arrive in pieces are whole', async () => {
  const { listener, path, taken } = started('a.sock');
  const socket = connect(path);
  const text = [
    [5_000_001, ...ends, 4, 'DROPPED', 'INGRESS', 7, { type: 'REQUEST', http }, 'abc'],
    [5_000_002, ...ends, 0, 'FORWARDED', 'INGRESS', 7, { type: 'RESPONSE', latencyNs: 9000, http: { ...http, code: 403 } }],
  ].map(line => JSON.stringify(line) + '\n').join('');
  socket.write(text.slice(0, 40));
  await new Promise(resolve => setImmediate(resolve));
  socket.write(`${text.slice(40)}{"lost":3}\nnonsense\n`);
  await until(() => taken.length === 2 && listener.lost === 3 && listener.notUnderstood === 1);
  const [request, answer] = taken as [L7Record, L7Record];
  assert.deepEqual([request.source, request.destination], [{ ip: '10.0.0.1', port: 1000, identity: 11, endpoint: 1 }, { ip: '10.0.0.2', port: 80, identity: 12, endpoint: 2 }]);
  assert.deepEqual([request.timeNs, request.verdict, request.rule, request.traceId, request.service], [5_000_001_000n, 'DROPPED', 7, 'abc', { ip: '10.96.0.1', port: 80 }]);
  assert.deepEqual([answer.source, answer.destination, answer.service], [request.destination, request.source, undefined]);
  assert.deepEqual(Object.fromEntries(listener.counts), { http: { received: 2, forwarded: 1, denied: 1, failed: 0 } });
  socket.destroy();
});

test('the listening sockets of a worker outlive it, and the next one is told where they are', async () => {
  const { path } = started('b.sock');
  const fd = listenOn({ addr: parseAddr('127.0.0.1'), port: 0 });
  const { port } = ownAddress(fd)!;
  const worker = connect(path);
  worker.write(JSON.stringify({ hello: { pid: process.pid, worker: 1, listeners: [fd] } }) + '\n');
  let kept: KeptListeners = { pid: 0, listeners: {} };
  await new Promise<void>((resolve, reject) => {
    const ask = (left: number) => {
      const next = connect(path).once('data', chunk => {
        kept = JSON.parse(String(chunk)) as KeptListeners;
        next.destroy();
        if (kept.listeners['1']) resolve();
        else if (left === 0) reject(new Error('never kept'));
        else setTimeout(ask, 5, left - 1);
      });
    };
    ask(500);
  });
  closeSocket(fd);
  worker.destroy();
  const client = connect(port, '127.0.0.1');
  await once(client, 'connect');
  assert.equal(kept.pid, process.pid);
  assert.equal(ownAddress(kept.listeners['1']![0]!)!.port, port);
  client.destroy();
});

test('a line without end is not collected for ever', async () => {
  const { path } = started('c.sock');
  const socket = connect(path);
  socket.on('error', () => {});
  const closed = new Promise(resolve => socket.once('close', resolve));
  socket.write('x'.repeat(1 << 20));
  await closed;
});
