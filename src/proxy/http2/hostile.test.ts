import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Flag, FrameType, preface } from './frame.ts';
import type { HttpMatcher } from '../../policy/l7-match.ts';
import { FakeWire } from '../testing.ts';
import { openHttp2 } from './session.ts';
import { BlockWriter, data, frame, get, type Line, number, paths, post, readFrames, setting, settings, settingsAck, Talk } from './testing-frames.ts';

const talk = () => new Talk();
const code = { protocol: 1, flowControl: 3, streamClosed: 5, frameSize: 6, refused: 7, compression: 9, calm: 11 };
const repeat = (count: number, make: (i: number) => Buffer) => Buffer.concat(Array.from({ length: count }, (_, i) => make(i)));

/** What ends the connection, each after one stream that is open (1). */
const connectionFaults: Readonly<Record<string, { readonly code: number; readonly bytes: (talk: Talk) => Buffer }>> = {
  'a frame over 16,384 octets': { code: code.frameSize, bytes: () => Buffer.from('00400100000000000100', 'hex') },
  'DATA on stream 0': { code: code.protocol, bytes: () => data(0, 'x') },
  'DATA on a stream that is not open': { code: code.protocol, bytes: () => data(9, 'x') },
  'HEADERS on stream 0': { code: code.protocol, bytes: t => t.client.headers(0, get('/allowed')) },
  'HEADERS with an even number': { code: code.protocol, bytes: t => t.client.headers(4, get('/allowed')) },
  'HEADERS with more padding than payload': { code: code.protocol, bytes: () => frame(FrameType.headers, Flag.endHeaders | Flag.padded, 3, [9, 0x82]) },
  'DATA with more padding than payload': { code: code.protocol, bytes: () => frame(FrameType.data, Flag.padded, 1, [3, 0, 0]) },
  'CONTINUATION without HEADERS': { code: code.protocol, bytes: () => frame(FrameType.continuation, Flag.endHeaders, 1, [0x82]) },
  'a header block that is interrupted by another stream': { code: code.protocol, bytes: () => Buffer.concat([frame(FrameType.headers, 0, 3, [0x82]), data(1, 'x')]) },
  'a header block that goes on with another stream': { code: code.protocol, bytes: () => Buffer.concat([frame(FrameType.headers, 0, 3, [0x82]), frame(FrameType.continuation, 4, 1, [0x84])]) },
  'CONTINUATION flood (CVE-2024-27316): octets': { code: code.calm, bytes: () => Buffer.concat([frame(FrameType.headers, 0, 3, [0x82]), repeat(8, () => frame(FrameType.continuation, 0, 3, Buffer.alloc(10_000, 0x82)))]) },
  'CONTINUATION flood: empty frames': { code: code.calm, bytes: () => Buffer.concat([frame(FrameType.headers, 0, 3, [0x82]), repeat(100, () => frame(FrameType.continuation, 0, 3))]) },
  'a header block that is no HPACK': { code: code.compression, bytes: () => frame(FrameType.headers, Flag.endHeaders, 3, [0x80]) },
  'SETTINGS of a wrong size': { code: code.frameSize, bytes: () => frame(FrameType.settings, 0, 0, [0, 1, 0, 0, 0]) },
  'SETTINGS on a stream': { code: code.protocol, bytes: () => frame(FrameType.settings, 0, 1) },
  'an acknowledgement of SETTINGS with a payload': { code: code.frameSize, bytes: () => frame(FrameType.settings, Flag.ack, 0, setting(1, 1)) },
  'an acknowledgement of SETTINGS that nobody sent': { code: code.protocol, bytes: () => settingsAck },
  'an initial window over 2^31-1': { code: code.flowControl, bytes: () => settings(setting(4, 0x8000_0000)) },
  'a frame size below 16,384': { code: code.protocol, bytes: () => settings(setting(5, 100)) },
  'ENABLE_PUSH of 2': { code: code.protocol, bytes: () => settings(setting(2, 2)) },
  'PING of a wrong size': { code: code.frameSize, bytes: () => frame(FrameType.ping, 0, 0, [1, 2, 3]) },
  'PING on a stream': { code: code.protocol, bytes: () => frame(FrameType.ping, 0, 1, Buffer.alloc(8)) },
  'GOAWAY on a stream': { code: code.protocol, bytes: () => frame(FrameType.goaway, 0, 1, Buffer.alloc(8)) },
  'GOAWAY of a wrong size': { code: code.frameSize, bytes: () => frame(FrameType.goaway, 0, 0, Buffer.alloc(7)) },
  'PUSH_PROMISE of a client': { code: code.protocol, bytes: () => frame(FrameType.pushPromise, Flag.endHeaders, 1, [0, 0, 0, 2, 0x82]) },
  'RST_STREAM on a stream that is not open': { code: code.protocol, bytes: () => frame(FrameType.rstStream, 0, 9, number(8)) },
  'RST_STREAM of a wrong size': { code: code.frameSize, bytes: () => frame(FrameType.rstStream, 0, 1, [0, 0, 8]) },
  'PRIORITY of a wrong size': { code: code.frameSize, bytes: () => frame(FrameType.priority, 0, 1, [0, 0, 8]) },
  'PRIORITY on stream 0': { code: code.protocol, bytes: () => frame(FrameType.priority, 0, 0, [0, 0, 0, 1, 1]) },
  'a stream that depends on itself': { code: code.protocol, bytes: () => frame(FrameType.priority, 0, 1, [0, 0, 0, 1, 1]) },
  'WINDOW_UPDATE of nothing': { code: code.protocol, bytes: () => frame(FrameType.windowUpdate, 0, 0, number(0)) },
  'WINDOW_UPDATE of a wrong size': { code: code.frameSize, bytes: () => frame(FrameType.windowUpdate, 0, 0, [1]) },
  'WINDOW_UPDATE on a stream that is not open': { code: code.protocol, bytes: () => frame(FrameType.windowUpdate, 0, 9, number(1)) },
  'a window over 2^31-1': { code: code.flowControl, bytes: () => frame(FrameType.windowUpdate, 0, 0, number(0x7fff_ffff)) },
  'more DATA than the window of the server': { code: code.flowControl, bytes: () => repeat(5, () => data(1, 'x'.repeat(16_384))) },
  'PING flood (CVE-2019-9512)': { code: code.calm, bytes: () => repeat(1500, () => frame(FrameType.ping, 0, 0, Buffer.alloc(8))) },
  'SETTINGS flood (CVE-2019-9515)': { code: code.calm, bytes: () => repeat(1500, () => settings()) },
  'PRIORITY flood (CVE-2019-9513)': { code: code.calm, bytes: () => repeat(1500, () => frame(FrameType.priority, 0, 1, [0, 0, 0, 3, 1])) },
  'flood of empty DATA (CVE-2019-9518)': { code: code.calm, bytes: () => repeat(1500, () => data(1, '')) },
  'flood of small windows': { code: code.calm, bytes: () => repeat(1500, () => frame(FrameType.windowUpdate, 0, 1, number(1))) },
  'flood of frames of unknown types': { code: code.calm, bytes: () => repeat(1500, () => frame(0x77, 0, 1, 'x')) },
  'rapid reset (CVE-2023-44487)': { code: code.calm, bytes: t => repeat(1500, i => Buffer.concat([t.client.headers(2 * i + 3, get('/allowed')), frame(FrameType.rstStream, 0, 2 * i + 3, number(8))])) },
  'resets that the proxy is made to send (CVE-2025-8671)': { code: code.calm, bytes: t => repeat(1500, i => Buffer.concat([t.client.headers(2 * i + 3, get('/allowed')), frame(FrameType.windowUpdate, 0, 2 * i + 3, number(0))])) },
  'malformed requests without end': { code: code.calm, bytes: t => repeat(1500, i => t.client.headers(2 * i + 3, [[':method', 'GET']])) },
};
for (const [name, { code: expected, bytes }] of Object.entries(connectionFaults)) {
  test(`the connection ends: ${name}`, () => {
    const t = talk();
    t.wire.from('client', t.client.headers(1, post('/allowed'), false));
    t.wire.from('client', bytes(t));
    assert.equal(t.goaway('client'), expected);
    assert.equal(t.goaway('server'), 0);
    assert.equal(t.wire.closed, 'written');
    assert.ok(t.stream('server', 1).every(text => !text.endsWith('END')));
  });
}

function raw(): FakeWire<HttpMatcher> {
  const wire = new FakeWire<HttpMatcher>({ egress: paths('/allowed.*') });
  wire.open(openHttp2(wire));
  return wire;
}

test('the connection ends: no preface, and the server hears nothing', () => {
  const wire = raw().from('client', 'PRI * HTTP/2.0\r\n\r\nSN\r\n\r\n');
  assert.equal(readFrames(wire.sent('client')).at(-1)!.payload.readUInt32BE(4), code.protocol);
  assert.equal(wire.sent('server').length, 0);
});

test('the connection ends: requests before SETTINGS, and the server hears nothing', () => {
  const wire = raw().from('client', Buffer.concat([preface, new BlockWriter().headers(1, get('/allowed'))]));
  assert.equal(readFrames(wire.sent('client')).at(-1)!.payload.readUInt32BE(4), code.protocol);
  assert.deepEqual(readFrames(wire.sent('server')), []);
});

const malformed: Readonly<Record<string, readonly Line[]>> = {
  'no :method': get('/allowed').slice(1),
  'no :scheme': [[':method', 'GET'], [':path', '/allowed'], [':authority', 'shop']],
  'no :path': [[':method', 'GET'], [':scheme', 'http'], [':authority', 'shop']],
  'an empty :path': get(''),
  'a :path without a slash': get('allowed'),
  'a :path that is a URL': get('http://shop/allowed'),
  'a :path with a space': get('/allowed HTTP/1.1'),
  'a :path with a line end': get('/allowed\r\nx: y'),
  'a :path with a NUL': get('/allowed\0'),
  'a :path with a fragment (CVE-2021-32779)': get('/allowed#/admin'),
  'a :path with a backslash': get('/allowed\\..\\admin'),
  'a :path with bytes over 127': get('/allowed/\xe9'),
  'a :scheme that is none': [[':method', 'GET'], [':scheme', 'file'], [':path', '/allowed'], [':authority', 'shop']],
  'two :path': get('/allowed', [':path', '/allowed']),
  'two :method': [[':method', 'GET'], ...get('/allowed')],
  'two :authority': get('/allowed', [':authority', 'shop']),
  'a pseudo-header after a field': [[':method', 'GET'], [':scheme', 'http'], ['x', 'y'], [':path', '/allowed']],
  'a pseudo-header that nobody knows': [[':nothing', 'x'], ...get('/allowed')],
  ':status in a request': [[':status', '200'], ...get('/allowed')],
  ':protocol that the server does not take (RFC 8441)': [[':method', 'CONNECT'], [':protocol', 'websocket'], [':scheme', 'http'], [':path', '/allowed'], [':authority', 'shop']],
  ':protocol without CONNECT': [[':protocol', 'websocket'], ...get('/allowed')],
  'CONNECT with :path': [[':method', 'CONNECT'], [':path', '/allowed'], [':authority', 'shop']],
  'CONNECT without :authority': [[':method', 'CONNECT']],
  'a name in upper case': get('/allowed', ['X-Y', 'z']),
  'an empty name': get('/allowed', ['', 'z']),
  'a name with a space': get('/allowed', ['x y', 'z']),
  'a name with a colon': get('/allowed', ['x:y', 'z']),
  'a value with a line end': get('/allowed', ['x', 'a\nb']),
  'a value with a carriage return': get('/allowed', ['x', 'a\rb']),
  'a value with a NUL': get('/allowed', ['x', 'a\0b']),
  'a value with a space before it': get('/allowed', ['x', ' a']),
  'a value with a tab behind it': get('/allowed', ['x', 'a\t']),
  'connection': get('/allowed', ['connection', 'close']),
  'keep-alive': get('/allowed', ['keep-alive', '1']),
  'proxy-connection': get('/allowed', ['proxy-connection', 'close']),
  'transfer-encoding': post('/allowed', ['transfer-encoding', 'chunked']),
  'upgrade': get('/allowed', ['upgrade', 'h2c']),
  'te other than trailers': get('/allowed', ['te', 'gzip']),
  'host that is not :authority': get('/allowed', ['host', 'other']),
  'two hosts': get('/allowed', ['host', 'shop'], ['host', 'shop']),
  'user information in :authority': [[':method', 'GET'], [':scheme', 'http'], [':path', '/allowed'], [':authority', 'a@shop']],
  'an :authority with a slash': [[':method', 'GET'], [':scheme', 'http'], [':path', '/allowed'], [':authority', 'shop/x']],
  'a method that is no token': [[':method', 'GET /'], [':scheme', 'http'], [':path', '/allowed'], [':authority', 'shop']],
  'content-length twice': post('/allowed', ['content-length', '0'], ['content-length', '0']),
  'content-length with a sign': post('/allowed', ['content-length', '+0']),
  'content-length without a body': post('/allowed', ['content-length', '5']),
  'content-length over 15 digits': post('/allowed', ['content-length', '9'.repeat(16)]),
};
for (const [name, lines] of Object.entries(malformed)) {
  test(`the stream is reset, and the server does not see it: ${name}`, () => {
    const t = talk();
    t.wire.from('client', t.client.headers(1, lines));
    t.wire.from('client', t.client.headers(3, get('/allowed')));
    assert.deepEqual(t.stream('client', 1), ['RST_STREAM 1']);
    assert.deepEqual(t.stream('server', 1), []);
    assert.equal(t.stream('server', 3).length, 1);
  });
}

const broken: Readonly<Record<string, { readonly lines?: readonly Line[]; readonly end?: boolean; readonly bytes: (t: Talk) => Buffer; readonly code?: number }>> = {
  'more than content-length': { lines: [['content-length', '3']], bytes: () => data(1, 'four') },
  'less than content-length': { lines: [['content-length', '3']], bytes: () => data(1, 'ab', true) },
  'less than content-length before trailers': { lines: [['content-length', '3']], bytes: t => Buffer.concat([data(1, 'ab'), t.client.headers(1, [['x', 'y']])]) },
  'padding does not count for content-length': { lines: [['content-length', '3']], bytes: () => frame(FrameType.data, Flag.padded | Flag.endStream, 1, [2, 0x61, 0, 0]) },
  'DATA after the end': { end: true, bytes: () => data(1, 'x'), code: code.streamClosed },
  'trailers after the end': { end: true, bytes: t => t.client.headers(1, [['x', 'y']]), code: code.streamClosed },
  'trailers that are not the end': { bytes: t => t.client.headers(1, [['x', 'y']], false) },
  'a pseudo-header in trailers': { bytes: t => t.client.headers(1, [[':path', '/other']]) },
  'a field in trailers that belongs before the body': { bytes: t => t.client.headers(1, [['cookie', 'a=b']]) },
  'content-length in trailers': { bytes: t => t.client.headers(1, [['content-length', '3']]) },
  'a window of nothing': { bytes: () => frame(FrameType.windowUpdate, 0, 1, number(0)) },
};
for (const [name, { lines = [], end = false, bytes, code: expected = code.protocol }] of Object.entries(broken)) {
  test(`the stream is reset on both sides, before its end: ${name}`, () => {
    const t = talk();
    t.wire.from('client', t.client.headers(1, post('/allowed', ...lines), end));
    t.wire.from('client', bytes(t));
    assert.equal(t.stream('client', 1).at(-1), `RST_STREAM ${expected}`);
    assert.equal(t.stream('server', 1).at(-1), 'RST_STREAM 8');
    if (!end) assert.ok(t.stream('server', 1).every(text => !text.endsWith('END')));
    assert.equal(t.wire.closed, undefined);
  });
}

test('a number that goes back opens nothing', () => {
  const t = talk();
  t.wire.from('client', t.client.headers(5, get('/allowed')));
  t.wire.from('client', t.client.headers(3, get('/allowed')));
  assert.deepEqual(t.stream('server', 3), []);
  assert.equal(t.stream('server', 5).length, 1);
});

test('a header list over 64 KiB gets 431, and the table is as it must be for the next', () => {
  const t = talk();
  const value = 'x'.repeat(2900);
  t.wire.from('client', t.client.headers(1, get('/allowed', ...Array.from({ length: 24 }, (): Line => ['x-large', value]))));
  assert.match(t.stream('client', 1)[0]!, /^HEADERS :status: 431/);
  assert.deepEqual(t.stream('server', 1), []);
  t.wire.from('client', t.client.headers(3, get('/allowed', ['x-large', value])));
  assert.match(t.stream('server', 3)[0]!, /x-large: xxx/);
});

test('streams over the limit are refused', () => {
  const t = talk();
  t.wire.from('client', repeat(1100, i => t.client.headers(2 * i + 1, post('/allowed'), false)));
  assert.equal(t.toServer.filter(({ type }) => type === FrameType.headers).length, 1024);
  assert.deepEqual(t.stream('client', 2199), ['RST_STREAM 7']);
});

test('header lists of open streams are bounded together: streams are refused rather than kept', () => {
  const t = talk();
  const value = 'x'.repeat(1400);
  // 57,737 octets each: 72 of them are less than 4 MiB.
  const lines = [...post('/allowed'), ...Array.from({ length: 40 }, (): Line => ['x-large', value])];
  for (let i = 0; i < 100; i++) t.wire.from('client', t.client.headers(2 * i + 1, lines, false));
  assert.equal(t.toServer.filter(({ type }) => type === FrameType.headers).length, 72);
  assert.deepEqual(t.stream('client', 199), ['RST_STREAM 7']);
});

test('who begins a header block and does not end it is sent away after 30 s', () => {
  const t = talk();
  t.wire.from('client', frame(FrameType.headers, 0, 1, [0x82]));
  t.wire.elapse(20_000).from('client', frame(FrameType.continuation, 0, 1, [0x84]));
  assert.equal(t.wire.closed, undefined);
  t.wire.elapse(10_000);
  assert.equal(t.goaway('client'), code.calm);
});

test('who says nothing after the preface is sent away, and the server is never asked', () => {
  const wire = raw().from('client', preface);
  wire.elapse(30_000);
  assert.equal(wire.closed, 'written');
  assert.deepEqual(readFrames(wire.sent('server')), []);
});

test('what a client sends is read the same wherever it is cut', () => {
  const bytes = (t: Talk) => Buffer.concat([t.client.headers(1, post('/allowed', ['content-length', '7']), false), data(1, 'abc'), frame(FrameType.data, Flag.padded | Flag.endStream, 1, [1, 0x64, 0x65, 0x66, 0x67, 0]), t.client.headers(3, get('/other')), t.client.headers(5, get('/allowed/2'))]);
  const whole = talk();
  whole.wire.from('client', bytes(whole));
  for (const pieces of [1, 2, 3, 5, 7, 11]) {
    const cut = talk();
    cut.wire.from('client', bytes(cut), pieces);
    const bodies = (t: Talk) => t.toServer.filter(({ type }) => type === FrameType.headers).map(({ stream, lines }) => [stream, ...lines!]);
    assert.deepEqual(bodies(cut), bodies(whole));
    assert.deepEqual(cut.stream('client', 3), whole.stream('client', 3));
    assert.equal(cut.stream('server', 1).at(-1)!.endsWith('END'), true);
  }
});
