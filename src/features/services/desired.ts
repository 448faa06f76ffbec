import { objectKey } from '../../kube/reflector.ts';
import { TableIndex } from '../../kube/tableindex.ts';
import type { EndpointSlice, Service } from '../../kube/types.ts';
import { frontends } from '../../lb/frontends.ts';
import type { FrontendContext, ServiceRow } from '../../lb/frontends.ts';
import type { Changes } from '../../table/table.ts';
import { Table } from '../../table/table.ts';

/**
 * Services and their slices, joined to rows:
 *
 *     services ────────┐
 *                      ├─ by namespace/name ─ frontends() ─► services-desired
 *     endpointSlices ──┘
 *
 * `step` looks only at services that changed, or whose slices did. The rows are synced when both inputs are.
 */
export class ServiceDerivation {
  readonly table = new Table<ServiceRow>('services', row => row.key);
  readonly inputs: readonly [Table<Service>, Table<EndpointSlice>];
  readonly #context: FrontendContext;
  readonly #slices: TableIndex<EndpointSlice>;
  readonly #changes: readonly [Changes<Service>, Changes<EndpointSlice>];
  readonly #sliceOwner = new Map<string, string>();
  /** Rows that each service asks for, by their keys; and who asks for a key. */
  readonly #rowsOf = new Map<string, readonly ServiceRow[]>();
  readonly #askers = new Map<string, Set<string>>();
  readonly #producer: { synced(): void };

  constructor(services: Table<Service>, slices: Table<EndpointSlice>, context: FrontendContext) {
    this.inputs = [services, slices];
    this.#context = context;
    this.#slices = new TableIndex(slices, slice => [ownerOf(slice)]);
    this.#changes = [services.changes(), slices.changes()];
    this.#producer = this.table.producer('services and endpoint slices');
  }

  /** Brings the rows up to date with what changed since the last step. */
  step(): void {
    const [services, slices] = this.inputs;
    const synced = services.synced && slices.synced;
    const touched = new Set<string>();
    for (const key of this.#changedServices()) this.#refresh(key, touched);
    this.#publish(touched);
    if (synced) this.#producer.synced();
  }

  #changedServices(): Set<string> {
    const keys = new Set<string>();
    const services = this.#changes[0].take();
    for (const service of services.changed) keys.add(objectKey(service));
    for (const key of services.deleted) keys.add(key);
    const slices = this.#changes[1].take();
    for (const slice of slices.changed) {
      const key = objectKey(slice);
      const before = this.#sliceOwner.get(key);
      if (before !== undefined) keys.add(before);
      keys.add(ownerOf(slice));
      this.#sliceOwner.set(key, ownerOf(slice));
    }
    for (const key of slices.deleted) {
      keys.add(this.#sliceOwner.get(key) ?? '');
      this.#sliceOwner.delete(key);
    }
    return keys;
  }

  #refresh(serviceKey: string, touched: Set<string>): void {
    const service = this.inputs[0].get(serviceKey);
    const rows = service ? frontends(service, this.#slices.get(serviceKey), this.#context) : [];
    for (const row of this.#rowsOf.get(serviceKey) ?? []) {
      this.#askers.get(row.key)?.delete(serviceKey);
      touched.add(row.key);
    }
    for (const row of rows) {
      const askers = this.#askers.get(row.key);
      if (askers) askers.add(serviceKey);
      else this.#askers.set(row.key, new Set([serviceKey]));
      touched.add(row.key);
    }
    if (rows.length > 0) this.#rowsOf.set(serviceKey, rows);
    else this.#rowsOf.delete(serviceKey);
  }

  #publish(keys: Iterable<string>): void {
    const upserts: ServiceRow[] = [];
    const deletes: string[] = [];
    for (const key of keys) {
      const row = this.#winner(key);
      if (row) upserts.push(row);
      else deletes.push(key);
    }
    // A call takes only so many arguments.
    for (let i = 0; i < upserts.length; i += 10_000) this.table.upsert(...upserts.slice(i, i + 10_000));
    if (deletes.length > 0) this.table.delete(...deletes);
  }

  /** Two services have one address only while one replaces the other: the first by name has it, whatever came first. */
  #winner(key: string): ServiceRow | undefined {
    const askers = this.#askers.get(key);
    if (!askers || askers.size === 0) {
      this.#askers.delete(key);
      return undefined;
    }
    const [first] = askers.size === 1 ? askers : [...askers].sort();
    return this.#rowsOf.get(first!)?.find(row => row.key === key);
  }
}

/** discovery.k8s.io/v1. */
const serviceNameLabel = 'kubernetes.io/service-name';

function ownerOf(slice: EndpointSlice): string {
  return `${slice.metadata.namespace ?? ''}/${slice.metadata.labels?.[serviceNameLabel] ?? ''}`;
}
