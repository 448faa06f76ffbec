/** A proxy is replaced under load of clients whose connections cannot be handed on: TLS that ends here, and HTTP/2. No request may fail. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect, createSecureServer, createServer as createHttp2Server, type ClientHttp2Session } from 'node:http2';
import { Agent, request } from 'node:https';
import type { AddressInfo, Server, Socket } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import type { ProxyStatus } from '../model/l7-proxy.ts';
import { ask, TestingProxies, type TestingProxy } from './testing-process.ts';
import { freePort } from '../std/testing-port.ts';
import { TestingAuthority } from './tls/testing-certificates.ts';

const bytes = (value: Buffer) => value;
const service = {
  unary: { path: '/shop.Cart/Unary', requestStream: false, responseStream: false, requestSerialize: bytes, requestDeserialize: bytes, responseSerialize: bytes, responseDeserialize: bytes },
  bidi: { path: '/shop.Cart/Bidi', requestStream: true, responseStream: true, requestSerialize: bytes, requestDeserialize: bytes, responseSerialize: bytes, responseDeserialize: bytes },
};

describe('a new process takes the place of one that has', () => {
  const proxies = new TestingProxies();
  const authority = new TestingAuthority();
  const shop = authority.issue('shop.test');
  /** Requests of such a number and above are answered slowly: who has a number of them to ask for is not done before it has moved, however long that takes. */
  let slowFrom = Infinity;
  const afterMs = (url = '') => (Number(/\d+$/.exec(url)?.[0]) >= slowFrom ? 100 : 2);
  const answer = (asked: { url?: string | undefined }, response: { setHeader(name: string, value: string): unknown; end(data: string): unknown }) => {
    response.setHeader('connection', 'keep-alive');
    setTimeout(() => response.end(`you asked for ${asked.url}`), afterMs(asked.url));
  };
  const http1 = createServer({ keepAliveTimeout: 60_000 }, answer);
  const http2 = createHttp2Server((asked, response) => void setTimeout(() => response.end(`you asked for ${asked.url}`), 2));
  const secure = createSecureServer({ cert: shop.certificate, key: shop.key }, (asked, response) => void setTimeout(() => response.end(`you asked for ${asked.url}`), afterMs(asked.url)));
  const calls = new grpc.Server();
  const sockets = new Set<Socket>();
  let grpcPort = 0;

  before(async () => {
    for (const server of [http1, http2, secure] as Server[]) {
      server.on('connection', (socket: Socket) => void sockets.add(socket));
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
    }
    calls.addService(service, {
      unary: (call: grpc.ServerUnaryCall<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>) => void setTimeout(() => done(null, call.request), 2),
      bidi: (call: grpc.ServerDuplexStream<Buffer, Buffer>) => {
        call.on('data', (message: Buffer) => call.write(message));
        call.on('end', () => call.end());
      },
    });
    grpcPort = await new Promise<number>((resolve, reject) => calls.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) => (error ? reject(error) : resolve(bound))));
  });
  after(async () => {
    proxies[Symbol.dispose]();
    authority[Symbol.dispose]();
    calls.forceShutdown();
    for (const socket of sockets) socket.destroy();
    for (const server of [http1, http2, secure] as Server[]) {
      server.close();
      await once(server, 'close');
    }
  });

  const portOf = (server: unknown) => ((server as Server).address() as AddressInfo).port;
  const setFile = (name: string, set: object) => {
    const path = join(proxies.folder, `${name}.json`);
    writeFileSync(path, JSON.stringify(set));
    return ['--set', path];
  };
  const rules = [{ rule: 3, path: '/(public|shop[.]Cart).*', headers: [] }];
  const withTls = { protocol: 'http', rules, tls: { terminating: { certificate: shop.certificate, key: shop.key } } };
  const withBothTls = { ...withTls, tls: { ...withTls.tls, originating: { trustedCa: authority.certificate } } };

  async function replaced(name: string, set: object, upstream: number): Promise<{ readonly port: number; readonly old: TestingProxy; replace(): Promise<TestingProxy> }> {
    const port = await freePort();
    const more = setFile(name, set);
    const old = await proxies.start(name, `127.0.0.1:${port}`, upstream, ...more);
    return { port, old, replace: () => proxies.start(name, `127.0.0.1:${port}`, upstream, ...more) };
  }

  function get(port: number, path: string, agent: Agent): Promise<string> {
    return new Promise((resolve, reject) => {
      const call = request({ port, host: '127.0.0.1', servername: 'shop.test', ca: authority.certificate, path, agent }, response => text(response).then(resolve, reject));
      call.on('error', reject);
      call.end();
    });
  }

  test('HTTP/1.1 within TLS: each client is told with an answer that it is the last of its connection', async () => {
    const { port, old, replace } = await replaced('tls1', withTls, portOf(http1));
    const agent = new Agent({ keepAlive: true, maxSockets: 8 });
    let [sent, isOver] = [0, false];
    const clients = Array.from({ length: 8 }, async (_, client) => {
      while (!isOver) {
        const path = `/${sent % 5 === 0 ? 'denied' : 'public'}/${client}/${sent++}`;
        assert.equal(await get(port, path, agent), path.startsWith('/public') ? `you asked for ${path}` : 'Access denied\r\n');
      }
    });
    // Silent from here to the end: it is not cut off, and has its answer whenever it asks.
    const silent = new Agent({ keepAlive: true });
    await get(port, '/public/before', silent);
    const next = await replace();
    await Promise.race([Promise.all(clients), moved(next.socket, 8)]);
    const { connections } = await ask<ProxyStatus>(next.socket, '/v1/status');
    assert.ok(connections >= 8);
    assert.equal(old.child.exitCode, null);
    assert.equal(await get(port, '/public/after', silent), 'you asked for /public/after');
    await old.exited;
    assert.equal(old.child.exitCode, 0);
    isOver = true;
    await Promise.all(clients);
    for (const each of [agent, silent]) each.destroy();
  });

  /** Until as many clients have come to the new process. */
  async function moved(socket: string, count: number): Promise<void> {
    while ((await ask<ProxyStatus>(socket, '/v1/status')).connections < count) await new Promise(resolve => setTimeout(resolve, 20));
  }

  test('gRPC: calls go on at the new process, and one that runs ends at the old', async () => {
    const { port, old, replace } = await replaced('grpc', { protocol: 'http', rules }, grpcPort);
    // Calls that have not left the client when it hears GOAWAY fail within it; the library begins them again, as it should.
    const client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure());
    const stream = client.makeBidiStreamRequest(service.bidi.path, bytes, bytes);
    const heard: Buffer[] = [];
    stream.on('data', (message: Buffer) => heard.push(message));
    const status = once(stream, 'status') as Promise<[grpc.StatusObject]>;
    stream.write(Buffer.from('before'));
    let [done, isOver] = [0, false];
    const callers = Array.from({ length: 8 }, async () => {
      while (!isOver) {
        await new Promise<void>((resolve, reject) => client.makeUnaryRequest(service.unary.path, bytes, bytes, Buffer.from('x'), error => (error ? reject(error) : resolve())));
        done++;
      }
    });
    while (done < 100) await new Promise(resolve => setTimeout(resolve, 5));
    const next = await replace();
    await Promise.race([Promise.all(callers), moved(next.socket, 1)]);
    assert.equal(old.child.exitCode, null, 'a call still runs there');
    stream.write(Buffer.from('after'));
    stream.end();
    assert.equal((await status)[0].code, grpc.status.OK);
    assert.equal(Buffer.concat(heard).toString(), 'beforeafter');
    await old.exited;
    const before = done;
    while (done < before + 100) await new Promise(resolve => setTimeout(resolve, 5));
    isOver = true;
    await Promise.all(callers);
    client.close();
  });

  test('HTTP/2 in the clear: a client that heeds GOAWAY, with streams always under way, loses none', async () => {
    const { port, old, replace } = await replaced('h2c', { protocol: 'http', rules }, portOf(http2));
    let sessions = 0;
    let current: ClientHttp2Session | undefined;
    const session = () => {
      if (current) return current;
      const made = connect(`http://127.0.0.1:${port}`);
      sessions++;
      made.on('goaway', () => {
        if (current === made) current = undefined;
      });
      made.on('error', () => {});
      return (current = made);
    };
    let [sent, isOver] = [0, false];
    const callers = Array.from({ length: 8 }, async (_, caller) => {
      while (!isOver) {
        const path = `/public/${caller}/${sent++}`;
        const stream = session().request({ ':path': path });
        assert.equal(await text(stream), `you asked for ${path}`);
      }
    });
    while (sent < 100) await new Promise(resolve => setTimeout(resolve, 5));
    await replace();
    await Promise.race([Promise.all(callers), old.exited]);
    const before = sent;
    while (sent < before + 100) await new Promise(resolve => setTimeout(resolve, 5));
    isOver = true;
    await Promise.all(callers);
    assert.equal(sessions, 2);
    current!.close();
  });

  for (const [what, set, upstream, count, atOnce, more] of [
    ['HTTP/1.1 within TLS', withTls, http1, 2000, 1, ['--http1.1']],
    ['HTTP/2 within TLS', withBothTls, secure, 2000, 1, ['--http2']],
    ['HTTP/2 within TLS, four streams at once', withBothTls, secure, 8000, 4, ['--http2', '-Z', '--parallel-max', '4']],
  ] as const) {
    test(`${what}, curl: many requests, no more connections to each process than there are at once`, async () => {
      const name = what.replaceAll(/\W/g, '');
      const { port, old, replace } = await replaced(name, set, portOf(upstream));
      slowFrom = count * 0.9;
      const curl = spawn('curl', ['-sS', '--no-progress-meter', ...more, '--cacert', authority.certificateFile, '--resolve', `shop.test:${port}:127.0.0.1`, '-w', '%{http_code} %{num_connects}\n', '-o', '/dev/null', `https://shop.test:${port}/public/[1-${count}]`], { stdio: ['ignore', 'pipe', 'inherit'] });
      const said = text(curl.stdout);
      await moved(old.socket, 1);
      const next = await replace();
      await old.exited;
      slowFrom = Infinity;
      const lines = (await said).trim().split('\n');
      assert.equal(lines.length, count);
      assert.deepEqual(lines.filter(line => !line.startsWith('200 ')), []);
      // Requests that begin at the same moment may each open a connection of their own, before the first is there.
      const [accepted, opened] = [(await ask<ProxyStatus>(next.socket, '/v1/status')).accepted, lines.filter(line => line === '200 1').length];
      assert.ok(accepted >= 1 && accepted <= atOnce && opened >= 2 && opened <= 2 * atOnce, `${opened} connections, ${accepted} to the new process`);
    });
  }
});
