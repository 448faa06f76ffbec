import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LineWriter } from './line-writer.ts';

function written(write: (writer: LineWriter) => void): string {
  const buffer = Buffer.alloc(8192, '!');
  const writer = new LineWriter(buffer);
  writer.text('[');
  write(writer);
  writer.text(']');
  assert.equal(buffer[writer.at], 0x21, 'nothing behind it is touched');
  return buffer.toString('utf8', 0, writer.at);
}

test('integers are JSON\'s', () => {
  fc.assert(fc.property(fc.oneof(fc.maxSafeNat(), fc.nat(1000), fc.constantFrom(0, 9, 10, 999_999_999, 1e9, 1e9 + 1, 1e15, 2 ** 53 - 1)), value => {
    assert.equal(written(writer => writer.integer(value)), JSON.stringify([value]));
  }));
  assert.equal(written(writer => writer.integer(12.9)), '[12]');
});

test('strings are read again as they were, whatever is in them', () => {
  fc.assert(fc.property(fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.string({ unit: fc.constantFrom('a', '"', '\\', '\n', 'é', '\u{1f600}') })), text => {
    assert.equal(written(writer => writer.string(text)), JSON.stringify([text]));
  }));
});
