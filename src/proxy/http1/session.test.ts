import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { HttpL7Rule } from '../../model/l7.ts';
import { compileHttpRules } from '../../policy/l7-match.ts';
import type { HttpMatcher } from '../../policy/l7-match.ts';
import { httpLimits } from '../http/limits.ts';
import type { HttpLimits } from '../http/limits.ts';
import { FakeWire } from '../testing.ts';
import { openHttp1 } from './session.ts';

const rule = (number: number, fields: Omit<Partial<HttpL7Rule>, 'rule'> = {}): HttpL7Rule => ({ rule: number, headers: [], ...fields });
const publicOnly = [rule(7, { path: '/public.*' })];
const denied = 'HTTP/1.1 403 Forbidden\r\ncontent-length: 15\r\ncontent-type: text/plain\r\n\r\nAccess denied\r\n';
const ok = (body = 'ok') => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
const get = (path: string, more = '') => `GET ${path} HTTP/1.1\r\nHost: web\r\n${more}\r\n`;

function open(rules: readonly HttpL7Rule[] = publicOnly, limits: Partial<HttpLimits> = {}, ingress?: readonly HttpL7Rule[]): FakeWire<HttpMatcher> {
  const wire = new FakeWire<HttpMatcher>({ egress: compileHttpRules(rules), ...(ingress && { ingress: compileHttpRules(ingress) }) });
  wire.open(openHttp1(wire, { ...httpLimits, ...limits }));
  return wire;
}

describe('requests', () => {
  test('what is allowed passes as it came, what is not gets 403, and the connection lives on', () => {
    const wire = open();
    const request = get('/public/x?y', 'X-Odd:   value \r\n');
    wire.from('client', request);
    assert.equal(wire.take('server'), request);
    wire.from('server', ok());
    assert.equal(wire.take('client'), ok());
    wire.from('client', get('/private'));
    assert.equal(wire.take('server'), '');
    assert.equal(wire.take('client'), denied);
    wire.from('client', get('/public'));
    assert.equal(wire.take('server'), get('/public'));
    assert.equal(wire.session.idle, false);
    wire.from('server', ok());
    assert.equal(wire.session.idle, true);
    assert.equal(wire.closed, undefined);
  });

  test('answers of ours stand in line behind those of the server', () => {
    const wire = open();
    wire.from('client', get('/public/1') + get('/no') + get('/public/2') + get('/no'));
    assert.equal(wire.take('server'), get('/public/1') + get('/public/2'));
    assert.equal(wire.take('client'), '');
    wire.from('server', ok('1') + ok('2'));
    assert.equal(wire.take('client'), ok('1') + denied + ok('2') + denied);
  });

  test('the body of a refused request is thrown away, and what follows is judged', () => {
    const wire = open();
    wire.from('client', `POST /no HTTP/1.1\r\nHost: web\r\nContent-Length: 30\r\n\r\n${get('/public').slice(0, 30)}`);
    wire.from('client', `POST /no HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n${get('/public')}`);
    assert.equal(wire.sentText('client'), denied + denied);
    assert.equal(wire.sentText('server'), get('/public'));
  });

  test('policy is asked anew at each request', () => {
    const wire = open();
    wire.from('client', get('/public')).from('server', ok());
    wire.current = { egress: compileHttpRules([rule(8, { path: '/other', headers: [{ name: 'x-key', value: '1' }] })]) };
    wire.from('client', get('/public') + get('/other') + get('/other', 'X-Key: 1\r\n'));
    assert.equal(wire.sentText('client'), ok() + denied + denied);
    assert.equal(wire.sentText('server'), get('/public') + get('/other', 'X-Key: 1\r\n'));
    wire.current = {};
    wire.from('server', ok()).from('client', get('/anything'));
    assert.ok(wire.sentText('server').endsWith(get('/anything')));
  });

  test('rules ask for :method, :path and :authority as for fields', () => {
    const pseudo = (name: string, value?: string) => [rule(7, { headers: [{ name, ...(value !== undefined && { value }) }] })];
    for (const [rules, passes] of [[pseudo(':path', '/x'), true], [pseudo(':path', '/y'), false], [pseudo(':method', 'GET'), true], [pseudo(':authority', 'web'), true], [pseudo(':authority'), true], [pseudo(':scheme'), false]] as const) {
      assert.equal(open(rules).from('client', get('/x')).sentText('server'), passes ? get('/x') : '', JSON.stringify(rules));
    }
  });

  test('both ends must agree, and each tells what it said', () => {
    const wire = open([rule(1, { path: '/a.*' })], {}, [rule(2, { path: '/.*b' })]);
    wire.from('client', get('/ab') + get('/b') + get('/a')).from('server', ok());
    assert.equal(wire.sentText('server'), get('/ab'));
    assert.equal(wire.sentText('client'), ok() + denied + denied);
    assert.deepEqual(wire.records.filter(r => r.l7.type === 'REQUEST').map(r => [r.verdict, r.direction, r.rule, r.l7.http!.url]), [
      ['FORWARDED', 'EGRESS', 1, 'http://web/ab'], ['FORWARDED', 'INGRESS', 2, 'http://web/ab'],
      ['DROPPED', 'EGRESS', 0, 'http://web/b'],
      ['FORWARDED', 'EGRESS', 1, 'http://web/a'], ['DROPPED', 'INGRESS', 0, 'http://web/a'],
    ]);
  });

  test('records tell method, url, status, latency, headers asked for, and the trace', () => {
    const wire = open(publicOnly, { recordedHeaders: ['user-agent'] });
    wire.from('client', get('/public', 'User-Agent: curl\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n'));
    wire.elapse(5).from('server', ok());
    assert.deepEqual(wire.records, [
      { verdict: 'FORWARDED', direction: 'EGRESS', rule: 7, traceId: '0af7651916cd43dd8448eb211c80319c', l7: { type: 'REQUEST', http: { method: 'GET', url: 'http://web/public', protocol: 'HTTP/1.1', headers: [{ key: 'user-agent', value: 'curl' }] } } },
      { verdict: 'FORWARDED', direction: 'EGRESS', rule: 7, traceId: '0af7651916cd43dd8448eb211c80319c', l7: { type: 'RESPONSE', latencyNs: 5_000_000, http: { code: 200, method: 'GET', url: 'http://web/public', protocol: 'HTTP/1.1', headers: [{ key: 'user-agent', value: 'curl' }] } } },
    ]);
  });

  test('headers are changed as the rule says, and the rest of the bytes stay', () => {
    const rules = [rule(1, { headers: [{ name: 'x-a', value: '1', mismatch: 'ADD' }, { name: 'x-b', value: '2', mismatch: 'REPLACE' }, { name: 'x-c', value: '3', mismatch: 'DELETE' }] })];
    const wire = open(rules);
    wire.from('client', 'POST / HTTP/1.1\r\nHost:  web\r\nX-B: 0\r\nx-C: 4\r\nX-b: 9\r\nContent-Length: 3\r\n\r\nabc');
    assert.equal(wire.take('server'), 'POST / HTTP/1.1\r\nHost:  web\r\nContent-Length: 3\r\nx-a: 1\r\nx-b: 2\r\n\r\nabc');
  });

  test('a path that servers read in two ways must be allowed in both', () => {
    for (const [path, passes] of [
      ['/public/../private', false], ['/public/%2e%2e/private', false], ['/public/..%2fprivate', false], ['/public/a/../b', true], ['//public', false], ['/public//x', true],
      ['/public/%70', true], ['/public/..;/private', false], ['/public?x=/../..', true], ['/%70ublic', false],
    ] as const) {
      const wire = open().from('client', get(path));
      assert.equal(wire.sentText('server') !== '', passes, path);
      if (!passes) assert.equal(wire.sentText('client'), denied, path);
    }
    assert.match(open([rule(1)]).from('client', get('/../x')).sentText('client'), /^HTTP\/1\.1 400 .*above the root/s);
  });

  test('CONNECT and WebSocket pass after the decision, and what comes early is held', () => {
    const upgrade = get('/public', 'Connection: Upgrade\r\nUpgrade: websocket\r\n');
    const wire = open();
    wire.from('client', `${upgrade}early`);
    assert.equal(wire.sentText('server'), upgrade);
    assert.equal(wire.paused.client, true);
    wire.from('server', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nhello');
    assert.equal(wire.passing, true);
    assert.equal(wire.paused.client, false);
    assert.equal(wire.sentText('server'), `${upgrade}early`);
    assert.ok(wire.sentText('client').endsWith('\r\n\r\nhello'));

    const connect = open([rule(1, { method: 'CONNECT', host: 'db:5432' })]);
    connect.from('client', 'CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n');
    connect.from('server', 'HTTP/1.1 200 OK\r\n\r\n');
    assert.equal(connect.passing, true);
    assert.equal(open([rule(1, { host: 'db:5432' })]).from('client', 'CONNECT other:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n').sentText('server'), '');
  });

  test('where the server does not change the protocol, what was held are requests', () => {
    const wire = open();
    wire.from('client', get('/public', 'Connection: Upgrade\r\nUpgrade: websocket\r\n') + get('/no') + get('/public/2'));
    wire.from('server', ok());
    assert.equal(wire.sentText('client'), ok() + denied);
    assert.ok(wire.sentText('server').endsWith(get('/public/2')));
    assert.equal(wire.passing, false);
    assert.equal(wire.paused.client, false);
    wire.from('server', 'HTTP/1.1 101 Switching Protocols\r\n\r\n');
    assert.equal(wire.passing, false, 'nobody asked for it');
    assert.notEqual(wire.closed, undefined);
  });

  test('the wish for HTTP/2 is taken out', () => {
    const wire = open();
    wire.from('client', get('/public', 'Connection: Upgrade, HTTP2-Settings, close-not\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n'));
    assert.equal(wire.sentText('server'), get('/public', 'Connection: close-not\r\n'));
  });

  test('Expect: 100-continue: the interim answer passes, and a refusal ends the connection', () => {
    const head = (path: string) => `PUT ${path} HTTP/1.1\r\nHost: web\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n`;
    const wire = open();
    wire.from('client', head('/public')).from('server', 'HTTP/1.1 100 Continue\r\n\r\n').from('client', 'abc').from('server', ok());
    assert.equal(wire.sentText('client'), `HTTP/1.1 100 Continue\r\n\r\n${ok()}`);
    assert.equal(wire.sentText('server'), `${head('/public')}abc`);
    const refused = open().from('client', head('/no'));
    assert.match(refused.sentText('client'), /^HTTP\/1\.1 403 .*connection: close/s);
    assert.equal(refused.closed, 'written');
  });

  test('connection: close and HTTP/1.0 end the connection with the answer, and nothing after them is a request', () => {
    for (const request of [get('/public', 'Connection: close\r\n'), 'GET /public HTTP/1.0\r\n\r\n', 'POST /public HTTP/1.0\r\nContent-Length: 2\r\n\r\nab']) {
      const wire = open();
      wire.from('client', request + get('/public/2'));
      assert.equal(wire.sentText('server'), request);
      wire.from('server', ok());
      assert.equal(wire.closed, 'written');
    }
    const wire = open().from('client', 'GET /public HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /public HTTP/1.0\r\n\r\n').from('server', ok());
    assert.equal(wire.closed, undefined);
  });

  test('too many that wait: no more are read until there is room', () => {
    const wire = open(publicOnly, { pipelined: 4 });
    for (let i = 0; i < 4; i++) wire.from('client', get('/public'));
    assert.equal(wire.paused.client, true);
    wire.from('server', ok());
    assert.equal(wire.paused.client, true);
    wire.from('server', ok());
    assert.equal(wire.paused.client, false);
  });

  test('large bodies are spliced, and the last byte tells that they are through', () => {
    const wire = open();
    const body = 'x'.repeat(200_000);
    const head = `POST /public HTTP/1.1\r\nHost: web\r\nContent-Length: ${body.length}\r\n\r\n`;
    wire.from('client', head + body.slice(0, 10)).from('client', body.slice(10) + get('/no'));
    assert.equal(wire.sentText('server'), head + body);
    assert.ok(wire.acts.some(a => a.act === 'pass' && a.bytes === body.length - 11));
    wire.from('server', `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n`).from('server', body).from('server', '\r\n0\r\n\r\n');
    assert.ok(wire.sentText('client').endsWith(`${body}\r\n0\r\n\r\n${denied}`));
    assert.ok(wire.acts.some(a => a.act === 'pass' && a.from === 'server'));
    assert.equal(wire.session.idle, true);
  });

  test('a size of a chunk that is cut is no chunk yet', () => {
    const wire = open();
    wire.from('client', 'POST /public HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\nfffff');
    assert.ok(!wire.acts.some(a => a.act === 'pass'));
    wire.from('client', '\n');
    assert.notEqual(wire.closed, undefined);
  });

  test('limits: heads, fields, bodies of refused requests, slow heads', () => {
    assert.match(open(publicOnly, { headBytes: 1000 }).from('client', get('/public', `X: ${'y'.repeat(1000)}\r\n`)).sentText('client'), /^HTTP\/1\.1 431/);
    assert.match(open(publicOnly, { headBytes: 1000 }).from('client', `GET /public HTTP/1.1\r\nX: ${'y'.repeat(1000)}`, 100).sentText('client'), /^HTTP\/1\.1 431/);
    assert.match(open(publicOnly, { headerFields: 3 }).from('client', get('/public', 'a: 1\r\nb: 2\r\nc: 3\r\n')).sentText('client'), /^HTTP\/1\.1 431/);
    const swallowing = open(publicOnly, { swallowedBytes: 10 }).from('client', `POST /no HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n`);
    assert.equal(swallowing.sentText('client'), denied);
    swallowing.from('client', 'x'.repeat(50));
    assert.equal(swallowing.closed, 'written');
    assert.match(open(publicOnly, { swallowedBytes: 10 }).from('client', 'POST /no HTTP/1.1\r\nHost: web\r\nContent-Length: 11\r\n\r\n').sentText('client'), /403 .*connection: close/s);
    const slow = open().from('client', 'GET /pub').elapse(httpLimits.headMs);
    assert.match(slow.sentText('client'), /^HTTP\/1\.1 408/);
    assert.equal(slow.closed, 'written');
    const quick = open().from('client', 'GET /pub').from('client', 'lic HTTP/1.1\r\nHost: a\r\n\r\n');
    assert.equal(quick.wakeMs, 0);
  });
});

describe('answers', () => {
  const asked = (head = get('/public')) => open().from('client', head);

  test('without a body: HEAD, 204, 304, and interim ones', () => {
    const wire = asked('HEAD /public HTTP/1.1\r\nHost: a\r\n\r\n').from('server', 'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n');
    assert.equal(wire.session.idle, true);
    for (const status of ['204 No Content', '304 Not Modified']) assert.equal(asked().from('server', `HTTP/1.1 ${status}\r\n\r\n`).session.idle, true, status);
    assert.equal(asked().from('server', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n').session.idle, true);
    assert.equal(asked().from('server', 'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n').session.idle, false);
  });

  test('an answer without a length ends with the connection', () => {
    const wire = asked().from('server', 'HTTP/1.1 200 OK\r\n\r\nabc').from('server', 'def');
    wire.session.ended('server');
    assert.equal(wire.sentText('client'), 'HTTP/1.1 200 OK\r\n\r\nabcdef');
    assert.equal(wire.closed, 'written');
  });

  test('an answer may come before the request has ended', () => {
    const head = 'POST /public HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n';
    const wire = asked(`${head}ab`).from('server', ok()).from('client', `cde${get('/public')}`).from('server', ok());
    assert.equal(wire.sentText('client'), ok() + ok());
    assert.equal(wire.sentText('server'), `${head}abcde${get('/public')}`);
    assert.equal(wire.session.idle, true);
  });

  for (const [what, answer] of Object.entries({
    'no status line': 'SSH-2.0-x\r\n', 'another version': 'HTTP/2.0 200 OK\r\n\r\n', 'bare line feed': 'HTTP/1.1 200 OK\nContent-Length: 0\n\n', 'two lengths': 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n',
    'length and chunked': 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n', 'folding': 'HTTP/1.1 200 OK\r\nX: 1\r\n 2\r\n\r\n', 'another coding': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n',
    '101 unasked': 'HTTP/1.1 101 Switching Protocols\r\n\r\n', '204 with a body': 'HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc', 'chunked in 1.0': 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
    'space before the colon': 'HTTP/1.1 200 OK\r\nContent-Length : 3\r\n\r\nabc', 'status of two digits': 'HTTP/1.1 20 OK\r\n\r\n',
  })) {
    test(`that break framing are 502: ${what}`, () => {
      for (const pieces of [Infinity, 1]) {
        const wire = asked();
        // A session that is done takes no more: the rest goes nowhere.
        wire.from('server', answer, pieces);
        assert.match(wire.sentText('client'), /^HTTP\/1\.1 502 Bad Gateway\r\n[^]*Bad Gateway\r\n$/, `${pieces}`);
        assert.equal(wire.closed, 'written');
      }
    });
  }

  test('that nobody asked for end the connection, and never reach the client', () => {
    const before = open();
    before.from('server', ok());
    assert.equal(before.sentText('client'), '');
    assert.notEqual(before.closed, undefined);
    const after = asked().from('server', ok() + ok('smuggled'));
    assert.equal(after.sentText('client'), ok());
    assert.notEqual(after.closed, undefined);
  });

  test('no server is 503, a server that goes away is 502, and in the middle the end', () => {
    const refused = asked();
    refused.session.serverFailed('ECONNREFUSED');
    assert.match(refused.sentText('client'), /^HTTP\/1\.1 503/);
    assert.equal(refused.records.at(-1)!.l7.http!.code, 503);
    const gone = asked();
    gone.session.ended('server');
    assert.match(gone.sentText('client'), /^HTTP\/1\.1 502/);
    const middle = asked().from('server', 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc');
    middle.session.serverFailed('ECONNRESET');
    assert.equal(middle.closed, 'once');
    const later = asked().from('server', ok()).from('client', get('/public'));
    later.session.ended('server');
    assert.equal(later.sentText('client'), ok(), 'as without a proxy: the client asks again elsewhere');
    assert.equal(later.closed, 'written');
  });

  test('a client that has sent its last still gets its answers', () => {
    const wire = asked();
    wire.session.ended('client');
    assert.equal(wire.isEnded('server'), true);
    assert.equal(wire.closed, undefined);
    wire.from('server', ok());
    assert.equal(wire.sentText('client'), ok());
    assert.equal(wire.closed, 'written');
  });
});
