import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import fc from 'fast-check';
import { type Prefix, formatAddr, formatPrefix, parseAddr, parsePrefix } from '../std/ip.ts';
import { KernelError, isErrno } from './errno.ts';
import { parseAddress } from './netlink-address.ts';
import { parseLink } from './netlink-link.ts';
import { parseNeighbour } from './netlink-neighbour.ts';
import { parseRoute } from './netlink-route.ts';
import { parseRule } from './netlink-rule.ts';
import { MessageWriter, NetlinkFormatError, parseAttributes, parseError, parseMessages } from './netlink-wire.ts';
import { Netlink } from './netlink.ts';
import { createNetns, deleteNetns, openNetns } from './netns.ts';

const folder = mkdtempSync(join(tmpdir(), 'cirri-netlink-'));
const names = ['host', 'pod'].map(name => join(folder, name));
for (const name of names) createNetns(name);
const [hostNs, podNs] = names.map(openNetns) as [ReturnType<typeof openNetns>, ReturnType<typeof openNetns>];
const host = Netlink.openIn(hostNs.fd);
const pod = Netlink.openIn(podNs.fd);
after(() => {
  for (const one of [host, pod, hostNs, podNs]) one.close();
  for (const name of names) deleteNetns(name);
  rmSync(folder, { recursive: true });
});

/** An address with its host bits kept. */
const withHostBits = (text: string): Prefix => ({ addr: parseAddr(text.split('/')[0]!), bits: parsePrefix(text).bits });
const link = (n: Netlink, name: string) => n.linkGet(name)!;

describe('links', () => {
  test('a veth pair spans two namespaces with the addresses asked for', () => {
    host.vethCreate({ name: 'lxc1', peerName: 'eth0', peerNetnsFd: podNs.fd, mac: '02:00:00:00:00:01', peerMac: '02:00:00:00:00:02', mtu: 1450, up: true });
    assert.equal(link(host, 'lxc1').running, false);
    pod.linkSet('eth0', { up: true });
    const here = link(host, 'lxc1');
    const there = link(pod, 'eth0');
    assert.deepEqual({ ...here, index: 0, peerIndex: 0, gsoMaxSize: 0 }, { index: 0, name: 'lxc1', mac: '02:00:00:00:00:01', mtu: 1450, up: true, running: true, arp: true, kind: 'veth', peerIndex: 0, gsoMaxSize: 0 });
    assert.equal(there.mac, '02:00:00:00:00:02');
    assert.equal(there.peerIndex, here.index);
    assert.equal(here.peerIndex, there.index);
    assert.ok(host.linkList().some(l => l.name === 'lxc1'));
  });

  test('both ends of a pair in one namespace come up', () => {
    host.vethCreate({ name: 'both0', peerName: 'both1', up: true });
    assert.deepEqual(['both0', 'both1'].map(name => link(host, name).running), [true, true]);
    host.linkDelete('both1');
    assert.equal(host.linkGet('both0'), undefined);
  });

  test('a second of that name is refused with the name, the errno and what was being done', () => {
    assert.throws(() => host.vethCreate({ name: 'lxc1', peerName: 'x' }), (error: unknown) => {
      assert.ok(error instanceof KernelError);
      assert.equal(error.errno, 'EEXIST');
      assert.match(error.message, /creating veth lxc1 with peer x: file already exists/);
      return true;
    });
  });

  test("the kernel's own sentence is in the error", () => {
    assert.throws(() => host.linkSet(link(host, 'lxc1').index, { mtu: 1_000_000 }), /mtu.*EINVAL.*mtu greater than device maximum/);
  });

  test('a name that cannot be is refused before the kernel sees it', () => {
    for (const name of ['', 'sixteen-bytes-xx', 'a/b', 'a b', '..']) assert.throws(() => host.bridgeCreate({ name }), /cannot name/);
  });

  test('a bridge takes a port and lets it go', () => {
    host.bridgeCreate({ name: 'br0' });
    const { index } = link(host, 'br0');
    host.linkSet('lxc1', { master: index });
    assert.equal(link(host, 'lxc1').master, index);
    host.linkSet('lxc1', { master: 0 });
    assert.equal(link(host, 'lxc1').master, undefined);
    host.linkDelete(index);
    assert.equal(host.linkGet('br0'), undefined);
    assert.throws(() => host.linkDelete(index), (e: unknown) => isErrno(e, 'ENODEV'));
  });

  test('a VXLAN device collects metadata; it is set up without ARP and renamed', () => {
    host.vxlanCreate({ name: 'vx0', port: 8472, collectMetadata: true, mtu: 1400 });
    const { index, kind } = link(host, 'vx0');
    assert.equal(kind, 'vxlan');
    host.linkSet(index, { name: 'cirri_vxlan', arp: false, up: true, mac: '02:00:00:00:00:09', gsoMaxSize: 65536 });
    const now = link(host, 'cirri_vxlan');
    assert.deepEqual([now.arp, now.up, now.mtu, now.mac, now.gsoMaxSize], [false, true, 1400, '02:00:00:00:00:09', 65536]);
    host.linkDelete('cirri_vxlan');
  });

  test('a link moves to another namespace', () => {
    host.vethCreate({ name: 'mv0', peerName: 'mv1' });
    host.linkSet('mv1', { netnsFd: podNs.fd });
    assert.equal(host.linkGet('mv1'), undefined);
    assert.equal(link(pod, 'mv1').kind, 'veth');
    host.linkDelete('mv0');
    assert.equal(pod.linkGet('mv1'), undefined);
  });
});

describe('addresses, neighbours, routes, rules', () => {
  test('addresses of both families are added, listed, deleted', () => {
    const { index } = link(pod, 'eth0');
    pod.addrAdd(index, withHostBits('10.0.0.5/24'));
    pod.addrAdd(index, withHostBits('fd00::5/64'), { noDad: true });
    const listed = pod.addrList(index);
    const v6 = listed.find(a => formatAddr(a.prefix.addr) === 'fd00::5')!;
    assert.deepEqual([v6.tentative, v6.permanent, v6.prefix.bits], [false, true, 64]);
    assert.ok(listed.some(a => `${formatAddr(a.prefix.addr)} ${a.prefix.bits}` === '10.0.0.5 120'));
    assert.throws(() => pod.addrAdd(index, withHostBits('10.0.0.5/24')), (e: unknown) => isErrno(e, 'EEXIST'));
    pod.addrDelete(index, withHostBits('fd00::5/64'));
    assert.ok(!pod.addrList(index).some(a => formatAddr(a.prefix.addr) === 'fd00::5'));
    pod.addrAdd(index, withHostBits('fd00::5/128'), { noDad: true });
  });

  test('a permanent neighbour replaces itself', () => {
    const { index } = link(pod, 'eth0');
    for (const mac of ['02:00:00:00:00:33', '02:00:00:00:00:01']) {
      for (const text of ['10.0.0.1', 'fd00::1']) pod.neighbourAdd({ index, addr: parseAddr(text), mac, permanent: true });
    }
    const mine = pod.neighbourList(index).filter(n => n.permanent && n.mac === '02:00:00:00:00:01').map(n => formatAddr(n.addr)).sort();
    assert.deepEqual(mine, ['10.0.0.1', 'fd00::1']);
    pod.neighbourDelete({ index, addr: parseAddr('fd00::1') });
    assert.equal(pod.neighbourList(index).filter(n => n.permanent && formatAddr(n.addr) === 'fd00::1').length, 0);
    pod.neighbourAdd({ index, addr: parseAddr('fd00::1'), mac: '02:00:00:00:00:01', permanent: true });
  });

  test('routes of both families: on-link gateways, sources, MTU, replacement, tables, types', () => {
    const { index } = link(pod, 'eth0');
    const gateway4 = parsePrefix('10.0.9.1/32');
    const gateway6 = parsePrefix('fd00::1/128');
    pod.routeAdd({ destination: gateway4, index, scopeLink: true });
    pod.routeAdd({ destination: gateway6, index, scopeLink: true });
    pod.routeAdd({ destination: parsePrefix('0.0.0.0/0'), index, gateway: gateway4.addr, source: parseAddr('10.0.0.5'), mtu: 1400 });
    pod.routeAdd({ destination: parsePrefix('::/0'), index, gateway: gateway6.addr, onlink: true, mtu: 1400 });
    pod.routeAdd({ destination: parsePrefix('::/0'), index, gateway: gateway6.addr, onlink: true, mtu: 1300, replace: true });
    pod.routeAdd({ destination: parsePrefix('0.0.0.0/0'), index, gateway: gateway4.addr, mtu: 1300, replace: true });
    pod.routeAdd({ destination: parsePrefix('192.0.2.0/24'), index, gateway: gateway6.addr, onlink: true });
    const text = (r: ReturnType<typeof pod.routeList>[number]) => `${r.type} ${formatPrefix(r.destination)} via ${r.gateway ? formatAddr(r.gateway) : '-'} mtu ${r.mtu ?? '-'}`;
    const routes = pod.routeList({ table: 254, index }).map(text);
    for (const expected of [
      'unicast 0.0.0.0/0 via 10.0.9.1 mtu 1300',
      'unicast ::/0 via fd00::1 mtu 1300',
      'unicast 10.0.9.1/32 via - mtu -',
      'unicast 192.0.2.0/24 via fd00::1 mtu -',
    ]) assert.ok(routes.includes(expected), `${expected} in\n${routes.join('\n')}`);
    assert.ok(!routes.some(r => r.includes('mtu 1400')));

    const loopback = link(pod, 'lo').index;
    pod.linkSet(loopback, { up: true });
    pod.routeAdd({ destination: parsePrefix('0.0.0.0/0'), index: loopback, type: 'local', table: 2000 });
    pod.routeAdd({ destination: parsePrefix('203.0.113.0/24'), type: 'blackhole' });
    assert.deepEqual(pod.routeList({ table: 2000 }).map(text), ['local 0.0.0.0/0 via - mtu -']);
    assert.deepEqual(pod.routeList({ table: 2001 }), []);
    pod.routeDelete({ destination: parsePrefix('203.0.113.0/24'), type: 'blackhole' });
    pod.routeDelete({ destination: parsePrefix('::/0') });
    assert.throws(() => pod.routeDelete({ destination: parsePrefix('::/0'), index }), (e: unknown) => isErrno(e, 'ESRCH'));
    assert.ok(!pod.routeList().some(r => r.type === 'blackhole'));
  });

  test('a rule sends marked packets to a table', () => {
    for (const family of [4, 6] as const) {
      const rule = { family, table: 2000, priority: 9, mark: 0x200, mask: 0xf00 };
      pod.ruleAdd(rule);
      assert.throws(() => pod.ruleAdd(rule), (e: unknown) => isErrno(e, 'EEXIST'));
      assert.deepEqual(pod.ruleList().filter(r => r.table === 2000 && r.family === family), [rule]);
      pod.ruleDelete(rule);
    }
    const bySource = { family: 4, table: 2000, priority: 10, source: parsePrefix('10.0.0.0/24'), inputDevice: 'eth0' } as const;
    pod.ruleAdd(bySource);
    assert.deepEqual(pod.ruleList().find(r => r.table === 2000), bySource);
    pod.ruleDelete(bySource);
  });
});

describe('batches', () => {
  test('hundreds of changes in a few sends', () => {
    const { index } = link(pod, 'eth0');
    const prefixes = Array.from({ length: 300 }, (_, i) => parsePrefix(`10.7.${i >> 8}.${i & 255}/32`));
    pod.batch(() => prefixes.forEach(destination => pod.routeAdd({ destination, index, scopeLink: true })));
    const mine = () => pod.routeList({ index }).filter(r => formatPrefix(r.destination).startsWith('10.7.')).length;
    assert.equal(mine(), 300);
    pod.batch(() => prefixes.forEach(destination => pod.routeDelete({ destination, index })));
    assert.equal(mine(), 0);
  });

  test('one that fails does not stop the others, and is reported with the number of the rest', () => {
    const { index } = link(pod, 'eth0');
    const first = parsePrefix('10.8.0.1/32');
    const last = parsePrefix('10.8.0.2/32');
    assert.throws(() => pod.batch(() => {
      pod.routeAdd({ destination: first, index, scopeLink: true });
      pod.routeAdd({ destination: first, index, scopeLink: true });
      pod.routeAdd({ destination: first, index: 9999, scopeLink: true });
      pod.routeAdd({ destination: last, index, scopeLink: true });
    }), /10\.8\.0\.1\/32.*EEXIST.*1 more of 4/);
    assert.equal(pod.routeList({ index }).filter(r => formatPrefix(r.destination).startsWith('10.8.')).length, 2);
  });

  test('a question inside sees what was queued before it; a throw inside drops what is queued', () => {
    const { index } = link(pod, 'eth0');
    const one = parsePrefix('10.9.0.1/32');
    const two = parsePrefix('10.9.0.2/32');
    const has = (p: Prefix) => pod.routeList({ index }).some(r => formatPrefix(r.destination) === formatPrefix(p));
    assert.throws(() => pod.batch(() => {
      pod.routeAdd({ destination: one, index, scopeLink: true });
      assert.ok(has(one));
      pod.routeAdd({ destination: two, index, scopeLink: true });
      throw new Error('changed my mind');
    }), /changed my mind/);
    assert.ok(!has(two));
    assert.ok(pod.linkGet('eth0'));
  });

  test('a large list comes whole', () => {
    const { index } = link(pod, 'eth0');
    const prefixes = Array.from({ length: 5000 }, (_, i) => parsePrefix(`fd77::${i.toString(16)}/128`));
    pod.batch(() => prefixes.forEach(destination => pod.routeAdd({ destination, index })));
    assert.equal(pod.routeList({ index }).filter(r => formatPrefix(r.destination).startsWith('fd77::')).length, 5000);
  });
});

describe('V11: arbitrary bytes never do more than throw a typed error', () => {
  const onlyTyped = (run: () => unknown) => {
    try {
      run();
    } catch (error) {
      assert.ok(error instanceof NetlinkFormatError, String(error));
    }
  };
  const parsers = [parseLink, parseAddress, parseRoute, parseNeighbour, parseRule, parseError];

  test('datagrams', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), bytes => onlyTyped(() => parseMessages(bytes).map(m => parsers.forEach(parse => onlyTyped(() => parse(m)))))), { numRuns: 2000 });
  });

  test('payloads', () => {
    const message = fc.record({ type: fc.nat(40), flags: fc.nat(0xffff), sequence: fc.nat(), payload: fc.uint8Array({ maxLength: 120 }) });
    fc.assert(fc.property(message, m => parsers.forEach(parse => onlyTyped(() => parse(m)))), { numRuns: 2000 });
  });

  test('attributes with plausible lengths', () => {
    const piece = fc.tuple(fc.nat(20), fc.nat(70), fc.uint8Array({ maxLength: 24 }));
    fc.assert(fc.property(fc.integer({ min: 8, max: 16 }), fc.array(piece, { maxLength: 6 }), (fixed, pieces) => {
      const w = new MessageWriter();
      for (let i = 0; i < fixed; i++) w.u8(i === 0 ? 2 : 0);
      for (const [extra, type, value] of pieces) w.attribute(type, value.subarray(0, extra));
      const payload = w.bytes.slice();
      onlyTyped(() => parseAttributes(payload, fixed));
      parsers.forEach(parse => onlyTyped(() => parse({ type: 16, flags: 0x300, sequence: 1, payload })));
    }), { numRuns: 2000 });
  });
});
