import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { KeptTexts } from './kept-texts.ts';

test('each text is the bytes, whatever others were there before, and the same bytes again are the same object', () => {
  const byte = fc.integer({ min: 32, max: 255 });
  // Few letters and lengths: many texts come to one place.
  const text = fc.oneof(fc.array(fc.constantFrom(47, 97, 98), { maxLength: 6 }), fc.array(byte, { maxLength: 300 }));
  fc.assert(fc.property(fc.array(text, { maxLength: 60 }), texts => {
    const kept = new KeptTexts(4, made => ({ text: made }));
    for (const bytes of texts) {
      const buffer = Buffer.from([0, ...bytes, 255]);
      const found = kept.of(buffer, 1, buffer.length - 1);
      assert.equal(found.text, Buffer.from(bytes).toString('latin1'));
      if (bytes.length < 256) assert.equal(kept.of(buffer, 1, buffer.length - 1), found);
    }
  }));
});
