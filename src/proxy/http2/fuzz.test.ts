import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Flag, FrameType, preface } from './frame.ts';
import { data, frame, get, number, paths, post, readFrames, setting, settings, settingsAck, Talk } from './testing-frames.ts';

const runs = Number(process.env['CIRRI_PROPERTY_RUNS'] ?? 300);

/** Mostly one of those opened, counted from the last; sometimes a number that nobody should use. */
const stream = fc.oneof({ weight: 200, arbitrary: fc.nat(5).map(back => -1 - back) }, { weight: 1, arbitrary: fc.constantFrom(0, 1, 2, 3, 99, 0x7fff_ffff) });
/** Stands for the next number in the client's order. */
const nextStream = -100;
const path = fc.constantFrom('/allowed', '/allowed', '/allowed/3', '/allowed/2', '/other', '/', '', 'allowed', '/allowed#', '/allowed x');
const body = fc.string({ unit: 'binary-ascii', maxLength: 20 });

/** One thing that a peer sends: mostly what it should, sometimes not. `lines` become HEADERS in the sender's tables. */
type Move =
  | { readonly kind: 'headers'; readonly id: number; readonly path: string; readonly method: 'GET' | 'POST'; readonly more: readonly (readonly [string, string])[]; readonly end: boolean }
  | { readonly kind: 'answer'; readonly id: number; readonly status: string; readonly more: readonly (readonly [string, string])[]; readonly end: boolean }
  | { readonly kind: 'trailers'; readonly id: number; readonly end: boolean }
  | { readonly kind: 'bytes'; readonly bytes: (id: (of: number) => number) => Buffer };

const field = fc.tuple(fc.constantFrom('x', 'x-long', 'content-type', 'content-length', 'host', 'te', 'connection', 'X', ':path', 'cookie'), fc.constantFrom('y', 'application/grpc', '5', '0', 'shop', 'trailers', 'a b', 'a\nb', '/allowed'));
const more = fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: fc.array(field, { maxLength: 3 }) });
const move: fc.Arbitrary<Move> = fc.oneof(
  { weight: 40, arbitrary: fc.record({ kind: fc.constant('headers' as const), id: fc.oneof({ weight: 30, arbitrary: fc.constant(nextStream) }, { weight: 1, arbitrary: stream }), path, method: fc.constantFrom('GET', 'POST'), more, end: fc.boolean() }) },
  { weight: 40, arbitrary: fc.record({ kind: fc.constant('answer' as const), id: stream, status: fc.constantFrom('200', '200', '103', '404', '101', '9', ''), more, end: fc.boolean() }) },
  { weight: 10, arbitrary: fc.record({ kind: fc.constant('trailers' as const), id: stream, end: fc.boolean() }) },
  { weight: 40, arbitrary: fc.tuple(stream, body, fc.boolean()).map(([id, text, end]): Move => ({ kind: 'bytes', bytes: of => data(of(id), text, end) })) },
  { weight: 1, arbitrary: fc.tuple(stream, fc.uint8Array({ maxLength: 9 }), fc.nat(255)).map(([id, payload, flags]): Move => ({ kind: 'bytes', bytes: of => frame(FrameType.data, flags, of(id), payload) })) },
  { weight: 10, arbitrary: fc.tuple(stream, fc.integer({ min: 0, max: 0x7fff_ffff }), fc.constantFrom(FrameType.windowUpdate, FrameType.rstStream)).map(([id, value, type]): Move => ({ kind: 'bytes', bytes: of => frame(type, 0, of(id), number(type === FrameType.rstStream ? value % 14 : value % 3 ? value % 1000 : value)) })) },
  { weight: 6, arbitrary: fc.array(fc.oneof({ weight: 12, arbitrary: fc.tuple(fc.constantFrom(1, 3, 4, 6), fc.constantFrom(0, 1, 100, 4096, 16_384, 65_535, 0x7fff_ffff)) }, { weight: 1, arbitrary: fc.tuple(fc.integer({ min: 1, max: 9 }), fc.constantFrom(0, 1, 16_384)) }), { maxLength: 3 }).map((all): Move => ({ kind: 'bytes', bytes: () => settings(...all.map(([id, value]) => setting(id, value))) })) },
  { weight: 1, arbitrary: fc.constant<Move>({ kind: 'bytes', bytes: () => settingsAck }) },
  { weight: 1, arbitrary: fc.tuple(fc.nat(12), fc.nat(255), stream, fc.uint8Array({ maxLength: 30 })).map(([type, flags, id, payload]): Move => ({ kind: 'bytes', bytes: of => frame(type, flags, of(id), payload) })) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 40 }).map((bytes): Move => ({ kind: 'bytes', bytes: () => Buffer.from(bytes) })) },
);
const seldom = <T>(times: number, arbitrary: fc.Arbitrary<T>) => fc.oneof({ weight: times, arbitrary: fc.constant(null) }, { weight: 1, arbitrary });
const step = fc.record({ move, flip: seldom(80, fc.tuple(fc.nat(60), fc.nat(255))), pieces: fc.constantFrom(1, 3, 9, 10, 50, Infinity), policy: seldom(30, fc.constantFrom(paths('/allowed.*'), paths('/allowed'), paths('none'))), other: fc.nat(9), drain: fc.nat(40) });

/** Of each connection, the last stream that the client has opened. */
const opened = new WeakMap<Talk, number>();

function bytesOf(talk: Talk, from: 'client' | 'server', sent: Move): Buffer {
  const last = opened.get(talk) ?? 1;
  const of = (id: number) => {
    if (id === nextStream) opened.set(talk, last + 2);
    return id === nextStream ? last + 2 : id < 0 ? Math.max(1, last + 2 * (id + 1)) : id;
  };
  if (sent.kind === 'bytes') return sent.bytes(of);
  if (sent.kind === 'trailers') return talk[from].headers(of(sent.id), [['x-trailer', 'z']], sent.end);
  if (sent.kind === 'answer') return talk[from].headers(of(sent.id), [[':status', sent.status], ...sent.more], sent.end);
  return talk[from].headers(of(sent.id), [...(sent.method === 'GET' ? get(sent.path) : post(sent.path)), ...sent.more], sent.end);
}

/** What a strict server would say of what it got: all frames whole, all streams opened once and in order, nothing after the end, nothing that was not decided. */
function checkServer(talk: Talk): void {
  const sent = talk.wire.sent('server');
  if (sent.length === 0) return;
  assert.ok(sent.subarray(0, preface.length).equals(preface));
  const frames = readFrames(sent);
  assert.ok(frames.length === 0 || frames[0]!.type === FrameType.settings);
  const open = new Map<number, boolean>();
  const left = new Map<number, number>();
  let last = 0;
  let window = 0;
  for (const { type, flags, stream: id, payload, lines } of frames) {
    if (type === FrameType.headers && id > last) {
      last = id;
      open.set(id, true);
      const length = lines!.find(line => line.startsWith('content-length: '));
      if (length !== undefined) left.set(id, Number(length.slice(16)));
      assert.equal(id % 2, 1);
      assert.ok(lines!.filter(line => line.startsWith(':path: ')).length === 1, lines!.join('; '));
      assert.ok(lines!.some(line => line.startsWith(':path: /allowed')), lines!.join('; '));
      for (const line of lines!) assert.match(line, /^:?[!#$%&'*+.^_`|~0-9a-z-]+: (?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?$/);
      assert.ok(!lines!.some(line => line.startsWith('connection')), 'a field of one hop');
    } else if (type === FrameType.headers || type === FrameType.data) assert.ok(open.get(id), `stream ${id} is not open`);
    if (type === FrameType.data) {
      window += payload.length;
      if (left.has(id)) left.set(id, left.get(id)! - payload.length + (flags & Flag.padded ? payload[0]! + 1 : 0));
    }
    if (type === FrameType.rstStream) open.set(id, false);
    if ((type !== FrameType.headers && type !== FrameType.data) || !(flags & Flag.endStream)) continue;
    open.set(id, false);
    assert.equal(left.get(id) ?? 0, 0, 'a body that is not as long as it says');
  }
  assert.ok(window <= 65_535 + talk.windowOfServer, 'more than the server takes');
}

test('whatever both sides send: no crash, whole frames, and nothing at the server that was not decided', () => {
  fc.assert(fc.property(fc.array(step, { minLength: 10, maxLength: 60, size: 'max' }), steps => {
    const talk = new Talk();
    talk.wire.from('client', talk.client.headers(1, post('/allowed'), false));
    for (const { move: sent, flip, pieces, policy, other, drain } of steps) {
      const from = (sent.kind === 'answer' ? other > 0 : sent.kind === 'headers' ? other === 0 && sent.id !== nextStream : other > 5) ? 'server' : 'client';
      if (talk.wire.closed !== undefined) break;
      if (talk.wire.paused[from]) continue;
      if (drain === 0) talk.wire.session.drain!('rest');
      if (policy !== null) talk.wire.current = { egress: policy };
      const bytes = Buffer.from(bytesOf(talk, from, sent));
      if (flip !== null && bytes.length > 0) bytes[flip[0] % bytes.length]! ^= flip[1];
      if (from === 'server') talk.countServerWindow(bytes);
      try {
        talk.wire.from(from, bytes, pieces);
      } catch (error) {
        if (!String(error).includes('is paused')) throw error;
      }
    }
    checkServer(talk);
    readFrames(talk.wire.sent('client'));
  }), { numRuns: runs * 5 });
});
