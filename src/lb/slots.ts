import { Budget } from './budget.ts';
import { hasExcess, repeated, slotEntries, sourceEntries, sourceKey, sourceText, tableSignature } from './entries.ts';
import type { BackendValue, KernelContents, MapLimits, MemberEntry, ServiceKey, ServiceValue, SlotEntry, SourceEntry, WantedTable } from './layout.ts';
import { maglevTable } from './maglev.ts';
import type { Backend, BackendWrite, Deletes, Frontend, GoneBackend, Leftovers, Plan, RowPlan, Strays } from './plan.ts';
import { endpointText, frontendTypes, protocolNames, rowKey, serving } from './rows.ts';
import type { BackendRow, Scope, ServiceRow } from './rows.ts';

/**
 * In which order to change the maps of `layout.ts`, so that no packet meets a missing backend:
 *
 * **Order.** 1 new backends, and the way back; 2 slots, the Maglev table (a whole one at once), members and sources that come;
 * 3 the service (its count and flags); 4, after a grace period, what is left over: slots at and above the count, backends that
 * nobody names, tables, members and sources that the service does not ask for, ways back of services that are gone. A service
 * that goes: first its entry in `services`, the rest after the grace period.
 *
 * **Why it holds.** A packet reads service, slot or table, backend, in this order. Every slot below any count that a packet can
 * have read is there (2 before 3; 4 only later) and names a backend that is there (1 before 2; 4 only later). The grace period is
 * longer than a program can run, so a packet that read the old count has ended before 4. Who may come from outside is written
 * before a service asks, and an entry says for which form (allow, deny) it was written: one of the old form is none of the new.
 *
 * **Ids** are hashes of what they stand for (next free number on collision): the same after a restart, also when the maps were
 * lost; and an id that was freed does not soon come to mean another backend, which an old connection entry would believe.
 */
export interface SlotTableOptions {
  /** Undefined: the kernel says when a map is full. */
  readonly limits?: MapLimits;
  /** Base64 of 12 bytes; see `maglevTable`. */
  readonly hashSeed: string;
}

const stateNumbers = { active: 0, terminating: 1, maintenance: 0 } as const;
const none: readonly never[] = [];

/** A mirror of the kernel's maps: planning reads it, each write that succeeded is told to it. Does no I/O. */
export class SlotTable {
  readonly #options: SlotTableOptions;
  readonly #budget: Budget;
  readonly #frontends = new Map<string, Frontend>();
  readonly #byId = new Map<number, Frontend>();
  readonly #backends = new Map<number, Backend>();
  readonly #backendByKey = new Map<string, Backend>();
  /** What the grace period has to pass for. */
  readonly #leftover = { frontends: new Set<Frontend>(), backends: new Set<Backend>() };
  /** Adopted, and no frontend names it: perhaps a row that is still to come does. */
  readonly #unclaimed = new Set<number>();
  #strays = noStrays();
  #plans = 0;

  private constructor(options: SlotTableOptions) {
    this.#options = options;
    this.#budget = new Budget(options.limits);
  }

  /** Takes over what is there, also after a crash in the middle of anything. */
  static adopt(contents: KernelContents, options: SlotTableOptions): SlotTable {
    const table = new SlotTable(options);
    for (const [{ id }, value] of contents.backends) table.#addBackend(id, backendKey(value), value);
    // An id that is missing or used twice (a write lost in a crash) cannot be told apart from its owner's: those get new ones.
    const broken: [ServiceKey, ServiceValue][] = [];
    for (const [frontend, value] of contents.services) {
      if (value.id === 0 || table.#byId.has(value.id)) broken.push([frontend, value]);
      else table.#addFrontend(keyOf(frontend), frontend, value.id, value);
    }
    for (const [frontend, value] of broken) table.#addFrontend(keyOf(frontend), frontend, undefined, value);
    table.#adoptParts(contents);
    for (const frontend of table.#frontends.values()) {
      const named = frontend.slots.slice(0, frontend.value!.count).flatMap(id => table.#backends.get(id) ?? []);
      table.#setMembers(frontend, [...new Set(named)]);
      for (const backend of frontend.members) backend.served = true;
      if (frontend.slots.length > frontend.value!.count) table.#leftover.frontends.add(frontend);
    }
    for (const [id, backend] of table.#backends) if (backend.refs === 0) table.#unclaimed.add(id);
    return table;
  }

  /** Keys of the rows in place. */
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

  /** Entries in each map, as far as the mirror knows: exact but for entries that a failed write left. */
  get used(): MapLimits {
    return this.#budget.used;
  }

  /**
   * What to write for these rows. Only numbers are reserved here; tell each write that succeeded to the `did…` methods, in
   * order, and each row's end to `didRow` or `didFail`.
   */
  plan(rows: readonly ServiceRow[]): Plan {
    this.#plans++;
    this.#budget.reset();
    const backends: BackendWrite[] = [];
    return { rows: rows.map(row => this.#planRow(row, backends)), backends };
  }

  didBackend({ backend, entry }: BackendWrite): void {
    if (backend.value === undefined) this.#budget.used.backends++;
    backend.value = entry[1];
  }

  didAddress({ frontend }: RowPlan): void {
    frontend.hasAddress = true;
    this.#budget.used.service_addresses++;
  }

  didSlot({ frontend }: RowPlan, entry: SlotEntry): void {
    const { slot } = entry[0];
    if (frontend.slots[slot] === undefined) this.#budget.used.service_slots++;
    frontend.slots[slot] = entry[1].backend;
  }

  didTable({ frontend, table }: RowPlan): void {
    if (frontend.table === '') this.#budget.used.maglev++;
    frontend.table = table!.signature;
  }

  didSticker({ frontend }: RowPlan, [{ backend }]: MemberEntry): void {
    (frontend.stickers ??= new Set()).add(backend);
    this.#budget.used.service_members++;
  }

  didSource({ frontend }: RowPlan, [key, form]: SourceEntry): void {
    const text = sourceText(key);
    if (!frontend.sources?.has(text)) this.#budget.used.service_sources++;
    (frontend.sources ??= new Map()).set(text, form);
  }

  didService({ frontend, service }: RowPlan): void {
    if (!service) return;
    if (frontend.value === undefined) this.#budget.used.services++;
    frontend.value = service[1];
  }

  /** The row is as it should be: what it named before and does not now may go. */
  didRow({ row, frontend, members }: RowPlan): void {
    frontend.row = row;
    this.#setMembers(frontend, members);
    for (const backend of members) backend.served = true;
    if (hasExcess(frontend)) this.#leftover.frontends.add(frontend);
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
    if (frontend.value !== undefined) this.#budget.used.services--;
    frontend.value = undefined;
    this.#setMembers(frontend, none);
    frontend.row = undefined;
    this.#leftover.frontends.add(frontend);
  }

  /** Gives an adopted backend up that no row has claimed. */
  abandon(id: number): void {
    const backend = this.#backends.get(id);
    if (this.#unclaimed.delete(id) && backend) this.#leftover.backends.add(backend);
  }

  get hasLeftovers(): boolean {
    return this.#leftover.frontends.size + this.#leftover.backends.size > 0 || Object.values(this.#strays).some(list => list.length > 0);
  }

  /** What may be deleted once a grace period has passed since now. What was taken up again by then is left out by `sweep`. */
  leftovers(): Leftovers {
    const leftovers = { frontends: [...this.#leftover.frontends], backends: [...this.#leftover.backends], strays: this.#strays };
    this.#leftover.frontends.clear();
    this.#leftover.backends.clear();
    this.#strays = noStrays();
    return leftovers;
  }

  /** The deletes of phase 4, for leftovers that are still nobody's. The mirror counts them as done: deleting what is gone succeeds. */
  sweep({ frontends, backends, strays }: Leftovers): Deletes {
    // A service that came back has the id that it had: what it has not written itself is still stray.
    const owner = (id: number) => this.#byId.get(id);
    const deletes = {
      slots: strays.slots.filter(s => owner(s.service)?.slots[s.slot] === undefined),
      addresses: strays.addresses.filter(id => owner(id)?.hasAddress !== true),
      tables: strays.tables.filter(id => (owner(id)?.table ?? '') === ''),
      members: strays.members.filter(m => !owner(m.service)?.stickers?.has(m.backend)),
      sources: strays.sources.filter(s => !owner(s.service)?.sources?.has(sourceText(s))),
      backends: [] as number[],
      gone: [] as GoneBackend[],
    };
    for (const frontend of frontends) if (this.#frontends.get(frontend.key) === frontend) this.#sweepFrontend(frontend, deletes);
    for (const backend of backends) if (backend.refs === 0 && this.#backends.get(backend.id) === backend) this.#sweepBackend(backend, deletes);
    return deletes;
  }

  #sweepFrontend(frontend: Frontend, deletes: Deletes): void {
    const { used } = this.#budget;
    const { id, slots } = frontend;
    const count = frontend.value?.count ?? 0;
    for (let slot = count; slot < slots.length; slot++) {
      if (slots[slot] === undefined) continue;
      deletes.slots.push({ service: id, slot });
      used.service_slots--;
    }
    slots.length = Math.min(slots.length, count);
    if (frontend.table !== '' && !frontend.value?.maglev) {
      deletes.tables.push(id);
      frontend.table = '';
      used.maglev--;
    }
    const chosen = frontend.value && frontend.value.affinityTimeout > 0 ? new Set(slots) : undefined;
    for (const backend of frontend.stickers ?? none) {
      if (chosen?.has(backend)) continue;
      deletes.members.push({ service: id, backend });
      frontend.stickers!.delete(backend);
      used.service_members--;
    }
    const asked = frontend.value === undefined ? none : frontend.row?.sources;
    if (asked) for (const text of frontend.sources?.keys() ?? none) {
      if (asked.includes(text)) continue;
      deletes.sources.push(sourceKey(id, text));
      frontend.sources!.delete(text);
      used.service_sources--;
    }
    if (frontend.value !== undefined) return;
    if (frontend.hasAddress) {
      deletes.addresses.push(id);
      used.service_addresses--;
    }
    this.#frontends.delete(frontend.key);
    this.#byId.delete(id);
  }

  #sweepBackend(backend: Backend, deletes: Deletes & { gone: GoneBackend[] }): void {
    if (backend.value !== undefined) {
      deletes.backends.push(backend.id);
      this.#budget.used.backends--;
      if (backend.served) deletes.gone.push({ key: backend.key, ...backend.value, services: backend.lastService === '' ? [] : [backend.lastService] });
    }
    this.#backends.delete(backend.id);
    if (this.#backendByKey.get(backend.key) === backend) this.#backendByKey.delete(backend.key);
  }

  #planRow(row: ServiceRow, writes: BackendWrite[]): RowPlan {
    const frontend = this.#frontends.get(row.key) ?? this.#addFrontend(row.key, { addr: row.addr, port: row.port, protocol: row.protocol, scope: row.scope });
    const { id, value, slots } = frontend;
    const before = writes.length;
    const members: Backend[] = [];
    for (const backend of row.backends) members.push(this.#member(backend, row.protocol, writes));
    const chosen = serving(row);
    const chosenIds = chosen === row.backends ? members.map(m => m.id) : chosen.map(b => this.#backendByKey.get(b.key)!.id);
    const wanted = repeated(chosen, chosenIds);
    const next: ServiceValue = {
      id, count: wanted.length, affinityTimeout: row.affinityTimeout, maglev: wanted.length > 0 ? row.maglev : 0, flags: row.flags, type: frontendTypes.indexOf(row.type),
    };
    const slotWrites = slotEntries(id, slots, wanted);
    const table = next.maglev > 0 ? this.#tableOf(frontend, next.maglev, chosen, chosenIds) : undefined;
    const stickers = row.affinityTimeout > 0 ? chosenIds.filter(b => !frontend.stickers?.has(b)).map((backend): MemberEntry => [{ service: id, backend }, 1]) : none;
    const sources = sourceEntries(frontend, row);
    const refusal = this.#budget.take({
      services: value ? 0 : 1,
      service_addresses: frontend.hasAddress ? 0 : 1,
      backends: countFrom(writes, before, write => write.backend.value === undefined),
      service_slots: countFrom(slotWrites, 0, entry => slots[entry[0].slot] === undefined),
      maglev: table && frontend.table === '' ? 1 : 0,
      service_members: stickers.length,
      service_sources: countFrom(sources, 0, entry => !frontend.sources?.has(sourceText(entry[0]))),
    });
    const isWaiting = writes.length > before || members.some(m => m.value === undefined);
    if (refusal) for (const write of writes.splice(before)) write.backend.plan = 0;
    return {
      row, frontend, refusal, members, isWaiting, table, stickers, sources, slots: slotWrites,
      address: frontend.hasAddress ? undefined : [{ id }, { addr: row.addr, port: row.port }],
      service: value && sameService(value, next) ? undefined : [frontend.address, next],
    };
  }

  /** The table that the row should have, when it does not have it. */
  #tableOf(frontend: Frontend, tableSize: number, chosen: readonly BackendRow[], ids: readonly number[]): WantedTable | undefined {
    const { hashSeed } = this.#options;
    const signature = tableSignature(tableSize, hashSeed, chosen, ids);
    if (signature === frontend.table) return undefined;
    return {
      signature,
      build: () => maglevTable(chosen.map(b => ({ name: b.key, weight: b.weight ?? 1 })), { tableSize, hashSeed }).map(i => ids[i]!),
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
    for (const backend of frontend.members) {
      if (--backend.refs > 0) continue;
      if (frontend.row) backend.lastService = `${frontend.row.namespace}/${frontend.row.name}`;
      this.#leftover.backends.add(backend);
    }
    frontend.members = members;
  }

  #addBackend(id: number, key: string, value: BackendValue | undefined): Backend {
    const backend: Backend = { key, id, value, refs: 0, plan: 0, served: false, lastService: '' };
    if (value) this.#budget.used.backends++;
    this.#backends.set(id, backend);
    // Two entries for one backend (a lost race of an older day): the second is never claimed and goes in time.
    if (!this.#backendByKey.has(key)) this.#backendByKey.set(key, backend);
    return backend;
  }

  #addFrontend(key: string, address: ServiceKey, id = freeId(key, this.#byId), value?: ServiceValue): Frontend {
    const frontend: Frontend = { key, address, id, value, slots: [], members: none, hasAddress: false, table: '', stickers: undefined, sources: undefined, row: undefined };
    if (value) this.#budget.used.services++;
    this.#frontends.set(key, frontend);
    this.#byId.set(id, frontend);
    return frontend;
  }

  /** What belongs to rows; and what belongs to none is stray. */
  #adoptParts(contents: KernelContents): void {
    const { used } = this.#budget;
    const strays = this.#strays;
    const owned = <T>(id: number, item: T, take: (owner: Frontend) => void, stray: T[]): number => {
      const owner = this.#byId.get(id);
      if (owner) take(owner);
      else stray.push(item);
      return owner ? 1 : 0;
    };
    for (const [key, { backend }] of contents.slots) used.service_slots += owned(key.service, key, o => void (o.slots[key.slot] = backend), strays.slots);
    for (const [{ id }] of contents.addresses) used.service_addresses += owned(id, id, o => void (o.hasAddress = true), strays.addresses);
    for (const [id, signature] of contents.tables) used.maglev += owned(id, id, o => void (o.table = signature), strays.tables);
    for (const [key] of contents.members) used.service_members += owned(key.service, key, o => void (o.stickers ??= new Set()).add(key.backend), strays.members);
    for (const [key, form] of contents.sources) used.service_sources += owned(key.service, key, o => void (o.sources ??= new Map()).set(sourceText(key), form), strays.sources);
  }
}

function countFrom<T>(list: readonly T[], from: number, counts: (item: T) => boolean): number {
  let count = 0;
  for (let i = from; i < list.length; i++) if (counts(list[i]!)) count++;
  return count;
}

function noStrays(): Strays {
  return { slots: [], addresses: [], tables: [], members: [], sources: [] };
}

function keyOf(frontend: ServiceKey): string {
  return rowKey(backendKey(frontend), frontend.scope as Scope);
}

function backendKey({ addr, port, protocol }: Pick<ServiceKey, 'addr' | 'port' | 'protocol'>): string {
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
