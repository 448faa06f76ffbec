import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileHttpRules } from '../../policy/l7-match.ts';
import { Flag, FrameType } from './frame.ts';
import { data, frame, get, type Line, nothing, number, paths, post, setting, settings, Talk } from './testing-frames.ts';

const talk = (first?: ConstructorParameters<typeof Talk>[0]) => new Talk(first);
const refused = ['HEADERS :status: 403; content-length: 15; content-type: text/plain', 'DATA "Access denied\\r\\n" END'];
const grpc: Line = ['content-type', 'application/grpc'];

test('a denied request gets 403 with upstream\'s body, and the server nothing', () => {
  const t = talk();
  t.wire.from('client', t.client.headers(1, get('/other')));
  assert.deepEqual(t.stream('client', 1), refused);
  assert.deepEqual(t.stream('server', 1), []);
  assert.deepEqual(t.wire.records.map(({ verdict, l7 }) => [verdict, l7.type, l7.http!.url, l7.http!.code]), [['DROPPED', 'REQUEST', 'http://shop/other', undefined], ['FORWARDED', 'RESPONSE', 'http://shop/other', 403]]);
});

test('HEAD gets no body', () => {
  const t = talk();
  t.wire.from('client', t.client.headers(1, [[':method', 'HEAD'], ...get('/other').slice(1)]));
  assert.deepEqual(t.stream('client', 1), ['HEADERS :status: 403; content-length: 15; content-type: text/plain END']);
});

test('gRPC gets PERMISSION_DENIED in trailers only; grpc-web is HTTP', () => {
  const t = talk();
  const answer = 'HEADERS :status: 200; content-type: application/grpc; grpc-status: 7; grpc-message: Access denied END';
  for (const [i, type] of ['application/grpc', 'application/grpc+proto', 'application/grpc;x=y'].entries()) {
    t.wire.from('client', t.client.headers(2 * i + 1, post('/other', ['content-type', type])));
    assert.deepEqual(t.stream('client', 2 * i + 1), [answer]);
  }
  t.wire.from('client', t.client.headers(7, post('/other', ['content-type', 'application/grpc-web'])));
  assert.deepEqual(t.stream('client', 7), refused);
});

test('what a denied request still sends is swallowed, with the windows of connection and stream given back', () => {
  const t = talk();
  t.wire.from('client', t.client.headers(1, post('/other'), false));
  assert.deepEqual(t.stream('client', 1), refused);
  t.wire.from('client', Buffer.concat([data(1, 'x'.repeat(10_000)), frame(FrameType.data, Flag.padded, 1, [3, 1, 0, 0, 0]), t.client.headers(1, [['x', 'y']])]));
  assert.equal(t.windowOf('client'), 10_005);
  assert.deepEqual(t.stream('client', 1).slice(2), ['WINDOW_UPDATE 10000', 'WINDOW_UPDATE 5']);
  assert.deepEqual(t.stream('server', 1), []);
  t.wire.from('client', t.client.headers(3, post('/allowed', ['x', 'y'])));
  assert.match(t.stream('server', 3)[0]!, /x: y END$/);
});

test('who has more than 1 MiB to send, and gRPC, are told to stop', () => {
  const t = talk();
  t.wire.from('client', Buffer.concat([t.client.headers(1, post('/other', ['content-length', '1048577']), false), t.client.headers(3, post('/other', grpc), false), t.client.headers(5, post('/other'), false)]));
  assert.deepEqual([1, 3].map(id => t.stream('client', id).at(-1)), ['RST_STREAM 0', 'RST_STREAM 0']);
  t.wire.from('client', data(3, 'abc'));
  assert.equal(t.windowOf('client'), 3);
  for (let i = 0; i < 65; i++) t.wire.from('client', data(5, 'x'.repeat(16_384)));
  assert.equal(t.stream('client', 5).at(-1), 'RST_STREAM 0');
  assert.equal(t.windowOf('client'), 3 + 65 * 16_384);
  assert.equal(t.wire.closed, undefined);
});

test('a client without room for a body gets none, and nothing waits (0-window)', () => {
  const t = talk({ client: settings(setting(4, 0)) });
  t.wire.from('client', Buffer.concat([t.client.headers(1, get('/other')), t.client.headers(3, post('/other', grpc))]));
  assert.deepEqual(t.stream('client', 1), ['HEADERS :status: 403; content-length: 0 END']);
  assert.equal(t.stream('client', 3).length, 1);
});

test('the client\'s window: bodies of our own are held back from the server, and nobody sends more than it takes', () => {
  const t = talk();
  t.wire.from('client', t.client.headers(1, get('/allowed')));
  t.wire.from('client', Buffer.concat([t.client.headers(3, get('/other')), t.client.headers(5, get('/other'))]));
  t.wire.from('server', t.server.headers(1, [[':status', '200']], false));
  // The server believes that it may send 65,535 octets; 30 of them are gone.
  t.wire.from('server', Buffer.concat([...Array.from({ length: 3 }, () => data(1, 'x'.repeat(16_384))), data(1, 'x'.repeat(16_383)), t.server.headers(1, [['x', 'y']])]));
  const octets = () => t.toClient.filter(({ type }) => type === FrameType.data).reduce((sum, { payload }) => sum + payload.length, 0);
  assert.equal(octets(), 3 * 16_384 + 30);
  assert.equal(t.wire.paused.server, true);
  t.wire.from('client', frame(FrameType.windowUpdate, 0, 0, number(40)));
  assert.equal(t.windowOf('server'), 10);
  assert.equal(octets(), 65_535 + 30);
  assert.match(t.stream('client', 1).at(-1)!, /x: y END/);
  assert.equal(t.wire.paused.server, false);
});

test('a server that sends more than it may ends, and who waits gets 502', () => {
  const t = talk();
  t.wire.from('client', Buffer.concat([t.client.headers(1, get('/allowed')), t.client.headers(3, get('/allowed'))]));
  t.wire.from('server', Buffer.concat([t.server.headers(1, [[':status', '200']], false), ...Array.from({ length: 5 }, () => data(1, 'x'.repeat(16_384)))]));
  assert.equal(t.goaway('server'), 3);
  assert.equal(t.stream('client', 1).at(-1), 'RST_STREAM 2');
  assert.match(t.stream('client', 3)[0]!, /^HEADERS :status: 502/);
  assert.equal(t.wire.closed, 'written');
});

const faults: Readonly<Record<string, (t: Talk) => Buffer>> = {
  'PUSH_PROMISE': t => frame(FrameType.pushPromise, Flag.endHeaders, 1, Buffer.concat([number(2), t.server.block(get('/pushed'))])),
  'an answer to nothing': t => t.server.headers(9, [[':status', '200']]),
  'HTTP/1.1': () => Buffer.from('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n'),
  'ENABLE_PUSH': () => settings(setting(2, 1)),
};
for (const [name, bytes] of Object.entries(faults)) {
  test(`the server ends, and who waits gets 502: ${name}`, () => {
    const t = name === 'HTTP/1.1' ? talk({ server: nothing }) : talk();
    t.wire.from('client', t.client.headers(1, get('/allowed')));
    t.wire.from('server', bytes(t));
    assert.match(t.stream('client', 1)[0]!, /^HEADERS :status: 502/);
    assert.equal(t.goaway('server'), name === 'HTTP/1.1' ? 6 : 1);
    assert.equal(t.goaway('client'), 0);
  });
}

const malformed: Readonly<Record<string, (t: Talk) => Buffer>> = {
  'no :status': t => t.server.headers(1, [['x', 'y']]),
  'two :status': t => t.server.headers(1, [[':status', '200'], [':status', '200']]),
  ':status that is none': t => t.server.headers(1, [[':status', '20']]),
  '101': t => t.server.headers(1, [[':status', '101']], false),
  '1xx that ends': t => t.server.headers(1, [[':status', '103']]),
  'a name in upper case': t => t.server.headers(1, [[':status', '200'], ['X', 'y']]),
  'connection': t => t.server.headers(1, [[':status', '200'], ['connection', 'close']]),
  ':path': t => t.server.headers(1, [[':status', '200'], [':path', '/']]),
  'DATA before HEADERS': () => data(1, 'x'),
  'content-length without a body': t => t.server.headers(1, [[':status', '200'], ['content-length', '3']]),
};
for (const [name, bytes] of Object.entries(malformed)) {
  test(`a malformed answer is replaced by 502, and other streams go on: ${name}`, () => {
    const t = talk();
    t.wire.from('client', Buffer.concat([t.client.headers(1, get('/allowed')), t.client.headers(3, get('/allowed'))]));
    t.wire.from('server', bytes(t));
    t.wire.from('server', t.server.headers(3, [[':status', '204']]));
    assert.match(t.stream('client', 1)[0]!, /^HEADERS :status: 502/);
    assert.equal(t.stream('server', 1).at(-1), 'RST_STREAM 1');
    assert.deepEqual(t.stream('client', 3), ['HEADERS :status: 204 END']);
  });
}

test('more body than the answer\'s content-length is not passed on', () => {
  const t = talk();
  t.wire.from('client', t.client.headers(1, get('/allowed')));
  t.wire.from('server', Buffer.concat([t.server.headers(1, [[':status', '200'], ['content-length', '3']], false), data(1, 'abcd', true)]));
  assert.deepEqual(t.stream('client', 1), ['HEADERS :status: 200; content-length: 3', 'RST_STREAM 2']);
  assert.equal(t.windowOf('server'), 4);
});

test('lists that are longer than a frame pass in several, both ways', () => {
  const t = talk();
  const lines = Array.from({ length: 20 }, (_, i): Line => [`x-${i}`, String(i).repeat(1000)]);
  t.wire.from('client', t.client.headers(1, get('/allowed', ...lines)));
  t.wire.from('server', t.server.headers(1, [[':status', '200'], ...lines]));
  assert.equal(t.stream('server', 1)[0], `HEADERS ${[...get('/allowed'), ...lines].map(line => line.join(': ')).join('; ')} END`);
  assert.equal(t.stream('client', 1)[0], `HEADERS ${[[':status', '200'], ...lines].map(line => line.join(': ')).join('; ')} END`);
});

test('a rule that mends headers: the server gets what it wants, never kept in a table', () => {
  const t = talk();
  const header = (name: string, value: string, mismatch: 'ADD' | 'DELETE' | 'REPLACE') => ({ name, value, mismatch });
  t.wire.current = { egress: compileHttpRules([{ rule: 7, headers: [header('x-added', 'a', 'ADD'), header('x-token', 'good', 'REPLACE'), header('x-gone', 'never', 'DELETE')] }]) };
  t.wire.from('client', t.client.headers(1, get('/any', ['x-token', 'bad'], ['x-gone', 'y'], ['x-kept', 'z'])));
  const [headers] = t.toServer.filter(({ type }) => type === FrameType.headers);
  assert.deepEqual(headers!.lines!.slice(4).sort(), ['x-added: a', 'x-kept: z', 'x-token: good']);
  assert.ok(headers!.payload.includes(Buffer.from([0x10, 7])), 'a literal that is never indexed');
});

test('1xx, the answer and its trailers pass', () => {
  const t = talk();
  t.wire.from('client', t.client.headers(1, post('/allowed'), false));
  t.wire.from('server', Buffer.concat([t.server.headers(1, [[':status', '103'], ['link', 'x']], false), t.server.headers(1, [[':status', '200']], false), data(1, 'x'), t.server.headers(1, [['grpc-status', '0']])]));
  assert.deepEqual(t.stream('client', 1), ['HEADERS :status: 103; link: x', 'HEADERS :status: 200', 'DATA "x"', 'HEADERS grpc-status: 0 END']);
});

test('WebSocket over HTTP/2 is judged as GET, and passes as a tunnel', () => {
  const t = talk({ server: settings(setting(8, 1)) });
  const ask = (path: string): Line[] => [[':method', 'CONNECT'], [':protocol', 'websocket'], [':scheme', 'http'], [':path', path], [':authority', 'shop']];
  t.wire.from('client', Buffer.concat([t.client.headers(1, ask('/allowed/ws'), false), t.client.headers(3, ask('/other'), false)]));
  assert.equal(t.stream('server', 1).length, 1);
  assert.deepEqual(t.stream('server', 3), []);
  t.wire.from('server', Buffer.concat([t.server.headers(1, [[':status', '200']], false), data(1, 'frame')]));
  t.wire.from('client', data(1, 'back'));
  assert.equal(t.stream('client', 1).at(-1), 'DATA "frame"');
  assert.equal(t.stream('server', 1).at(-1), 'DATA "back"');
  assert.equal(t.wire.records[0]!.l7.http!.method, 'GET');
});

test('a change of policy ends streams that it does not let pass any more', () => {
  const t = talk();
  t.wire.from('client', Buffer.concat([t.client.headers(1, post('/allowed/1'), false), t.client.headers(3, post('/allowed/1', grpc), false), t.client.headers(5, post('/allowed/2'), false)]));
  t.wire.from('server', t.server.headers(1, [[':status', '200']], false));
  t.wire.current = { egress: paths('/allowed/2.*') };
  t.wire.from('server', frame(FrameType.ping, 0, 0, Buffer.alloc(8)));
  assert.equal(t.stream('client', 1).at(-1), 'RST_STREAM 8');
  assert.match(t.stream('client', 3)[0]!, /grpc-status: 7/);
  assert.deepEqual([1, 3, 5].map(id => t.stream('server', id).at(-1)!.startsWith('RST_STREAM')), [true, true, false]);
});

test('the server cannot be reached: who waits gets 503, or UNAVAILABLE, after SETTINGS', () => {
  const t = talk({ server: nothing });
  t.wire.from('client', Buffer.concat([t.client.headers(1, get('/allowed')), t.client.headers(3, post('/allowed', grpc))]));
  t.wire.session.serverFailed('ECONNREFUSED');
  assert.match(t.stream('client', 1)[0]!, /^HEADERS :status: 503/);
  assert.match(t.stream('client', 3)[0]!, /grpc-status: 14/);
  assert.equal(t.toClient[0]!.type, FrameType.settings);
  assert.equal(t.toClient.filter(({ type, flags }) => type === FrameType.settings && flags === Flag.ack).length, 1);
  assert.equal(t.wire.closed, 'written');
});

test('SETTINGS pass, but for what is between the proxy and each side', () => {
  const t = talk({ client: settings(setting(1, 100), setting(2, 1), setting(3, 7), setting(4, 100_000), setting(5, 20_000), setting(6, 1000), setting(0x99, 1)), server: settings(setting(1, 0), setting(3, 5000), setting(4, 200_000)) });
  const words = (of: Talk['toClient']) => of.filter(({ type, payload }) => type === FrameType.settings && payload.length > 0).map(({ payload }) => Array.from({ length: payload.length / 6 }, (_, i) => `${payload.readUInt16BE(i * 6)}=${payload.readUInt32BE(i * 6 + 2)}`).join(' '));
  assert.deepEqual(words(t.toServer), ['2=0 6=65536 4=100000 6=1000']);
  assert.deepEqual(words(t.toClient), ['3=1024 6=65536', '3=1024 4=200000']);
  t.wire.from('client', t.client.headers(1, get('/allowed', ['x', 'y'])));
  t.wire.from('client', t.client.headers(3, get('/allowed', ['x', 'y'])));
  assert.match(t.stream('server', 3)[0]!, /x: y/);
});

test('who is to go takes no more streams, and ends with the last', () => {
  const t = talk();
  t.wire.from('client', t.client.headers(1, get('/allowed')));
  t.wire.session.drain!('rest');
  const lastStreams = () => t.toClient.filter(({ type }) => type === FrameType.goaway).map(({ payload }) => payload.readUInt32BE(0));
  assert.deepEqual(lastStreams(), [0x7fff_ffff]);
  // It was on its way when the client heard that it should begin no more: it is a request like any.
  t.wire.from('client', t.client.headers(3, get('/allowed')));
  const ping = t.toClient.find(({ type, flags }) => type === FrameType.ping && flags === 0)!.payload;
  t.wire.from('client', frame(FrameType.ping, Flag.ack, 0, ping));
  // Its script hears of it later than the part of it that answers PINGs.
  t.wire.from('client', t.client.headers(5, get('/allowed')));
  assert.deepEqual(lastStreams(), [0x7fff_ffff]);
  t.wire.session.drain!('rest');
  assert.deepEqual(lastStreams(), [0x7fff_ffff, 5]);
  assert.ok(!t.toServer.some(({ type }) => type === FrameType.ping));
  t.wire.from('client', t.client.headers(7, get('/allowed')));
  assert.deepEqual(t.stream('client', 7), ['RST_STREAM 7']);
  for (const id of [1, 3]) t.wire.from('server', t.server.headers(id, [[':status', '204']]));
  assert.equal(t.wire.closed, undefined);
  t.wire.from('server', t.server.headers(5, [[':status', '204']]));
  for (const id of [1, 3, 5]) assert.deepEqual(t.stream('client', id), ['HEADERS :status: 204 END']);
  assert.equal(t.wire.closed, 'written');
});

test('a client that never acknowledges is not waited for, and the last stream of a server that goes too does not grow', () => {
  const t = talk();
  t.wire.from('client', t.client.headers(1, get('/allowed')));
  const lastStreams = () => t.toClient.filter(({ type }) => type === FrameType.goaway).map(({ payload }) => payload.readUInt32BE(0));
  for (let call = 0; call < 5; call++) t.wire.session.drain!('rest');
  assert.deepEqual(lastStreams(), [0x7fff_ffff]);
  for (let call = 0; call < 5; call++) t.wire.session.drain!('rest');
  assert.deepEqual(t.toClient.filter(({ type }) => type === FrameType.goaway).map(({ payload }) => payload.readUInt32BE(0)), [0x7fff_ffff, 1]);
  const both = talk();
  both.wire.from('client', Buffer.concat([1, 3].map(id => both.client.headers(id, get('/allowed')))));
  both.wire.from('server', frame(FrameType.goaway, 0, 0, Buffer.concat([number(1), number(0)])));
  for (let call = 0; call < 9; call++) both.wire.session.drain!('rest');
  assert.deepEqual(both.toClient.filter(({ type }) => type === FrameType.goaway).map(({ payload }) => payload.readUInt32BE(0)), [1, 1, 1]);
});

test('GOAWAY of the server: streams after its last are as if they had never been, and no more are opened', () => {
  const t = talk();
  t.wire.from('client', Buffer.concat([1, 3, 5].map(id => t.client.headers(id, get('/allowed')))));
  t.wire.from('server', frame(FrameType.goaway, 0, 0, Buffer.concat([number(3), number(0)])));
  t.wire.from('client', t.client.headers(7, get('/allowed')));
  assert.deepEqual(t.stream('client', 7), ['RST_STREAM 7']);
  t.wire.from('server', Buffer.concat([t.server.headers(1, [[':status', '204']]), t.server.headers(3, [[':status', '204']])]));
  t.wire.session.ended('server');
  assert.deepEqual([1, 3, 5].map(id => t.stream('client', id)), [['HEADERS :status: 204 END'], ['HEADERS :status: 204 END'], []]);
});

test('PING and GOAWAY pass both ways', () => {
  const t = talk();
  t.wire.from('client', Buffer.concat([t.client.headers(1, get('/allowed')), frame(FrameType.ping, 0, 0, 'pingping')]));
  t.wire.from('server', Buffer.concat([frame(FrameType.ping, Flag.ack, 0, 'pingping'), frame(FrameType.goaway, 0, 0, Buffer.concat([number(1), number(0), Buffer.from('bye')]))]));
  assert.ok(t.toServer.some(({ type, payload }) => type === FrameType.ping && payload.toString() === 'pingping'));
  assert.ok(t.toClient.some(({ type, flags }) => type === FrameType.ping && flags === Flag.ack));
  assert.equal(t.toClient.find(({ type }) => type === FrameType.goaway)!.payload.toString('latin1', 8), 'bye');
});
