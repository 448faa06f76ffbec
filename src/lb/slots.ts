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
export interface ServiceValue { readonly id: number; readonly count: number; readonly affinityTimeout: number; readonly maglev: number; readonly flags: number; readonly type: number }
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

/** What to write for some rows, phase by phase. Entries are in the form in which the maps take them. */
export interface Plan {
  /** Phase 1; a backend that several rows need is here once. */
  readonly backends: readonly BackendWrite[];
  readonly rows: readonly RowPlan[];
}

export interface BackendWrite {
  readonly backend: Backend;
  readonly entry: readonly [{ readonly id: number }, BackendValue];
}

export interface RowPlan {
  readonly frontend: Frontend;
  /** All backends of the row, in slots or not. */
  readonly members: readonly Backend[];
  /** True when phase 1 has to bring some of them about. */
  readonly isWaiting: boolean;
  readonly address: readonly [{ readonly id: number }, ServiceAddressValue] | undefined;
  readonly slots: readonly SlotEntry[];
  readonly service: readonly [ServiceKey, ServiceValue] | undefined;
}

export type SlotEntry = readonly [SlotKey, { readonly backend: number }];

const stateNumbers = { active: 0, terminating: 1 } as const;

/** A service as the kernel has it. */
export interface Frontend {
  readonly key: string;
  readonly address: ServiceKey;
  readonly id: number;
  /** As written; undefined when there is no entry in `services`: not yet, or no more and only the rest is left. */
  value: ServiceValue | undefined;
  /** Slots that exist, by number; may be longer than the count, and (after a crash) have holes. */
  readonly slots: number[];
  members: readonly Backend[];
  hasAddress: boolean;
}

/** A backend as the kernel has it. */
export interface Backend {
  readonly key: string;
  readonly id: number;
  /** As written; undefined while its number is only reserved. */
  value: BackendValue | undefined;
  /** How many frontends name it. */
  refs: number;
  /** The last plan that writes it. */
  plan: number;
}

/** A mirror of the kernel's maps: planning reads it, each write that succeeded is told to it. Does no I/O. */
export class SlotTable {
  readonly #frontends = new Map<string, Frontend>();
  readonly #byId = new Map<number, Frontend>();
  readonly #backends = new Map<number, Backend>();
  readonly #backendByKey = new Map<string, Backend>();
  /** What the grace period has to pass for. */
  readonly #leftover = { frontends: new Set<Frontend>(), backends: new Set<Backend>() };
  /** Adopted, and no frontend names it: perhaps a row that is still to come does. */
  readonly #unclaimed = new Set<number>();
  readonly #strays: { slots: SlotKey[]; addresses: number[] } = { slots: [], addresses: [] };

  #plans = 0;

  /** Takes over what is there, also after a crash in the middle of anything. */
  static adopt(contents: KernelContents): SlotTable {
    const table = new SlotTable();
    for (const [{ id }, value] of contents.backends) table.#addBackend(id, keyOf(value), value);
    // An id that is missing or used twice (a write lost in a crash) cannot be told apart from its owner's: those get new ones.
    const broken: [ServiceKey, ServiceValue][] = [];
    for (const [frontend, value] of contents.services) {
      if (value.id === 0 || table.#byId.has(value.id)) broken.push([frontend, value]);
      else table.#addFrontend(keyOf(frontend), frontend, value.id, value);
    }
    for (const [frontend, value] of broken) table.#addFrontend(keyOf(frontend), frontend, undefined, value);
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
      const named = frontend.slots.slice(0, frontend.value!.count).flatMap(id => table.#backends.get(id) ?? []);
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
    return this.#backendByKey.get(key)?.id;
  }

  /**
   * What to write for these rows. Only numbers are reserved here; tell each write that succeeded to the `did…` methods, in
   * order, and each row's end to `didRow` or `didFail`.
   */
  plan(rows: readonly ServiceRow[]): Plan {
    this.#plans++;
    const backends: BackendWrite[] = [];
    return { rows: rows.map(row => this.#planRow(row, backends)), backends };
  }

  didBackend(write: BackendWrite): void {
    write.backend.value = write.entry[1];
  }

  didAddress(plan: RowPlan): void {
    plan.frontend.hasAddress = true;
  }

  didSlot(plan: RowPlan, [{ slot }, { backend }]: SlotEntry): void {
    plan.frontend.slots[slot] = backend;
  }

  didService(plan: RowPlan): void {
    if (plan.service) plan.frontend.value = plan.service[1];
  }

  /** The row is as it should be: what it named before and does not now may go. */
  didRow({ frontend, members }: RowPlan): void {
    this.#setMembers(frontend, members);
    if (frontend.slots.length > (frontend.value?.count ?? 0)) this.#leftover.frontends.add(frontend);
  }

  /** The row stays as far as it came. What was made for it alone must not stay for ever. */
  didFail({ frontend, members }: RowPlan): void {
    for (const backend of members) if (backend.refs === 0) this.#leftover.backends.add(backend);
    if (frontend.value === undefined) this.#leftover.frontends.add(frontend);
  }

  /** The entry in `services` under a key, when there is one to delete. */
  frontendOf(key: string): ServiceKey | undefined {
    const frontend = this.#frontends.get(key);
    return frontend?.value === undefined ? undefined : frontend.address;
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
    const backend = this.#backends.get(id);
    if (this.#unclaimed.delete(id) && backend) this.#leftover.backends.add(backend);
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
    for (const frontend of leftovers.frontends) {
      if (this.#frontends.get(frontend.key) !== frontend) continue;
      const count = frontend.value?.count ?? 0;
      for (let slot = count; slot < frontend.slots.length; slot++) if (frontend.slots[slot] !== undefined) slots.push({ service: frontend.id, slot });
      frontend.slots.length = Math.min(frontend.slots.length, count);
      if (frontend.value !== undefined) continue;
      if (frontend.hasAddress) addresses.push(frontend.id);
      this.#frontends.delete(frontend.key);
      this.#byId.delete(frontend.id);
    }
    for (const backend of leftovers.backends) {
      if (backend.refs > 0 || this.#backends.get(backend.id) !== backend) continue;
      if (backend.value !== undefined) backends.push(backend.id);
      this.#backends.delete(backend.id);
      if (this.#backendByKey.get(backend.key) === backend) this.#backendByKey.delete(backend.key);
    }
    return { slots, addresses, backends };
  }

  #planRow(row: ServiceRow, writes: BackendWrite[]): RowPlan {
    const frontend = this.#frontends.get(row.key) ?? this.#addFrontend(row.key, { addr: row.addr, port: row.port, protocol: row.protocol, scope: 0 });
    const before = writes.length;
    const members: Backend[] = [];
    for (const backend of row.backends) members.push(this.#member(backend, row.protocol, writes));
    const chosen = serving(row);
    const wanted = chosen === row.backends ? members : members.filter((_, i) => row.backends[i]!.state === 'active');
    const { id, value, slots } = frontend;
    const next: ServiceValue = { id, count: wanted.length, affinityTimeout: row.affinityTimeout, maglev: 0, flags: 0, type: 0 };
    return {
      frontend,
      members,
      isWaiting: writes.length > before || members.some(m => m.value === undefined),
      address: frontend.hasAddress ? undefined : [{ id }, { addr: row.addr, port: row.port }],
      slots: slotEntries(id, slots, wanted),
      service: value && sameService(value, next) ? undefined : [frontend.address, next],
    };
  }

  /** The backend, which joins the writes when it is not in place as it should be. */
  #member({ key, addr, port, state }: BackendRow, protocol: number, writes: BackendWrite[]): Backend {
    const backend = this.#backendByKey.get(key) ?? this.#addBackend(freeId(key, this.#backends), key, undefined);
    const wanted = stateNumbers[state];
    if (backend.value?.state !== wanted && backend.plan !== this.#plans) {
      backend.plan = this.#plans;
      writes.push({ backend, entry: [{ id: backend.id }, { addr, port, protocol, state: wanted }] });
    }
    return backend;
  }

  #setMembers(frontend: Frontend, members: readonly Backend[]): void {
    for (const backend of members) {
      backend.refs++;
      if (this.#unclaimed.size > 0) this.#unclaimed.delete(backend.id);
    }
    for (const backend of frontend.members) if (--backend.refs === 0) this.#leftover.backends.add(backend);
    frontend.members = members;
  }

  #addBackend(id: number, key: string, value: BackendValue | undefined): Backend {
    const backend: Backend = { key, id, value, refs: 0, plan: 0 };
    this.#backends.set(id, backend);
    // Two entries for one backend (a lost race of an older day): the second is never claimed and goes in time.
    if (!this.#backendByKey.has(key)) this.#backendByKey.set(key, backend);
    return backend;
  }

  #addFrontend(key: string, address: ServiceKey, id = freeId(key, this.#byId), value?: ServiceValue): Frontend {
    const frontend: Frontend = { key, address, id, value, slots: [], members: [], hasAddress: false };
    this.#frontends.set(key, frontend);
    this.#byId.set(id, frontend);
    return frontend;
  }
}

/** What a grace period has to pass for. */
export interface Leftovers {
  readonly frontends: readonly Frontend[];
  readonly backends: readonly Backend[];
  readonly strays: { readonly slots: readonly SlotKey[]; readonly addresses: readonly number[] };
}

/**
 * The fewest slot writes that make slots 0 … n−1 hold exactly `wanted`: who is in a slot below n stays there, the others fill
 * the gaps. One backend more or less is one write or none, whatever the size of the service.
 */
export function slotChanges(slots: readonly number[], wanted: readonly number[]): (readonly [slot: number, backend: number])[] {
  const missing = new Set(wanted);
  const gaps: number[] = [];
  for (let slot = 0; slot < wanted.length; slot++) {
    const backend = slots[slot];
    if (backend === undefined || !missing.delete(backend)) gaps.push(slot);
  }
  return [...missing].map((backend, i) => [gaps[i]!, backend]);
}

function slotEntries(service: number, slots: readonly number[], wanted: readonly Backend[]): SlotEntry[] {
  // A new service is the common case of a start: nothing to compare.
  if (slots.length === 0) return wanted.map((backend, slot) => [{ service, slot }, { backend: backend.id }]);
  return slotChanges(slots, wanted.map(b => b.id)).map(([slot, backend]) => [{ service, slot }, { backend }]);
}

function keyOf({ addr, port, protocol }: { readonly addr: Addr; readonly port: number; readonly protocol: number }): string {
  return endpointText(addr, port, protocolNames[protocol] ?? String(protocol));
}

function sameService(a: ServiceValue, b: ServiceValue): boolean {
  return a.id === b.id && a.count === b.count && a.affinityTimeout === b.affinityTimeout && a.maglev === b.maglev && a.flags === b.flags && a.type === b.type;
}

/** FNV-1a of the key, and on from there until a number is free; never 0. */
function freeId(key: string, taken: { has(id: number): boolean }): number {
  let id = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) id = Math.imul(id ^ key.charCodeAt(i), 0x01000193);
  for (id >>>= 0; id === 0 || taken.has(id); ) id = (id + 1) >>> 0;
  return id;
}
