/**
 * Random services, random changes of them, random packets of pods: each packet's backend is one that the rules allow, by a model that
 * knows nothing but the rules. Where the choice is free the model takes over what the kernel chose.
 */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { BackendState, ServiceFlag, ServiceScope } from '../../src/datapath/generated/enums.ts';
import { maps as specs } from '../../src/datapath/generated/maps.ts';
import { BpfMap } from '../../src/ebpf/map.ts';
import { flowHash } from '../../src/lb/flow-hash.ts';
import { parseAddr } from '../../src/std/ip.ts';
import { Random, seedOfRun } from '../differential/random.ts';
import { Datapath, families, type Family, mac, servicePort } from './harness.ts';
import type { FrameSpec } from './packet.ts';

const seed = seedOfRun();
const HASH_SEED = 99;
const datapath = new Datapath({ maglevSeed: HASH_SEED });
after(() => datapath.close());

interface Row { id: number; slots: number[]; members: Set<number>; affinity: number; maglev: number[]; silent: boolean }
interface Connection { service: number; backend: number; closing: boolean }
interface Note { backend: number; ageSeconds: number }

const BACKENDS = 5;
const protocols = ['tcp', 'udp'] as const;

class World {
  readonly states = new Map<number, number>();
  /** By scope; the internal row exists only sometimes, and the flag that leads there is not always set. */
  readonly rows: Row[] = [];
  twoScopes = false;
  readonly connections = new Map<string, Connection>();
  readonly notes = new Map<string, Note>();
  readonly family: Family;
  readonly random: (below: number) => number;

  constructor(family: Family, random: (below: number) => number) {
    this.family = family;
    this.random = random;
    for (let n = 1; n <= BACKENDS; n++) {
      datapath.address(this.address(n), { identity: 1003, flags: 2 });
      this.setState(n, BackendState.Active);
    }
    for (const scope of [0, 1]) this.rows.push({ id: 800 + scope, slots: [], members: new Set(), affinity: 0, maglev: [], silent: false });
    this.changeRow(0);
    this.changeRow(1);
  }

  address(n: number): string {
    return this.family.name === 'IPv4' ? `10.244.2.${100 + n}` : `fd00:10:244:2::${100 + n}`;
  }

  setState(n: number, state: number | undefined): void {
    if (state === undefined) {
      this.states.delete(n);
      datapath.maps.backends.delete({ id: n });
      return;
    }
    this.states.set(n, state);
    datapath.maps.backends.update({ id: n }, { addr: parseAddr(this.address(n)), port: 8000 + n, protocol: 6, state });
  }

  /** As the agent keeps them: slots are those who serve, members are they and sometimes more; no slot names a backend that is not there. */
  changeRow(scope: number): void {
    const row = this.rows[scope]!, { random } = this;
    const there = [...this.states.keys()];
    const active = there.filter(n => this.states.get(n) === BackendState.Active);
    const pool = (active.length > 0 ? active : there).filter(() => random(3) > 0);
    row.slots = pool.flatMap(n => (random(4) === 0 ? [n, n] : [n]));
    row.affinity = random(2) * 100;
    row.members = new Set([...pool, ...there.filter(() => random(2) === 0)]);
    row.maglev = random(2) && pool.length > 0 ? Array.from({ length: 13 }, () => pool[random(pool.length)]!) : [];
    row.silent = random(3) === 0;
    this.twoScopes = random(2) === 0;
    this.rows.forEach((_, each) => this.write(each));
  }

  /** A backend goes: out of slots, members and tables first. */
  lose(n: number): void {
    for (const row of this.rows) {
      row.slots = row.slots.filter(slot => slot !== n);
      row.members.delete(n);
      row.maglev = row.slots.length > 0 ? row.maglev.map(entry => (entry === n ? row.slots[0]! : entry)) : [];
    }
    this.rows.forEach((_, scope) => this.write(scope));
    this.setState(n, undefined);
  }

  write(scope: number): void {
    const { id, slots, members, affinity, maglev, silent } = this.rows[scope]!;
    const { services, serviceSlots, serviceMembers, serviceAddresses, maglev: tables } = datapath.maps;
    slots.forEach((backend, slot) => serviceSlots.update({ service: id, slot }, { backend }));
    for (let n = 1; n <= BACKENDS; n++) {
      if (members.has(n)) serviceMembers.update({ service: id, backend: n }, 1);
      else serviceMembers.delete({ service: id, backend: n });
    }
    if (maglev.length > 0) {
      const table = BpfMap.create({ ...specs.maglev.inner!, maxEntries: maglev.length });
      maglev.forEach((backend, at) => table.update(at, backend));
      tables.update({ id }, table.fd);
      table.close();
    } else {
      tables.delete({ id });
    }
    serviceAddresses.update({ id }, { addr: parseAddr(this.family.service), port: servicePort });
    const flags = (this.twoScopes && scope === 0 ? ServiceFlag.TwoScopes : 0) | (silent ? ServiceFlag.Silent : 0);
    for (const protocol of [6, 17]) {
      services.update({ addr: parseAddr(this.family.service), port: servicePort, protocol, scope: scope === 1 ? ServiceScope.Internal : ServiceScope.External },
        { id, count: slots.length, affinityTimeout: affinity, maglev: maglev.length, flags, type: 0 });
    }
  }

  /** Time goes by for everyone who stuck to a backend. */
  age(seconds: number): void {
    for (const note of this.notes.values()) note.ageSeconds += seconds;
    const { affinities } = datapath.maps;
    for (const [key, value] of [...affinities.entries()]) affinities.update(key, { ...value, lastUsedNs: value.lastUsedNs - BigInt(seconds) * 1_000_000_000n });
  }

  send(): string | undefined {
    const { random, family } = this;
    const client = random(2) ? { sourceMac: mac.a, source: family.a } : { sourceMac: mac.b, source: family.b };
    const protocol = protocols[random(2)]!;
    const flags = ['S', 'A', 'A', 'FA', 'R'][random(5)]!;
    const spec: FrameSpec = { ...client, destinationMac: mac.host, destination: family.service, protocol, sourcePort: 40000 + random(6), destinationPort: servicePort, flags };
    const what = `${protocol} ${protocol === 'tcp' ? flags : ''} from ${spec.source}:${spec.sourcePort}`;

    const row = this.rows[this.twoScopes ? 1 : 0]!;
    const key = `${protocol} ${spec.source} ${spec.sourcePort}`;
    const noteKey = `${spec.source} ${row.id}`;
    const opens = protocol === 'tcp' && flags === 'S';
    const kept = this.#kept(this.connections.get(key), row, opens);
    const allowed = kept === undefined ? this.#allowed(row, noteKey, spec) : [kept];

    const { packet, drops, reason } = datapath.send('from_pod', spec);
    const got = this.#number(packet.destination);
    if (allowed.length === 0) {
      const lonely = reason === 'NO_SERVICE_BACKEND' || drops.some(drop => drop.reasonOrPoint === 158);
      return lonely ? undefined : `${what}: nobody serves, and it went to ${packet.destination}`;
    }
    if (reason !== undefined) return `${what}: dropped, ${reason}`;
    if (got === undefined || !allowed.includes(got)) return `${what}: went to ${got}, allowed are ${allowed.join(', ')}`;
    const before = kept === undefined ? undefined : this.connections.get(key);
    this.connections.set(key, { service: row.id, backend: got, closing: (before?.closing ?? false) || (protocol === 'tcp' && /[FR]/.test(flags)) });
    if (kept === undefined && row.affinity > 0) this.notes.set(noteKey, { backend: got, ageSeconds: 0 });
    return undefined;
  }

  /** What a connection that is known goes on with. */
  #kept(known: Connection | undefined, row: Row, opens: boolean): number | undefined {
    if (!known || known.service !== row.id || (opens && known.closing)) return undefined;
    const state = this.states.get(known.backend);
    return state === undefined || (opens && state !== BackendState.Active) ? undefined : known.backend;
  }

  #allowed(row: Row, noteKey: string, spec: FrameSpec): readonly number[] {
    if (row.slots.length === 0) return [];
    const fresh = row.maglev.length > 0 ? [row.maglev[this.#hash(row, spec) % row.maglev.length]!] : row.slots;
    if (row.affinity === 0) return fresh;
    const note = this.notes.get(noteKey);
    if (!note || note.ageSeconds > row.affinity || !row.members.has(note.backend) || !this.states.has(note.backend)) return fresh;
    if (this.states.get(note.backend) === BackendState.Active) return [note.backend];
    return fresh.every(n => this.states.get(n) === BackendState.Active) ? fresh : [...fresh.filter(n => this.states.get(n) === BackendState.Active), note.backend];
  }

  #hash(row: Row, spec: FrameSpec): number {
    const flow = { source: parseAddr(spec.source), destination: parseAddr(spec.destination), sourcePort: spec.sourcePort!, destinationPort: spec.destinationPort!, protocol: spec.protocol === 'tcp' ? 6 : 17 };
    return flowHash(flow, HASH_SEED, row.affinity > 0);
  }

  #number(address: string): number | undefined {
    for (let n = 1; n <= BACKENDS; n++) if (this.address(n) === address) return n;
    return undefined;
  }
}

for (const family of families) {
  test(`any service, any change, any packet (${family.name})`, () => {
    const source = new Random(seed);
    const random = (below: number): number => source.integer(0, below - 1);
    for (let round = 0; round < 25; round++) {
      datapath.reset();
      const world = new World(family, random);
      for (let step = 0; step < 60; step++) {
        const n = 1 + random(BACKENDS);
        const change = random(12);
        if (change === 0) world.changeRow(random(2));
        else if (change === 1) world.setState(n, world.states.has(n) && random(2) ? BackendState.Terminating : BackendState.Active);
        else if (change === 2) world.lose(n);
        else if (change === 3) world.age([30, 60, 101][random(3)]!);
        else assert.equal(world.send(), undefined, `CIRRI_SEED=${seed}, round ${round}, step ${step}`);
      }
    }
  });
}
