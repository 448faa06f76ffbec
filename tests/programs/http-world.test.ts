/**
 * The model of one HTTP/1.1 connection, held against boxes that do what they should not: a check that cannot fail is none. The kernel's
 * programs stand in their place in http-random.test.ts.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { compileHttpRules } from '../../src/policy/l7-match.ts';
import { HttpWorld, openBox } from './http-world.ts';
import type { Box, WorldOptions } from './http-world.ts';
import { distance, lengthOf, plus, tcpFlag } from './tcp-segment.ts';
import type { Segment } from './tcp-segment.ts';

const everything = compileHttpRules([{ rule: 1, headers: [] }]);
const publicOnly = compileHttpRules([{ rule: 1, path: '/public.*', headers: [] }]);
const get = (path: string): Buffer => Buffer.from(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
const post = (path: string, body: string): Buffer => Buffer.from(`POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
const requests = [get('/public/1'), post('/public/2', 'abc'.repeat(50)), get('/public/3'), Buffer.from('POST /public/4 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n')];
const rough = { loss: 0.1, repeats: 0.1, reorders: 0.2 };

function faultsOf(o: Partial<WorldOptions> & { readonly make: () => Box }, seeds = 30): Map<string, number> {
  const found = new Map<string, number>();
  for (let seed = 1; seed <= seeds; seed++) {
    const world = new HttpWorld({ seed, matcher: everything, writes: requests, ...rough, ...o, box: o.make() });
    for (const fault of world.run()) found.set(fault.slice(0, 3), (found.get(fault.slice(0, 3)) ?? 0) + 1);
  }
  return found;
}

describe('the model of one connection', () => {
  test('an open box between honest ends, in a network that loses and reorders, breaks nothing', () => {
    for (let seed = 1; seed <= 200; seed++) {
      const world = new HttpWorld({ seed, matcher: everything, box: inOrder(), writes: requests, ...rough, habits: { early: 0.2, interim: 0.2, closes: seed % 5 === 0 ? 0.3 : 0 } });
      const faults = world.run();
      assert.deepEqual(faults, [], `seed ${seed}: ${faults.join('\n')}\n${world.log.slice(-60).join('\n')}`);
      if (seed % 5 !== 0) assert.equal(world.app.answered, requests.length, `seed ${seed}`);
    }
  });

  test('(a) a request that no rule allows is seen', () => {
    assert.ok(faultsOf({ make: inOrder, matcher: publicOnly, writes: [get('/public/1'), get('/no')] }).get('(a)')! >= 30);
  });

  test('(b) a head that reaches the server in two versions is seen, and data of a body that differ are not', () => {
    const other = (s: Segment): Segment => ({ ...s, payload: Buffer.from(s.payload.map(byte => (byte === 0x70 ? 0x71 : byte))) });
    assert.ok(faultsOf({ make: inOrder, attack: s => [s, other(s)] }).get('(b)')! > 10);
    const body = [post('/public/1', 'p'.repeat(3000))];
    const later = (s: Segment): Segment => ({ ...s, payload: Buffer.from(s.payload.toString('latin1').replace(/p{20,}/g, all => 'q'.repeat(all.length)), 'latin1') });
    assert.equal(faultsOf({ make: inOrder, writes: body, attack: s => [s, later(s)] }).get('(b)'), undefined);
  });

  test('(c) an answer of our own in the middle of the server\'s is seen, and one that is missing', () => {
    const denied = Buffer.from('HTTP/1.1 403 Forbidden\r\ncontent-length: 15\r\ncontent-type: text/plain\r\n\r\nAccess denied\r\n');
    const early: Box = { ...openBox, fromServer: s => ({ toServer: [], toClient: s.payload.length > denied.length ? [{ ...s, payload: Buffer.concat([s.payload.subarray(0, 1), denied, s.payload.subarray(1 + denied.length)]) }] : [s] }) };
    assert.ok(faultsOf({ make: () => early }).get('(c)')! > 10);
    assert.ok(faultsOf({ make: inOrder, matcher: publicOnly, writes: [get('/no')] }).get('(c)')! >= 30);
  });

  test('(d) what waits for ever is seen', () => {
    const deaf = (): Box => {
      let heard = 0;
      return { ...openBox, fromClient: s => ({ toServer: (heard += s.payload.length) > 60 ? [] : [s], toClient: [] }) };
    };
    assert.ok(faultsOf({ make: deaf, loss: 0, reorders: 0 }).get('(d)')! >= 30);
  });

  test('(e) a number that is off by one is seen, in either direction', () => {
    assert.ok(faultsOf({ make: () => ({ ...openBox, fromClient: s => ({ toServer: [s.payload.length > 0 ? { ...s, ack: plus(s.ack, 1) } : s], toClient: [] }) }) }).get('(e)')! >= 10);
    assert.ok(faultsOf({ make: () => ({ ...openBox, fromServer: s => ({ toServer: [], toClient: [s.flags & tcpFlag.syn ? s : { ...s, ack: plus(s.ack, 1) }] }) }) }).get('(e)')! >= 10);
    assert.ok(faultsOf({ make: () => openBox }).get('(e)')! >= 10, 'out of order towards the server');
  });
});

/** Passes everything on, but client's bytes only in their order. */
function inOrder(): Box {
  let next: number | undefined;
  return {
    ...openBox,
    fromClient: s => {
      if (s.flags & tcpFlag.syn) next ??= plus(s.seq, 1);
      else if (next !== undefined && lengthOf(s) > 0 && distance(s.seq, next) > 0) return { toServer: [], toClient: [] };
      else if (next !== undefined && s.payload.length > 0 && distance(plus(s.seq, s.payload.length), next) > 0) next = plus(s.seq, s.payload.length);
      return { toServer: [s], toClient: [] };
    },
  };
}
