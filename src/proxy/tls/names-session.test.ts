import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { TlsL7Rule } from '../../model/l7.ts';
import { FakeWire } from '../testing.ts';
import { readClientHello } from './client-hello.ts';
import { helloBytes, type HelloParts } from './testing.ts';
import { tls } from './tls.ts';
import type { TlsRules } from './tls.ts';

function open(ingress: readonly TlsL7Rule[], egress?: readonly TlsL7Rule[]): FakeWire<TlsRules> {
  const compile = (rules: readonly TlsL7Rule[]) => tls.compile({ protocol: 'tls', rules });
  const wire = new FakeWire<TlsRules>({ ingress: compile(ingress), ...(egress && { egress: compile(egress) }) });
  wire.open(tls.open(wire));
  return wire;
}

const only = (...serverNames: string[]): readonly TlsL7Rule[] => [{ rule: 5, serverNames }];
const serverHello = Buffer.from(`160303002a0200002603 03 ${'ab'.repeat(32)} 00 1301 00`.replaceAll(' ', ''), 'hex');
const retry = Buffer.from('1603030 02a 020000 26 0303 cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c 00 1301 00'.replaceAll(' ', ''), 'hex');
const denied = Buffer.from([21, 3, 3, 0, 2, 2, 49]);

test('an allowed name passes unchanged, and after the server\'s answer all bytes do', () => {
  const hello = helloBytes({ serverName: 'API.example.com' });
  const wire = open(only('api.example.com')).from('client', hello);
  assert.deepEqual(wire.sent('server'), hello);
  assert.equal(wire.paused.client, true);
  wire.from('server', serverHello);
  assert.equal(wire.paused.client, false);
  assert.ok(wire.passing);
  assert.deepEqual(wire.sent('client'), serverHello);
  assert.deepEqual(wire.records.map(({ verdict, direction, rule, l7 }) => [verdict, direction, rule, l7.http]), [['FORWARDED', 'INGRESS', 5, { method: 'CONNECT', url: '//api.example.com', protocol: 'TLS' }]]);
});

test('another name, and none, get an alert and no byte reaches the server', () => {
  for (const serverName of ['evil.example.com', undefined]) {
    const wire = open(only('api.example.com')).from('client', helloBytes({ serverName }));
    assert.equal(wire.sent('server').length, 0);
    assert.deepEqual(wire.sent('client'), denied);
    assert.equal(wire.closed, 'written');
    assert.deepEqual(wire.records.map(record => [record.verdict, record.rule]), [['DROPPED', 0]]);
  }
});

test('patterns: a star within a label, one label, any depth, any name', () => {
  const passes = (pattern: string, serverName: string) => open(only(pattern)).from('client', helloBytes({ serverName })).sent('server').length > 0;
  assert.deepEqual(
    [['*.example.com', 'a.example.com'], ['*.example.com', 'a.b.example.com'], ['*.example.com', 'example.com'], ['**.example.com', 'a.b.example.com'], ['api-*.example.com', 'api-1.example.com'], ['*', 'x.y'], ['a.example.com', 'a.example.com.']].map(([pattern, name]) => passes(pattern!, name!)),
    [true, false, false, true, true, true, true],
  );
  assert.ok(open([{ rule: 1 }]).from('client', helloBytes({})).sent('server').length > 0, 'a rule without names lets those through that name none');
});

test('both ends must agree', () => {
  const wire = open(only('a.x'), only('b.x')).from('client', helloBytes({ serverName: 'a.x' }));
  assert.deepEqual(wire.records.map(record => [record.verdict, record.direction]), [['DROPPED', 'EGRESS']]);
});

test('a client that is asked for another hello must name the same server again', () => {
  const first = helloBytes({ serverName: 'a.x' });
  const change = Buffer.from([20, 3, 3, 0, 1, 1]);
  const early = Buffer.from([23, 3, 3, 0, 3, 1, 2, 3]);
  for (const size of [Infinity, 1]) {
    const same = open(only('a.x')).from('client', first).from('server', retry);
    same.from('client', Buffer.concat([change, early, first]), size);
    assert.deepEqual(same.sent('server'), Buffer.concat([first, change, early, first]));
    assert.ok(same.passing);
    const other = open(only('a.x')).from('client', first).from('server', retry).from('client', Buffer.concat([change, helloBytes({ serverName: 'b.x' })]), size);
    assert.deepEqual(other.sent('server'), Buffer.concat([first, change]));
    assert.equal(other.closed, 'written');
    assert.equal(other.records.at(-1)?.verdict, 'ERROR');
  }
});

test('what is not TLS is refused without an alert, a hello that no client writes with one', () => {
  const plain = open(only('*')).from('client', 'GET / HTTP/1.1\r\n');
  assert.equal(plain.closed, 'written');
  assert.equal(plain.sent('client').length + plain.sent('server').length, 0);
  for (const parts of [{ serverNames: ['a.x', 'b.x'] }, { serverName: 'a.x', twice: true }, { serverName: 'a/b' }, { serverName: 'a.x', tail: true }, { serverName: 'a\0.x' }] satisfies HelloParts[]) {
    const wire = open(only('*')).from('client', helloBytes(parts));
    assert.equal(wire.sent('server').length, 0);
    assert.equal(wire.sent('client').at(-1), 50);
    assert.equal(wire.closed, 'written');
  }
});

test('a client that does not finish its hello is not waited for', () => {
  const wire = open(only('*')).from('client', helloBytes({ serverName: 'a.x' }).subarray(0, -1));
  assert.equal(wire.closed, undefined);
  wire.elapse(10_000);
  assert.equal(wire.closed, 'written');
});

test('a hello says the same however records and segments cut it', () => {
  fc.assert(fc.property(fc.constantFrom('a.x', 'long-name.of.some.example.org'), fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 20 }), fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 20 }), (serverName, recordSizes, cuts) => {
    const hello = helloBytes({ serverName, alpn: ['h2', 'http/1.1'], recordSizes, grease: true });
    const read = readClientHello(hello, 0, hello.length);
    assert.deepEqual(read, { kind: 'hello', hello: { serverName, alpn: ['h2', 'http/1.1'], end: hello.length } });
    for (let length = 0; length < hello.length; length++) assert.equal(readClientHello(hello, 0, length).kind, 'more');
    const wire = open(only(serverName)).fromCut('client', hello, cuts.filter(cut => cut < hello.length));
    assert.deepEqual(wire.sent('server'), hello);
  }), { numRuns: 100 });
});

test('no bytes make the reader throw, read outside, or take another name than the one that stands there', () => {
  fc.assert(fc.property(fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { maxLength: 6 }), fc.boolean(), (changes, isCut) => {
    const hello = helloBytes({ serverName: 'allowed.example', alpn: ['h2'] });
    for (const [at, value] of changes) if (at < hello.length) hello[at] = value;
    const wire = open(only('allowed.example')).from('client', isCut ? hello.subarray(0, hello.length - 9) : hello);
    if (wire.sent('server').length > 0) assert.ok(hello.toString('latin1').toLowerCase().includes('allowed.example'));
  }), { numRuns: 2000 });
});
