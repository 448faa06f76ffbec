/**
 * HTTP/1.1 in the kernel, where the pod has not got what has been read: TCP sends it again in other segments, as there are blocks of SACK to
 * tell by now, or the path is narrower. An honest client is never reset for it, and no other bytes pass for the same.
 *
 *     client ──▶ |        one segment        | ──▶ read ──▶ lost
 *     client ──▶ |   again   |   otherwise   | ──▶ compared, cut where it cannot be ──▶ pod
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { compileHttpRules } from '../../src/policy/l7-match.ts';
import { Random, seedOfRun } from '../differential/random.ts';
import type { Datapath } from './harness.ts';
import { families, hasObject } from './harness.ts';
import { HttpByHand } from './http-hand.ts';
import { KernelBox, readers, restrictedDatapath } from './http-kernel-box.ts';
import type { Passed } from './http-world.ts';
import { distance, plus } from './tcp-segment.ts';

const rules = [{ rule: 1, path: '/public.*', headers: [] }];
const matcher = compileHttpRules(rules);
const seed = seedOfRun();
const rounds = process.env['CIRRI_LONG'] ? 3_000 : 60;
const answer = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
const acks = (bytes: number) => ({ ack: bytes });

const get = (path: string, more = '') => `GET ${path} HTTP/1.1\r\nHost: a\r\n${more}\r\n`;
const chunked = (size: number, bytes: number) => {
  const chunk = `${size.toString(16)}\r\n${'x'.repeat(size)}\r\n`;
  return `POST /public HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${chunk.repeat(Math.floor((bytes - 100) / chunk.length))}0\r\n\r\n`;
};

/** What fills a segment of about so many bytes. */
const streams: Record<string, (bytes: number) => string> = {
  'one head': bytes => get('/public', `X: ${'y'.repeat(bytes - 50)}\r\n`),
  'heads one behind the other': bytes => get('/public', `X: ${'y'.repeat(Math.floor(bytes / 12) - 38)}\r\n`).repeat(12),
  'chunks of one byte': bytes => chunked(1, bytes),
  'chunks of twenty bytes': bytes => chunked(20, bytes),
  'chunks of three hundred bytes': bytes => chunked(300, bytes),
  'a body between heads': bytes => `POST /public HTTP/1.1\r\nHost: a\r\nContent-Length: ${bytes - 200}\r\n\r\n${'z'.repeat(bytes - 200)}${get('/public')}`,
};

describe(`HTTP/1.1 in the kernel, sent again in other segments, CIRRI_SEED=${seed}`, { skip: !hasObject() && 'make -C bpf first' }, () => {
  let datapath: Datapath;
  let port = 20_000;
  before(() => {
    datapath = restrictedDatapath(rules);
  });
  after(() => datapath.close());

  for (const family of families) for (const reader of readers) describe(`${family.name}, segments are ${reader.name}`, () => {
    before(() => reader.choose(datapath));
    const open = (): HttpByHand => new HttpByHand(new KernelBox(datapath, family, ++port), matcher).open();

    /** From where the pod is, as a timer that fires would: segments of so many packets. Gives how many it took. */
    function again(connection: HttpByHand, bytes: string, packet: number, packets: number): number {
      let sent = 0;
      for (let at = 0, before = -1; at < bytes.length; sent++) {
        assert.notEqual(at, before, `nothing passes from ${at} of ${bytes.length} on, in packets of ${packet}`);
        before = at;
        connection.client(at, bytes.slice(at, at + packet * packets), { ack: 0, ...(packets > 1 && { packet }) });
        at = connection.atServer.length;
        connection.server(0, '', acks(at));
      }
      return sent;
    }

    for (const [what, stream] of Object.entries(streams)) test(`${what}, lost before the pod and sent again in shorter packets, passes`, () => {
      for (const [packet, packets] of [[1448, 1], [1448, 2], [1000, 3], [700, 4], [536, 6]] as const) for (const now of [packet, packet - 12, packet - 36, Math.ceil(packet * 0.75), Math.ceil(packet / 2)]) for (const together of [1, 2]) {
        const connection = open(), bytes = stream(packet * packets - 20);
        connection.lost(0, bytes, { ack: 0, ...(packets > 1 && { packet }) });
        again(connection, bytes, now, together);
        assert.equal(connection.atServer, bytes);
        assert.equal(connection.model.clientReset, false);
        assert.deepEqual(connection.faults(), []);
      }
    });

    test('what the pod has got, with its acknowledgement lost, passes again, too', () => {
      for (const [what, stream] of Object.entries(streams)) for (const [packet, packets, now] of [[1448, 1, 1412], [1448, 2, 1436], [1000, 3, 900]] as const) {
        const connection = open(), bytes = stream(packet * packets - 20);
        connection.client(0, bytes, { ack: 0, ...(packets > 1 && { packet }) });
        assert.equal(connection.atServer, bytes, what);
        connection.client(0, bytes.slice(0, now), acks(0));
        connection.client(now, bytes.slice(now), acks(0));
        assert.equal(connection.model.clientReset, false, what);
        assert.deepEqual(connection.faults(), []);
      }
    });

    test('other bytes do not pass, however they are cut, whether the pod has got the first ones or not', () => {
      const random = new Random(seed);
      for (let round = 0; round < rounds; round++) {
        const [packet, packets] = random.pick([[1448, 1], [1448, 2], [1000, 3], [536, 6]] as const), bytes = random.pick(Object.values(streams))(packet * packets - 20);
        const connection = open(), first = { ack: 0, ...(packets > 1 && { packet }) };
        if (random.chance(0.5)) connection.lost(0, bytes, first);
        else connection.client(0, bytes, first);
        // A path that is as long and denied, a chunk's end that comes early, or anything.
        const other = random.pick([bytes.replaceAll('/public', '/nopubl'), bytes.replace('1\r\nx', '0\r\n\r'), bytes.replace(/x\r\n1/, '\r\n\r\n'), bytes.replaceAll('y', random.pick(['z', '\r', '\n'])), `${bytes.slice(0, random.integer(0, bytes.length - 1))}\r\n\r\n${get('/no')}`.slice(0, bytes.length)]);
        for (let i = 0; i < 12; i++) {
          const has = Math.min(connection.atServer.length, bytes.length - 1), at = random.chance(0.4) ? has : random.integer(0, has), size = random.integer(1, 3200);
          connection.client(at, (random.chance(0.5) ? other : bytes).slice(at, at + size), { ack: 0, ...(random.chance(0.3) && size > 100 && { packet: random.integer(100, size) }) });
          if (random.chance(0.3)) connection.server(0, '', acks(connection.atServer.length));
        }
        assert.deepEqual(connection.faults(), [], `CIRRI_SEED=${seed}, round ${round}`);
      }
    });

    test('what has been cut off before a denied request, and was lost, comes again together with that, and passes', () => {
      const connection = open(), good = get('/public/1'), evil = get('/no/evil1');
      connection.lost(0, good + evil, acks(0));
      connection.client(0, good + evil, acks(0));
      assert.equal(connection.atServer, good);
      connection.server(0, '', acks(good.length));
      connection.answer(answer);
      connection.client(good.length, evil, acks(answer.length));
      assert.match(connection.atClient, /ok.*403 Forbidden/s);
      assert.deepEqual(connection.faults(), []);
    });

    describe('behind a denied request whose last acknowledgement is lost', () => {
      const evil = `POST /no/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nnot taken`, good = get('/public/2'), from = evil.length - 3;
      const refuse = (): HttpByHand => {
        const connection = open();
        connection.client(0, evil.slice(0, from));
        connection.client(from, evil.slice(from));
        assert.match(connection.atClient, /403 Forbidden/);
        return connection;
      };
      const acknowledged = (connection: HttpByHand, { toClient }: Passed): number[] => toClient.map(s => distance(s.ack, plus(connection.isns.client, 1)));

      test('its end is acknowledged when it comes again together with the next request, which passes then', () => {
        const connection = refuse();
        for (let i = 0; i < 2; i++) {
          const again = connection.client(from, evil.slice(from) + good);
          assert.deepEqual(acknowledged(connection, again), [evil.length]);
          assert.deepEqual(again.toServer, []);
        }
        connection.client(evil.length, good);
        assert.equal(connection.atServer, good);
        connection.server(0, '', acks(good.length));
        connection.answer(answer);
        assert.match(connection.atClient, /403 Forbidden.*ok$/s);
        assert.deepEqual(connection.faults(), []);
      });

      test('nothing behind it is acknowledged that the pod has not got', () => {
        const connection = refuse();
        connection.lost(evil.length, good);
        assert.deepEqual(acknowledged(connection, connection.client(from, evil.slice(from))), [evil.length]);
        assert.deepEqual(acknowledged(connection, connection.client(from, evil.slice(from) + good)), [evil.length]);
        connection.client(evil.length, good);
        connection.server(0, '', acks(good.length));
        assert.deepEqual(acknowledged(connection, connection.client(from, evil.slice(from))), [evil.length + good.length]);
        assert.equal(connection.atServer, good);
        assert.deepEqual(connection.faults(), []);
      });
    });

    test('what is cut off a segment leaves the bytes before it remembered, also when all places have been used before', () => {
      const connection = open(), good = get('/public/1'), evil = get('/no/evil1'), post = 'POST /public HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx';
      let at = 0;
      for (let i = 0; i < 300; i++) {
        connection.client(at, good);
        at += good.length;
        connection.server(i * answer.length, '', acks(at));
        connection.answer(answer);
      }
      connection.client(at, `${post}${good}${evil}`, acks(300 * answer.length));
      assert.equal(connection.atServer.length, at + post.length + good.length);
      connection.client(at, `${post}${evil}`, acks(300 * answer.length));
      connection.client(at + post.length, evil, acks(300 * answer.length));
      assert.deepEqual(connection.faults(), []);
    });
  });
});
