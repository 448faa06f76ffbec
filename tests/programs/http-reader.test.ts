/** The kernel's reader of HTTP/1.1 by itself: what it does not take though the proxy does, and what it keeps of heads for flows. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { kernelSeen, policyOf, proxySeen } from '../differential/http-kernel.ts';
import type { Policy } from '../differential/http-kernel.ts';
import { hasObject } from './harness.ts';
import { httpFlag, HttpTrial } from './http-trial.ts';

const bytes = (text: string) => Buffer.from(text, 'latin1');
const traceparent = '00-0123456789abcdef0123456789abcdef-0123456789abcdef-01';

describe('HTTP/1.1 in the kernel, by itself', { skip: !hasObject() && 'make -C bpf first' }, () => {
  let trial: HttpTrial;
  let everything: Policy;
  before(() => {
    trial = new HttpTrial();
    everything = policyOf(trial, 1, [{ rule: 5, headers: [] }]);
  });
  after(() => trial.close());

  const faultOf = (stream: Buffer) => trial.requests(stream, { set: 1 }).at(-1)!;
  const proxyPasses = (stream: Buffer) => assert.deepEqual(proxySeen(stream, everything).decided, ['FORWARDED 5']);

  test('the absolute form is refused', () => {
    for (const target of ['http://a/x', 'HTTPS://a', 'hTTp://a?x']) {
      const stream = bytes(`GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`);
      proxyPasses(stream);
      for (const piece of [0, 1, 9]) assert.deepEqual(trial.requests(stream, { set: 1, piece }).map(({ kind, at, fault }) => ({ kind, at, fault })), [{ kind: 'fault', at: stream.length - 1, fault: 64 }], target);
    }
  });

  test('CONNECT is refused', () => {
    const stream = bytes('CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n');
    proxyPasses(stream);
    assert.equal(faultOf(stream).fault, 65);
  });

  test('HTTP/2 is no version of this', () => {
    assert.equal(faultOf(bytes('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')).fault, 66);
    for (const other of ['PRI / HTTP/2.0\r\n', 'GET * HTTP/2.0\r\n', 'PRIO * HTTP/2.0\r\n']) assert.equal(faultOf(bytes(other)).fault, 3, other);
  });

  test('a path with two readings that is too long or too deep to be read twice never passes', () => {
    for (const target of [`/a/../${'b'.repeat(600)}`, `/a//b${'/c'.repeat(31)}`, `/%61${'b'.repeat(509)}`]) {
      const stream = bytes(`GET ${target} HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n`);
      const [first, second] = trial.requests(stream, { set: 1 });
      proxyPasses(stream.subarray(0, stream.indexOf('GET /b ')));
      assert.equal(first!.passes, 0n, target);
      assert.equal(first!.flags & httpFlag.twoReadings, httpFlag.twoReadings);
      assert.equal(second!.passes, 1n, 'the next one may');
    }
  });

  test('a head has 16 KiB', () => {
    const head = (size: number) => bytes(`GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(size - 32)}\r\n\r\n`);
    for (const piece of [0, 1, 1000]) {
      assert.deepEqual(trial.requests(head(16_384), { set: 1, piece }).map(e => [e.kind, e.at]), [['head', 16_384]]);
      assert.deepEqual(trial.requests(head(16_385), { set: 1, piece }).map(e => [e.kind, e.at, e.fault]), [['fault', 16_384, 22]]);
    }
    proxyPasses(head(16_385));
  });

  test('a wish for HTTP/2 is an ordinary request', () => {
    const stream = bytes('GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n');
    const { decided, events } = kernelSeen(trial, stream, everything);
    assert.deepEqual(decided, ['FORWARDED 5', 'FORWARDED 5']);
    assert.equal(events[0]!.flags & (httpFlag.upgrade | httpFlag.upgradeH2c), httpFlag.upgradeH2c);
  });

  test('more answers than requests are a fault', () => {
    const answer = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n';
    assert.deepEqual(trial.answers(bytes(answer + answer), ['plain']).map(e => [e.kind, e.fault]), [['head', 0], ['fault', 20]]);
  });

  test('of a head is kept what flows tell, however it is cut', () => {
    const stream = bytes(`GET /a?b HTTP/1.1\r\nTraceparent: ${traceparent}-more\r\nHost: shop.example:80 \r\nTraceparent: other\r\n\r\nPOST /${'p'.repeat(600)} HTTP/1.1\r\nHost:${'h'.repeat(200)}\r\n\r\n`);
    for (const piece of [0, 1, 2, 3, 5, 8, 13, 40, 100, 255]) {
      trial.requests(stream, { set: 1, piece, heads: 1 });
      assert.deepEqual(trial.captured(), { method: 'GET', target: '/a?b', host: 'shop.example:80', traceparent, lengths: { method: 3, target: 4, host: 15 } }, String(piece));
      trial.requests(stream, { set: 1, piece });
      assert.deepEqual(trial.captured(), { method: 'POST', target: `/${'p'.repeat(506)}`, host: 'h'.repeat(128), traceparent: '', lengths: { method: 4, target: 601, host: 200 } }, String(piece));
    }
  });
});
