import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { compileBpf } from '../../btf/fixture.ts';
import { maps as specs } from '../../datapath/generated/maps.ts';
import { BpfMap } from '../../ebpf/map.ts';
import { BpfObject } from '../../ebpf/object.ts';
import { silentLogger } from '../../std/log.ts';
import { ensureBpffs, unmount } from '../../sys/mount.ts';
import { ReaderJump } from './reader-jump.ts';

/** What a program says that jumps, or does not come to it; and two versions of the one that it jumps to. */
const fixture = compileBpf(`
struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, __u32); } http_readers SEC(".maps");
SEC("tc") int from_pod(struct __sk_buff *skb) { bpf_tail_call(skb, &http_readers, 0); return 3; }
SEC("tc") int http_to_pod(struct __sk_buff *skb) { return 4; }
`);
const folder = mkdtempSync(join(tmpdir(), 'cirri-reader-jump-'));
const bpffs = join(folder, 'bpf'), pin = join(bpffs, 'http_readers');
ensureBpffs(bpffs);
after(() => {
  unmount(bpffs);
  rmSync(folder, { recursive: true });
  fixture.remove();
});

const frame = new Uint8Array(64);
const loaded = (map: BpfMap<number, number>): BpfObject => BpfObject.load({ path: fixture.path, maps: { httpReaders: map } });
const reached = (object: BpfObject): number => object.program('from_pod').testRun({ data: frame }).returnValue;

test('whoever forwards comes to the reader from the moment on that it is there, and while no agent runs', () => {
  const forwarding = (() => {
    using map = BpfMap.create(specs.httpReaders);
    map.pin(pin);
    const object = loaded(map);
    assert.equal(reached(object), 3);
    const programs = { program: (name: string) => object.program(name), refusalOf: () => undefined };
    assert.equal(new ReaderJump({ programs, map, log: silentLogger }).ensure(), undefined);
    assert.equal(reached(object), 4);
    return object;
  })();
  // The agent has closed the map: what has no pin the kernel empties now.
  assert.equal(reached(forwarding), 4);
  // The next one brings programs of its own; those of the last one jump to its reader at once.
  using map = BpfMap.openPinned(specs.httpReaders, pin)!;
  using next = loaded(map);
  const programs = { program: (name: string) => next.program(name), refusalOf: () => undefined };
  const jump = new ReaderJump({ programs, map, log: silentLogger });
  assert.notEqual(map.lookup(0), next.program('http_to_pod').id);
  assert.equal(jump.ensure(), undefined);
  assert.equal(map.lookup(0), next.program('http_to_pod').id);
  assert.equal(reached(forwarding), 4);
  // Somebody takes it out: it is told by the next look, and mended.
  map.delete(0);
  assert.equal(reached(next), 3);
  assert.equal(jump.ensure(), undefined);
  assert.equal(reached(next), 4);
  forwarding.close();
});

test('a reader that the kernel refuses: an earlier one is taken out, and it is said why', () => {
  using map = BpfMap.create(specs.httpReaders);
  using object = loaded(map);
  map.update(0, object.program('http_to_pod').fd);
  const programs = { program: (name: string) => object.program(name), refusalOf: () => 'too large\nand more' };
  assert.equal(new ReaderJump({ programs, map, log: silentLogger }).ensure(), 'this kernel refuses http_to_pod: too large');
  assert.equal(map.lookup(0), undefined);
  assert.equal(reached(object), 3);
});

test('what cannot be written, or reads back differently, is a reason and no failure', () => {
  const program = { id: 7, fd: 9 } as never;
  const programs = { program: () => program, refusalOf: () => undefined };
  const jump = (map: ConstructorParameters<typeof ReaderJump>[0]['map']) => new ReaderJump({ programs, map, log: silentLogger }).ensure();
  assert.match(jump({ lookup: () => 5, update: () => {}, delete: () => true })!, /leads to program 5, and http_to_pod is 7/);
  assert.match(jump({ lookup: () => undefined, update: () => { throw new Error('no room'); }, delete: () => true })!, /no room/);
});
