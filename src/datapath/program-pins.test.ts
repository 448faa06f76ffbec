import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { BpfMap, type MapSpec } from '../ebpf/map.ts';
import { ensureBpffs, unmount } from '../sys/mount.ts';
import { maps as specs } from './generated/maps.ts';
import { loadPinned } from './program-pins.ts';

const folder = mkdtempSync(join(tmpdir(), 'cirri-pins-'));
ensureBpffs(folder);
after(() => {
  unmount(folder);
  rmSync(folder, { recursive: true });
});

const path = fileURLToPath(new URL('../../build/cirri.bpf.o', import.meta.url));
/** One program is enough, and quick to verify. */
const only = 'to_network';
const all = ['from_pod', 'to_pod', 'from_network', 'from_overlay', 'to_overlay', 'xdp_uplink', 'sock_end_tcp', 'sock_end_udp', 'sockmap_sockops', 'sockmap_message', 'sockmap_gate'];

function makeMaps() {
  const made = Object.values(specs).map(spec => BpfMap.create(spec as MapSpec<unknown, unknown>));
  return { byName: Object.fromEntries(made.map(map => [map.spec.name, map])), [Symbol.dispose]: () => made.forEach(map => map.close()) };
}

test('programs of the same object, config and maps are taken over; of others they are loaded, and the old ones go', () => {
  const directory = join(folder, 'programs');
  using maps = makeMaps();
  const load = (config: Record<string, unknown>, given = maps.byName) => loadPinned(directory, { path, config, maps: given, skip: all });

  const first = load({ uplinkIfindex: 7, hostCookie: 1n });
  assert.equal(first.adopted, false);
  const { id } = first.programs.program(only);
  first.programs.close();

  // An agent that died while it pinned leaves this.
  mkdirSync(join(directory, 'unfinished'));
  const second = load({ uplinkIfindex: 7, hostCookie: 1n });
  assert.equal(second.adopted, true);
  assert.equal(second.programs.program(only).id, id);
  assert.equal(second.programs.program(only).testRun({ data: new Uint8Array(64) }).returnValue, 0);
  assert.throws(() => second.programs.program('from_pod'), /no program from_pod/);
  second.programs.close();
  assert.equal(readdirSync(directory).length, 1);

  const other = load({ uplinkIfindex: 8, hostCookie: 1n });
  assert.equal(other.adopted, false);
  other.programs.close();
  assert.equal(readdirSync(directory).length, 1, 'those of the old config are gone');

  using runtime = BpfMap.create(specs.runtime as unknown as MapSpec<unknown, unknown>);
  const anew = load({ uplinkIfindex: 8, hostCookie: 1n }, { ...maps.byName, runtime });
  assert.equal(anew.adopted, false, 'a map was made anew');
  anew.programs.close();
});
