import { SlotTable } from '../../lb/slots.ts';
import type {
  BackendValue, MapLimits, MemberKey, ServiceAddressValue, ServiceKey, ServiceValue, SlotKey, SourceKey, WantedTable,
} from '../../lb/layout.ts';
import type { Backend, GoneBackend, Leftovers, Plan, RowPlan } from '../../lb/plan.ts';
import type { ServiceRow } from '../../lb/rows.ts';
import type { Target } from '../../table/reconcile.ts';

/** What is needed of a kernel map; `BpfMap` fits. */
export interface MapAccess<K, V> {
  entries(): Iterable<readonly [K, V]>;
  update(key: K, value: V): void;
  updateBatch(entries: readonly (readonly [K, V])[]): void;
  delete(key: K): boolean;
  deleteBatch(keys: readonly K[]): void;
}

/** The maps of `bpf/lib/service.h` that are written here. */
export interface ServiceMaps {
  readonly services: MapAccess<ServiceKey, ServiceValue>;
  readonly serviceSlots: MapAccess<SlotKey, { readonly backend: number }>;
  readonly backends: MapAccess<{ readonly id: number }, BackendValue>;
  readonly serviceAddresses: MapAccess<{ readonly id: number }, ServiceAddressValue>;
  readonly serviceMembers: MapAccess<MemberKey, number>;
  readonly serviceSources: MapAccess<SourceKey, number>;
}

/** `maglev`, a map of maps; see `KernelMaglevTables`. */
export interface MaglevTables {
  /** Signatures of the tables that services have. */
  entries(): Iterable<readonly [service: number, signature: string]>;
  /** Gives each service a whole table at once. Equal signatures may share one. The result has one entry a service: undefined, or why it failed. */
  putBatch(tables: readonly ServiceTable[]): readonly (Error | undefined)[];
  deleteBatch(services: readonly number[]): void;
}

/** How many entries the kernel's maps were made for. */
export function serviceLimits(maps: { readonly [Name in keyof ServiceMaps | 'maglev']: { readonly spec: { readonly maxEntries: number } } }): MapLimits {
  return {
    services: maps.services.spec.maxEntries, service_slots: maps.serviceSlots.spec.maxEntries, backends: maps.backends.spec.maxEntries,
    service_addresses: maps.serviceAddresses.spec.maxEntries, maglev: maps.maglev.spec.maxEntries,
    service_members: maps.serviceMembers.spec.maxEntries, service_sources: maps.serviceSources.spec.maxEntries,
  };
}

export interface ServiceTable {
  readonly service: number;
  readonly table: WantedTable;
}

export interface ServiceTargetOptions {
  readonly maps: ServiceMaps;
  readonly maglev: MaglevTables;
  /** Base64 of 12 bytes; see `maglevTable`. */
  readonly hashSeed: string;
  readonly limits?: MapLimits;
  /** Runs `sweep` once, after the grace period. */
  readonly later: (sweep: () => void) => void;
  /** Backends that have left the maps and may have had connections: not those that only terminate. */
  readonly onGone?: (backends: readonly GoneBackend[]) => void;
}

/** Longer than any program can take between reading a service's count and its backend. */
export const graceMs = 50;

/** What the reconciler is told of backends that were found in the kernel and belong to no service. */
const orphanPrefix = 'backend ';

/**
 * Services in the kernel. Plans come from `SlotTable` (which states the order of writes and why it is safe); here each phase
 * is one batch over all rows. A batch that fails is done again entry by entry, and only the rows whose entries failed fail.
 */
export class ServiceTarget implements Target<ServiceRow> {
  readonly #options: ServiceTargetOptions;
  readonly #table: SlotTable;
  #sweeping = false;

  constructor(options: ServiceTargetOptions) {
    this.#options = options;
    const { services, serviceSlots, backends, serviceAddresses, serviceMembers, serviceSources } = options.maps;
    this.#table = SlotTable.adopt({
      services: services.entries(), slots: serviceSlots.entries(), backends: backends.entries(), addresses: serviceAddresses.entries(),
      tables: options.maglev.entries(), members: serviceMembers.entries(), sources: serviceSources.entries(),
    }, { hashSeed: options.hashSeed, ...(options.limits && { limits: options.limits }) });
    this.#sweepLater();
  }

  /** Services, and adopted backends without one: those go when every producer has spoken and none wants them. */
  *list(): Generator<string> {
    yield* this.#table.keys();
    for (const id of this.#table.unclaimed()) yield `${orphanPrefix}${id}`;
  }

  apply(rows: readonly ServiceRow[]): (Error | undefined)[] {
    const table = this.#table;
    const plan = table.plan(rows);
    const failed = new Map<RowPlan, Error>();
    for (const row of plan.rows) if (row.refusal) failed.set(row, row.refusal);
    this.#putBackends(plan, failed);
    const { serviceAddresses, serviceSlots, serviceMembers, serviceSources, services } = this.#options.maps;
    this.#phase(serviceAddresses, plan.rows, failed, row => (row.address ? [row.address] : none), row => table.didAddress(row));
    this.#phase(serviceSlots, plan.rows, failed, row => row.slots, (row, entry) => table.didSlot(row, entry));
    this.#putTables(plan, failed);
    this.#phase(serviceMembers, plan.rows, failed, row => row.stickers, (row, entry) => table.didSticker(row, entry));
    this.#phase(serviceSources, plan.rows, failed, row => row.sources, (row, entry) => table.didSource(row, entry));
    this.#phase(services, plan.rows, failed, row => (row.service ? [row.service] : none), row => table.didService(row));
    for (const row of plan.rows) {
      if (failed.has(row)) table.didFail(row);
      else table.didRow(row);
    }
    this.#sweepLater();
    return plan.rows.map(row => failed.get(row));
  }

  remove(keys: readonly string[]): (Error | undefined)[] {
    const results = keys.map(key => this.#remove(key));
    this.#sweepLater();
    return results;
  }

  /** The kernel's number of a frontend, as flow events and connection entries carry it. */
  idOf(key: string): number | undefined {
    return this.#table.idOf(key);
  }

  /** Entries in each map. */
  get used(): MapLimits {
    return this.#table.used;
  }

  #remove(key: string): Error | undefined {
    if (key.startsWith(orphanPrefix)) {
      this.#table.abandon(Number(key.slice(orphanPrefix.length)));
      return undefined;
    }
    const frontend = this.#table.frontendOf(key);
    const error = frontend && attempt(() => this.#options.maps.services.delete(frontend));
    if (!error) this.#table.didRemove(key);
    return error;
  }

  /** Backends may be shared by rows: each is written once, and its failure is the failure of all of them. */
  #putBackends(plan: Plan, failed: Map<RowPlan, Error>): void {
    const errors = new Map<Backend, Error>();
    write(this.#options.maps.backends, plan.backends.map(b => b.entry), (i, error) => {
      const backend = plan.backends[i]!;
      if (error) errors.set(backend.backend, error);
      else this.#table.didBackend(backend);
    });
    if (errors.size === 0) return;
    for (const row of plan.rows) {
      const bad = row.isWaiting ? row.members.find(m => errors.has(m)) : undefined;
      if (bad && !failed.has(row)) failed.set(row, errors.get(bad)!);
    }
  }

  #putTables(plan: Plan, failed: Map<RowPlan, Error>): void {
    const rows = plan.rows.filter(row => row.table && !failed.has(row));
    if (rows.length === 0) return;
    const results = this.#options.maglev.putBatch(rows.map(row => ({ service: row.frontend.id, table: row.table! })));
    rows.forEach((row, i) => {
      const error = results[i];
      if (error) failed.set(row, error);
      else this.#table.didTable(row);
    });
  }

  /** One phase over the rows that have not failed; what fails here keeps its row out of the later ones. */
  #phase<E extends readonly [unknown, unknown]>(
    map: MapAccess<E[0], E[1]>, rows: readonly RowPlan[], failed: Map<RowPlan, Error>, entriesOf: (row: RowPlan) => readonly E[], done: (row: RowPlan, entry: E) => void,
  ): void {
    const entries: E[] = [];
    const owners: RowPlan[] = [];
    for (const row of rows) {
      if (failed.size > 0 && failed.has(row)) continue;
      for (const entry of entriesOf(row)) {
        entries.push(entry);
        owners.push(row);
      }
    }
    write(map, entries, (i, error) => {
      if (error) failed.set(owners[i]!, error);
      else done(owners[i]!, entries[i]!);
    });
  }

  #sweepLater(): void {
    if (this.#sweeping || !this.#table.hasLeftovers) return;
    this.#sweeping = true;
    const leftovers = this.#table.leftovers();
    this.#options.later(() => {
      this.#sweeping = false;
      this.#sweep(leftovers);
      this.#sweepLater();
    });
  }

  #sweep(leftovers: Leftovers): void {
    const { maps, maglev, onGone } = this.#options;
    const deletes = this.#table.sweep(leftovers);
    removeAll(maps.serviceSlots, deletes.slots);
    removeAll(maps.serviceMembers, deletes.members);
    removeAll(maps.serviceSources, deletes.sources);
    if (deletes.tables.length > 0) attempt(() => maglev.deleteBatch(deletes.tables));
    removeAll(maps.serviceAddresses, deletes.addresses.map(id => ({ id })));
    removeAll(maps.backends, deletes.backends.map(id => ({ id })));
    if (deletes.gone.length > 0) onGone?.(deletes.gone);
  }
}

const none: readonly never[] = [];

/** All entries in one batch; where that fails, one by one. `told` hears of each in order. */
function write<K, V>(map: MapAccess<K, V>, entries: readonly (readonly [K, V])[], told: (index: number, error: Error | undefined) => void): void {
  if (entries.length === 0) return;
  const oneByOne = entries.length === 1 || attempt(() => map.updateBatch(entries)) !== undefined;
  for (let i = 0; i < entries.length; i++) {
    told(i, oneByOne ? attempt(() => map.update(entries[i]![0], entries[i]![1])) : undefined);
  }
}

/** What cannot be deleted is unreachable for packets, and found again at the next start. */
function removeAll<K>(map: MapAccess<K, unknown>, keys: readonly K[]): void {
  if (keys.length === 0) return;
  if (!attempt(() => map.deleteBatch(keys))) return;
  for (const key of keys) attempt(() => void map.delete(key));
}

export function attempt(run: () => unknown): Error | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}
