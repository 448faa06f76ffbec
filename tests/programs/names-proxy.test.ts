/** DNS over TCP goes by the datapath's own tables: the same automaton, and the same program that writes addresses. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { openNodeMaps, type OpenedMaps } from '../../src/datapath/maps.ts';
import { loadPinned, type PinnedLoad } from '../../src/datapath/program-pins.ts';
import { KernelNames } from '../../src/proxy/kernel-names.ts';
import { parseAddr } from '../../src/std/ip.ts';
import { ensureBpffs, unmount } from '../../src/sys/mount.ts';
import { allBut, hasObject, isSince, nowS, objectPath } from './harness.ts';
import { loadAutomaton, nameIdentity } from './names.ts';

describe('names of the proxy', { skip: !hasObject() && 'make -C bpf first' }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'cirri-names-'));
  const bpffs = join(folder, 'bpf');
  const [maps, programs] = [join(bpffs, 'maps'), join(bpffs, 'programs')];
  let opened: OpenedMaps;
  const loaded: PinnedLoad[] = [];
  const load = (config: Record<string, unknown>) => loaded.push(loadPinned(programs, { path: objectPath, maps: opened.maps as never, config, skip: allBut(name => name === 'name_put') }));
  let names: KernelNames;

  before(() => {
    ensureBpffs(bpffs);
    opened = openNodeMaps(maps);
    names = new KernelNames({ maps, programs, settings: { minTTL: 60, rejectResponse: 'nameError' } });
  });
  after(() => {
    names.close();
    for (const { programs: held } of loaded) held.close();
    opened.close();
    unmount(bpffs);
    rmSync(folder, { recursive: true, force: true });
  });

  test('a name has the identity of the automaton that is in force', () => {
    assert.equal(names.identityOf('api.example.com.'), 0, 'there is none yet');
    const first = loadAutomaton(opened.maps, ['api.example.com', '**.example.org']);
    assert.equal(names.identityOf('api.example.com.'), nameIdentity(first, ['api.example.com']));
    assert.equal(names.identityOf('a.b.example.org.'), nameIdentity(first, ['**.example.org']));
    for (const name of ['example.org.', '.', 'api.example.com.evil.', 'api\\.example.com.']) assert.equal(names.identityOf(name), 0, name);
    const second = loadAutomaton(opened.maps, ['*'], { identityOf: set => 9000 + set });
    assert.equal(names.identityOf('api.example.com.'), nameIdentity(second, ['*'], 9000));
    assert.equal(names.identityOf('.'), nameIdentity(second, ['*'], 9000));
    assert.equal(names.refusal, 3);
  });

  test('addresses are written by the program that is pinned, until at least when the kernel would say', () => {
    const slots = (text: string) => opened.maps.nameAddresses.lookup({ endpoint: 4, addr: parseAddr(text) })?.slots.filter(slot => slot.identity !== 0).map(({ identity, expiresS }) => [identity, expiresS]);
    const began = nowS();
    assert.throws(() => names.learn(4, Uint8Array.of(192, 0, 2, 1), 77, 5), /no program name_put is pinned/);
    load({});
    names.learn(4, Uint8Array.of(192, 0, 2, 1), 77, 5);
    names.learn(4, parseAddr('2001:db8::1'), 78, 300);
    const isAbout = (found: number[][] | undefined, identity: number, seconds: number) => assert.ok(found?.length === 1 && found[0]![0] === identity && isSince(began, found[0]![1]! - seconds), JSON.stringify(found));
    isAbout(slots('192.0.2.1'), 77, 90);
    isAbout(slots('2001:db8::1'), 78, 330);
    // The next agent has another config, and the pins of this one go.
    load({ dnsMinTtl: 5 });
    names.learn(4, Uint8Array.of(192, 0, 2, 2), 77, 5);
    isAbout(slots('192.0.2.2'), 77, 90);
  });
});
