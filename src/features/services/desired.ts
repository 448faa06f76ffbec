import { objectKey } from '../../kube/reflector.ts';
import { TableIndex } from '../../kube/tableindex.ts';
import type { EndpointSlice, Service } from '../../kube/types.ts';
import { stateOf } from '../../lb/endpoints.ts';
import { frontends } from '../../lb/frontends.ts';
import type { FrontendContext, Frontends } from '../../lb/frontends.ts';
import { hostPortRow, redirectRow } from '../../lb/local-rows.ts';
import type { HostPortInput, RedirectInput } from '../../lb/local-rows.ts';
import { frontendOf, rowFlag, rowKey, scope } from '../../lb/rows.ts';
import type { ServiceRow } from '../../lb/rows.ts';
import { errorText } from '../../std/errors.ts';
import type { Changes, TableView } from '../../table/table.ts';
import { Table } from '../../table/table.ts';
import { ranked } from './precedence.ts';

export interface ServiceInputs {
  readonly services: Table<Service>;
  readonly slices: Table<EndpointSlice>;
  /** Host ports of this node's running pods. */
  readonly hostPorts: TableView<HostPortInput>;
  /** What local redirect policies catch on this node. */
  readonly redirects: TableView<RedirectInput>;
  /** A row by a service's key for each that claims external addresses: a change is one of what `mayServe` says. */
  readonly external: TableView<{ readonly key: string }>;
}

/**
 * Everything that asks for frontends, joined to rows:
 *
 *     services ────────┐
 *                      ├─ by namespace/name ─ frontends() ─┐
 *     endpointSlices ──┘                                   ├─► who wins a frontend ─► services (rows)
 *     host ports, local redirects ─────────────────────────┘       (external: which addresses a service may have)
 *
 * `step` looks only at what changed. The rows are synced when all inputs are. `refreshAll` is for a change of the node's labels.
 */
export class ServiceDerivation {
  readonly table = new Table<ServiceRow>('services', row => row.key);
  readonly inputs: readonly [Table<Service>, Table<EndpointSlice>, TableView<HostPortInput>, TableView<RedirectInput>, TableView<{ readonly key: string }>];
  readonly #context: () => FrontendContext;
  readonly #slices: TableIndex<EndpointSlice>;
  readonly #changes: { readonly [Name in keyof ServiceInputs]: ServiceInputs[Name] extends TableView<infer R> ? Changes<R> : never };
  readonly #sliceOwner = new Map<string, string>();
  /** Rows that each asker wants, and what it was refused. A service asks by its key, the others by theirs behind a letter. */
  readonly #asked = new Map<string, Frontends>();
  /** Who asks for a frontend: nearly always one. */
  readonly #askers = new Map<string, string | ReadonlySet<string>>();
  readonly #onTroubles: (service: string, troubles: readonly string[]) => void;
  readonly #producer: { synced(): void };
  #isStale = false;

  constructor(inputs: ServiceInputs, context: () => FrontendContext, onTroubles: (service: string, troubles: readonly string[]) => void = () => {}) {
    const { services, slices, hostPorts, redirects, external } = inputs;
    this.inputs = [services, slices, hostPorts, redirects, external];
    this.#context = context;
    this.#onTroubles = onTroubles;
    this.#slices = new TableIndex(slices, slice => [ownerOf(slice)]);
    this.#changes = { services: services.changes(), slices: slices.changes(), hostPorts: hostPorts.changes(), redirects: redirects.changes(), external: external.changes() };
    this.#producer = this.table.producer('services, endpoint slices, host ports, local redirects and external addresses');
  }

  /** Brings the rows up to date with what changed since the last step. */
  step(): void {
    // A service whose slices have not been listed yet has no backends: written over what an earlier agent put there, that would be an outage.
    if (!this.inputs.every(table => table.synced)) return;
    const context = this.#context();
    const touched: Touched = { rows: new Map(), contested: new Set() };
    for (const key of this.#changedServices()) this.#refreshService(key, context, touched);
    this.#refreshLocal('h', this.#changes.hostPorts, this.inputs[2], input => hostPortRow(input, context), touched);
    this.#refreshLocal('r', this.#changes.redirects, this.inputs[3], redirectRow, touched);
    this.#isStale = false;
    this.#publish(touched);
    this.#producer.synced();
  }

  /** Makes the next step look at everything. */
  refreshAll(): void {
    this.#isStale = true;
  }

  /** The service that has a frontend; behind a local redirect the one that it stands in for. A pod's host port is no service. */
  serviceAt(frontend: string): { readonly namespace: string; readonly name: string } | undefined {
    const row = this.table.get(rowKey(frontend, scope.external));
    if (!row || (row.type !== 'HostPort' && row.type !== 'LocalRedirect')) return row;
    const askers = this.#askersOf(frontend).filter(asker => !/^[hr] /.test(asker)).sort();
    return askers.map(asker => this.#rowOf(asker, frontend)).find(other => other !== undefined);
  }

  /** Whether an endpoint of the service with this address still serves: a backend that left the maps need not be gone. */
  hasEndpoint(serviceKey: string, address: string): boolean {
    return this.#slices.get(serviceKey).some(slice => slice.endpoints?.some(e => e.addresses.includes(address) && stateOf(e) !== undefined) ?? false);
  }

  #changedServices(): Set<string> {
    const keys = new Set<string>(this.#isStale ? this.inputs[0].keys() : none);
    const services = this.#changes.services.take();
    for (const service of services.changed) keys.add(objectKey(service));
    for (const key of services.deleted) keys.add(key);
    const external = this.#changes.external.take();
    for (const { key } of external.changed) keys.add(key);
    for (const key of external.deleted) keys.add(key);
    const slices = this.#changes.slices.take();
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

  #refreshService(key: string, context: FrontendContext, touched: Touched): void {
    const service = this.inputs[0].get(key);
    const before = this.#asked.get(key)?.troubles ?? none;
    const asked = service ? readable(service, this.#slices.get(key), context) : nothing;
    this.#ask(key, asked, touched);
    if (service && asked.troubles.length > 0 && asked.troubles.join('\n') !== before.join('\n')) this.#onTroubles(key, asked.troubles);
  }

  #refreshLocal<R extends { readonly key: string }>(letter: string, changes: Changes<R>, table: TableView<R>, rowsOf: (input: R) => readonly ServiceRow[], touched: Touched): void {
    const { changed, deleted } = changes.take();
    for (const input of this.#isStale ? table.rows() : changed) this.#ask(`${letter} ${input.key}`, { rows: rowsOf(input), troubles: none, refused: none }, touched);
    for (const key of deleted) this.#ask(`${letter} ${key}`, nothing, touched);
  }

  #ask(asker: string, asked: Frontends, touched: Touched): void {
    for (const { key } of this.#asked.get(asker)?.rows ?? none) {
      this.#leave(asker, frontendOf(key), touched);
      touched.rows.set(key, undefined);
    }
    for (const row of asked.rows) {
      this.#join(asker, frontendOf(row.key), touched);
      touched.rows.set(row.key, row);
    }
    if (asked.rows.length + asked.troubles.length > 0) this.#asked.set(asker, asked);
    else this.#asked.delete(asker);
  }

  #join(asker: string, frontend: string, touched: Touched): void {
    const askers = this.#askers.get(frontend);
    if (askers === undefined) this.#askers.set(frontend, asker);
    else if (askers !== asker) {
      this.#askers.set(frontend, new Set(typeof askers === 'string' ? [askers, asker] : askers).add(asker));
      touched.contested.add(frontend);
    }
  }

  #leave(asker: string, frontend: string, touched: Touched): void {
    const askers = this.#askers.get(frontend);
    if (askers === asker) this.#askers.delete(frontend);
    // It has left already, with its row of the other scope.
    if (typeof askers !== 'object' || !askers.has(asker)) return;
    const left = [...askers].filter(other => other !== asker);
    this.#askers.set(frontend, left.length === 1 ? left[0]! : new Set(left));
    touched.contested.add(frontend);
  }

  #publish({ rows, contested }: Touched): void {
    for (const frontend of contested) for (const [key, row] of this.#settle(frontend)) rows.set(key, row);
    const upserts: ServiceRow[] = [];
    const deletes: string[] = [];
    for (const [key, row] of rows) {
      if (row) upserts.push(row);
      else deletes.push(key);
    }
    // A call takes only so many arguments.
    for (let i = 0; i < upserts.length; i += 10_000) this.table.upsert(...upserts.slice(i, i + 10_000));
    for (let i = 0; i < deletes.length; i += 10_000) this.table.delete(...deletes.slice(i, i + 10_000));
  }

  /** A frontend that several ask for, or did: one of them has it, in all scopes; who steps back for a redirect stays behind it. */
  #settle(frontend: string): readonly (readonly [key: string, row: ServiceRow | undefined])[] {
    const askers = this.#askersOf(frontend);
    const rowOf = (asker: string | undefined, key: string) => (asker === undefined ? undefined : this.#rowOf(asker, key));
    const [external, internal] = [rowKey(frontend, scope.external), rowKey(frontend, scope.internal)];
    const [winner, next] = ranked(askers.map(asker => ({ asker, row: rowOf(asker, external)! })));
    const isExempt = ((rowOf(winner, external)?.flags ?? 0) & rowFlag.redirectExempt) !== 0;
    return [
      [external, rowOf(winner, external)],
      [internal, rowOf(winner, internal)],
      [rowKey(frontend, scope.original), isExempt ? original(rowOf(next, internal) ?? rowOf(next, external)) : undefined],
    ];
  }

  #askersOf(frontend: string): readonly string[] {
    const known = this.#askers.get(frontend);
    return typeof known === 'string' ? [known] : [...(known ?? none)];
  }

  #rowOf(asker: string, key: string): ServiceRow | undefined {
    return this.#asked.get(asker)?.rows.find(row => row.key === key);
  }
}

/** What those get who are on this node and are not redirected. */
function original(row: ServiceRow | undefined): ServiceRow | undefined {
  return row && { ...row, key: rowKey(frontendOf(row.key), scope.original), scope: scope.original, flags: row.flags & ~rowFlag.twoScopes };
}

/** What a step has changed so far. */
interface Touched {
  readonly rows: Map<string, ServiceRow | undefined>;
  /** Frontends for which more than one asks, or did before: decided when all have asked. */
  readonly contested: Set<string>;
}

/** One object that no API server should have let pass must not keep the others from being served. */
function readable(service: Service, slices: readonly EndpointSlice[], context: FrontendContext): Frontends {
  try {
    return frontends(service, slices, context);
  } catch (error) {
    return { ...nothing, troubles: [`the service or its endpoint slices cannot be read: ${errorText(error)}`] };
  }
}

const none: readonly never[] = [];
const nothing: Frontends = { rows: [], troubles: [], refused: [] };

/** discovery.k8s.io/v1. */
const serviceNameLabel = 'kubernetes.io/service-name';

function ownerOf(slice: EndpointSlice): string {
  return `${slice.metadata.namespace ?? ''}/${slice.metadata.labels?.[serviceNameLabel] ?? ''}`;
}
