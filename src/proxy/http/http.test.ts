import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileHttpRules } from '../../policy/l7-match.ts';
import { preface } from '../http2/frame.ts';
import { BlockWriter, get, settings } from '../http2/testing-frames.ts';
import { FakeWire } from '../testing.ts';
import { loadProtocol } from '../protocols.ts';
import { http, openHttp } from './http.ts';

function open() {
  const wire = new FakeWire({ egress: compileHttpRules([{ rule: 1, path: '/allowed', headers: [] }]) });
  wire.open(openHttp(wire));
  return wire;
}

const http1 = (method: string, path: string, more = '') => `${method} ${path} HTTP/1.1\r\nHost: shop\r\n${more}\r\n`;

for (const pieces of [1, 2, 3, 4, Infinity]) {
  test(`the first bytes say which HTTP it is, ${pieces} at a time`, () => {
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'PROPFIND', 'PRAY', 'PRINT']) {
      const wire = open().from('client', http1(method, '/allowed', method.startsWith('PO') ? 'Content-Length: 0\r\n' : ''), pieces);
      assert.match(wire.sentText('server'), new RegExp(`^${method} /allowed HTTP/1.1\r\n`));
    }
    const wire = open().from('client', Buffer.concat([preface, settings(), new BlockWriter().headers(1, get('/allowed'))]), pieces);
    assert.ok(wire.sent('server').subarray(0, preface.length).equals(preface));
  });
}

test('"PRI" that is not the preface is refused, and the server hears nothing', () => {
  for (const text of ['PRI * HTTP/1.1\r\nHost: shop\r\n\r\n', 'PRI /allowed HTTP/1.1\r\nHost: shop\r\n\r\n', 'PRI * HTTP/2.0\r\n\r\nGET /allowed HTTP/1.1\r\n']) {
    const wire = open().from('client', text);
    assert.equal(wire.closed, 'written');
    assert.equal(wire.sentText('server'), '');
  }
});

test('an upgrade to h2c is not passed on: the request goes on as HTTP/1.1', () => {
  const wire = open().from('client', http1('GET', '/allowed', 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n'));
  assert.match(wire.sentText('server'), /^GET \/allowed HTTP\/1.1\r\n/);
  assert.doesNotMatch(wire.sentText('server'), /h2c|http2-settings|upgrade/i);
});

test('HTTP/2 with a policy of its own is refused stream by stream', () => {
  const wire = open().from('client', Buffer.concat([preface, settings(), new BlockWriter().headers(1, get('/other'))]));
  assert.match(wire.sentText('client'), /Access denied\r\n/);
  assert.equal(wire.session.idle, false);
});

test('a connection that says nothing is idle; one that has begun is not', () => {
  const wire = open();
  assert.equal(wire.session.idle, true);
  wire.from('client', 'P');
  assert.equal(wire.session.idle, false);
  wire.elapse(60_000).elapse(60_000).elapse(5000);
  assert.notEqual(wire.closed, undefined);
});

test('the proxy finds it by the protocol of a set', () => {
  assert.equal(loadProtocol({ protocol: 'http', rules: [] }), http);
});
