import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ConnectionFault } from './error.ts';
import { Field, Indexing, kindOfName, kindWithValue } from './field.ts';
import { HpackDecoder } from './hpack-decoder.ts';
import { HpackEncoder } from './hpack-encoder.ts';
import { huffmanDecode, huffmanEncode, huffmanLength } from './huffman.ts';
import { Output } from './output.ts';
import { staticNames } from './static-table.ts';

const roomy = { octets: 1_000_000, fields: 10_000 };
const bytes = (hex: string) => Buffer.from(hex.replaceAll(/\s/g, ''), 'hex');
const lines = (fields: readonly Field[] | undefined) => fields?.map(({ name, value }) => `${name}: ${value}`);

function decode(decoder: HpackDecoder, hex: string): string[] | undefined {
  const data = bytes(hex);
  return lines(decoder.decode(data, 0, data.length));
}

test('RFC 7541 C.2: single fields', () => {
  const decoder = new HpackDecoder(roomy);
  assert.deepEqual(decode(decoder, '400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572'), ['custom-key: custom-header']);
  assert.equal(decoder.tableSize, 55);
  const plain = new HpackDecoder(roomy);
  assert.deepEqual(decode(plain, '040c 2f73 616d 706c 652f 7061 7468'), [':path: /sample/path']);
  const secret = bytes('1008 7061 7373 776f 7264 0673 6563 7265 74');
  const fields = plain.decode(secret, 0, secret.length)!;
  assert.deepEqual(lines(fields), ['password: secret']);
  assert.equal(fields[0]!.indexing, Indexing.never);
  assert.deepEqual(decode(plain, '82'), [':method: GET']);
  assert.equal(plain.tableSize, 0);
});

const requests = [
  { fields: [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com'], size: 57 },
  { fields: [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com', 'cache-control: no-cache'], size: 110 },
  { fields: [':method: GET', ':scheme: https', ':path: /index.html', ':authority: www.example.com', 'custom-key: custom-value'], size: 164 },
];
const responses = [
  { fields: [':status: 302', 'cache-control: private', 'date: Mon, 21 Oct 2013 20:13:21 GMT', 'location: https://www.example.com'], size: 222 },
  { fields: [':status: 307', 'cache-control: private', 'date: Mon, 21 Oct 2013 20:13:21 GMT', 'location: https://www.example.com'], size: 222 },
  {
    fields: [':status: 200', 'cache-control: private', 'date: Mon, 21 Oct 2013 20:13:22 GMT', 'location: https://www.example.com', 'content-encoding: gzip',
      'set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1'],
    size: 215,
  },
];
const examples: Readonly<Record<string, { readonly expected: typeof requests; readonly tableSize?: number; readonly blocks: readonly string[] }>> = {
  'C.3: requests': {
    expected: requests,
    blocks: ['8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d', '8286 84be 5808 6e6f 2d63 6163 6865', '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65'],
  },
  'C.4: requests in Huffman code': {
    expected: requests,
    blocks: ['8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff', '8286 84be 5886 a8eb 1064 9cbf', '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf'],
  },
  'C.5: answers, with a table of 256 octets': {
    expected: responses,
    tableSize: 256,
    blocks: [
      '4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
      '4803 3330 37c1 c0bf',
      '88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31',
    ],
  },
  'C.6: answers in Huffman code': {
    expected: responses,
    tableSize: 256,
    blocks: [
      '4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3',
      '4883 640e ffc1 c0bf',
      '88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07',
    ],
  },
};

for (const [name, { expected, tableSize, blocks }] of Object.entries(examples)) {
  test(`RFC 7541 ${name}`, () => {
    const decoder = new HpackDecoder(roomy, tableSize);
    blocks.forEach((block, i) => {
      assert.deepEqual(decode(decoder, block), expected[i]!.fields);
      assert.equal(decoder.tableSize, expected[i]!.size);
    });
  });
}

test('every byte goes through the Huffman code and back', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), data => {
    const text = Buffer.from(data).toString('latin1');
    const coded = Buffer.alloc(huffmanLength(text));
    assert.equal(huffmanEncode(text, coded, 0), coded.length);
    const back = Buffer.alloc(coded.length * 2);
    assert.deepEqual(back.subarray(0, huffmanDecode(coded, 0, coded.length, back)), Buffer.from(data));
  }));
});

const hostile: Readonly<Record<string, string>> = {
  'index 0': '80',
  'an index beyond the tables': 'be',
  'a name beyond the tables': '7e01 61',
  'a number that never ends': 'ffff ffff ffff ff01',
  'a number over 2^31': 'ffff ffff ff7f',
  'a block that ends within a number': 'ff',
  'a block that ends within a string': '4005 6161',
  'a string that is longer than its block': '007f ffff ff07',
  'a table over the limit': '3fe2 1f',
  'a change of the table after a field': '8220',
  'three changes of the table': '2020 20',
  'Huffman: padding of zeros': '0081 1800',
  'Huffman: padding of a whole byte': '0082 1fff 00',
  'Huffman: the end of the string written out': '0084 ffff ffff 00',
};
for (const [name, block] of Object.entries(hostile)) {
  test(`refused with COMPRESSION_ERROR: ${name}`, () => {
    assert.throws(() => decode(new HpackDecoder(roomy), block), (error: unknown) => error instanceof ConnectionFault && error.code === 9);
  });
}

test('a bomb of references is read to its end in bounded memory, and the table is as it must be afterwards', () => {
  const decoder = new HpackDecoder({ octets: 65_536, fields: 100 });
  const value = 'x'.repeat(4000);
  const big = Buffer.concat([Buffer.from([0x40, 1, 0x61, 0x7f]), bytes('a11e'), Buffer.from(value)]);
  assert.deepEqual(lines(decoder.decode(big, 0, big.length)), [`a: ${value}`]);
  const bomb = Buffer.alloc(60_000, 0xbe);
  assert.equal(decoder.decode(bomb, 0, bomb.length), undefined);
  assert.deepEqual(decode(decoder, 'be'), [`a: ${value}`]);
});

const arbitraryField = fc.record({
  name: fc.oneof(fc.constantFrom(...staticNames.keys()), fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/)),
  value: fc.oneof(fc.stringMatching(/^[!-~]{0,120}$/), fc.constantFrom('', 'GET', '200', 'gzip, deflate'), fc.string({ unit: fc.integer({ min: 0x80, max: 0xff }).map(code => String.fromCharCode(code)), maxLength: 60 })),
  indexing: fc.constantFrom(Indexing.indexed, Indexing.without, Indexing.never),
});
const arbitraryBlock = fc.record({ fields: fc.array(arbitraryField, { maxLength: 12 }), again: fc.array(fc.nat(30), { maxLength: 8 }), tableSize: fc.oneof({ weight: 3, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: fc.constantFrom(0, 64, 100, 500, 4096, 100_000) }) });

test('what one decoder read, the encoder writes and the next decoder reads, whatever the sizes of the tables', () => {
  fc.assert(fc.property(fc.array(arbitraryBlock, { maxLength: 30 }), blocks => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder(roomy);
    const known: Field[] = [];
    for (const { fields, again, tableSize } of blocks) {
      if (tableSize !== null) encoder.tableSize = tableSize;
      const list = fields.map(({ name, value, indexing }) => new Field(name, value, indexing, kindWithValue(kindOfName(name), value), staticNames.get(name) ?? 0));
      known.push(...list);
      const whole = [...list, ...again.flatMap(i => known[known.length - 1 - i] ?? [])];
      const out = new Output();
      encoder.encode(whole, out);
      const read = decoder.decode(out.buffer, 0, out.length)!;
      assert.deepEqual(lines(read), lines(whole));
      read.forEach((field, i) => assert.equal(field.indexing === Indexing.never, whole[i]!.indexing === Indexing.never));
    }
  }));
});

test('random bytes never do more than fail as a connection', () => {
  fc.assert(fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 10 }), blocks => {
    const decoder = new HpackDecoder({ octets: 65_536, fields: 100 });
    try {
      for (const block of blocks) decoder.decode(Buffer.from(block), 0, block.length);
    } catch (error) {
      assert.ok(error instanceof ConnectionFault && error.code === 9);
    }
    assert.ok(decoder.tableSize <= 4096);
    assert.equal(decoder.tableSize, decoder.table.reduce((sum, field) => sum + field.size, 0));
  }), { numRuns: Number(process.env['CIRRI_PROPERTY_RUNS'] ?? 300) * 10 });
});

test('a literal that comes again is the same field, and one that is named by the dynamic table is read anew', () => {
  const decoder = new HpackDecoder(roomy);
  const read = (hex: string) => {
    const data = bytes(hex);
    return decoder.decode(data, 0, data.length)!;
  };
  const [first] = read('4001 6101 31');
  assert.equal(read('4001 6101 31')[0], first);
  assert.equal(decoder.table.length, 2);
  assert.notEqual(read('0001 6101 31')[0], first, 'written in another way');
  // The same bytes, after another field has become the newest.
  assert.deepEqual(lines(read('0f2f 0131')), ['a: 1']);
  read('4001 6201 32');
  assert.deepEqual(lines(read('0f2f 0131')), ['b: 1']);
});

test('random literals, again and again, are read as if there were no memory of them', () => {
  const literal = fc.record({ name: fc.constantFrom('a', 'date', 'server', 'x-y'), value: fc.stringMatching(/^[a-c]{0,4}$/), indexing: fc.constantFrom(Indexing.indexed, Indexing.without, Indexing.never) });
  fc.assert(fc.property(fc.array(literal, { maxLength: 60, size: 'max' }), literals => {
    const decoder = new HpackDecoder(roomy, 200);
    for (const { name, value, indexing } of literals) {
      const pattern = indexing === Indexing.indexed ? 0x40 : indexing === Indexing.never ? 0x10 : 0;
      const data = Buffer.from([pattern, name.length, ...Buffer.from(name), value.length, ...Buffer.from(value)]);
      const [field] = decoder.decode(data, 0, data.length)!;
      assert.deepEqual([field!.name, field!.value, field!.indexing], [name, value, indexing]);
      if (indexing === Indexing.indexed) assert.equal(decoder.table[0], field);
      assert.equal(decoder.tableSize, decoder.table.reduce((sum, each) => sum + each.size, 0));
    }
  }));
});
