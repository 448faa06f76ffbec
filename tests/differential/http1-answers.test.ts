/**
 * Answers as we read them against Node's client (llhttp, strict), over the same bytes:
 *
 *     server's bytes ─▶ our session ─▶ what the client gets ─▶ llhttp: the same answer, once, and nothing after it
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { compileHttpRules } from '../../src/policy/l7-match.ts';
import type { HttpMatcher } from '../../src/policy/l7-match.ts';
import { openHttp1 } from '../../src/proxy/http1/session.ts';
import { FakeWire } from '../../src/proxy/testing.ts';
import { answers, nodeClient } from './http1-answers.ts';
import type { AnswerOracle } from './http1-answers.ts';

const runs = Number(process.env['CIRRI_PROPERTY_RUNS'] ?? 400);
const everything = compileHttpRules([{ rule: 1, headers: [] }]);

interface Outcome {
  readonly toClient: string;
  /** Of the final answer; 0: none. */
  readonly status: number;
  readonly closed: boolean;
}

function passed(method: string, bytes: Buffer, cuts: readonly number[]): Outcome {
  const wire = new FakeWire<HttpMatcher>({ egress: everything });
  wire.open(openHttp1(wire));
  wire.from('client', `${method} /public HTTP/1.1\r\nHost: a\r\n\r\n`);
  wire.fromCut('server', bytes, cuts.filter(c => c < bytes.length));
  if (wire.closed === undefined) wire.session.ended('server');
  const status = wire.records.filter(r => r.l7.type === 'RESPONSE').at(-1)?.l7.http?.code ?? 0;
  return { toClient: wire.sentText('client'), status, closed: wire.closed !== undefined };
}

describe('answers beside another client', () => {
  let oracle: AnswerOracle;
  before(async () => { oracle = await nodeClient(); });
  after(() => oracle.close());

  test('are read alike however they are cut', () => {
    fc.assert(fc.property(answers, fc.constantFrom('GET', 'HEAD'), fc.array(fc.nat(300), { maxLength: 5 }), (bytes, method, cuts) => {
      const whole = passed(method, bytes, []);
      for (const other of [cuts, Array.from({ length: bytes.length - 1 }, (_, i) => i + 1)]) assert.deepEqual(passed(method, bytes, other), whole, JSON.stringify(bytes.toString('latin1')));
    }), { numRuns: runs * 3 });
  });

  test('what a client gets through us is one answer, the one that we saw', async () => {
    let compared = 0;
    await fc.assert(fc.asyncProperty(answers, fc.constantFrom('GET', 'HEAD'), async (bytes, method) => {
      const { toClient, status, closed } = passed(method, bytes, []);
      assert.equal(closed, true, 'the server has ended');
      const shown = `${method} ${JSON.stringify(toClient)} of ${JSON.stringify(bytes.toString('latin1'))}`;
      const received = await oracle.receive(method, Buffer.from(toClient, 'latin1'));
      // Cut short, or an answer of which nothing could be said any more: the client must not take it for whole.
      if (received === undefined) return;
      compared++;
      assert.equal(received.status, status, shown);
      // No byte stands behind what the client took for the answer, where its end is told by the head.
      const [head] = toClient.split('\r\n\r\n');
      if (method === 'GET' && !/^HTTP\/1.1 1/.test(head!) && /^content-length: *\d+$/im.test(head!)) assert.ok(toClient.endsWith(received.body), shown);
      const direct = await oracle.receive(method, bytes);
      if (direct !== undefined && received.status !== 502) assert.deepEqual(received, direct, `${shown}: and without us`);
    }), { numRuns: runs });
    assert.ok(compared > runs / 4, String(compared));
  });
});
