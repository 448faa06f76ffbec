import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, describe, test } from 'node:test';
import fc from 'fast-check';
import { parseBtf } from './btf.ts';
import { parseElf } from './elf.ts';
import { BtfError } from './error.ts';
import { compileBpf } from './fixture.ts';
import { btfOf, generate, generateFromObject } from './generate.ts';
import { type StructLayout, describeLayout, holesOf, layoutOf } from './layout.ts';
import { mapDefinitions } from './maps.ts';
import { camelCase, enumConstantNames, pascalCase } from './names.ts';
import { writeFields } from './write.ts';

const SOURCE = `
typedef _Bool bool;
struct addr { union { __u8 bytes[16]; __be32 words[4]; }; };
enum side { SIDE_LEFT = 1, SIDE_RIGHT = 2 };
enum below { BELOW_ZERO = -1, BELOW_ONE = 1 };
enum wide { WIDE_ONE = 1ULL << 40 };
struct inner { __u16 first; __u8 pad[2]; __u32 second; };
struct sample {
	__u8 small; __u64 large; __s32 negative; __be16 port; __be32 word; __be64 half; bool on; char name[8]; __u8 mac[6];
	struct addr addr; struct inner inner; __u32 list[3]; struct inner inners[2]; enum side side; enum below below;
	struct { __u16 anonymous_one; }; union { __u32 as_number; __u8 as_bytes[4]; }; __u32 _hidden;
};
struct key { __u32 prefix_bits; struct addr addr; };
struct catalogue { enum side side; enum below below; enum wide wide; struct sample sample; };
const volatile struct catalogue catalogue __attribute__((used)) = {};
struct config { __u32 some_limit; struct addr node_ip4; };
const volatile struct config config = { .some_limit = 3 };
struct { __uint(type, BPF_MAP_TYPE_LPM_TRIE); __uint(max_entries, 100); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key, struct key); __type(value, struct sample); } two_words SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_HASH); __uint(max_entries, 5); __type(key, __u32); __type(value, __u64); } counts SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } ring SEC(".maps");
SEC("tc") int p(struct __sk_buff *skb) { return config.some_limit + catalogue.side; }
`;

/** What the generated codecs offer. */
interface Codec<T> {
  readonly size: number;
  encode(value: T, into: Uint8Array, offset?: number): void;
  decode(from: Uint8Array, offset?: number): T;
}

const fixture = compileBpf(SOURCE);
after(() => fixture.remove());
const bytes = readFileSync(fixture.path);
const btf = btfOf(parseElf(bytes));
const files = generate(btf);
const layoutNamed = (name: string): StructLayout => layoutOf(btf, btf.types.findIndex(t => t.kind === 'struct' && t.name === name)) as StructLayout;

describe('generated text', () => {
  test('is the same for the same object', () => {
    assert.deepEqual(generateFromObject(readFileSync(fixture.path)), files);
  });

  test('maps carry their sizes, types and codecs under camelCase keys', () => {
    assert.match(files['maps.ts'], /const twoWords: MapSpec<Key, Sample> = \{\n {2}name: 'two_words', type: 11, maxEntries: 100, flags: 1,\n {2}key: keyCodec, value: sampleCodec, perCpu: false, layoutHash: '[0-9a-f]{8}',/);
    assert.match(files['maps.ts'], /counts: MapSpec<number, bigint>[^]*key: u32Codec, value: u64Codec, perCpu: true/);
    assert.match(files['maps.ts'], /ring: MapSpec<undefined, undefined>/);
  });

  test('enums become objects and names', () => {
    assert.match(files['enums.ts'], /export const Side = \{\n {2}Left: 1,\n {2}Right: 2,\n\} as const;/);
    assert.match(files['enums.ts'], /export const sideName: Readonly<Record<number, string>> = \{\n {2}1: 'LEFT',/);
    assert.match(files['enums.ts'], /Zero: -1/);
    assert.match(files['enums.ts'], /'-1': 'ZERO'/);
    assert.match(files['enums.ts'], /One: 1099511627776/);
  });

  test('config has its own file', () => {
    assert.match(files['config.ts'], /export interface Config \{\n {2}readonly someLimit: number;\n {2}readonly nodeIp4: Uint8Array;\n\}/);
    assert.ok(!files['structs.ts'].includes('Config'));
    assert.ok(!files['structs.ts'].includes('Catalogue'));
  });

  test('padding does not show; anonymous members do, of a union the first', () => {
    assert.ok(!/hidden|readonly pad/.test(files['structs.ts']));
    assert.match(files['structs.ts'], /readonly anonymousOne: number;\n {2}readonly asNumber: number;\n\}/);
    assert.ok(!files['structs.ts'].includes('asBytes'));
  });
});

describe('generated codecs', () => {
  const inner = { first: 0xabcd, second: 7 };
  const sample = {
    small: 255, large: 0x1122334455667788n, negative: -5, port: 443, word: 0xc0a80001, half: 1n, on: true, name: 'eth0', mac: Uint8Array.of(1, 2, 3, 4, 5, 6),
    addr: Uint8Array.from({ length: 16 }, (_, i) => i), inner, list: [1, 2, 0xffffffff], inners: [inner, { first: 1, second: 2 }], side: 2, below: -1, anonymousOne: 9, asNumber: 0x01020304,
  };

  const load = async (): Promise<Codec<typeof sample>> => {
    const folder = join(dirname(fixture.path), 'generated');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'structs.ts'), files['structs.ts'].replace('../../ebpf/codec.ts', join(import.meta.dirname, '../ebpf/codec.ts')));
    return ((await import(join(folder, 'structs.ts'))) as { sampleCodec: Codec<typeof sample> }).sampleCodec;
  };

  test('write the bytes that the layout says, into memory that was not empty, and read them back', async () => {
    const codec = await load();
    const layout = layoutNamed('sample');
    const expected = new Uint8Array(layout.size);
    writeFields(layout, new DataView(expected.buffer), 0, sample);
    const actual = new Uint8Array(layout.size + 8).fill(0xee);
    codec.encode(sample, actual, 4);
    assert.deepEqual(actual.subarray(4, 4 + layout.size), expected);
    assert.deepEqual([actual[3], actual[4 + layout.size]], [0xee, 0xee]);
    assert.deepEqual(codec.decode(actual, 4), sample);
    assert.equal(codec.size, layout.size);
  });

  test('refuse memory that is too small and bytes of another length', async () => {
    const codec = await load();
    assert.throws(() => codec.encode(sample, new Uint8Array(codec.size - 1)), RangeError);
    assert.throws(() => codec.decode(new Uint8Array(codec.size), 1), RangeError);
    assert.throws(() => codec.encode({ ...sample, mac: new Uint8Array(5) }, new Uint8Array(codec.size)), /6 bytes was given 5/);
  });

  test('agree with the layout for every value', async () => {
    const codec = await load();
    const layout = layoutNamed('sample');
    const u = (bits: number) => fc.integer({ min: 0, max: 2 ** bits - 1 });
    const fixed = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
    const anyInner = fc.record({ first: u(16), second: u(32) }, { noNullPrototype: true });
    const anySample = fc.record({
      small: u(8), large: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), negative: fc.integer(), port: u(16), word: u(32), half: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      on: fc.boolean(), name: fc.stringMatching(/^[a-z]{0,7}$/), mac: fixed(6), addr: fixed(16), inner: anyInner, list: fc.array(u(32), { minLength: 3, maxLength: 3 }),
      inners: fc.array(anyInner, { minLength: 2, maxLength: 2 }), side: u(32), below: fc.integer(), anonymousOne: u(16), asNumber: u(32),
    }, { noNullPrototype: true });
    fc.assert(fc.property(anySample, value => {
      const expected = new Uint8Array(layout.size);
      writeFields(layout, new DataView(expected.buffer), 0, value);
      const actual = new Uint8Array(layout.size).fill(0xee);
      codec.encode(value, actual);
      assert.deepEqual(actual, expected);
      assert.deepEqual(codec.decode(actual), value);
    }));
  });
});

describe('layouts', () => {
  test('an address is its bytes, and holes are known', () => {
    assert.equal(describeLayout(layoutNamed('key')), 'key:20{prefix_bits@0:u32,addr@4:u8[16]}');
    assert.deepEqual(holesOf(layoutNamed('sample'))[0], { offset: 1, size: 7 });
  });

  test('the layout hash follows the layout', () => {
    const hash = (source: string) => {
      const other = compileBpf(source);
      try {
        return mapDefinitions(btfOf(parseElf(readFileSync(other.path)))).find(m => m.name === 'two_words')!.layoutHash;
      } finally {
        other.remove();
      }
    };
    const same = hash(SOURCE);
    assert.equal(same, mapDefinitions(btf).find(m => m.name === 'two_words')!.layoutHash);
    assert.notEqual(hash(SOURCE.replace('max_entries, 100', 'max_entries, 101')), same);
    assert.notEqual(hash(SOURCE.replace('__u16 first; __u8 pad[2];', '__u16 first; __u16 more;')), same);
  });

  test('a bit-field has no form, and the error says what to do', () => {
    const other = compileBpf('struct v { __u32 a:3; }; struct { __uint(type, 1); __uint(max_entries, 1); __type(key, __u32); __type(value, struct v); } m SEC(".maps");');
    try {
      assert.throws(() => generateFromObject(readFileSync(other.path)), (e: unknown) => e instanceof BtfError && /field a of struct v is a bit-field/.test(e.message) && /flags field/.test(e.mend!));
    } finally {
      other.remove();
    }
  });
});

test('names', () => {
  assert.deepEqual(['policy_verdict_key', 'node_ip4', 'last_hit_ns', 'class'].map(camelCase), ['policyVerdictKey', 'nodeIp4', 'lastHitNs', 'class']);
  assert.deepEqual(['POLICY_DENIED', 'L3_L4', 'drop_reason', '6TO4'].map(pascalCase), ['PolicyDenied', 'L3L4', 'DropReason', 'N6to4']);
  assert.deepEqual(enumConstantNames(['DROP_A_ONE', 'DROP_A_TWO', 'DROP_B']), ['A_ONE', 'A_TWO', 'B']);
  assert.deepEqual(enumConstantNames(['CT_NEW', 'CT_NEW_OLD']), ['NEW', 'NEW_OLD']);
  assert.deepEqual(enumConstantNames(['WIDE_ONE']), ['ONE']);
  assert.deepEqual(enumConstantNames(['ONE']), ['ONE']);
});

describe('tools/generate.ts', () => {
  const tool = join(import.meta.dirname, '../../tools/generate.ts');
  const run = (...args: string[]) => execFileSync(process.execPath, [tool, '--object', fixture.path, '--out', join(dirname(fixture.path), 'out'), ...args], { encoding: 'utf8', stdio: 'pipe' });

  test('writes, then writes nothing more, and --check tells a difference', () => {
    assert.throws(() => run('--check'), /Command failed/);
    assert.match(run(), /structs\.ts/);
    assert.equal(run(), '');
    assert.equal(run('--check'), '');
    writeFileSync(join(dirname(fixture.path), 'out/maps.ts'), '');
    assert.throws(() => run('--check'), /maps\.ts differs/);
  });

  test('what is committed is what the object says', { skip: !existsSync(join(import.meta.dirname, '../../build/cirri.bpf.o')) }, () => {
    execFileSync(process.execPath, [tool, '--check'], { stdio: 'pipe' });
  });
});

describe('V11: arbitrary bytes never do more than throw a typed error', () => {
  const onlyTyped = (run: () => unknown) => {
    try {
      run();
    } catch (error) {
      assert.ok(error instanceof BtfError, String((error as Error).stack));
    }
  };
  const section = parseElf(bytes).section('.BTF')!.data;
  const damage = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 12 });
  const damaged = (whole: Uint8Array, changes: readonly (readonly [number, number])[]) => {
    const copy = Uint8Array.from(whole);
    for (const [at, value] of changes) copy[at % copy.length] = value;
    return copy;
  };
  const readAll = (blob: Uint8Array) => {
    const read = parseBtf(blob);
    read.types.forEach((_, id) => onlyTyped(() => layoutOf(read, id)));
    generate(read);
  };

  test('ELF: noise, and a real object damaged or cut', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), noise => onlyTyped(() => parseElf(noise))), { numRuns: 1000 });
    fc.assert(fc.property(damage, fc.nat(), (changes, cut) => onlyTyped(() => generateFromObject(damaged(bytes, changes).subarray(0, bytes.length - (cut % 64 === 0 ? cut % bytes.length : 0))))), { numRuns: 1000 });
    fc.assert(fc.property(fc.array(fc.tuple(fc.nat(63), fc.nat(255)), { maxLength: 4 }), changes => onlyTyped(() => generateFromObject(damaged(bytes, changes)))), { numRuns: 1000 });
  });

  test('BTF: noise, and real types damaged or cut', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), noise => onlyTyped(() => parseBtf(noise))), { numRuns: 1000 });
    fc.assert(fc.property(damage, changes => onlyTyped(() => readAll(damaged(section, changes)))), { numRuns: 1000 });
    fc.assert(fc.property(fc.nat(section.length), length => onlyTyped(() => readAll(section.subarray(0, length)))), { numRuns: 200 });
  });

  test('types that contain each other twice over end with an error', () => {
    const words: number[] = [];
    const count = 40;
    for (let id = 1; id <= count; id++) words.push(1, (4 << 24) | 2, 8, 1, id === count ? id : id + 1, 0, 1, id === count ? id : id + 1, 32);
    const types = Uint8Array.from(new Uint8Array(Uint32Array.from(words).buffer));
    const strings = Uint8Array.of(0, 97, 0);
    const header = new Uint8Array(24);
    const view = new DataView(header.buffer);
    [0xeb9f, 24, 0, types.length, types.length, strings.length].forEach((n, i) => view.setUint32(i * 4, n, true));
    const blob = Uint8Array.from([...header, ...types, ...strings]);
    assert.throws(() => layoutOf(parseBtf(blob), 1), /contains itself, or too much/);
  });
});
