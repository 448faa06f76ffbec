import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { acceptKey, closeFrame, encodeFrame, WebSocketDecoder, WebSocketError } from './websocket.ts';

/** As a client sends it: masked, in the given number of fragments. */
function clientFrames(opcode: number, data: Buffer, parts: number, mask: Buffer): Buffer {
  const size = Math.max(1, Math.ceil(data.length / parts));
  const frames: Buffer[] = [];
  for (let at = 0; at === 0 || at < data.length; at += size) {
    const piece = Buffer.from(data.subarray(at, at + size));
    for (let i = 0; i < piece.length; i++) piece[i]! ^= mask[i & 3]!;
    const final = at + size >= data.length;
    const head = piece.length < 126 ? Buffer.from([0, 0x80 | piece.length]) : piece.length < 65_536 ? Buffer.from([0, 0xfe, piece.length >> 8, piece.length & 255]) : Buffer.concat([Buffer.from([0, 0xff]), Buffer.from(piece.length.toString(16).padStart(16, '0'), 'hex')]);
    head[0] = (final ? 0x80 : 0) | (at === 0 ? opcode : 0);
    frames.push(head, mask, piece);
  }
  return Buffer.concat(frames);
}

test('the key of RFC 6455 §1.3 has the answer of RFC 6455 §1.3', () => {
  assert.equal(acceptKey('dGhlIHNhbXBsZSBub25jZQ=='), 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
});

test('messages come out as they went in, however they are cut', () => {
  const message = fc.record({ opcode: fc.constantFrom(1, 2), data: fc.uint8Array({ maxLength: 70_000, size: 'max' }), parts: fc.integer({ min: 1, max: 5 }), mask: fc.uint8Array({ minLength: 4, maxLength: 4 }) });
  fc.assert(fc.property(fc.array(message, { maxLength: 4 }), fc.array(fc.nat(200_000), { maxLength: 6 }), (messages, cuts) => {
    const bytes = Buffer.concat(messages.map(({ opcode, data, parts, mask }) => clientFrames(opcode, Buffer.from(data), parts, Buffer.from(mask))));
    const decoder = new WebSocketDecoder(1 << 20);
    const edges = [0, ...cuts.map(cut => Math.min(cut, bytes.length)).sort((a, b) => a - b), bytes.length];
    const out = edges.slice(1).flatMap((edge, i) => decoder.push(bytes.subarray(edges[i], edge)));
    assert.deepEqual(out.map(({ kind, data }) => ({ kind, data })), messages.map(({ opcode, data }) => ({ kind: opcode === 1 ? 'text' : 'binary', data: Buffer.from(data) })));
  }), { numRuns: 50 });
});

test('a ping between the parts of a message comes before it', () => {
  const decoder = new WebSocketDecoder(1024);
  const whole = clientFrames(2, Buffer.from('abcd'), 2, Buffer.alloc(4));
  const ping = clientFrames(9, Buffer.from('?'), 1, Buffer.alloc(4));
  const out = decoder.push(Buffer.concat([whole.subarray(0, whole.length / 2), ping, whole.subarray(whole.length / 2)]));
  assert.deepEqual(out.map(({ kind, data }) => `${kind} ${data.toString()}`), ['ping ?', 'binary abcd']);
});

test('what a client must not send is refused with its code', () => {
  const bad: readonly (readonly [string, Buffer, number])[] = [
    ['unmasked', encodeFrame('text', Buffer.from('x')), 1002],
    ['reserved bits', Buffer.from([0xc1, 0x80, 0, 0, 0, 0]), 1002],
    ['unknown opcode', Buffer.from([0x83, 0x80, 0, 0, 0, 0]), 1002],
    ['continuation of nothing', Buffer.from([0x80, 0x80, 0, 0, 0, 0]), 1002],
    ['a message within another', Buffer.from([0x01, 0x80, 0, 0, 0, 0, 0x81, 0x80, 0, 0, 0, 0]), 1002],
    ['a ping in parts', Buffer.from([0x09, 0x80, 0, 0, 0, 0]), 1002],
    ['too long', clientFrames(2, Buffer.alloc(2000), 1, Buffer.alloc(4)), 1009],
    ['too long in parts', clientFrames(2, Buffer.alloc(2000), 4, Buffer.alloc(4)), 1009],
    ['a length beyond numbers', Buffer.from('82ffffffffffffffffff00000000', 'hex'), 1009],
  ];
  for (const [what, bytes, code] of bad) assert.throws(() => new WebSocketDecoder(1024).push(bytes), (error: WebSocketError) => error.code === code, what);
});

test('no bytes make it fail otherwise', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), bytes => {
    try {
      new WebSocketDecoder(1024).push(Buffer.from(bytes));
    } catch (error) {
      assert.ok(error instanceof WebSocketError);
    }
  }));
});

test('a server frame says its length in the shortest form', () => {
  for (const [length, head] of [[125, '827d'], [126, '827e007e'], [65_535, '827effff'], [65_536, '827f0000000000010000']] as const) {
    assert.equal(encodeFrame('binary', Buffer.alloc(length)).subarray(0, head.length / 2).toString('hex'), head);
  }
  assert.equal(closeFrame(1000, 'bye').toString('hex'), '880503e8627965');
});
