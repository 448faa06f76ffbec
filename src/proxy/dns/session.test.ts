import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { DnsL7Rule } from '../../model/l7.ts';
import { dnsMessage, wireName } from '../../flows/testing-dns.ts';
import { namePattern } from '../../policy/fqdn.ts';
import { FakeWire } from '../testing.ts';
import { readAddresses, readQuestion } from './message.ts';
import { compileDnsRules } from './rules.ts';
import type { DnsRules } from './rules.ts';
import { DnsSession } from './session.ts';
import type { NameTables } from './tables.ts';

interface Rig {
  readonly wire: FakeWire<DnsRules>;
  readonly learned: string[];
  full: boolean;
}

/** Names below example.com have identity 77. */
function open(rules: readonly DnsL7Rule[], learns = false): Rig {
  const wire = new FakeWire<DnsRules>({ egress: compileDnsRules(rules, learns) });
  const rig: Rig = { wire, learned: [], full: false };
  const tables: NameTables = {
    refusal: 5,
    identityOf: name => (name.endsWith('.example.com.') ? 77 : 0),
    learn: (endpoint, address, identity, ttl) => {
      if (rig.full) throw new Error('no room');
      assert.equal(wire.sent('client').length, 0, 'learned before the client has it');
      rig.learned.push(`${endpoint} ${Buffer.from(address).toString('hex')} ${identity} ${ttl}`);
    },
  };
  wire.open(new DnsSession(wire, tables, 9));
  return rig;
}

const framed = (message: Uint8Array): Buffer => Buffer.concat([Buffer.from([message.length >> 8, message.length & 255]), message]);
const ask = (name: string, id = 1, type = 1) => framed(dnsMessage({ id, questions: [{ name, type }] }));
const a = (name: string, ttl: number, ...data: number[]) => ({ name, type: data.length === 4 ? 1 : 28, ttl, data: Uint8Array.from(data) });
const answer = (name: string, answers: ReturnType<typeof a>[], id = 1, type = 1) => framed(dnsMessage({ id, response: true, questions: [{ name, type }], answers }));
const allow = (...patterns: string[]): readonly DnsL7Rule[] => patterns.map((pattern, i) => ({ rule: 40 + i, pattern }));

test('a name that a rule allows goes on, and its addresses are learned before the client has the answer', () => {
  const { wire, learned } = open(allow('nothing', '*.example.com'));
  const question = ask('API.example.com');
  wire.from('client', question);
  assert.deepEqual(wire.sent('server'), question);
  const reply = answer('api.EXAMPLE.com', [a('api.example.com', 30, 192, 0, 2, 1), a('cdn.elsewhere', 0xffff_ffff, ...new Array<number>(15).fill(0), 7)]);
  wire.from('server', reply);
  assert.deepEqual(learned, ['9 c0000201 77 30', `9 ${'00'.repeat(15)}07 77 0`]);
  assert.deepEqual(wire.sent('client'), reply);
  assert.ok(wire.session.idle);
  assert.deepEqual(wire.records.map(({ verdict, rule, l7 }) => [verdict, rule, l7.type, l7.dns?.query, l7.dns?.rcode, l7.dns?.ips]), [
    ['FORWARDED', 41, 'REQUEST', 'api.example.com.', undefined, undefined],
    ['FORWARDED', 41, 'RESPONSE', 'api.example.com.', 0, ['192.0.2.1', '::7']],
  ]);
});

test('another name is answered with REFUSED, the connection goes on, and pipelined questions do too', () => {
  const { wire } = open(allow('*.example.com'));
  const allowed = ask('b.example.com', 3);
  wire.from('client', Buffer.concat([ask('evil.org', 2), allowed]));
  assert.deepEqual(wire.sent('server'), allowed);
  const refusal = wire.sent('client');
  assert.equal(refusal.readUInt16BE(0), refusal.length - 2);
  assert.deepEqual([refusal.readUInt16BE(2), refusal.readUInt16BE(4).toString(16), readQuestion(refusal.subarray(2))?.name], [2, '8185', 'evil.org.']);
  assert.deepEqual(wire.records.map(record => [record.verdict, record.rule]), [['DROPPED', 0], ['FORWARDED', 40]]);
  assert.equal(wire.closed, undefined);
});

test('answers come in any order; one that nobody asked for is not handed on and teaches nothing', () => {
  const { wire, learned } = open(allow('*.example.com'));
  wire.from('client', Buffer.concat([ask('a.example.com', 1), ask('b.example.com', 2)]));
  wire.from('server', answer('c.example.com', [a('x', 1, 1, 1, 1, 1)], 1));
  assert.equal(wire.sent('client').length + learned.length, 0);
  const second = answer('b.example.com', [], 2);
  wire.from('server', second);
  assert.deepEqual(wire.sent('client'), second);
  wire.take('client');
  wire.from('server', second);
  assert.equal(wire.sent('client').length, 0, 'once');
});

test('an answer whose addresses cannot be read, or for which there is no room, is a server failure', () => {
  const cut = Buffer.from(answer('a.example.com', [a('a.example.com', 1, 1, 2, 3, 4)]));
  cut.writeUInt16BE(2, 2 + 6);
  for (const [reply, full] of [[cut, false], [answer('a.example.com', [a('a.example.com', 1, 1, 2, 3, 4)]), true]] as const) {
    const rig = open(allow('*.example.com'));
    rig.full = full;
    rig.wire.from('client', ask('a.example.com')).from('server', reply);
    assert.equal(rig.wire.sent('client').readUInt16BE(4) & 15, 2);
  }
});

test('an error without a question, and the messages of a zone\'s transfer, belong to what was asked with their id', () => {
  const { wire } = open(allow('example.com'));
  wire.from('client', ask('example.com', 5));
  const bare = framed(dnsMessage({ id: 5, response: true, rcode: 4, questions: [] }));
  wire.from('server', bare);
  assert.deepEqual(wire.sent('client'), bare);
  wire.take('client');
  wire.from('client', ask('example.com', 6, 252));
  const messages = [answer('example.com', [a('x.example.com', 1, 1, 2, 3, 4)], 6, 252), framed(dnsMessage({ id: 6, response: true, questions: [], answers: [a('y.example.com', 1, 1, 2, 3, 5)] }))];
  wire.from('server', Buffer.concat(messages));
  assert.deepEqual(wire.sent('client'), Buffer.concat(messages));
});

test('what is no question ends the connection where names are judged, and passes as bytes where they are only learned', () => {
  const twoQuestions = framed(dnsMessage({ id: 1, questions: [{ name: 'a.example.com', type: 1 }, { name: 'evil', type: 1 }] }));
  for (const bytes of [twoQuestions, answer('a.example.com', []), Buffer.from('\0\0'), Buffer.from('\x00\x05hello'), framed(dnsMessage({ id: 1, questions: [{ name: '', type: 1 }] }, Uint8Array.from([0xc0, 12])))]) {
    const { wire } = open(allow('*', '*.example.com'));
    wire.from('client', bytes);
    assert.equal(wire.sent('server').length, 0);
    assert.equal(wire.closed, 'written');
    assert.equal(wire.records.at(-1)?.verdict, 'ERROR');
    const learning = open([], true).wire;
    learning.from('client', Buffer.concat([ask('a.example.com'), bytes, Buffer.from('more')]));
    assert.deepEqual(learning.sent('server'), Buffer.concat([ask('a.example.com'), bytes, Buffer.from('more')]));
    assert.ok(learning.passing);
  }
});

test('where names are only learned, they are', () => {
  const { wire, learned } = open([], true);
  wire.from('client', ask('a.example.com')).from('server', answer('a.example.com', [a('a.example.com', 60, 1, 2, 3, 4)]));
  assert.deepEqual(learned, ['9 01020304 77 60']);
});

const labels = fc.array(fc.string({ unit: fc.constantFrom('a', 'B', '-', '_', '1', 'x'), minLength: 1, maxLength: 4 }), { maxLength: 4 });
const patterns = fc.array(fc.constantFrom('*', '*.a', '**.a', 'a', 'b.a', 'x*.a', '*a.x', 'b', 'a1', '*.b.a'), { minLength: 1, maxLength: 5 });

test('a name may be asked when one of the patterns matches it, and never otherwise', () => {
  fc.assert(fc.property(labels, patterns, (parts, some) => {
    const name = parts.join('.');
    const { wire } = open(allow(...some));
    wire.from('client', ask(name));
    const expected = some.some(pattern => namePattern(pattern).test(`${name.toLowerCase()}.`));
    assert.equal(wire.sent('server').length > 0, expected, `${name} under ${some.join(' ')}`);
  }), { numRuns: 500 });
});

test('a byte within a label that is no letter of a name matches nothing, a dot least of all', () => {
  const { wire } = open(allow('a.b', '*.b', '**.b'));
  wire.from('client', framed(dnsMessage({ id: 1, questions: [{ name: '', type: 1 }] }, Uint8Array.from([3, 97, 46, 98, 1, 98, 0]))));
  assert.equal(wire.sent('server').length, 0);
  const dotted = open(allow('a.b')).wire;
  dotted.from('client', framed(dnsMessage({ id: 1, questions: [{ name: '', type: 1 }] }, Uint8Array.from([3, 97, 46, 98, 0]))));
  assert.equal(dotted.sent('server').length, 0);
});

test('a session does the same wherever its bytes are cut', () => {
  const conversation = Buffer.concat([ask('a.example.com', 1), ask('evil', 2), ask('b.example.com', 3)]);
  const replies = Buffer.concat([answer('b.example.com', [a('x', 5, 1, 1, 1, 1)], 3), answer('a.example.com', [], 1)]);
  const whole = open(allow('*.example.com')).wire.from('client', conversation);
  for (const size of [1, 2, 3, 7, 50]) {
    const { wire } = open(allow('*.example.com'));
    wire.from('client', conversation, size);
    assert.deepEqual(wire.sent('server'), whole.sent('server'));
    assert.deepEqual(wire.take('client'), whole.sentText('client'));
    wire.from('server', replies, size);
    assert.deepEqual(wire.sent('client'), replies);
  }
});

test('no bytes make the readers throw or read outside', () => {
  const base = Buffer.from(dnsMessage({ id: 1, response: true, questions: [{ name: 'a.example.com', type: 1 }], answers: [a('a.example.com', 1, 1, 2, 3, 4), a('b', 1, ...new Array<number>(16).fill(1))] }));
  fc.assert(fc.property(fc.array(fc.tuple(fc.nat(base.length - 1), fc.nat(255)), { maxLength: 6 }), fc.nat(base.length), (changes, length) => {
    const bytes = Buffer.from(base.subarray(0, length));
    for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
    const question = readQuestion(bytes);
    if (!question) return;
    assert.ok(question.end <= bytes.length && wireName(question.name.slice(0, -1)).length <= 255);
    for (const { address } of readAddresses(bytes, question) ?? []) assert.ok(address.length === 4 || address.length === 16);
  }), { numRuns: 3000 });
});
