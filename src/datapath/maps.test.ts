import test from 'node:test';
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { defaultSettings } from '../model/settings.ts';
import { ensureBpffs, unmount } from '../sys/mount.ts';
import { maps as specs } from './generated/maps.ts';
import { openNodeMaps, removePins } from './maps.ts';
import { mapSizes } from './sizes.ts';

test('the sizes of the default settings are those of the object', () => {
  const own = new Map(Object.values(specs).map(spec => [spec.name, spec.maxEntries]));
  for (const [name, size] of Object.entries(mapSizes(defaultSettings.bpf))) assert.equal(size, own.get(name), name);
});

test('maps are adopted with their size; of another size they are new ones, and the old ones stay until the programs are swapped', () => {
  const bpffs = join(mkdtempSync(join(tmpdir(), 'cirri-maps-')), 'bpf');
  ensureBpffs(bpffs);
  try {
    const directory = join(bpffs, 'maps');
    const first = openNodeMaps(directory, { services: 10 });
    first.maps.services.update({ addr: new Uint8Array(16), port: 1, protocol: 6, scope: 0 }, { id: 1, count: 0, affinityTimeout: 0, maglev: 0, flags: 0, type: 0 });
    first.close();
    const same = openNodeMaps(directory, { services: 10 });
    assert.equal(same.maps.services.count(), 1);
    assert.equal(same.adopted.length, Object.keys(specs).length);
    same.close();
    const larger = openNodeMaps(directory, { services: 20 });
    assert.equal(larger.maps.services.spec.maxEntries, 20);
    assert.equal(larger.maps.services.count(), 0);
    assert.deepEqual(larger.stale.map(path => basename(path)), [`services-${specs.services.layoutHash}-10`]);
    removePins(larger.stale);
    larger.close();
  } finally {
    unmount(bpffs);
    rmSync(join(bpffs, '..'), { recursive: true, force: true });
  }
});

test('a table of connections that has another size takes over what the old one holds, and what it got while the programs were swapped', async () => {
  const bpffs = join(mkdtempSync(join(tmpdir(), 'cirri-maps-')), 'bpf');
  ensureBpffs(bpffs);
  try {
    const directory = join(bpffs, 'maps');
    const key = (port: number) => ({ client: new Uint8Array(16), service: port, kind: 0 });
    const note = (backend: number) => ({ lastUsedNs: 1n, backend });
    const first = openNodeMaps(directory, { affinities: 1000 });
    for (let i = 0; i < 300; i++) first.maps.affinities.update(key(i), note(i));
    const second = openNodeMaps(directory, { affinities: 5000 });
    assert.equal(second.maps.affinities.count(), 300);
    first.maps.affinities.update(key(1000), note(7));
    second.maps.affinities.update(key(5), note(99));
    assert.equal(await second.carryOver(new AbortController().signal), 301);
    assert.equal(second.maps.affinities.lookup(key(1000))?.backend, 7);
    assert.equal(second.maps.affinities.lookup(key(5))?.backend, 99, 'what is newer stays');
    removePins(second.stale);
    first.close();
    second.close();
    const smaller = openNodeMaps(directory, { affinities: 100 });
    assert.ok(smaller.maps.affinities.count() <= 100);
    smaller.close();
  } finally {
    unmount(bpffs);
    rmSync(join(bpffs, '..'), { recursive: true, force: true });
  }
});
