import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { btfOf } from '../btf/generate.ts';
import { parseElf } from '../btf/elf.ts';
import { compileBpf } from '../btf/fixture.ts';
import { mapDefinitions } from '../btf/maps.ts';
import { createCgroup, openCgroup, removeCgroup } from '../sys/cgroup.ts';
import { isErrno } from '../sys/errno.ts';
import { ensureBpffs, unmount } from '../sys/mount.ts';
import { createNetns, deleteNetns, openNetns, withNetns } from '../sys/netns.ts';
import { Netlink } from '../sys/netlink.ts';
import { attachType } from './bpf.ts';
import { u32Codec, u64Codec } from './codec.ts';
import { probeFeatures } from './features.ts';
import { BpfLink } from './link.ts';
import { BpfMap } from './map.ts';
import { BpfObject, ProgramLoadError } from './object.ts';

const fixture = compileBpf(`
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 16); __type(key, __u32); __type(value, __u64); } seen SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, __u64); } own SEC(".maps");
static const volatile __u32 before = 7;
struct config { __u32 verdict; __u8 address[16]; __be16 port; __u8 masquerade; };
const volatile struct config config = { .verdict = 1, .port = 5 };
SEC("tc") int first(struct __sk_buff *skb) {
	__u32 key = config.verdict + before - 7;
	__u64 value = config.port | (__u64)config.address[15] << 32 | (__u64)config.masquerade << 48;
	bpf_map_update_elem(&seen, &key, &value, 0);
	bpf_map_update_elem(&own, &(__u32){ 0 }, &value, 0);
	if (skb->mark == 77) { skb->mark = 78; bpf_skb_change_head(skb, 4, 0); }
	return config.verdict;
}
SEC("tc") int second(struct __sk_buff *skb) { return 2; }
SEC("cgroup/connect4") int sock(struct bpf_sock_addr *ctx) { return 1; }
`);
const refused = compileBpf(`
SEC("tc") int fine(struct __sk_buff *skb) { return 0; }
SEC("tc") int reaches_too_far(struct __sk_buff *skb) { return *(volatile char *)(long)skb->data; }
`);
/** A kernel function that no kernel has. */
const unknown = compileBpf(`
extern int bpf_that_nobody_has(struct __sk_buff *skb) __attribute__((section(".ksyms"))) __attribute__((weak));
SEC("tc") int fine(struct __sk_buff *skb) { return 0; }
SEC("tc") int needs_it(struct __sk_buff *skb) { return bpf_that_nobody_has(skb); }
`);
const folder = mkdtempSync(join(tmpdir(), 'cirri-object-'));
const namespace = join(folder, 'netns');
const group = createCgroup(`cirriobject${process.pid}`);
ensureBpffs(join(folder, 'bpf'));
createNetns(namespace);
after(() => {
  deleteNetns(namespace);
  unmount(join(folder, 'bpf'));
  rmSync(folder, { recursive: true });
  removeCgroup(group);
  fixture.remove();
  refused.remove();
  unknown.remove();
});

const { layoutHash } = mapDefinitions(btfOf(parseElf(readFileSync(fixture.path)))).find(m => m.name === 'seen')!;
const seenSpec = { name: 'seen', type: 1, maxEntries: 16, flags: 0, key: u32Codec, value: u64Codec, perCpu: false, layoutHash };
const packet = new Uint8Array(64);
const pin = (name: string) => join(folder, 'bpf', name);

describe('objects', () => {
  test('config reaches the programs, and their maps are ours', () => {
    using seen = BpfMap.create(seenSpec);
    const address = new Uint8Array(16).fill(9);
    using object = BpfObject.load({ path: fixture.path, config: { verdict: 4, address, port: 0x1234, masquerade: true }, maps: { any: seen } });
    const result = object.program('first').testRun({ data: packet });
    assert.equal(result.returnValue, 4);
    assert.deepEqual([...seen.entries()], [[4, 0x1000900003412n]]);
    assert.ok(object.mapFd('own')! > 0);
    assert.match(object.program('first').tag, /^[0-9a-f]{16}$/);
    assert.deepEqual(object.programs().map(p => p.name), ['first', 'second', 'sock']);
  });

  test('fields left out keep what the object says; an unknown one and a wrong value are refused', () => {
    using seen = BpfMap.create(seenSpec);
    using object = BpfObject.load({ path: fixture.path, config: { port: 80 }, maps: { seen } });
    assert.equal(object.program('first').testRun({ data: packet }).returnValue, 1);
    assert.throws(() => BpfObject.load({ path: fixture.path, config: { prot: 1 } }), /struct config has no field prot/);
    assert.throws(() => BpfObject.load({ path: fixture.path, config: { port: 65536 } }), /config\.port takes an integer of 16 bits/);
    assert.throws(() => BpfObject.load({ path: fixture.path, config: { address: new Uint8Array(4) } }), /16 bytes/);
  });

  test('a program refused by the verifier is named, with the end of its log', () => {
    assert.throws(() => BpfObject.load({ path: refused.path }), (error: unknown) => {
      assert.ok(error instanceof ProgramLoadError);
      assert.equal(error.program, 'reaches_too_far');
      assert.equal(error.errno, 'EACCES');
      assert.match(error.message, /loading program reaches_too_far of .*EACCES[\s\S]*invalid access to packet/);
      return true;
    });
    BpfObject.load({ path: refused.path, skip: ['reaches_too_far'] }).close();
  });

  test('programs that the kernel refuses may be optional: the rest is there, and the reason', () => {
    using object = BpfObject.load({ path: refused.path, optional: ['reaches_too_far'] });
    assert.deepEqual(object.programs().map(program => program.name), ['fine']);
    assert.match(object.refusalOf('reaches_too_far')!, /reaches_too_far/);
    using lacking = BpfObject.load({ path: unknown.path, optional: ['needs_it'] });
    assert.deepEqual(lacking.programs().map(program => program.name), ['fine']);
    assert.equal(typeof lacking.refusalOf('needs_it'), 'string');
    using other = BpfObject.load({ path: refused.path, optional: ['reaches_too_far', 'fine'] });
    assert.deepEqual([other.programs().map(program => program.name), other.refusalOf('fine')], [['fine'], undefined]);
    using whole = BpfObject.load({ path: fixture.path, optional: ['second'] });
    assert.equal(whole.refusalOf('second'), undefined);
    assert.equal(whole.program('second').name, 'second');
    assert.throws(() => BpfObject.load({ path: refused.path, optional: ['fine'] }), ProgramLoadError);
  });

  test('a map of another layout, or that the object does not have, is refused', () => {
    using seen = BpfMap.create({ ...seenSpec, layoutHash: 'ffffffff' });
    assert.throws(() => BpfObject.load({ path: fixture.path, maps: { seen } }), /has layout .{8}, the given one ffffffff/);
    using other = BpfMap.create({ ...seenSpec, name: 'other' });
    assert.throws(() => BpfObject.load({ path: fixture.path, maps: { other } }), /has no map other/);
  });

  test('what is not an object says so', () => {
    assert.throws(() => BpfObject.load({ path: '/bin/sh' }), /has no BTF/);
    assert.throws(() => BpfObject.load({ path: '/etc/hostname' }), /not an ELF/);
  });
});

describe('test runs', () => {
  test('give back packet and context as the program left them', () => {
    using object = BpfObject.load({ path: fixture.path });
    const context = new Uint8Array(192);
    new DataView(context.buffer).setUint32(8, 77, true); // __sk_buff.mark
    const result = object.program('first').testRun({ data: packet, context });
    assert.equal(new DataView(result.context!.buffer).getUint32(8, true), 78);
    assert.equal(result.data.length, packet.length + 4);
    // The least of five: a thousand runs take microseconds, in which the processor may be taken away for longer than they should take.
    assert.ok(Math.min(...Array.from({ length: 5 }, () => object.program('second').testRun({ data: packet, repeat: 1000 }).durationNs)) < 10_000);
    assert.throws(() => object.program('second').testRun({ data: new Uint8Array(3) }), /test run of program second.*EINVAL/);
    assert.throws(() => object.program('third'), /no program third/);
  });
});

describe('links', () => {
  test('a pinned tcx link is found again, its program exchanged, and taken away', () => {
    using loaded = BpfObject.load({ path: fixture.path });
    using ns = openNetns(namespace);
    using netlink = Netlink.openIn(ns.fd);
    netlink.vethCreate({ name: 'tcx0', peerName: 'tcx1' });
    const { index } = netlink.linkGet('tcx0')!;
    const ingress = { program: loaded.program('first'), ifindex: index, direction: 'ingress' } as const;
    {
      using link = withNetns(ns.fd, () => BpfLink.attachTcx(ingress));
      link.pin(pin('tcx'));
      assert.throws(() => withNetns(ns.fd, () => BpfLink.attachTcx(ingress)), (e: unknown) => isErrno(e, 'EEXIST') && /attaching first at tcx ingress/.test(e.message));
    }
    using again = BpfLink.openPinned(pin('tcx'))!;
    assert.deepEqual({ ...again.info(), id: 0 }, { id: 0, programId: loaded.program('first').id, ifindex: index, attachType: attachType.tcxIngress });
    again.update(loaded.program('second'));
    assert.equal(again.info().programId, loaded.program('second').id);
    netlink.linkDelete(index);
    assert.equal(again.info().ifindex, 0);
    unlinkSync(pin('tcx'));
    assert.equal(BpfLink.openPinned(pin('tcx')), undefined);
  });

  test('a cgroup link says where it is and can be detached', () => {
    using loaded = BpfObject.load({ path: fixture.path });
    using cgroup = openCgroup(group);
    using link = BpfLink.attachCgroup({ program: loaded.program('sock'), cgroupFd: cgroup.fd, attachType: attachType.cgroupInet4Connect });
    const info = link.info();
    assert.equal(info.attachType, attachType.cgroupInet4Connect);
    assert.ok(info.cgroupId! > 0n);
    link.detach();
    link.close();
    assert.throws(() => link.info(), /used after close/);
  });

  test('a device that is not there is an error with what was being attached', () => {
    using loaded = BpfObject.load({ path: fixture.path });
    assert.throws(() => BpfLink.attachTcx({ program: loaded.program('second'), ifindex: 999_999, direction: 'egress' }), /attaching second at tcx egress of link 999999.*ENODEV/);
  });
});

test('this kernel has what the datapath needs, and what is missing has a reason', () => {
  const features = probeFeatures();
  for (const [name, feature] of Object.entries(features)) {
    assert.ok(feature.available || (feature.reason ?? '').length > 10, name);
  }
  assert.deepEqual(features.tcx, { available: true });
  assert.deepEqual(features.cgroupSock, { available: true });
});
