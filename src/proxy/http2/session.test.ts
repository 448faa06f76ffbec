import assert from 'node:assert/strict';
import { createServer, connect as connectHttp2, type ClientHttp2Session, type Http2Server, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { type ProxyRig, startProxyRig } from '../testing-rig.ts';

let server: Http2Server;
let proxy: ProxyRig;
let connections = 0;
let client: ClientHttp2Session;
const seen: { path: string; headers: Record<string, unknown> }[] = [];
let answerHeaders: Record<string, string | string[]> = {};

before(async () => {
  server = createServer();
  server.on('session', () => { connections++; });
  server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    seen.push({ path: headers[':path']!, headers });
    const chunks: Buffer[] = [];
    stream.on('error', () => undefined);
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => {
      stream.respond({ ':status': 200, ...answerHeaders });
      stream.end(headers[':path'] === '/allowed/big' ? Buffer.alloc(3_000_000, 7) : Buffer.concat(chunks));
    });
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  proxy = startProxyRig({ protocol: 'http', rules: [{ rule: 7, path: '/allowed.*', headers: [] }] }, (server.address() as AddressInfo).port);
  client = connectHttp2(`http://127.0.0.1:${proxy.port}`);
});

after(async () => {
  client.destroy();
  server.close();
  proxy[Symbol.dispose]();
});

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

function ask(headers: Record<string, string | string[]>, body?: Buffer, session = client): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const stream = session.request(headers, { endStream: body === undefined });
    const chunks: Buffer[] = [];
    let answer: IncomingHttpHeaders = {};
    stream.on('response', received => { answer = received; });
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('error', reject);
    stream.on('close', () => resolve({ status: Number(answer[':status']), headers: answer, body: Buffer.concat(chunks) }));
    if (body !== undefined) stream.end(body);
  });
}

test('a request that policy lets pass is answered by the server, another one by the proxy, on one connection', async () => {
  const before = seen.length;
  const [allowed, denied] = await Promise.all([ask({ ':path': '/allowed/1' }), ask({ ':path': '/other' })]);
  assert.equal(allowed.status, 200);
  assert.equal(denied.status, 403);
  assert.equal(denied.body.toString(), 'Access denied\r\n');
  assert.deepEqual(seen.slice(before).map(({ path }) => path), ['/allowed/1']);
  assert.equal((await ask({ ':path': '/allowed/2' })).status, 200);
  assert.equal(connections, 1);
});

test('bodies pass both ways, whole', async () => {
  const body = Buffer.alloc(1_000_000, 'abc');
  assert.deepEqual((await ask({ ':path': '/allowed/echo', ':method': 'POST' }, body)).body, body);
  assert.equal((await ask({ ':path': '/allowed/big' })).body.length, 3_000_000);
});

test('denied uploads leak no window: many times the connection\'s window is sent, and others go on', async () => {
  const body = Buffer.alloc(60_000, 1);
  for (let i = 0; i < 20; i++) {
    const { status } = await ask({ ':path': '/denied', ':method': 'POST' }, body);
    assert.equal(status, 403);
  }
  assert.deepEqual((await ask({ ':path': '/allowed/echo', ':method': 'POST' }, body)).body, body);
});

test('answers of our own are held back from the server\'s window, however many', async () => {
  const session = connectHttp2(`http://127.0.0.1:${proxy.port}`);
  try {
    for (let i = 0; i < 40; i++) {
      const all = await Promise.all([ask({ ':path': '/allowed/big' }, undefined, session), ...Array.from({ length: 150 }, () => ask({ ':path': '/no' }, undefined, session))]);
      assert.equal(all[0]!.body.length, 3_000_000);
      assert.ok(all.slice(1).every(({ status, body }) => status === 403 && body.length === 15));
      if (i > 2) break;
    }
  } finally {
    session.destroy();
  }
});

test('random fields arrive as they were sent, whatever the tables hold by then', async () => {
  const name = fc.stringMatching(/^x-[a-z0-9-]{1,12}$/);
  const value = fc.oneof(fc.stringMatching(/^[!-~]([ -~]{0,80}[!-~])?$/), fc.constantFrom('', 'a', 'gzip, deflate'));
  await fc.assert(fc.asyncProperty(fc.dictionary(name, value, { maxKeys: 12 }), fc.dictionary(name, value, { maxKeys: 12 }), fc.nat(20), async (request, answer, page) => {
    answerHeaders = answer;
    const before = seen.length;
    const got = await ask({ ':path': `/allowed/${page}`, ...request });
    const { headers } = seen[before]!;
    for (const [key, text] of Object.entries(request)) assert.equal(headers[key], text);
    for (const [key, text] of Object.entries(answer)) assert.equal(got.headers[key], text);
  }), { numRuns: Number(process.env['CIRRI_PROPERTY_RUNS'] ?? 200) });
  answerHeaders = {};
});
