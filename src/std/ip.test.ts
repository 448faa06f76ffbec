import assert from 'node:assert/strict';
import { isIPv4 as nodeIsIPv4, isIPv6 as nodeIsIPv6 } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { addrAt, formatAddr, formatPrefix, isAddr, parseAddr, parsePrefix, prefixContains, prefixHas } from './ip.ts';

test('every address survives text and back', () => {
  fc.assert(fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), bytes => {
    assert.deepEqual(parseAddr(formatAddr(bytes)), bytes);
  }));
  fc.assert(fc.property(fc.ipV4(), text => assert.equal(formatAddr(parseAddr(text)), text)));
});

test('what is an address is what Node says is one, zones aside', () => {
  fc.assert(fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), fc.string(), fc.stringMatching(/^[0-9a-f:.]{1,30}$/)), text => {
    fc.pre(!text.includes('%'));
    assert.equal(isAddr(text), nodeIsIPv4(text) || nodeIsIPv6(text), text);
  }), { numRuns: 2000 });
});

test('IPv6 text is that of RFC 5952', () => {
  for (const [given, want] of [['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'], ['::', '::'], ['fe80:0:0:0:0:0:0:1', 'fe80::1'], ['1:0:2:3:4:5:6:7', '1:0:2:3:4:5:6:7']]) {
    assert.equal(formatAddr(parseAddr(given!)), want);
  }
});

test('prefixes clear host bits, contain what they should, and refuse bad lengths', () => {
  assert.equal(formatPrefix(parsePrefix('10.1.2.3/8')), '10.0.0.0/8');
  assert.equal(formatPrefix(parsePrefix('fd00::1/64')), 'fd00::/64');
  assert.equal(formatPrefix(parsePrefix('0.0.0.0/0')), '0.0.0.0/0');
  assert.ok(prefixHas(parsePrefix('10.244.1.0/24'), parseAddr('10.244.1.255')));
  assert.ok(!prefixHas(parsePrefix('10.244.1.0/24'), parseAddr('10.244.2.0')));
  assert.ok(prefixContains(parsePrefix('10.0.0.0/8'), parsePrefix('10.1.0.0/16')));
  assert.ok(!prefixContains(parsePrefix('10.1.0.0/16'), parsePrefix('10.0.0.0/8')));
  assert.ok(!prefixContains(parsePrefix('0.0.0.0/0'), parsePrefix('::/0')));
  for (const bad of ['10.0.0.0/33', '::/129', '10.0.0.0/', '10.0.0/8', '10.0.0.0/08x']) assert.throws(() => parsePrefix(bad), { code: 'ERR_ADDRESS' }, bad);
  assert.equal(formatAddr(addrAt(parsePrefix('10.244.1.0/24'), 5)), '10.244.1.5');
});
