import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatAddr, parseAddr, parsePrefix } from '../std/ip.ts';
import { AddressPool } from './pool.ts';

const pool = () => new AddressPool([parsePrefix('10.244.1.0/28'), parsePrefix('fd00:10:244:1::/64')]);

test('both families share one offset; network, router and broadcast are never given', () => {
  const p = pool();
  const all = Array.from({ length: p.capacity }, () => p.allocate()!.map(formatAddr));
  assert.deepEqual(all[0], ['10.244.1.2', 'fd00:10:244:1::2']);
  assert.deepEqual(all.at(-1), ['10.244.1.14', 'fd00:10:244:1::e']);
  assert.equal(p.allocate(), undefined, 'exhausted');
});

test('an address that was freed rests until all others have been used', () => {
  const p = pool();
  const [first] = p.allocate()!;
  p.release(first!);
  for (let i = 0; i < p.capacity - 1; i++) assert.notEqual(formatAddr(p.allocate()![0]!), formatAddr(first!));
  assert.equal(formatAddr(p.allocate()![0]!), formatAddr(first!));
});

test('no two holders ever have the same address, in any order of allocating, freeing and adopting', () => {
  fc.assert(fc.property(fc.array(fc.oneof(fc.constant('allocate'), fc.nat(14), fc.nat(14).map(n => -n - 1)), { maxLength: 60 }), steps => {
    const p = pool();
    const held = new Set<string>();
    for (const step of steps) {
      if (step === 'allocate') {
        const got = p.allocate();
        if (!got) { assert.equal(held.size, p.capacity); continue; }
        const text = formatAddr(got[0]!);
        assert.ok(!held.has(text));
        held.add(text);
      } else if (typeof step === 'number' && step >= 0) {
        const text = `10.244.1.${step}`;
        assert.equal(p.claim(parseAddr(text)), step >= 2 && step <= 14 && !held.has(text));
        if (step >= 2) held.add(text);
      } else {
        const text = `10.244.1.${-(step as number) - 1}`;
        p.release(parseAddr(text));
        held.delete(text);
      }
      assert.equal(p.allocated, held.size);
    }
  }));
});
