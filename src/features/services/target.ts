import { SlotTable } from '../../lb/slots.ts';
import type { BackendValue, Leftovers, RowPlan, ServiceAddressValue, ServiceKey, ServiceValue, SlotKey } from '../../lb/slots.ts';
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
    const plans = this.#table.plan(rows);
    const failed = new Map<RowPlan, Error>();
    this.#putBackends(plans, failed);
    const { serviceAddresses, serviceSlots, services } = this.#maps;
    this.#phase(serviceAddresses, plans, failed,
      plan => (plan.address ? [[{ id: plan.id }, plan.address]] : []), plan => this.#table.didAddress(plan));
    this.#phase(serviceSlots, plans, failed,
      plan => plan.slots.map(([slot, backend]) => [{ service: plan.id, slot }, { backend }] as const),
      (plan, { slot }, { backend }) => this.#table.didSlot(plan, slot, backend));
    this.#phase(services, plans, failed, plan => (plan.service ? [[plan.frontend, plan.service]] : []), plan => this.#table.didService(plan));
    for (const plan of plans) if (!failed.has(plan)) this.#table.didRow(plan);
    this.#sweepLater();
    return plans.map(plan => failed.get(plan));
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
  #putBackends(plans: readonly RowPlan[], failed: Map<RowPlan, Error>): void {
    const wanted = new Map<number, BackendValue>();
    for (const plan of plans) for (const [id, value] of plan.backends) wanted.set(id, value);
    const errors = new Map<number, Error>();
    write(this.#maps.backends, [...wanted].map(([id, value]) => [{ id }, value] as const), ({ id }, value, error) => {
      if (error) errors.set(id, error);
      else this.#table.didBackend(id, value);
    });
    if (errors.size === 0) return;
    for (const plan of plans) {
      const bad = plan.backends.find(([id]) => errors.has(id));
      if (bad) failed.set(plan, errors.get(bad[0])!);
    }
  }

  /** One phase over the rows that have not failed; what fails here keeps its row out of the later ones. */
  #phase<K, V>(
    map: MapAccess<K, V>, plans: readonly RowPlan[], failed: Map<RowPlan, Error>,
    entriesOf: (plan: RowPlan) => readonly (readonly [K, V])[], done: (plan: RowPlan, key: K, value: V) => void,
  ): void {
    const entries: (readonly [K, V])[] = [];
    const owners: RowPlan[] = [];
    for (const plan of plans) {
      if (failed.has(plan)) continue;
      for (const entry of entriesOf(plan)) {
        entries.push(entry);
        owners.push(plan);
      }
    }
    write(map, entries, (key, value, error, i) => {
      if (error) failed.set(owners[i]!, error);
      else done(owners[i]!, key, value);
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

/** All entries in one batch; where that fails, one by one. `told` hears of each in order. */
function write<K, V>(map: MapAccess<K, V>, entries: readonly (readonly [K, V])[], told: (key: K, value: V, error: Error | undefined, index: number) => void): void {
  if (entries.length === 0) return;
  const whole = entries.length === 1 ? undefined : attempt(() => map.updateBatch(entries));
  const oneByOne = entries.length === 1 || whole !== undefined;
  entries.forEach(([key, value], i) => told(key, value, oneByOne ? attempt(() => map.update(key, value)) : undefined, i));
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
