import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { createInterface, type Interface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { WorkerCounts } from './worker.ts';

/** Node has some thirty for itself; each connection takes two. */
const descriptors = 80;
const clients = 60;

interface Said {
  readonly connections: number;
  readonly refused: WorkerCounts['refused'];
  readonly processorMs: number;
}

describe('no descriptor is left', { timeout: 60_000 }, () => {
  const server = createServer({ keepAliveTimeout: 60_000 }, (_, response) => response.end('ok'));
  let child: ChildProcess;
  let lines: Interface;
  let port = 0;

  const next = async () => ((await once(lines, 'line')) as [string])[0];
  const say = async (): Promise<Said> => {
    const line = next();
    child.stdin!.write('\n');
    return JSON.parse(await line) as Said;
  };

  before(async () => {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const upstream = (server.address() as AddressInfo).port;
    child = spawn('prlimit', [`--nofile=${descriptors}:${descriptors}`, process.execPath, fileURLToPath(new URL('./testing-descriptors.ts', import.meta.url)), String(upstream)], { stdio: ['pipe', 'pipe', 'inherit'] });
    lines = createInterface({ input: child.stdout! });
    port = Number(await next());
  });
  after(() => {
    child.kill('SIGKILL');
    server.closeAllConnections();
    server.close();
  });

  /** Stays open when it was served: what it got. */
  function ask(): Promise<{ readonly socket: Socket; readonly got: 'answer' | 'unavailable' | 'reset' }> {
    return new Promise(resolve => {
      const socket = connect(port, '127.0.0.1');
      socket.write('GET /public HTTP/1.1\r\nhost: a\r\n\r\n');
      socket.once('data', data => resolve({ socket, got: data.toString('latin1').startsWith('HTTP/1.1 200') ? 'answer' : 'unavailable' }));
      socket.once('close', () => resolve({ socket, got: 'reset' }));
      socket.on('error', () => {});
    });
  }

  test('who comes then is reset at once instead of waiting; what is open goes on, and later ones are served again', async () => {
    const asked: Awaited<ReturnType<typeof ask>>[] = [];
    for (let i = 0; i < clients; i++) asked.push(await ask());
    const of = (kind: string) => asked.filter(({ got }) => got === kind);
    assert.ok(of('answer').length >= 5, `${of('answer').length} were served`);
    assert.ok(of('reset').length >= 20, `${of('reset').length} were reset`);
    const { refused, processorMs } = await say();
    assert.equal(refused.descriptors, of('reset').length, 'each of them by name');
    const [first] = of('answer');
    const again = once(first!.socket, 'data') as Promise<[Buffer]>;
    first!.socket.write('GET /public HTTP/1.1\r\nhost: a\r\n\r\n');
    assert.match((await again)[0].toString('latin1'), /^HTTP\/1.1 200/);
    // A listening socket that nobody can accept from would be reported without end.
    await new Promise(resolve => setTimeout(resolve, 1000));
    assert.ok((await say()).processorMs - processorMs < 500, 'nothing goes round in circles');
    for (const { socket } of asked) socket.destroy();
    while ((await say()).connections > 0) await new Promise(resolve => setTimeout(resolve, 10));
    const last = await ask();
    assert.equal(last.got, 'answer');
    last.socket.destroy();
  });
});
