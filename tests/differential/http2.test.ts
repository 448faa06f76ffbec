/**
 * HTTP/2 as nghttp2 (in Node) reads it: clients that mean well, make mistakes or are hostile talk to a session of the proxy, and
 * what it passes on goes to a server. The server must find no fault in it, and see the requests that were decided and no others.
 */
import assert from 'node:assert/strict';
import { createServer, type IncomingHttpHeaders, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import { duplexPair } from 'node:stream';
import { test } from 'node:test';
import fc from 'fast-check';
import { Flag, FrameType } from '../../src/proxy/http2/frame.ts';
import { data, frame, get, type Line, number, post, setting, settings, Talk } from '../../src/proxy/http2/testing-frames.ts';

const runs = Number(process.env['CIRRI_PROPERTY_RUNS'] ?? 300);

/** A part of a stream: its head, and what follows. */
interface Stream {
  readonly path: string;
  readonly method: 'GET' | 'POST';
  readonly more: readonly Line[];
  readonly parts: readonly { readonly kind: 'data' | 'padded' | 'trailers' | 'reset' | 'window'; readonly text: string; readonly end: boolean }[];
  readonly ends: boolean;
}

const field = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(fc.stringMatching(/^x-[a-z0-9]{1,8}$/), fc.stringMatching(/^[!-~]([ -~]{0,30}[!-~])?$/)) },
  { weight: 1, arbitrary: fc.constantFrom<Line>(['content-length', '5'], ['content-length', '0'], ['te', 'trailers'], ['host', 'shop'], ['cookie', 'a=b']) },
  { weight: 1, arbitrary: fc.constantFrom<Line>(['content-length', '05'], ['content-length', '-1'], ['te', 'gzip'], ['host', 'other'], ['connection', 'close'], ['transfer-encoding', 'chunked'], ['X', 'y'], ['x', 'a\r\nb'], ['x', ' a'], [':path', '/allowed'], ['upgrade', 'h2c'], ['', 'x'], ['x', 'a\0']) },
);
const stream: fc.Arbitrary<Stream> = fc.record({
  path: fc.constantFrom('/allowed', '/allowed/1', '/allowed?x=1', '/other', '/allowed/../other', '/allowed#', '', 'allowed', '*', '/allowed x', '/allowed\xff'),
  method: fc.constantFrom('GET', 'POST', 'POST'),
  more: fc.array(field, { maxLength: 3 }),
  parts: fc.array(fc.record({ kind: fc.constantFrom('data', 'data', 'data', 'padded', 'trailers', 'reset', 'window'), text: fc.string({ unit: 'grapheme-ascii', maxLength: 8 }), end: fc.boolean() }), { maxLength: 4 }),
  ends: fc.boolean(),
});

function partBytes(talk: Talk, id: number, { kind, text, end }: Stream['parts'][number]): Buffer {
  const flag = end ? Flag.endStream : 0;
  switch (kind) {
    case 'data': return data(id, text, end);
    case 'padded': return frame(FrameType.data, flag | Flag.padded, id, `\x02${text}\0\0`);
    case 'trailers': return talk.client.headers(id, text.includes(' ') ? [['x-trailer', 'z'], [':path', '/']] : [['x-trailer', 'z']], end || !text.includes('a'));
    case 'reset': return frame(FrameType.rstStream, 0, id, number(8));
    case 'window': return frame(FrameType.windowUpdate, 0, id, number(text.length));
  }
}

/** The bytes of all streams, their parts mixed as `order` has it. */
function* conversation(talk: Talk, streams: readonly Stream[], order: readonly number[]): Generator<Buffer> {
  const waiting = streams.map((of, i) => ({ id: 2 * i + 1, parts: [...of.parts] }));
  for (const [i, of] of streams.entries()) {
    yield talk.client.headers(2 * i + 1, [...(of.method === 'GET' ? get(of.path) : post(of.path)), ...of.more], of.ends);
    const next = waiting[(order[i] ?? 0) % (i + 1)]!;
    const part = next.parts.shift();
    if (part !== undefined) yield partBytes(talk, next.id, part);
  }
  for (const { id, parts } of waiting) for (const part of parts) yield partBytes(talk, id, part);
}

interface Seen {
  readonly paths: string[];
  readonly faults: string[];
}

/** What a server makes of it. The client's side stays open until the server has read all. */
async function serve(bytes: Buffer): Promise<Seen> {
  const seen: Seen = { paths: [], faults: [] };
  const server = createServer();
  const done = Promise.withResolvers<void>();
  server.on('stream', (of: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    seen.paths.push(String(headers[':path']));
    of.on('error', () => undefined);
    // 8: the client's own wish. Anything else is the server's, for what it got.
    of.on('close', () => void (of.rstCode === 0 || of.rstCode === 8 || seen.faults.push(`stream ${of.id} was reset: ${of.rstCode}`)));
    of.resume();
  });
  server.on('session', (session: ServerHttp2Session) => {
    session.on('error', error => seen.faults.push(String(error)));
    session.on('frameError', (type, code) => seen.faults.push(`frame ${type}: ${code}`));
    // The last frame that it got: all before it has been read.
    session.on('ping', () => done.resolve());
    session.on('close', () => done.resolve());
  });
  const [ours, theirs] = duplexPair();
  server.emit('connection', theirs);
  ours.resume();
  ours.write(Buffer.concat([bytes, frame(FrameType.ping, 0, 0, 'finished')]));
  await done.promise;
  ours.destroy();
  theirs.destroy();
  return seen;
}

test('what the proxy passes on is HTTP/2 to nghttp2, and has the requests that were decided', async () => {
  let passed = 0;
  await fc.assert(fc.asyncProperty(fc.array(stream, { minLength: 1, maxLength: 8 }), fc.array(fc.nat(20), { maxLength: 8 }), fc.constantFrom(1, 7, 50, Infinity), async (streams, order, pieces) => {
    const talk = new Talk({ client: settings(setting(4, 65_535)) });
    for (const bytes of conversation(talk, streams, order)) if (talk.wire.closed === undefined) talk.wire.from('client', bytes, pieces);
    const sent = talk.wire.sent('server');
    const end = talk.toServer.findIndex(({ type }) => type === FrameType.goaway);
    const { paths, faults } = await serve(end < 0 ? sent : withoutGoaway(sent));
    assert.deepEqual(faults, []);
    const decided = talk.wire.records.filter(({ verdict, l7 }) => verdict === 'FORWARDED' && l7.type === 'REQUEST').map(({ l7 }) => l7.http!.url.replace('http://shop', ''));
    assert.deepEqual(paths, decided);
    assert.ok(decided.every(path => /^\/allowed(?:\/1|\?x=1)?$/.test(path)), decided.join(' '));
    passed += paths.length;
  }), { numRuns: runs });
  assert.ok(passed > runs / 2, `${passed} requests came through: too few to say anything`);
});

/** GOAWAY is the last that a server gets; it would answer nothing after it. */
function withoutGoaway(sent: Buffer): Buffer {
  let at = 24;
  while (at < sent.length && sent[at + 3] !== FrameType.goaway) at += 9 + sent.readUIntBE(at, 3);
  return sent.subarray(0, at);
}
