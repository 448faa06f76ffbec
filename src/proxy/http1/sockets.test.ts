/** HTTP/1.1 through the proxy's own loop: real sockets, curl, and a server of Node's. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { startProxyRig } from '../testing-rig.ts';
import type { ProxyRig } from '../testing-rig.ts';

const run = promisify(execFile);
const big = Buffer.alloc(20 << 20, 'cirri-');
const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

describe('HTTP/1.1 through real sockets', () => {
  const seen: string[] = [];
  const server = createServer(async (request, response) => {
    seen.push(`${request.method} ${request.url}`);
    const hash = createHash('sha256');
    for await (const part of request) hash.update(part as Buffer);
    if (request.url === '/public/big') response.writeHead(200, { 'content-length': big.length }).end(big);
    else if (request.url === '/public/chunked') response.write(big.subarray(0, 1 << 20)), response.end(big.subarray(1 << 20));
    else response.end(`${request.httpVersion} ${hash.digest('hex')}\n`);
  });
  const sockets = new Set<Socket>();
  let proxy: ProxyRig;
  let folder: string;

  before(async () => {
    server.on('connection', socket => sockets.add(socket));
    server.on('upgrade', (_request, socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
      socket.pipe(socket);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    proxy = startProxyRig({ protocol: 'http', rules: [{ rule: 3, path: '/public.*', headers: [] }] }, (server.address() as AddressInfo).port);
    folder = mkdtempSync(join(tmpdir(), 'cirri-http1-'));
    writeFileSync(join(folder, 'upload'), big);
  });
  after(async () => {
    proxy[Symbol.dispose]();
    rmSync(folder, { recursive: true, force: true });
    server.closeAllConnections();
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  });

  const curl = async (...args: string[]) => (await run('curl', ['-sS', '--max-time', '20', ...args], { maxBuffer: 64 << 20, encoding: 'buffer' })).stdout;
  const url = (path: string) => `http://127.0.0.1:${proxy.port}${path}`;

  test('allowed and refused requests share one connection of curl', async () => {
    seen.length = 0;
    const text = String(await curl('-w', '%{http_code} %{num_connects}\n', url('/public/1'), url('/private'), url('/public/2')));
    const lines = text.trimEnd().split('\n');
    assert.deepEqual(lines.filter(l => /^\d{3} \d$/.test(l)), ['200 1', '403 0', '200 0']);
    assert.ok(text.includes('Access denied\r\n'));
    assert.deepEqual(seen, ['GET /public/1', 'GET /public/2']);
  });

  test('20 MB each way: with a length, in chunks, and after 100-continue', async () => {
    const upload = join(folder, 'upload');
    for (const args of [['-H', 'Expect:'], ['-H', 'Transfer-Encoding: chunked'], ['-H', 'Expect: 100-continue']]) {
      assert.equal(String(await curl('-T', upload, ...args, url('/public/up'))), `1.1 ${digest(big)}\n`, args.join());
    }
    assert.equal(digest(await curl(url('/public/big'))), digest(big));
    assert.equal(digest(await curl(url('/public/chunked'))), digest(big));
  });

  test('a refused upload gets its 403, with and without 100-continue', async () => {
    const upload = join(folder, 'upload');
    for (const args of [['-H', 'Expect:'], ['-H', 'Transfer-Encoding: chunked', '-H', 'Expect:'], ['-H', 'Expect: 100-continue']]) {
      assert.equal(String(await curl('-o', '/dev/null', '-w', '%{http_code}', '-T', upload, ...args, url('/no'))), '403', args.join());
    }
  });

  test('HTTP/1.0, HEAD, and a body for DELETE', async () => {
    assert.match(String(await curl('-0', url('/public'))), /^1\.0 /);
    assert.match(String(await curl('-I', url('/public/big'))), /content-length: 20971520/i);
    assert.equal(String(await curl('-X', 'DELETE', '-d', 'abc', url('/public'))), `1.1 ${digest(Buffer.from('abc'))}\n`);
  });

  test('another protocol passes after the decision', async () => {
    const socket = connect(proxy.port, '127.0.0.1');
    socket.write('GET /public/ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
    let text = '';
    socket.on('data', data => (text += data));
    await once(socket, 'data');
    socket.write('\u0000\u0001 not HTTP at all\n');
    while (!text.includes('at all')) await once(socket, 'data');
    socket.destroy();
    assert.match(text, /^HTTP\/1\.1 101 /);
  });

  test('records have what was asked and answered, and the time between', async () => {
    proxy.records.length = 0;
    await curl(url('/public'), url('/no'));
    const [request, response, refused, answer] = proxy.records;
    assert.equal(request!.l7.http!.url, `http://127.0.0.1:${proxy.port}/public`);
    assert.deepEqual([request!.verdict, request!.rule, response!.l7.http!.code], ['FORWARDED', 3, 200]);
    assert.ok(response!.l7.latencyNs! > 0);
    assert.deepEqual([refused!.verdict, refused!.l7.type, answer!.l7.http!.code], ['DROPPED', 'REQUEST', 403]);
  });

  test('a server that is not there is 503', async () => {
    using dead = startProxyRig({ protocol: 'http', rules: [{ rule: 1, headers: [] }] }, 1);
    assert.equal(String(await curl('-o', '/dev/null', '-w', '%{http_code}', `http://127.0.0.1:${dead.port}/`)), '503');
  });
});
