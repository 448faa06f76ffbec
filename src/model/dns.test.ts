import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DnsType, dnsTypeName, parseDns } from './dns.ts';
import { dnsMessage, wireName } from '../flows/testing-dns.ts';

test('a question, with its types', () => {
  const message = parseDns(dnsMessage({ id: 7, questions: [{ name: 'Api.Example.com', type: 28 }] }));
  assert.deepEqual(message, { id: 7, isResponse: false, rcode: 0, isTruncated: false, questions: [{ name: 'api.example.com.', type: 28 }], answers: [] });
  assert.deepEqual([1, 28, 65, 4711].map(dnsTypeName), ['A', 'AAAA', 'HTTPS', 'TYPE4711']);
});

test('an answer: a chain of names, addresses of both families, the extended code of EDNS', () => {
  const message = parseDns(dnsMessage({
    id: 7, response: true, rcode: 0, questions: [{ name: 'a.example', type: 1 }],
    answers: [
      { name: 'a.example', type: DnsType.cname, ttl: 60, data: wireName('b.example') },
      { name: 'b.example', type: DnsType.a, ttl: 30, data: Uint8Array.of(192, 0, 2, 7) },
      { name: 'b.example', type: DnsType.aaaa, ttl: 40, data: Uint8Array.of(0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1) },
    ],
    additional: [{ name: '', type: DnsType.opt, ttl: 1 << 24, data: new Uint8Array(0) }],
  }));
  assert.equal(message?.rcode, 16, 'BADVERS');
  assert.deepEqual(message.answers.map(answer => answer.target ?? answer.ip), ['b.example.', '192.0.2.7', '2001:db8::1']);
  assert.equal(message.isTruncated, false);
});

test('what was not captured to its end is read as far as it goes, and says so', () => {
  const whole = dnsMessage({ id: 1, response: true, questions: [{ name: 'a.example', type: 1 }], answers: [1, 2, 3].map(last => ({ name: 'a.example', type: 1, ttl: 5, data: Uint8Array.of(192, 0, 2, last) })) });
  const cut = parseDns(whole.subarray(0, whole.length - 3));
  assert.deepEqual([cut?.answers.map(answer => answer.ip), cut?.isTruncated], [['192.0.2.1', '192.0.2.2'], true]);
  assert.equal(parseDns(whole.subarray(0, 15)), undefined, 'not even the question');
});

test('names: bytes that are not plain are escaped, and pointers lead back only', () => {
  const odd = parseDns(dnsMessage({ id: 1, questions: [{ name: 'x', type: 1 }] }, Uint8Array.of(4, 0x1b, 0x2e, 0x5c, 0xff, 0)));
  assert.equal(odd?.questions[0]?.name, '\\027\\.\\\\\\255.');
  const self = Uint8Array.of(0xc0, 12);
  assert.equal(parseDns(dnsMessage({ id: 1, questions: [{ name: 'x', type: 1 }] }, self)), undefined);
  const ahead = Uint8Array.of(0xc0, 14, 1, 0x61, 0);
  assert.equal(parseDns(dnsMessage({ id: 1, questions: [{ name: 'x', type: 1 }] }, ahead)), undefined);
  const long = Uint8Array.from(Array.from({ length: 5 }, () => [63, ...new Array<number>(63).fill(0x61)]).flat().concat(0));
  assert.equal(parseDns(dnsMessage({ id: 1, questions: [{ name: 'x', type: 1 }] }, long)), undefined, 'longer than 255 bytes');
  assert.equal(parseDns(dnsMessage({ id: 1, questions: [{ name: '', type: 2 }] }))?.questions[0]?.name, '.');
});

test('what was written is what is read', () => {
  const label = fc.stringMatching(/^[a-z0-9_-]{1,20}$/);
  const name = fc.array(label, { minLength: 1, maxLength: 6 }).map(labels => labels.join('.'));
  const answer = fc.record({ name, type: fc.constant(1), ttl: fc.nat(0x7fffffff), data: fc.uint8Array({ minLength: 4, maxLength: 4 }) });
  fc.assert(fc.property(fc.nat(0xffff), name, fc.array(answer, { maxLength: 10 }), fc.nat(15), (id, question, answers, rcode) => {
    const message = parseDns(dnsMessage({ id, response: true, rcode, questions: [{ name: question, type: 1 }], answers }));
    assert.equal(message?.id, id);
    assert.equal(message.rcode, rcode);
    assert.equal(message.questions[0]?.name, `${question}.`);
    assert.deepEqual(message.answers.map(a => [a.name, a.ttl, a.ip]), answers.map(a => [`${a.name}.`, a.ttl, [...a.data].join('.')]));
  }));
});

test('whatever comes: nothing is read outside of the message, and it comes to an end', () => {
  const header = fc.tuple(fc.nat(255), fc.nat(15)).map(([flags, count]) => Uint8Array.of(0, 1, flags & 0x87, 0, 0, count & 3, 0, 255, 255, 255, 0, count));
  // Of pointers and short labels mostly: what a hostile message is made of.
  const piece = fc.oneof(fc.uint8Array({ maxLength: 6 }), fc.nat(200).map(at => Uint8Array.of(0xc0, at)), fc.nat(63).map(size => Uint8Array.of(size)));
  const body = fc.array(piece, { maxLength: 250 });
  fc.assert(fc.property(header, body, (head, parts) => {
    const bytes = Uint8Array.from([...head, ...parts.flatMap(part => [...part])].slice(0, 1472));
    let reads = 0;
    const watched = new Proxy(bytes, {
      get: (target, key) => {
        if (key === 'length') return target.length;
        if (key === 'slice') return target.slice.bind(target);
        const at = Number(key);
        assert.ok(at >= 0 && at < target.length, `byte ${String(key)} of ${target.length}`);
        reads++;
        return target[at];
      },
    });
    const answer = parseDns(watched);
    assert.deepEqual(answer, parseDns(bytes));
    // 8 questions, 128 records and as many targets, each with a name of 255 bytes in labels of one, and 32 pointers.
    assert.ok(reads < (8 + 2 * 128) * (4 * 255 + 4 * 32 + 30), `${reads} reads`);
    const names = [...(answer?.questions ?? []), ...(answer?.answers ?? [])].map(one => one.name);
    assert.ok(names.every(text => text.length <= 255 * 4 && /^[\x21-\x7e]+$/.test(text)));
  }), { numRuns: 500 });
});

test('a long row of pointers, each to the one before it, is followed for a while only', () => {
  const message = (pointers: number) => {
    const row = 12 + 3 + 4 + 12;
    const data = Array.from({ length: pointers }, (_, i) => [0xc0, i === 0 ? 12 : row + (i - 1) * 2]).flat();
    const text = [0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 9, 0, data.length, ...data];
    const address = [0xc0, row + (pointers - 1) * 2, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 1];
    return Uint8Array.from([0, 1, 0x80, 0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0x61, 0, 0, 1, 0, 1, ...text, ...address]);
  };
  assert.deepEqual(parseDns(message(20))?.answers.map(answer => [answer.name, answer.ip]), [['a.', undefined], ['a.', '192.0.2.1']]);
  const long = parseDns(message(60));
  assert.deepEqual([long?.answers.length, long?.isTruncated], [1, true]);
});
