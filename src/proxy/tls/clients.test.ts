/** curl, kcat and openssl, Node's servers, and the proxy between them: names of servers, and TLS that ends at the proxy. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createSecureServer } from 'node:http2';
import type { AddressInfo, Server, Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import type { L7Set } from '../../model/l7.ts';
import { ordersRules } from '../kafka/testing.ts';
import { startTestingBroker } from '../kafka/testing-broker.ts';
import { startProxyRig } from '../testing-rig.ts';
import type { ProxyRig } from '../testing-rig.ts';
import { TestingAuthority } from './testing-certificates.ts';

const run = promisify(execFile);
const big = Buffer.alloc(8 << 20, 'tls-bytes');
const rules = [{ rule: 3, path: '/public.*', headers: [] }];

interface Answered {
  readonly code: number;
  readonly out: string;
}

describe('TLS through real sockets', () => {
  const authority = new TestingAuthority();
  const ca = authority.certificateFile;
  const shop = authority.issue('shop.test', '*.shop.test');
  const backend = authority.issue('shop.test');
  const user = authority.issue('user.test');
  const stranger = new TestingAuthority('stranger');
  const strangersCa = stranger.certificate;
  const sockets = new Set<Socket>();
  const answer = (request: { url?: string | undefined; httpVersion: string }, response: { end(data: string | Buffer): unknown }) => void response.end(request.url === '/public/big' ? big : `${request.httpVersion} ${request.url}\n`);
  const plain = createHttpServer(answer);
  const secure = createSecureServer({ cert: backend.certificate, key: backend.key, allowHTTP1: true }, answer);
  const rigs: ProxyRig[] = [];

  before(async () => {
    for (const server of [plain, secure] as Server[]) {
      server.on('connection', (socket: Socket) => void sockets.add(socket));
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
    }
  });
  after(async () => {
    for (const rig of rigs) rig[Symbol.dispose]();
    for (const socket of sockets) socket.destroy();
    for (const server of [plain, secure] as Server[]) {
      server.close();
      await once(server, 'close');
    }
    authority[Symbol.dispose]();
    stranger[Symbol.dispose]();
  });

  const portOf = (server: unknown) => ((server as Server).address() as AddressInfo).port;
  const start = (set: L7Set, server: unknown): ProxyRig => {
    const rig = startProxyRig(set, portOf(server));
    rigs.push(rig);
    return rig;
  };
  const curl = async (rig: ProxyRig, ...args: string[]): Promise<Answered> => {
    const all = ['-sS', '--max-time', '15', '--cacert', ca, ...['shop.test', 'a.shop.test', 'evil.test'].flatMap(name => ['--resolve', `${name}:${rig.port}:127.0.0.1`]), ...args.map(arg => arg.replace('PORT', String(rig.port)))];
    try {
      return { code: 0, out: (await run('curl', all, { maxBuffer: 64 << 20 })).stdout };
    } catch (error) {
      const { code, stderr } = error as { code: number; stderr: string };
      return { code, out: stderr };
    }
  };
  const terminating = { certificate: shop.certificate, key: shop.key };
  const originating = { trustedCa: authority.certificate };

  test('serverNames alone: the certificate that the client sees is the server\'s; another name is refused with an alert', async () => {
    const rig = start({ protocol: 'tls', rules: [{ rule: 4, serverNames: ['shop.test'] }] }, secure);
    assert.deepEqual(await curl(rig, 'https://shop.test:PORT/x'), { code: 0, out: '2.0 /x\n' });
    const refused = await curl(rig, '-k', 'https://evil.test:PORT/x');
    assert.match(refused.out, /alert access denied/i);
    assert.deepEqual(rig.records.map(record => [record.verdict, record.l7.http?.url]), [['FORWARDED', '//shop.test'], ['DROPPED', '//evil.test']]);
    const { stdout } = await run('sh', ['-c', `echo | openssl s_client -connect 127.0.0.1:${rig.port} -servername shop.test -tls1_2 -CAfile ${ca} 2>&1`]);
    assert.match(stdout, /Verify return code: 0/);
  });

  test('terminating: requests are judged, the server sees them in the clear', async () => {
    const rig = start({ protocol: 'http', rules, tls: { terminating, serverNames: ['shop.test'] } }, plain);
    assert.deepEqual(await curl(rig, 'https://shop.test:PORT/public', 'https://shop.test:PORT/public/2'), { code: 0, out: '1.1 /public\n1.1 /public/2\n' });
    assert.deepEqual(await curl(rig, '-w', '%{http_code}', 'https://shop.test:PORT/private'), { code: 0, out: 'Access denied\r\n403' });
    assert.notEqual((await curl(rig, 'https://a.shop.test:PORT/public')).code, 0, 'serverNames holds too');
    const { out } = await curl(rig, 'https://shop.test:PORT/public/big');
    assert.equal(out.length, big.length);
    assert.ok(out === big.toString());
  });

  test('terminating and originating: both sides agree on one protocol, the server\'s certificate is checked by its name', async () => {
    const rig = start({ protocol: 'http', rules, tls: { terminating, originating } }, secure);
    assert.deepEqual(await curl(rig, '--http2', 'https://shop.test:PORT/public'), { code: 0, out: '2.0 /public\n' });
    assert.deepEqual(await curl(rig, '--http1.1', 'https://shop.test:PORT/public'), { code: 0, out: '1.1 /public\n' });
    assert.deepEqual(await curl(rig, '--http2', '-w', '%{http_code}', '-o', '/dev/null', 'https://shop.test:PORT/private'), { code: 0, out: '403' });
    const { out } = await curl(rig, '--http2', 'https://shop.test:PORT/public/big');
    assert.ok(out === big.toString());
    const other = await curl(rig, 'https://a.shop.test:PORT/public');
    assert.notEqual(other.code, 0, 'the server has no certificate for this name');
    assert.equal(rig.records.at(-1)?.verdict, 'ERROR');
  });

  test('originating alone: the client speaks in the clear, and only a server of trustedCA is spoken to', async () => {
    const rig = start({ protocol: 'http', rules, tls: { originating } }, secure);
    assert.deepEqual(await curl(rig, 'http://shop.test:PORT/public'), { code: 0, out: '1.1 /public\n' });
    assert.deepEqual(await curl(rig, '--http2-prior-knowledge', 'http://shop.test:PORT/public'), { code: 0, out: '2.0 /public\n' });
    const wrong = start({ protocol: 'http', rules, tls: { originating: { trustedCa: strangersCa } } }, secure);
    assert.notEqual((await curl(wrong, 'http://shop.test:PORT/public')).code, 0);
    assert.equal(wrong.records.at(-1)?.verdict, 'ERROR');
    const nobody = start({ protocol: 'http', rules, tls: { originating: {} } }, secure);
    assert.notEqual((await curl(nobody, 'http://shop.test:PORT/public')).code, 0, 'without a name and without trustedCA nobody is trusted');
  });

  test('terminating with trustedCA: a client without a certificate of it is refused', async () => {
    const rig = start({ protocol: 'http', rules, tls: { terminating: { ...terminating, trustedCa: authority.certificate } } }, plain);
    assert.notEqual((await curl(rig, 'https://shop.test:PORT/public')).code, 0);
    assert.deepEqual(await curl(rig, '--cert', user.certificateFile, '--key', user.keyFile, 'https://shop.test:PORT/public'), { code: 0, out: '1.1 /public\n' });
    const strangers = stranger.issue('user.test');
    assert.notEqual((await curl(rig, '--cert', strangers.certificateFile, '--key', strangers.keyFile, 'https://shop.test:PORT/public')).code, 0);
  });

  test('names only within terminated TLS: the bytes pass as they are', async () => {
    const rig = start({ protocol: 'tls', rules: [{ rule: 5, serverNames: ['**.test'] }], tls: { terminating, originating } }, secure);
    assert.deepEqual(await curl(rig, 'https://shop.test:PORT/private'), { code: 0, out: '2.0 /private\n' });
    assert.ok((await curl(rig, 'https://shop.test:PORT/public/big')).out === big.toString());
  });

  test('Kafka within TLS', async () => {
    let port = 0;
    const broker = await startTestingBroker({ advertised: () => ({ host: '127.0.0.1', port }) });
    try {
      const rig = startProxyRig({ protocol: 'kafka', rules: ordersRules, tls: { terminating } }, broker.port);
      rigs.push(rig);
      port = rig.port;
      const kcat = async (topic: string) => {
        const child = spawn('kcat', ['-P', '-b', `127.0.0.1:${rig.port}`, '-t', topic, '-X', 'security.protocol=ssl', '-X', `ssl.ca.location=${ca}`, '-X', 'ssl.endpoint.identification.algorithm=none'], { timeout: 15_000, killSignal: 'SIGKILL' });
        child.stdin.end('value\n');
        const [stderr, code] = await Promise.all([text(child.stderr), new Promise<number>(resolve => child.on('close', status => resolve(status ?? -1)))]);
        return { stderr, code };
      };
      const produced = await kcat('orders.processed');
      assert.equal(produced.code, 0, produced.stderr);
      assert.match((await kcat('orders.created')).stderr, /Topic authorization failed/);
    } finally {
      await broker.close();
    }
  });

  test('what is not TLS is refused', async () => {
    const rig = start({ protocol: 'http', rules, tls: { terminating } }, plain);
    assert.notEqual((await curl(rig, 'http://shop.test:PORT/public')).code, 0);
    assert.equal(rig.records.at(-1)?.verdict, 'ERROR');
  });
});
