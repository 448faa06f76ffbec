import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { KernelError, isErrno } from '../sys/errno.ts';
import { ensureBpffs, unmount } from '../sys/mount.ts';
import { mapType } from './bpf.ts';
import { bytesCodec, defineCodec, u32Codec, u64Codec } from './codec.ts';
import { parseCpuList, possibleCpus } from './cpus.ts';
import { walkMap } from './map-walk.ts';
import { BpfMap, type MapSpec } from './map.ts';

const folder = mkdtempSync(join(tmpdir(), 'cirri-map-'));
ensureBpffs(folder);
after(() => {
  unmount(folder);
  rmSync(folder, { recursive: true });
});

interface Lpm { readonly bits: number; readonly addr: Uint8Array }
const lpmCodec = defineCodec<Lpm>(8, (v, at, k) => {
  v.setUint32(at, k.bits, true);
  k.addr.forEach((byte, i) => v.setUint8(at + 4 + i, byte));
}, (v, at) => ({ bits: v.getUint32(at, true), addr: new Uint8Array(v.buffer.slice(v.byteOffset + at + 4, v.byteOffset + at + 8)) }));

const spec = (type: number, more: Partial<MapSpec<number, number>> = {}): MapSpec<number, number> => ({
  name: 'cirri_test', type, maxEntries: 64, flags: 0, key: u32Codec, value: u32Codec, perCpu: false, layoutHash: '00000000', ...more,
});
const lpmSpec: MapSpec<Lpm, number> = { ...spec(mapType.lpmTrie), flags: 1, key: lpmCodec, maxEntries: 20_000 };
const prefix = (n: number, bits = 32): Lpm => ({ bits, addr: Uint8Array.of(10, n >> 16, n >> 8, n) });
const keysOf = (map: BpfMap<number, unknown>) => [...map.entries()].map(([key]) => key).sort((a, b) => a - b);

for (const [name, type] of [['hash', mapType.hash], ['LRU hash', mapType.lruHash]] as const) {
  describe(name, () => {
    test('reads back what was written, and misses what was not', () => {
      using map = BpfMap.create(spec(type));
      map.update(1, 11);
      assert.equal(map.lookup(1), 11);
      assert.equal(map.lookup(2), undefined);
      map.update(1, 12, 'replace');
      assert.deepEqual([...map.entries()], [[1, 12]]);
      assert.throws(() => map.update(1, 13, 'create'), (e: unknown) => isErrno(e, 'EEXIST'));
      assert.throws(() => map.update(2, 13, 'replace'), (e: unknown) => isErrno(e, 'ENOENT'));
      assert.equal(map.delete(1), true);
      assert.equal(map.delete(1), false);
      assert.equal(map.count(), 0);
      assert.deepEqual([...map.entries()], []);
    });

    test('batches are written, read and deleted whole', () => {
      using map = BpfMap.create(spec(type, { maxEntries: 40_000 }));
      const entries = Array.from({ length: 10_000 }, (_, i) => [i, i * 2] as const);
      map.updateBatch(entries);
      assert.equal(map.count(), 10_000);
      assert.deepEqual(keysOf(map), entries.map(([k]) => k));
      assert.ok([...map.entries()].every(([k, v]) => v === k * 2));
      map.deleteBatch([...entries.map(([k]) => k).filter(k => k % 2 === 0), 99_999, 1]);
      assert.deepEqual(keysOf(map), entries.map(([k]) => k).filter(k => k % 2 === 1 && k !== 1));
      map.updateBatch([]);
      map.deleteBatch([]);
    });
  });
}

describe('a full map', () => {
  test('a hash says E2BIG with its name and size', () => {
    using map = BpfMap.create(spec(mapType.hash, { maxEntries: 4 }));
    for (let i = 0; i < 4; i++) map.update(i, i);
    assert.throws(() => map.update(5, 5), (error: unknown) => {
      assert.ok(error instanceof KernelError);
      assert.equal(error.errno, 'E2BIG');
      assert.match(error.message, /map cirri_test: it is full at 4 entries/);
      return true;
    });
  });

  test('an LPM trie says ENOSPC', () => {
    using map = BpfMap.create({ ...lpmSpec, maxEntries: 4 });
    for (let i = 0; i < 4; i++) map.update(prefix(i), i);
    assert.throws(() => map.update(prefix(5), 5), (e: unknown) => isErrno(e, 'ENOSPC') && /full at 4/.test(e.message));
  });

  test('a batch that does not fit keeps what fitted and throws the rest', () => {
    using map = BpfMap.create(spec(mapType.hash, { maxEntries: 100 }));
    assert.throws(() => map.updateBatch(Array.from({ length: 150 }, (_, i) => [i, i] as const)), (e: unknown) => isErrno(e, 'E2BIG'));
    assert.equal(map.count(), 100);
  });
});

describe('LPM trie', () => {
  test('the longest prefix answers, batches and walks are whole', () => {
    using map = BpfMap.create(lpmSpec);
    map.update(prefix(0, 8), 8);
    map.updateBatch(Array.from({ length: 9000 }, (_, i) => [prefix(i), i] as const));
    assert.equal(map.lookup(prefix(70)), 70);
    assert.equal(map.lookup(prefix(0xffffff)), 8);
    assert.equal(map.count(), 9001);
    assert.equal(new Set([...map.entries()].map(([, v]) => v)).size, 9000);
    map.deleteBatch(Array.from({ length: 9000 }, (_, i) => prefix(i)));
    assert.deepEqual([...map.entries()].map(([k, v]) => [k.bits, v]), [[8, 8]]);
  });

  test('a walk whose keys are deleted under it ends, and sees nothing twice', () => {
    using map = BpfMap.create(lpmSpec);
    map.updateBatch(Array.from({ length: 15_000 }, (_, i) => [prefix(i), i] as const));
    const seen: number[] = [];
    for (const [key, value] of map.entries()) {
      seen.push(value);
      map.delete(key);
    }
    assert.equal(new Set(seen).size, seen.length);
    assert.equal(seen.length, 15_000);
  });
});

describe('arrays', () => {
  test('hold every index from the start', () => {
    using map = BpfMap.create(spec(mapType.array, { maxEntries: 5000 }));
    map.update(3, 33);
    assert.equal(map.lookup(4), 0);
    assert.equal(map.lookup(5000), undefined);
    assert.equal(map.count(), 5000);
    const entries = [...map.entries()];
    assert.equal(entries.length, 5000);
    assert.deepEqual(entries.find(([k]) => k === 3), [3, 33]);
    map.updateBatch([[1, 2], [2, 3]]);
    assert.equal(map.lookup(2), 3);
    assert.throws(() => map.update(5000, 1), /index is not below 5000/);
    assert.throws(() => map.delete(1), (e: unknown) => isErrno(e, 'EINVAL'));
  });
});

describe('per-CPU maps', () => {
  for (const type of [mapType.percpuHash, mapType.lruPercpuHash, mapType.percpuArray]) {
    test(`type ${type} has a value for every possible processor`, () => {
      using map = BpfMap.create({ ...spec(type), value: u64Codec, perCpu: true });
      map.update(1, 7n);
      assert.deepEqual(map.lookupPerCpu(1), Array.from({ length: possibleCpus() }, () => 7n));
      assert.deepEqual([...map.entriesPerCpu()].find(([k]) => k === 1)![1], map.lookupPerCpu(1));
      assert.throws(() => map.lookup(1), /use lookupPerCpu/);
      assert.throws(() => map.entries().next(), /use entriesPerCpu/);
      map.updateBatch([[1, 8n], [2, 9n]]);
      assert.equal(map.lookupPerCpu(2)!.at(-1), 9n);
    });
  }

  test('processor lists are read', () => {
    assert.deepEqual(['0', '0-3', '0-3,8', '0,2-3\n'].map(parseCpuList), [1, 4, 5, 3]);
  });
});

describe('pins', () => {
  test('a pinned map is adopted with its contents', () => {
    const path = join(folder, 'one');
    assert.equal(BpfMap.openPinned(spec(mapType.hash), path), undefined);
    {
      using map = BpfMap.create(spec(mapType.hash));
      map.update(1, 2);
      map.pin(path);
      assert.throws(() => map.pin(path), (e: unknown) => isErrno(e, 'EEXIST'));
    }
    using again = BpfMap.openPinned(spec(mapType.hash), path)!;
    assert.equal(again.lookup(1), 2);
  });

  test('another shape under the path is refused with both shapes', () => {
    const path = join(folder, 'two');
    using map = BpfMap.create(spec(mapType.hash));
    map.pin(path);
    assert.throws(() => BpfMap.openPinned(spec(mapType.hash, { maxEntries: 65 }), path), /64, 0, not 1, 4, 4, 65, 0/);
  });
});

describe('descriptors', () => {
  test('a closed map reaches no other file', () => {
    const map = BpfMap.create(spec(mapType.hash));
    map.close();
    map.close();
    assert.throws(() => map.fd, /used after close/);
    assert.throws(() => map.lookup(1), (e: unknown) => isErrno(e, 'EBADF'));
    assert.throws(() => [...map.entries()], /used after close/);
  });

  test('a wrong spec is an error that says what was being made', () => {
    assert.throws(() => BpfMap.create(spec(mapType.hash, { maxEntries: 0 })), /creating map cirri_test \(type 1, 0 entries\).*EINVAL/);
  });
});

test('a value of the wrong length never reaches the kernel', () => {
  using map = BpfMap.create({ ...spec(mapType.hash), key: bytesCodec(16) });
  assert.throws(() => map.update(new Uint8Array(4), 1), /16 bytes was given 4/);
});

test('a walk goes on while entries come and go', () => {
  using map = BpfMap.create(spec(mapType.hash, { maxEntries: 20_000 }));
  map.updateBatch(Array.from({ length: 8000 }, (_, i) => [i, i] as const));
  let turn = 0;
  const steady = new Set<number>();
  for (const chunk of walkMap(map)) {
    for (let i = 0; i < chunk.count; i++) {
      const key = chunk.keys.getUint32(i * 4, true);
      if (key < 4000) steady.add(key);
    }
    for (let i = 0; i < 1000; i++) {
      map.delete(4000 + ((turn * 1000 + i) % 4000));
      map.update(10_000 + turn * 1000 + i, 1);
    }
    turn++;
  }
  assert.equal(steady.size, 4000);
});

test('a map of maps takes maps of different sizes, and hands out their ids', () => {
  const inner: MapSpec<number, number> = { ...spec(mapType.array), flags: 0x1000, maxEntries: 1 };
  using outer = BpfMap.create({ ...spec(mapType.hashOfMaps), flags: 1, inner });
  for (const [key, maxEntries] of [[1, 7], [2, 251]] as const) {
    using table = BpfMap.create({ ...inner, maxEntries });
    outer.update(key, table.fd);
  }
  assert.ok(outer.lookup(1)! > 0);
  assert.notEqual(outer.lookup(1), outer.lookup(2));
  using other = BpfMap.create({ ...inner, value: { ...inner.value, size: 8 } });
  assert.throws(() => outer.update(3, other.fd), /EINVAL/);
});
