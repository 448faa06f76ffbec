import type { Addr } from '../std/ip.ts';
import { endpointText, protocolNames, serving } from './frontends.ts';
import type { BackendRow, ServiceRow } from './frontends.ts';

/**
 * How rows lie in the kernel's four maps, and in which order to change them so that no packet meets a missing backend:
 *
 *     services        frontend → { id, count, … }
 *     service_slots   (id, 0 … count−1) → backend id
 *     backends        backend id → address, port
 *     service_addresses   id → frontend (the way back)
 *
 * **Order.** 1 new backends, and the way back; 2 slots; 3 the service (its count); 4, after a grace period, what is left over:
 * slots at and above the count, backends that nobody names, ways back of services that are gone. A service that goes: first
 * its entry in `services`, the rest after the grace period.
 *
 * **Why it holds.** A packet reads service, slot, backend, in this order. Every slot below any count that a packet can have read
 * is there (2 before 3; 4 only later) and names a backend that is there (1 before 2; 4 only later). The grace period is longer
 * than a program can run, so a packet that read the old count has ended before 4.
 *
 * **Ids** are hashes of what they stand for (next free number on collision): the same after a restart, also when the maps were
 * lost; and an id that was freed does not soon come to mean another backend, which an old connection entry would believe.
 */
export interface ServiceKey { readonly addr: Addr; readonly port: number; readonly protocol: number; readonly scope: number }
export interface ServiceValue { readonly id: number; readonly count: number; readonly affinityTimeout: number; readonly flags: number }
export interface SlotKey { readonly service: number; readonly slot: number }
export interface BackendValue { readonly addr: Addr; readonly port: number; readonly protocol: number; readonly state: number }
export interface ServiceAddressValue { readonly addr: Addr; readonly port: number }

/** What the kernel holds at start. */
export interface KernelContents {
  readonly services: Iterable<readonly [ServiceKey, ServiceValue]>;
  readonly slots: Iterable<readonly [SlotKey, { readonly backend: number }]>;
  readonly backends: Iterable<readonly [{ readonly id: number }, BackendValue]>;
  readonly addresses: Iterable<readonly [{ readonly id: number }, ServiceAddressValue]>;
}

/** The writes of one row, by phase; empty phases are common. */
export interface RowPlan {
  readonly key: string;
  readonly frontend: ServiceKey;
  readonly id: number;
  /** All backends of the row, in slots or not. */
  readonly members: readonly number[];
  /** Backends that must be there before the slots; shared ones appear in the plan of each row that needs them. */
  readonly backends: readonly (readonly [id: number, value: BackendValue])[];
  readonly address: ServiceAddressValue | undefined;
  readonly slots: readonly (readonly [slot: number, backend: number])[];
  readonly service: ServiceValue | undefined;
}

const stateNumbers = { active: 0, terminating: 1 } as const;

interface Frontend {
  readonly key: string;
  readonly frontend: ServiceKey;
  readonly id: number;
  /** As written; undefined when the entry in `services` is gone and only the rest is left. */
  value: ServiceValue | undefined;
  /** Slots that exist, by number; may be longer than the count, and (after a crash) have holes. */
  readonly slots: number[];
  members: readonly number[];
  hasAddress: boolean;
}

interface Backend {
  readonly key: string;
  value: BackendValue;
  /** How many frontends name it. */
  refs: number;
}

/** A mirror of the kernel's maps: planning reads it, each write that succeeded is told to it. Does no I/O. */
export class SlotTable {
  readonly #frontends = new Map<string, Frontend>();
  readonly #byId = new Map<number, Frontend>();
  readonly #backends = new Map<number, Backend>();
  readonly #backendIds = new Map<string, number>();
  /** What the grace period has to pass for. */
  readonly #leftover = { frontends: new Set<Frontend>(), backends: new Set<number>() };
  /** Adopted, and no frontend names it: perhaps a row that is still to come does. */
  readonly #unclaimed = new Set<number>();
  readonly #strays: { slots: SlotKey[]; addresses: number[] } = { slots: [], addresses: [] };

  /** Takes over what is there, also after a crash in the middle of anything. */
  static adopt(contents: KernelContents): SlotTable {
    const table = new SlotTable();
    for (const [{ id }, value] of contents.backends) table.#adoptBackend(id, value);
    // An id that is missing or used twice (a write lost in a crash) cannot be told apart from its owner's: those get new ones.
    const broken: [ServiceKey, ServiceValue][] = [];
    for (const [frontend, value] of contents.services) {
      if (value.id === 0 || table.#byId.has(value.id)) broken.push([frontend, value]);
      else table.#adoptService(frontend, value, value.id);
    }
    for (const [frontend, value] of broken) table.#adoptService(frontend, value, undefined);
    for (const [{ service, slot }, { backend }] of contents.slots) {
      const owner = table.#byId.get(service);
      if (owner) owner.slots[slot] = backend;
      else table.#strays.slots.push({ service, slot });
    }
    for (const [{ id }] of contents.addresses) {
      const owner = table.#byId.get(id);
      if (owner) owner.hasAddress = true;
      else table.#strays.addresses.push(id);
    }
    for (const frontend of table.#frontends.values()) {
      const named = frontend.slots.slice(0, frontend.value!.count).filter(id => table.#backends.has(id));
      table.#setMembers(frontend, [...new Set(named)]);
      if (frontend.slots.length > frontend.value!.count) table.#leftover.frontends.add(frontend);
    }
    for (const [id, backend] of table.#backends) if (backend.refs === 0) table.#unclaimed.add(id);
    return table;
  }

  /** Keys of the services in place. */
  keys(): string[] {
    return [...this.#frontends.values()].filter(f => f.value !== undefined).map(f => f.key);
  }

  /** Backends that were adopted and that no row has claimed so far. */
  unclaimed(): number[] {
    return [...this.#unclaimed];
  }

  idOf(key: string): number | undefined {
    return this.#frontends.get(key)?.id;
  }

  backendIdOf(key: string): number | undefined {
    return this.#backendIds.get(key);
  }

  /** What to write for these rows. Nothing is changed here; tell each write that succeeded to the `did…` methods, in order. */
  plan(rows: readonly ServiceRow[]): RowPlan[] {
    const fresh = { backends: new Map<string, number>(), ids: new Set<number>(), services: new Set<number>() };
    return rows.map(row => this.#planRow(row, fresh));
  }

  didBackend(id: number, value: BackendValue): void {
    const known = this.#backends.get(id);
    if (known) known.value = value;
    else {
      this.#adoptBackend(id, value);
      // Until its row is done it belongs to nobody; when that fails it must not stay for ever.
      this.#leftover.backends.add(id);
    }
  }

  didAddress(plan: RowPlan): void {
    this.#frontendOf(plan).hasAddress = true;
  }

  didSlot(plan: RowPlan, slot: number, backend: number): void {
    this.#frontendOf(plan).slots[slot] = backend;
  }

  didService(plan: RowPlan): void {
    if (plan.service) this.#frontendOf(plan).value = plan.service;
  }

  /** The row is as it should be: what it named before and does not now may go. */
  didRow(plan: RowPlan): void {
    const frontend = this.#frontendOf(plan);
    this.#setMembers(frontend, plan.members);
    if (frontend.slots.length > (frontend.value?.count ?? 0)) this.#leftover.frontends.add(frontend);
  }

  /** The entry in `services` under a key, when there is one to delete. */
  frontendOf(key: string): ServiceKey | undefined {
    const frontend = this.#frontends.get(key);
    return frontend?.value === undefined ? undefined : frontend.frontend;
  }

  didRemove(key: string): void {
    const frontend = this.#frontends.get(key);
    if (!frontend) return;
    frontend.value = undefined;
    this.#setMembers(frontend, []);
    this.#leftover.frontends.add(frontend);
  }

  /** Gives an adopted backend up that no row has claimed. */
  abandon(id: number): void {
    if (this.#unclaimed.delete(id)) this.#leftover.backends.add(id);
  }

  get hasLeftovers(): boolean {
    return this.#leftover.frontends.size + this.#leftover.backends.size + this.#strays.slots.length + this.#strays.addresses.length > 0;
  }

  /** What may be deleted once a grace period has passed since now. What was taken up again by then is left out by `sweep`. */
  leftovers(): Leftovers {
    const frontends = [...this.#leftover.frontends];
    const backends = [...this.#leftover.backends];
    this.#leftover.frontends.clear();
    this.#leftover.backends.clear();
    const { slots, addresses } = this.#strays;
    return { frontends, backends, strays: { slots: slots.splice(0), addresses: addresses.splice(0) } };
  }

  /** The deletes of phase 4, for leftovers that are still nobody's. The mirror counts them as done: deleting what is gone succeeds. */
  sweep(leftovers: Leftovers): { slots: SlotKey[]; addresses: number[]; backends: number[] } {
    // A service that came back has the id that it had: what it has not written itself is still stray.
    const slots = leftovers.strays.slots.filter(s => this.#byId.get(s.service)?.slots[s.slot] === undefined);
    const addresses = leftovers.strays.addresses.filter(id => this.#byId.get(id)?.hasAddress !== true);
    const backends: number[] = [];
    for (const frontend of leftovers.frontends as readonly Frontend[]) {
      if (this.#frontends.get(frontend.key) !== frontend) continue;
      const count = frontend.value?.count ?? 0;
      for (let slot = count; slot < frontend.slots.length; slot++) if (frontend.slots[slot] !== undefined) slots.push({ service: frontend.id, slot });
      frontend.slots.length = Math.min(frontend.slots.length, count);
      if (frontend.value !== undefined) continue;
      if (frontend.hasAddress) addresses.push(frontend.id);
      this.#frontends.delete(frontend.key);
      this.#byId.delete(frontend.id);
    }
    for (const id of leftovers.backends) {
      const backend = this.#backends.get(id);
      if (!backend || backend.refs > 0) continue;
      backends.push(id);
      this.#backends.delete(id);
      this.#backendIds.delete(backend.key);
    }
    return { slots, addresses, backends };
  }

  #planRow(row: ServiceRow, fresh: Fresh): RowPlan {
    const known = this.#frontends.get(row.key);
    const id = known?.id ?? freeId(row.key, candidate => this.#byId.has(candidate) || fresh.services.has(candidate));
    fresh.services.add(id);
    const backends: [number, BackendValue][] = [];
    const member = (backend: BackendRow): number => {
      const existing = this.#backendIds.get(backend.key) ?? fresh.backends.get(backend.key);
      const backendId = existing ?? freeId(backend.key, candidate => this.#backends.has(candidate) || fresh.ids.has(candidate));
      const state = stateNumbers[backend.state];
      if (this.#backends.get(backendId)?.value.state !== state) {
        fresh.backends.set(backend.key, backendId);
        fresh.ids.add(backendId);
        backends.push([backendId, { addr: backend.addr, port: backend.port, protocol: row.protocol, state }]);
      }
      return backendId;
    };
    const members = row.backends.map(member);
    const chosen = serving(row);
    const wanted = chosen.length === row.backends.length ? members : chosen.map(member);
    const value: ServiceValue = { id, count: wanted.length, affinityTimeout: row.affinityTimeout, flags: 0 };
    return {
      key: row.key,
      frontend: known?.frontend ?? { addr: row.addr, port: row.port, protocol: row.protocol, scope: 0 },
      id,
      members,
      backends,
      address: known?.hasAddress ? undefined : { addr: row.addr, port: row.port },
      slots: slotChanges(known?.slots ?? [], wanted),
      service: known?.value && sameService(known.value, value) ? undefined : value,
    };
  }

  #frontendOf(plan: RowPlan): Frontend {
    let frontend = this.#frontends.get(plan.key);
    if (!frontend) {
      frontend = { key: plan.key, frontend: plan.frontend, id: plan.id, value: undefined, slots: [], members: [], hasAddress: false };
      this.#frontends.set(plan.key, frontend);
      this.#byId.set(plan.id, frontend);
    }
    return frontend;
  }

  #setMembers(frontend: Frontend, members: readonly number[]): void {
    for (const id of members) {
      this.#backends.get(id)!.refs++;
      this.#unclaimed.delete(id);
    }
    for (const id of frontend.members) {
      const backend = this.#backends.get(id);
      if (backend && --backend.refs === 0) this.#leftover.backends.add(id);
    }
    frontend.members = members;
  }

  #adoptBackend(id: number, value: BackendValue): void {
    const key = endpointText(value.addr, value.port, protocolNames[value.protocol] ?? String(value.protocol));
    this.#backends.set(id, { key, value, refs: 0 });
    // Two entries for one backend (a lost race of an older day): the second is never claimed and goes in time.
    if (!this.#backendIds.has(key)) this.#backendIds.set(key, id);
  }

  #adoptService(frontend: ServiceKey, value: ServiceValue, known: number | undefined): void {
    const key = endpointText(frontend.addr, frontend.port, protocolNames[frontend.protocol] ?? String(frontend.protocol));
    const id = known ?? freeId(key, candidate => this.#byId.has(candidate));
    const entry: Frontend = { key, frontend, id, value, slots: [], members: [], hasAddress: false };
    this.#frontends.set(key, entry);
    this.#byId.set(id, entry);
  }
}

/** Opaque to callers. */
export interface Leftovers {
  readonly frontends: readonly unknown[];
  readonly backends: readonly number[];
  readonly strays: { readonly slots: readonly SlotKey[]; readonly addresses: readonly number[] };
}

interface Fresh {
  readonly backends: Map<string, number>;
  readonly ids: Set<number>;
  readonly services: Set<number>;
}

/**
 * The fewest slot writes that make slots 0 … n−1 hold exactly `wanted`: who is in a slot below n stays there, the others fill
 * the gaps. One backend more or less is one write or none, whatever the size of the service.
 */
export function slotChanges(slots: readonly number[], wanted: readonly number[]): [slot: number, backend: number][] {
  const missing = new Set(wanted);
  const gaps: number[] = [];
  for (let slot = 0; slot < wanted.length; slot++) {
    const backend = slots[slot];
    if (backend === undefined || !missing.delete(backend)) gaps.push(slot);
  }
  const changes: [number, number][] = [];
  let next = 0;
  for (const backend of missing) changes.push([gaps[next++]!, backend]);
  return changes;
}

function sameService(a: ServiceValue, b: ServiceValue): boolean {
  return a.id === b.id && a.count === b.count && a.affinityTimeout === b.affinityTimeout && a.flags === b.flags;
}

/** FNV-1a of the key, and on from there until a number is free; never 0. */
function freeId(key: string, isTaken: (id: number) => boolean): number {
  let id = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) id = Math.imul(id ^ key.charCodeAt(i), 0x01000193);
  for (id >>>= 0; id === 0 || isTaken(id); ) id = (id + 1) >>> 0;
  return id;
}
