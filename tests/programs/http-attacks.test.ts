/**
 * Attacks by hand on HTTP/1.1 in the kernel: a client that keeps neither to TCP nor to HTTP, and knows how requests are read. Whatever it does, the
 * model of the connection (tests/differential/http-connection-model.ts) must find nothing wrong with what the pod can have seen.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { compileHttpRules } from '../../src/policy/l7-match.ts';
import type { Datapath } from './harness.ts';
import { families, hasObject, mac, servicePort } from './harness.ts';
import { HttpByHand } from './http-hand.ts';
import type { Isns } from './http-hand.ts';
import { KernelBox, readers, restrictedDatapath } from './http-kernel-box.ts';
import { buildSegment, plus, segment, tcpFlag } from './tcp-segment.ts';
import type { Segment } from './tcp-segment.ts';

const rules = [{ rule: 1, path: '/public.*', headers: [] }];
const matcher = compileHttpRules(rules);
const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
const answer = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Answer: 0\r\n\r\nok';
/** As long as each other. */
const good = get('/public/1'), evil = get('/no/evil1');
const forbidden = /^HTTP\/1\.1 403 Forbidden\r\ncontent-length: 15\r\ncontent-type: text\/plain\r\n(connection: close\r\n)?\r\nAccess denied\r\n$/;
const acks = (bytes: number) => ({ ack: bytes });

describe('attacks on HTTP/1.1 in the kernel', { skip: !hasObject() && 'make -C bpf first' }, () => {
  let datapath: Datapath;
  let port = 20_000;
  before(() => {
    datapath = restrictedDatapath(rules);
  });
  after(() => datapath.close());

  for (const family of families) for (const reader of readers) describe(`${family.name}, segments are ${reader.name}`, () => {
    let box: KernelBox;
    before(() => reader.choose(datapath));
    const open = (isns?: Isns, options?: Segment['options']): HttpByHand => {
      box = new KernelBox(datapath, family, ++port);
      return new HttpByHand(box, matcher, isns).open(options);
    };
    const held = (connection: HttpByHand): void => assert.deepEqual(connection.faults(), []);

    test('an allowed request passes, and its answer', () => {
      const connection = open();
      assert.equal(connection.client(0, good).toServer.length, 1);
      connection.answer(answer);
      assert.equal(connection.atServer, good);
      assert.equal(connection.atClient, answer);
      held(connection);
    });

    test('a denied request is answered at once, and the next one passes', () => {
      const connection = open();
      const { toServer, toClient } = connection.client(0, evil);
      assert.deepEqual([toServer.length, toClient.length], [0, 1]);
      assert.match(connection.atClient, forbidden);
      connection.client(evil.length, good);
      assert.equal(connection.atServer, good);
      connection.answer(answer);
      assert.match(connection.atClient, /Access denied\r\nHTTP\/1.1 200 OK/);
      held(connection);
    });

    test('a head again in another version, before and after the pod has acknowledged it', () => {
      for (const acknowledged of [false, true]) {
        const connection = open();
        connection.client(0, good);
        if (acknowledged) connection.server(0, '', acks(good.length));
        connection.client(0, evil);
        connection.client(0, `${evil.slice(0, -2)}X: y\r\n\r\n`);
        connection.client(4, evil.slice(4));
        connection.client(good.length - 2, `\r\n${evil}`);
        held(connection);
      }
    });

    test('the second half of a head in another version than the first one promised', () => {
      for (let cut = 1; cut < good.length; cut++) {
        const connection = open();
        connection.client(0, good.slice(0, cut));
        connection.client(0, evil);
        connection.client(0, good.slice(0, cut));
        connection.client(cut, evil.slice(cut));
        connection.client(0, evil.slice(0, cut));
        connection.client(Math.max(0, cut - 3), evil.slice(Math.max(0, cut - 3)));
        held(connection);
      }
    });

    test('more heads than are remembered, none acknowledged, then the first one in another version', () => {
      for (const count of [2, 8, 9, 31, 32, 33, 70]) {
        const connection = open();
        for (let i = 0; i < count; i++) connection.client(i * good.length, good, acks(0));
        for (let i = 0; i < count; i++) connection.client(i * good.length, evil, acks(0));
        held(connection);
      }
    });

    test('more pieces of one head than are remembered, then the first one in another version', () => {
      for (const size of [1, 2, 3, 5]) {
        const connection = open();
        for (let at = 0; at < good.length; at += size) connection.client(at, good.slice(at, at + size), acks(0));
        for (let at = 0; at < good.length; at += size) connection.client(at, evil.slice(at, at + size), acks(0));
        connection.client(0, evil, acks(0));
        held(connection);
      }
    });

    test('other bytes of the same sum, as weak sums have them: differences that cancel each other without a key', () => {
      const long = get(`/public/${'a'.repeat(200)}`);
      const flips: readonly (readonly [number, number])[][] = [
        [[7, 0x80], [12, 0x04], [15, 0x80]], [[7, 0x80], [15, 0x80]], [[3, 0x80], [7, 0x80]], [[0, 1], [8, 1]], [[7, 0x80], [11, 0x80]], [[3, 0x80], [11, 0x80]], [[7, 0x80], [23, 0x80]],
      ];
      for (const flip of flips) for (let word = 1; word < 24; word++) {
        const connection = open();
        connection.client(0, long);
        const other = Buffer.from(long, 'latin1');
        for (const [at, bits] of flip) other[8 * word + at]! ^= bits;
        connection.client(0, other, acks(0));
        held(connection);
      }
    });

    test('words that change places', () => {
      const long = get(`/public/${'a'.repeat(8)}${'b'.repeat(8)}${'c'.repeat(32)}`);
      for (const size of [1, 2, 4, 8, 16]) for (let at = 12; at + 2 * size < 70; at++) {
        const connection = open();
        connection.client(0, long);
        const other = `${long.slice(0, at)}${long.slice(at + size, at + 2 * size)}${long.slice(at, at + size)}${long.slice(at + 2 * size)}`;
        connection.client(0, other, acks(0));
        held(connection);
      }
    });

    test('hundreds of chunks in one segment are no attack', () => {
      for (const size of [1, 3, 20]) {
        const connection = open();
        const head = 'POST /public HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n';
        const chunk = `${size.toString(16)}\r\n${'x'.repeat(size)}\r\n`;
        const bytes = `${head}${chunk.repeat(Math.floor(3000 / chunk.length))}0\r\n\r\n`;
        for (let tries = 0; connection.atServer.length < bytes.length && tries < 20; tries++) connection.client(connection.atServer.length, bytes.slice(connection.atServer.length));
        assert.equal(connection.atServer, bytes);
        assert.equal(connection.model.clientReset, false);
        held(connection);
      }
    });

    test('chunk sizes in another version', () => {
      const chunked = `POST /public HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n`;
      for (const acknowledged of [false, true]) {
        const connection = open();
        connection.client(0, chunked);
        if (acknowledged) connection.server(0, '', acks(chunked.length));
        connection.client(chunked.length, `24\r\n${evil.padEnd(0x24, ' ')}\r\n0\r\n\r\n`);
        connection.client(chunked.length, '00\r\n');
        connection.client(chunked.length, `00\r\n\r\n${evil}`);
        connection.client(0, `${chunked}00\r\n\r\n`);
        held(connection);
      }
    });

    test('the denied head again as an allowed one, while our answer is on its way and after it', () => {
      for (const acknowledged of [false, true]) {
        const connection = open();
        connection.client(0, evil, acks(0));
        const had = connection.atClient.length;
        const { toServer } = connection.client(0, good, acks(acknowledged ? had : 0));
        assert.deepEqual(toServer.filter(s => s.payload.length > 0), []);
        connection.client(0, `${good}${evil}`, acks(acknowledged ? had : 0));
        connection.client(5, good.slice(5), acks(acknowledged ? had : 0));
        held(connection);
      }
    });

    test('data in the SYN, in a second one, and a SYN in the middle that would begin the reading anew', () => {
      const body = `${evil}${'x'.repeat(1000 - evil.length)}`;
      const connection = open();
      const head = `POST /public HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n`;
      connection.client(0, head);
      connection.server(0, '', acks(head.length));
      // The pod takes it for what it is (RFC 5961 §4) and stays where it was: what follows is the body, to its 1,000th byte.
      connection.syn(plus(connection.isns.client, head.length));
      connection.client(head.length, `POST /public HTTP/1.1\r\nHost: a\r\nContent-Length: ${1000 + evil.length}\r\n\r\n`);
      connection.client(head.length, body);
      connection.client(head.length + body.length, evil);
      held(connection);

      const early = new HttpByHand(new KernelBox(datapath, family, ++port), matcher);
      early.pass('client', segment({ seq: 1000, ack: 0, flags: tcpFlag.syn, payload: Buffer.from(evil) }));
      early.pass('client', segment({ seq: 1000, ack: 0, flags: tcpFlag.syn, payload: Buffer.from(good) }));
      assert.equal(early.atServer, '');
      assert.deepEqual(early.faults(), []);
    });

    test('bytes before the pod has said which of two SYNs it has taken', () => {
      const early = new HttpByHand(new KernelBox(datapath, family, ++port), matcher, { client: 1000, server: 77 });
      const unread = 'GET /no?x=';
      early.syn(1000);
      early.syn(1000 + unread.length);
      const send = (): void => {
        early.client(unread.length, good, acks(0));
        early.client(0, unread, acks(0));
        early.client(0, unread + good, acks(0));
      };
      send();
      early.pass('server', segment({ seq: 77, ack: 1001, flags: tcpFlag.syn | tcpFlag.ack }));
      send();
      held(early);
      assert.equal(early.atServer, '');
    });

    test('a pod that has forgotten a SYN answers the next one with other numbers, and no more when the client has heard of them', () => {
      const way = new KernelBox(datapath, family, ++port);
      const opens = (seq: number) => way.fromServer(segment({ seq, ack: 1001, flags: tcpFlag.syn | tcpFlag.ack, options: { mss: 1460 } })).toClient.length;
      const connection = new HttpByHand(way, matcher, { client: 1000, server: 77 });
      connection.syn(1000);
      assert.equal(opens(5000), 1);
      connection.syn(1000);
      connection.pass('server', segment({ seq: 77, ack: 1001, flags: tcpFlag.syn | tcpFlag.ack, options: { mss: 1460 } }));
      connection.client(0, '');
      assert.equal(opens(5000), 0);
      connection.client(0, good);
      assert.equal(connection.atServer, good);
      connection.answer('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', acks(good.length));
      assert.match(connection.atClient, /^HTTP\/1\.1 200 OK/);
      connection.client(good.length, evil);
      held(connection);
    });

    test('a second way to the same pod, by a service, with a SYN that would begin the reading anew in the middle of a body', () => {
      const head = 'POST /public HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n';
      // Read from here on as a request, its body has what is a request of its own for the pod.
      const again = (length: number): string => `POST /public HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n\r\n`;
      const filler = 1000 - again(1000).length;
      for (const direct of [false, true]) {
        const connection = open();
        connection.client(0, head);
        connection.server(0, '', acks(head.length));
        const service = { address: family.service, port: servicePort, mac: mac.host };
        const byService = (s: Segment): void => {
          connection.model.clientSent(s);
          connection.seen(box.frameFromClient(buildSegment(box.client, service, s)));
        };
        byService(segment({ seq: plus(connection.isns.client, head.length), ack: 0, flags: tcpFlag.syn, options: { mss: 1460 } }));
        // In its connection the pod takes no SYN: it says where it is.
        connection.server(0, '', acks(head.length));
        const send = (at: number, text: string): unknown => (direct ? connection.client(at, text) : byService(connection.segmentOf('client', at, text, acks(0))));
        let at = head.length;
        for (const text of [again(filler + evil.length), 'x'.repeat(1000 - again(filler + evil.length).length), evil]) {
          send(at, text);
          at += text.length;
        }
        held(connection);
      }
    });

    test('a SYN that the pod takes begins anew, with nothing left of before', () => {
      const connection = open();
      connection.client(0, 'POST /public HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n');
      connection.server(0, '', { flags: tcpFlag.rst | tcpFlag.ack });
      const again = new HttpByHand(box, matcher, { client: 0x80000000, server: 77 }).open();
      again.client(0, evil);
      assert.equal(again.atServer, '');
      assert.match(again.atClient, forbidden);
      held(again);
    });

    test('urgent bytes', () => {
      const connection = open();
      connection.client(0, good, { flags: tcpFlag.ack | tcpFlag.urg, urgent: 5 });
      connection.client(0, good, { flags: tcpFlag.ack | tcpFlag.urg });
      assert.equal(connection.atServer, '');
      connection.client(0, good.slice(0, 9));
      connection.client(9, good.slice(9), { flags: tcpFlag.ack | tcpFlag.urg, urgent: 1 });
      held(connection);
    });

    test('bytes ahead of their turn, and what fills the gap', () => {
      const connection = open();
      connection.client(good.length, evil);
      connection.client(good.length + evil.length, good);
      assert.equal(connection.atServer, '');
      connection.client(0, good);
      connection.client(good.length, good);
      held(connection);
    });

    test('probes: one byte behind, one byte ahead, and none', () => {
      const connection = open();
      connection.client(0, good);
      connection.server(0, '', acks(good.length));
      connection.client(good.length - 1, 'Z');
      connection.client(good.length - 1, '');
      connection.client(good.length, 'G');
      connection.client(good.length, 'P');
      connection.client(good.length, evil);
      connection.client(-1, 'Z');
      connection.client(-100, 'Z'.repeat(100));
      connection.client(-1, `Z${good}`);
      held(connection);
    });

    test('FIN where it should not be', () => {
      for (const flags of [tcpFlag.fin | tcpFlag.ack, tcpFlag.fin, tcpFlag.fin | tcpFlag.psh | tcpFlag.ack]) {
        const connection = open();
        connection.client(100, '', { flags });
        connection.client(0, good.slice(0, 7), { flags });
        connection.client(7, good.slice(7));
        connection.client(7, evil.slice(7));
        connection.client(0, evil);
        connection.client(8, evil);
        held(connection);
        const denied = open();
        denied.client(0, evil, { flags });
        denied.client(evil.length, evil);
        denied.client(evil.length + 1, evil);
        held(denied);
      }
    });

    test('a byte in the place of a FIN that the pod has not taken', () => {
      // The pod takes none of these: no flag ACK, one that acknowledges what was never sent.
      for (const o of [{ flags: tcpFlag.fin }, { flags: tcpFlag.fin | tcpFlag.ack, ack: 1_000_000 }, { flags: tcpFlag.fin | tcpFlag.ack, ack: -1_000_000 }, { flags: tcpFlag.fin | tcpFlag.ack }]) {
        const connection = open();
        connection.client(0, evil.slice(0, -1));
        connection.client(evil.length - 1, '', o);
        connection.client(evil.length - 1, '\n');
        connection.client(evil.length - 3, '\n\r\n');
        connection.client(0, evil);
        connection.client(evil.length - 1, '\n', o);
        held(connection);
        const body = open();
        body.client(0, 'POST /public HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n');
        const end = body.atServer.length;
        body.client(end, '', o);
        body.client(end, '0');
        body.client(end, '0\r\n\r\n');
        held(body);
      }
    });

    test('resets that the pod does not take do not make room for another connection', () => {
      const head = `POST /public HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n`;
      for (const at of [head.length + 5, head.length + 60_000, 0, head.length - 1]) {
        const connection = open();
        connection.client(0, head);
        connection.server(0, '', acks(head.length));
        connection.client(at, '', { flags: tcpFlag.rst });
        connection.client(at, evil, { flags: tcpFlag.rst | tcpFlag.ack });
        connection.syn(plus(connection.isns.client, head.length));
        connection.client(head.length, `POST /public HTTP/1.1\r\nHost: a\r\nContent-Length: ${1000 + evil.length}\r\n\r\n`);
        connection.client(head.length, 'x'.repeat(1000));
        connection.client(head.length + 1000, evil);
        held(connection);
      }
    });

    test('flags in every combination on a head that no rule allows, and on one that begins as an allowed one', () => {
      for (let flags = 0; flags < 64; flags++) {
        const connection = open();
        connection.client(0, evil, { flags });
        connection.client(0, good.slice(0, 10), { flags });
        connection.client(10, evil.slice(10), { flags });
        connection.client(0, evil, { flags });
        connection.client(0, evil);
        held(connection);
      }
    });

    test('a denied request behind allowed ones in one segment, and what waits for answers', () => {
      for (const before of [1, 2, 15, 16, 17]) {
        const connection = open();
        const bytes = good.repeat(before) + evil + good;
        connection.client(0, bytes);
        connection.client(0, bytes);
        const has = connection.atServer.length;
        connection.client(has, bytes.slice(has));
        held(connection);
        for (let i = 0; i < before; i++) {
          connection.answer(answer, acks(connection.atServer.length));
          connection.client(connection.atServer.length, bytes.slice(connection.atServer.length));
        }
        held(connection);
      }
    });

    test('answers that nobody asked for, and early ones, do not make a denial land in the middle of another', () => {
      const connection = open();
      connection.answer(answer);
      connection.client(0, evil);
      held(connection);
      const early = open();
      early.client(0, 'POST /public HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n');
      early.answer(answer);
      early.client(53, 'x'.repeat(50));
      early.client(103, evil);
      held(early);
    });

    test('an answer that goes on while the next request is denied', () => {
      const connection = open();
      connection.client(0, good);
      connection.model.serverWrote(Buffer.from(answer), true);
      connection.server(0, answer.slice(0, 20), acks(good.length));
      connection.client(good.length, evil);
      connection.server(20, answer.slice(20), acks(good.length));
      connection.client(good.length, evil);
      connection.server(0, answer, acks(good.length));
      held(connection);
      assert.match(connection.atClient, /okHTTP\/1.1 403/);
    });

    test('a tunnel only after the server has agreed', () => {
      const upgrade = 'GET /public HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n';
      const refused = open();
      refused.client(0, `${upgrade}${evil}`);
      refused.client(upgrade.length, evil);
      refused.answer('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n', acks(refused.atServer.length));
      refused.client(upgrade.length, evil);
      held(refused);
      const agreed = open();
      agreed.client(0, upgrade);
      agreed.model.tunnelAfter = 0;
      agreed.answer('HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n', acks(upgrade.length));
      agreed.client(upgrade.length, 'anything at all\u0000');
      assert.equal(agreed.atServer, `${upgrade}anything at all\u0000`);
      const unasked = open();
      unasked.client(0, good);
      unasked.answer('HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n', acks(good.length));
      unasked.client(good.length, evil);
      held(unasked);
      const h2c = open();
      h2c.client(0, 'GET /public HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n');
      const length = h2c.atServer.length;
      h2c.answer('HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n', acks(length));
      h2c.client(length, evil);
      held(h2c);
    });

    test('behind a body of more than two gigabytes the next request is read as any other', () => {
      for (const size of [2 ** 31 + 10, 3 * 2 ** 30, 2 ** 32 + 10]) {
        const isns = { client: 500, server: 600 }, before = 70;
        const connection = open(isns);
        let at = 0;
        for (let i = 0; i < before; i++, at += good.length) {
          connection.client(at, good);
          connection.answer(answer, acks(at + good.length));
        }
        const rest = 100, head = `PUT /public HTTP/1.1\r\nHost: a\r\nContent-Length: ${size + rest}\r\n\r\n`;
        connection.client(at, head);
        at += head.length;
        connection.server(answer.length * before, '', acks(at));
        // All but the rest goes by and is acknowledged, a quarter of a gigabyte at a time, in a moment: nobody would wait for it here.
        const rows = datapath.maps.httpConnections;
        const found = () => [...rows.entries()].find(([one]) => one.clientPort === port)!;
        for (let left = size; left > 0;) {
          const step = Math.min(left, 2 ** 28);
          left -= step;
          at += step;
          const [key, row] = found();
          rows.update(key, { ...row, requestNext: plus(row.requestNext, step), serverAcked: plus(row.serverAcked, step), request: { ...row.request, body: { ...row.request.body, opaque: BigInt(left + rest) } } });
          connection.server(answer.length * before, '', acks(at));
          connection.client(at, '');
        }
        const passes = (text: string): boolean => {
          const passed = connection.client(at, text).toServer.some(s => s.payload.toString('latin1') === text);
          at += text.length;
          return passed;
        };
        assert.equal(passes('x'.repeat(rest)), true, `${size}: its end`);
        connection.answer(answer, acks(at));
        assert.equal(passes(evil), false);
        connection.client(at, '');
        assert.equal(passes(good), true, `${size}: the next`);
        const [, { told, requestNext }] = found();
        assert.equal(told, requestNext, `${size}: the next is told of`);
      }
    });

    test('what the wire bears behind the packet\'s own length is not read', () => {
      const connection = open();
      const frame = buildSegment(box.client, box.server, connection.segmentOf('client', 0, good.slice(0, 10), {}));
      connection.seen(safely(() => box.frameFromClient(Buffer.concat([frame, Buffer.from(good.slice(10))]))));
      connection.client(10, evil.slice(10));
      connection.client(10, good.slice(10));
      connection.client(good.length, evil);
      held(connection);
    });

    test('lengths that the packet does not have', () => {
      const connection = open();
      const sent = connection.segmentOf('client', 0, good, {});
      connection.model.clientSent(sent);
      const whole = buildSegment(box.client, box.server, sent);
      const l4 = family.name === 'IPv4' ? 34 : 54;
      for (const doff of [0, 1, 4, 6, 10, 15]) {
        const frame = Buffer.from(whole);
        frame[l4 + 12] = doff << 4;
        connection.seen(safely(() => box.frameFromClient(frame)));
      }
      for (const length of [0, 19, 20, 39, whole.length - 15, whole.length - 13, 65_535]) {
        const frame = Buffer.from(whole);
        if (family.name === 'IPv4') frame.writeUInt16BE(length, 16);
        else frame.writeUInt16BE(length, 18);
        connection.seen(safely(() => box.frameFromClient(frame)));
      }
      connection.client(0, evil);
      held(connection);
    });
  });
});

/** A frame that no stack would take, as its checksum or length is wrong, reaches nobody. */
function safely(run: () => ReturnType<KernelBox['frameFromClient']>): ReturnType<KernelBox['frameFromClient']> {
  try {
    return run();
  } catch (error) {
    if (/checksum|header|bytes/.test((error as Error).message)) return { toServer: [], toClient: [] };
    throw error;
  }
}
