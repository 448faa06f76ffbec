import test from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { LineSplitter } from './lines.ts';

test('any cut of a stream gives the same lines, characters of several bytes too', () => {
  const line = fc.string({ unit: 'grapheme', minLength: 1 }).map(s => s.replaceAll('\n', ' '));
  fc.assert(fc.property(fc.array(line), fc.array(fc.nat(400)), (lines, cuts) => {
    const bytes = Buffer.from(lines.map(l => l + '\n').join(''));
    const splitter = new LineSplitter();
    const seen: string[] = [];
    let from = 0;
    for (const cut of [...cuts.map(c => c % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]) {
      seen.push(...splitter.push(bytes.subarray(from, cut)));
      from = cut;
    }
    assert.deepEqual(seen, lines);
    assert.equal(splitter.rest, '');
  }));
});

test('a line that never ends is refused at the bound', () => {
  const splitter = new LineSplitter(100);
  splitter.push(Buffer.alloc(60, 65));
  assert.throws(() => splitter.push(Buffer.alloc(60, 65)), /more than 100 bytes/);
});

test('what was cut off is kept apart', () => {
  const splitter = new LineSplitter();
  assert.deepEqual(splitter.push(Buffer.from('a\nb')), ['a']);
  assert.equal(splitter.rest, 'b');
});
