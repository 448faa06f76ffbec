import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type ProxyRig, startProxyRig } from '../testing-rig.ts';

const folder = mkdtempSync(join(tmpdir(), 'cirri-http2-'));
const large = randomBytes(2_000_000);
const seen: string[] = [];
let server: Http2Server;
let proxy: ProxyRig;

before(async () => {
  writeFileSync(join(folder, 'large'), large);
  writeFileSync(join(folder, 'upload'), large.subarray(0, 500_000));
  server = createServer();
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    seen.push(headers[':path']!);
    let octets = 0;
    stream.on('error', () => undefined);
    stream.on('data', (chunk: Buffer) => { octets += chunk.length; });
    stream.on('end', () => {
      stream.respond({ ':status': 200, 'content-type': 'application/octet-stream' });
      stream.end(headers[':path'] === '/allowed/large' ? large : `${octets}\n`);
    });
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  proxy = startProxyRig({ protocol: 'http', rules: [{ rule: 7, path: '/allowed.*', headers: [] }] }, (server.address() as AddressInfo).port);
});

after(() => {
  proxy[Symbol.dispose]();
  server.close();
  rmSync(folder, { recursive: true });
});

function run(program: string, ...args: string[]): Promise<{ readonly code: number; readonly out: Buffer; readonly text: string }> {
  return new Promise((resolve, reject) => {
    execFile(program, args, { encoding: 'buffer', maxBuffer: 50_000_000, timeout: 60_000 }, (error, out, err) => {
      if (error && typeof error.code !== 'number') return reject(error);
      resolve({ code: Number(error?.code ?? 0), out, text: `${out.toString('latin1')}${err.toString('latin1')}` });
    });
  });
}

const url = (path: string) => `http://127.0.0.1:${proxy.port}${path}`;

test('curl: downloads and uploads pass, and who is denied gets the answer whatever it still had to send', async () => {
  const upload = ['--data-binary', `@${join(folder, 'upload')}`];
  // One URL a call: curl 7.88 cannot use such a connection twice, whoever the server is.
  const curl = (path: string, ...args: string[]) => run('curl', '-sS', '--http2-prior-knowledge', '-w', '%{http_code} %{http_version}', ...args, url(path));
  const allowed = await curl('/allowed/a', ...upload);
  assert.equal(allowed.text, '500000\n200 2');
  assert.equal((await curl('/other', ...upload)).text, 'Access denied\r\n403 2');
  const download = await run('curl', '-sS', '--http2-prior-knowledge', url('/allowed/large'));
  assert.ok(download.out.equals(large));
});

test('curl: HTTP/1.1 and a wish for h2c meet the same rules', async () => {
  const answers = await run('curl', '-sS', '--http2', '-o', '/dev/null', '-w', '%{http_code}\n', url('/other'));
  assert.equal(answers.text, '403\n');
});

test('nghttp: many requests at once, some denied', async () => {
  const before = seen.length;
  const answers = await run('nghttp', '-nv', ...Array.from({ length: 20 }, (_, i) => url(i % 2 ? `/other/${i}` : `/allowed/${i}`)));
  assert.equal(answers.code, 0, answers.text);
  assert.deepEqual([answers.text.match(/:status: 200/g)?.length, answers.text.match(/:status: 403/g)?.length], [10, 10]);
  assert.ok(seen.slice(before).every(path => path.startsWith('/allowed/')));
});

test('h2load: thousands of requests, allowed and denied, on ten connections', async () => {
  const before = seen.length;
  const answers = await run('h2load', '-n', '4000', '-c', '10', '-m', '20', url('/allowed/x'), url('/other'));
  assert.match(answers.text, /2000 succeeded, 2000 failed, 0 errored/);
  assert.match(answers.text, /2000 2xx, 0 3xx, 2000 4xx, 0 5xx/);
  assert.equal(seen.length - before, 2000);
});

test('h2load: uploads that are denied leave room for those that are not', async () => {
  const answers = await run('h2load', '-n', '200', '-c', '2', '-m', '10', '-d', join(folder, 'large'), url('/other'), url('/allowed/x'));
  assert.match(answers.text, /100 2xx, 0 3xx, 100 4xx, 0 5xx/);
});
