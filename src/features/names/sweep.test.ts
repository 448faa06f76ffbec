import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { maps as specs } from '../../datapath/generated/maps.ts';
import type { ConntrackEntry, ConntrackKey } from '../../datapath/generated/structs.ts';
import { ConntrackKind } from '../../datapath/generated/enums.ts';
import { BpfMap } from '../../ebpf/map.ts';
import { parseAddr } from '../../std/ip.ts';
import { nameIdentities } from './names.ts';
import { NameSweep } from './sweep.ts';
import { plainPut } from './testing.ts';

class Keys<K> {
  readonly keys: K[];

  constructor(keys: K[]) {
    this.keys = keys;
  }

  entries(): (readonly [K, unknown])[] {
    return this.keys.map(key => [key, {}] as const);
  }

  deleteBatch(gone: readonly K[]): void {
    const texts = new Set(gone.map(key => JSON.stringify(key)));
    this.keys.splice(0, Infinity, ...this.keys.filter(key => !texts.has(JSON.stringify(key))));
  }
}

function kernel() {
  let now = 10_000;
  const nameAddresses = BpfMap.create({ ...specs.nameAddresses, maxEntries: 4_096 });
  const put = plainPut(nameAddresses, () => now);
  const present = new Set([1, 2]);
  const connections: [ConntrackKey, ConntrackEntry][] = [];
  const maps = {
    nameAddresses,
    nameHeads: new Keys([1, 2]), nameRings: new Keys([{ endpoint: 1, place: 0 }, { endpoint: 1, place: 2_047 }, { endpoint: 2, place: 5 }]),
    namePending: new Keys([{ endpoint: 1, bucket: 255 }, { endpoint: 7, bucket: 3 }]), conntrack: { entries: function* () { yield* connections; } },
  };
  const sweep = new NameSweep({ maps, endpoints: () => present, nowSeconds: () => now });
  return {
    maps, present, connections,
    learn: (endpoint: number, ip: string, expiresS: number) => put({ key: { endpoint, addr: parseAddr(ip) }, identity: 5, expiresS, replaces: [] }),
    wait: (seconds: number) => { now += seconds; },
    round: () => sweep.round(AbortSignal.timeout(10_000)), connectionIdentities: () => sweep.identitiesOfConnections(),
    endpoints: () => [...nameAddresses.entries()].map(([key]) => key.endpoint).sort(),
  };
}

describe('what names leave behind', () => {
  it('goes ten minutes after it is over', async () => {
    const { learn, wait, round, endpoints } = kernel();
    learn(1, '10.0.0.1', 10_100);
    learn(2, '10.0.0.1', 10_800);
    wait(700);
    await round();
    assert.deepEqual(endpoints(), [1, 2]);
    wait(1);
    await round();
    assert.deepEqual(endpoints(), [2]);
  });

  it('goes with its pod, also with one that went while no agent was there, and not before a second look', async () => {
    const { maps, learn, round, endpoints, present } = kernel();
    learn(1, '10.0.0.1', 99_999);
    learn(2, '10.0.0.2', 99_999);
    learn(9, '10.0.0.2', 99_999);
    await round();
    assert.deepEqual(endpoints(), [1, 2, 9]);
    present.delete(1);
    await round();
    assert.deepEqual([endpoints(), maps.namePending.keys], [[1, 2], [{ endpoint: 1, bucket: 255 }]], 'those that were not there before');
    await round();
    assert.deepEqual(endpoints(), [2]);
    assert.deepEqual([maps.nameHeads.keys, maps.nameRings.keys, maps.namePending.keys], [[2], [{ endpoint: 2, place: 5 }], []]);
  });

  it('is kept where a connection was allowed by it', async () => {
    const { connections, connectionIdentities } = kernel();
    const of = (kind: number, destinationIdentity: number) => connections.push([{ kind } as ConntrackKey, { destinationIdentity } as ConntrackEntry]);
    of(ConntrackKind.Flow, nameIdentities.first + 3);
    of(ConntrackKind.Flow, 2);
    assert.deepEqual([...await connectionIdentities()], [nameIdentities.first + 3]);
  });
});
