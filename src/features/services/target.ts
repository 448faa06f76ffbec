import { SlotTable } from '../../lb/slots.ts';
import type { Backend, BackendValue, Leftovers, Plan, RowPlan, ServiceAddressValue, ServiceKey, ServiceValue, SlotKey } from '../../lb/slots.ts';
import type { ServiceRow } from '../../lb/frontends.ts';
import type { Target } from '../../table/reconcile.ts';

/** What is needed of a kernel map; `BpfMap` fits. */
export interface MapAccess<K, V> {
  entries(): Iterable<readonly [K, V]>;
  update(key: K, value: V): void;
  updateBatch(entries: readonly (readonly [K, V])[]): void;
  delete(key: K): boolean;
  deleteBatch(keys: readonly K[]): void;
}

/** The four maps of `bpf/lib/service.h`. */
export interface ServiceMaps {
  readonly services: MapAccess<ServiceKey, ServiceValue>;
  readonly serviceSlots: MapAccess<SlotKey, { readonly backend: number }>;
  readonly backends: MapAccess<{ readonly id: number }, BackendValue>;
  readonly serviceAddresses: MapAccess<{ readonly id: number }, ServiceAddressValue>;
}

export interface ServiceTargetOptions {
  readonly maps: ServiceMaps;
  /** Runs `sweep` once, after the grace period. */
  readonly later: (sweep: () => void) => void;
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
  readonly #maps: ServiceMaps;
  readonly #later: (sweep: () => void) => void;
  readonly #table: SlotTable;
  #sweeping = false;

  constructor(options: ServiceTargetOptions) {
    this.#maps = options.maps;
    this.#later = options.later;
    const { services, serviceSlots, backends, serviceAddresses } = options.maps;
    this.#table = SlotTable.adopt({
      services: services.entries(), slots: serviceSlots.entries(), backends: backends.entries(), addresses: serviceAddresses.entries(),
    });
    this.#sweepLater();
  }

  /** Services, and adopted backends without one: those go when every producer has spoken and none wants them. */
  *list(): Generator<string> {
    yield* this.#table.keys();
    for (const id of this.#table.unclaimed()) yield `${orphanPrefix}${id}`;
  }

  apply(rows: readonly ServiceRow[]): (Error | undefined)[] {
    const plan = this.#table.plan(rows);
    const failed = this.#putBackends(plan);
    const { serviceAddresses, serviceSlots, services } = this.#maps;
    this.#phase(serviceAddresses, plan.rows, failed, row => (row.address ? [row.address] : none), row => this.#table.didAddress(row));
    this.#phase(serviceSlots, plan.rows, failed, row => row.slots, (row, entry) => this.#table.didSlot(row, entry));
    this.#phase(services, plan.rows, failed, row => (row.service ? [row.service] : none), row => this.#table.didService(row));
    for (const row of plan.rows) {
      if (failed.has(row)) this.#table.didFail(row);
      else this.#table.didRow(row);
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

  #remove(key: string): Error | undefined {
    if (key.startsWith(orphanPrefix)) {
      this.#table.abandon(Number(key.slice(orphanPrefix.length)));
      return undefined;
    }
    const frontend = this.#table.frontendOf(key);
    const error = frontend && attempt(() => this.#maps.services.delete(frontend));
    if (!error) this.#table.didRemove(key);
    return error;
  }

  /** Backends may be shared by rows: each is written once, and its failure is the failure of all of them. */
  #putBackends(plan: Plan): Map<RowPlan, Error> {
    const errors = new Map<Backend, Error>();
    write(this.#maps.backends, plan.backends.map(b => b.entry), (i, error) => {
      const backend = plan.backends[i]!;
      if (error) errors.set(backend.backend, error);
      else this.#table.didBackend(backend);
    });
    const failed = new Map<RowPlan, Error>();
    if (errors.size === 0) return failed;
    for (const row of plan.rows) {
      const bad = row.isWaiting ? row.members.find(m => errors.has(m)) : undefined;
      if (bad) failed.set(row, errors.get(bad)!);
    }
    return failed;
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
    this.#later(() => {
      this.#sweeping = false;
      this.#sweep(leftovers);
      this.#sweepLater();
    });
  }

  #sweep(leftovers: Leftovers): void {
    const { slots, addresses, backends } = this.#table.sweep(leftovers);
    removeAll(this.#maps.serviceSlots, slots);
    removeAll(this.#maps.serviceAddresses, addresses.map(id => ({ id })));
    removeAll(this.#maps.backends, backends.map(id => ({ id })));
  }
}

const none: readonly never[] = [];

/** All entries in one batch; where that fails, one by one. `told` hears of each in order. */
function write<K, V>(map: MapAccess<K, V>, entries: readonly (readonly [K, V])[], told: (index: number, error: Error | undefined) => void): void {
  if (entries.length === 0) return;
  const oneByOne = entries.length === 1 || attempt(() => map.updateBatch(entries)) !== undefined;
  for (let i = 0; i < entries.length; i++) {
    const [key, value] = entries[i]!;
    told(i, oneByOne ? attempt(() => map.update(key, value)) : undefined);
  }
}

/** What cannot be deleted is unreachable for packets, and found again at the next start. */
function removeAll<K>(map: MapAccess<K, unknown>, keys: readonly K[]): void {
  if (keys.length === 0) return;
  if (!attempt(() => map.deleteBatch(keys))) return;
  for (const key of keys) attempt(() => void map.delete(key));
}

function attempt(run: () => unknown): Error | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}
