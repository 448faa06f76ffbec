/**
 * HTTP/1.1 as we read it against Node's parser (llhttp, strict) and nginx, over the same bytes:
 *
 *     client's bytes ─▶ our session ─▶ what it passes on ─▶ server
 *                          │ requests it decided               │ requests it saw
 *                          └────────────── must be equal ──────┘
 *
 * CIRRI_SEED repeats a run; `--long` does 5,000 streams of each kind and more.
 */
import assert from 'node:assert/strict';
import { METHODS } from 'node:http';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { compileHttpRules } from '../../src/policy/l7-match.ts';
import type { HttpMatcher } from '../../src/policy/l7-match.ts';
import { openHttp1 } from '../../src/proxy/http1/session.ts';
import { FakeWire } from '../../src/proxy/testing.ts';
import { nginxServer, nodeServer, pathOf } from './http1-servers.ts';
import type { Oracle } from './http1-servers.ts';
import { streams } from './http1-streams.ts';

const runs = Number(process.env['CIRRI_PROPERTY_RUNS'] ?? 400);
const publicOnly = compileHttpRules([{ rule: 1, path: '/public.*|\\*', headers: [] }]);
const everything = compileHttpRules([{ rule: 1, headers: [] }]);

interface Outcome {
  readonly decided: readonly string[];
  readonly toServer: Buffer;
  readonly toClient: string;
}

/** A session with a server that answers only when the session waits for it. */
function passed(bytes: Buffer, policy: HttpMatcher, cuts: readonly number[]): Outcome {
  const wire = new FakeWire<HttpMatcher>({ egress: policy });
  wire.open(openHttp1(wire));
  const places = [0, ...[...cuts].sort((a, b) => a - b), bytes.length];
  for (let i = 1; i < places.length && wire.closed === undefined; i++) {
    while (wire.paused.client && wire.closed === undefined) wire.from('server', 'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n');
    if (wire.closed === undefined && !wire.isEnded('client')) wire.from('client', bytes.subarray(places[i - 1], places[i]));
  }
  for (let i = 0; i < 200 && wire.paused.client && wire.closed === undefined; i++) wire.from('server', 'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n');
  const decided = wire.records.filter(r => r.l7.type === 'REQUEST' && r.verdict === 'FORWARDED').map(r => `${r.l7.http!.method} ${r.l7.http!.method === 'CONNECT' ? r.l7.http!.url : pathOf(r.l7.http!.url)}`);
  return { decided, toServer: wire.sent('server'), toClient: wire.sentText('client') };
}

const everyByte = (bytes: Buffer) => Array.from({ length: Math.max(0, bytes.length - 1) }, (_, i) => i + 1);
const shown = (bytes: Buffer) => JSON.stringify(bytes.toString('latin1'));

describe('HTTP/1.1 beside other servers', () => {
  const oracles: Oracle[] = [];
  before(async () => {
    oracles.push(await nodeServer());
    oracles.push(await nginxServer());
  });
  after(async () => {
    for (const oracle of oracles) await oracle.close();
  });

  test('bytes are read alike however they are cut', () => {
    fc.assert(fc.property(streams, fc.array(fc.nat(400), { maxLength: 6 }), (bytes, cuts) => {
      const whole = passed(bytes, publicOnly, []);
      for (const other of [passed(bytes, publicOnly, everyByte(bytes)), passed(bytes, publicOnly, cuts.filter(c => c < bytes.length))]) {
        assert.deepEqual(other.decided, whole.decided, shown(bytes));
        assert.deepEqual(shown(other.toServer), shown(whole.toServer), shown(bytes));
      }
    }), { numRuns: runs * 3 });
  });

  for (const name of ['node', 'nginx'] as const) {
    test(`${name} sees what we decided, in that order, and nothing else`, async () => {
      const oracle = oracles.find(o => o.name === name)!;
      let compared = 0;
      await fc.assert(fc.asyncProperty(streams, async bytes => {
        for (const policy of [publicOnly, everything]) {
          const { decided, toServer } = passed(bytes, policy, []);
          if (toServer.length === 0) continue;
          const { requests } = await oracle.ask(toServer);
          // A server may refuse what we let pass, and closes then: it sees less, never more and never something else.
          assert.deepEqual(requests, decided.slice(0, requests.length), `${name} ${shown(toServer)} of ${shown(bytes)}`);
          if (policy === publicOnly) assert.ok(!requests.some(r => / \/no/.test(r)), shown(bytes));
          compared += requests.length;
        }
      }), { numRuns: runs });
      assert.ok(compared > runs / 4, `only ${compared} requests were compared`);
    });
  }

  test('Node reads on behind a request that expects what it does not know', async () => {
    const oracle = oracles.find(o => o.name === 'node')!, bytes = Buffer.from('POST /public/0 HTTP/1.1\r\nHost: a\r\nExpect: 0100-continue\r\nContent-Length: 3\r\n\r\nabcGET /public/1 HTTP/1.1\r\nHost: a\r\n\r\n');
    assert.deepEqual((await oracle.ask(bytes)).requests, passed(bytes, everything, []).decided);
  });

  test('what we take of a stream, Node takes in the same way: whatever it refuses, we refuse', async () => {
    const oracle = oracles.find(o => o.name === 'node')!;
    await fc.assert(fc.asyncProperty(streams, async bytes => {
      const { decided, toServer } = passed(bytes, everything, []);
      if (toServer.length === 0) return;
      const { requests, answers } = await oracle.ask(toServer);
      // Methods are open-ended (RFC 9110 §9.1); llhttp has a list of them, and ends there.
      const unknown = decided.findIndex(r => !METHODS.includes(r.split(' ')[0]!));
      const expected = unknown < 0 ? decided : decided.slice(0, unknown);
      // What came with a wish for another protocol Node throws away (on a real wire it comes after the answer), and it ends for
      // Proxy-Connection, which says nothing to others: it sees less then.
      const ends = /^(upgrade|proxy-connection):/im.test(toServer.toString('latin1'));
      assert.deepEqual(requests, ends ? expected.slice(0, requests.length) : expected, `${shown(toServer)} of ${shown(bytes)}\n${answers.slice(0, 200)}`);
    }), { numRuns: runs });
  });
});
