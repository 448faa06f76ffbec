import { objectKey } from '../../kube/reflector.ts';
import { TableIndex } from '../../kube/tableindex.ts';
import type { EndpointSlice, Service } from '../../kube/types.ts';
import { Table, type Changes } from '../../table/table.ts';

/** A port at which load balancers ask this node whether to send it a service's traffic. */
export interface HealthCheckRow {
  /** `namespace/name` of the service. */
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  readonly port: number;
  /** Endpoints on this node that are ready. */
  readonly localEndpoints: number;
}

/**
 * Services of type LoadBalancer with externalTrafficPolicy Local, and how many of their endpoints are here:
 *
 *     services ───┐
 *                 ├─► health-checks ─► HTTP on healthCheckNodePort
 *     endpoint ───┘
 *     slices
 */
export class HealthCheckDerivation {
  readonly table = new Table<HealthCheckRow>('health-checks', row => row.key);
  readonly inputs: readonly [Table<Service>, Table<EndpointSlice>];
  readonly #nodeName: string;
  readonly #slices: TableIndex<EndpointSlice>;
  readonly #changes: readonly [Changes<Service>, Changes<EndpointSlice>];
  readonly #owners = new Map<string, string>();

  constructor(nodeName: string, services: Table<Service>, slices: Table<EndpointSlice>) {
    this.#nodeName = nodeName;
    this.inputs = [services, slices];
    this.#slices = new TableIndex(slices, slice => [ownerOf(slice)]);
    this.#changes = [services.changes(), slices.changes()];
  }

  step(): void {
    const keys = new Set<string>();
    const services = this.#changes[0].take();
    for (const service of services.changed) if (portOf(service) !== undefined || this.table.has(objectKey(service))) keys.add(objectKey(service));
    for (const key of services.deleted) keys.add(key);
    const slices = this.#changes[1].take();
    for (const slice of slices.changed) {
      this.#owners.set(objectKey(slice), ownerOf(slice));
      if (this.table.has(ownerOf(slice))) keys.add(ownerOf(slice));
    }
    for (const key of slices.deleted) {
      keys.add(this.#owners.get(key) ?? '');
      this.#owners.delete(key);
    }
    for (const key of keys) this.#refresh(key);
  }

  #refresh(key: string): void {
    const service = this.inputs[0].get(key);
    const port = service && portOf(service);
    if (!service || port === undefined) return this.table.delete(key);
    const { namespace = '', name } = service.metadata;
    this.table.upsert({ key, namespace, name, port, localEndpoints: countLocal(this.#slices.get(key), this.#nodeName) });
  }
}

/** Undefined for services that have no such port in use. */
function portOf({ spec }: Service): number | undefined {
  const counts = spec.type === 'LoadBalancer' && spec.externalTrafficPolicy === 'Local' && spec.healthCheckNodePort;
  return counts ? spec.healthCheckNodePort : undefined;
}

/** Of both families the larger number: an endpoint has an address in each. One that moves between slices counts once. */
export function countLocal(slices: readonly Pick<EndpointSlice, 'addressType' | 'endpoints'>[], nodeName: string): number {
  const byFamily = new Map<string, Set<string>>();
  for (const { addressType, endpoints } of slices) for (const { nodeName: on, conditions, addresses } of endpoints ?? []) {
    if (on !== nodeName || !(conditions?.ready ?? true)) continue;
    const known = byFamily.get(addressType) ?? new Set();
    byFamily.set(addressType, known.add(addresses[0] ?? ''));
  }
  return Math.max(0, ...[...byFamily.values()].map(known => known.size));
}

function ownerOf(slice: EndpointSlice): string {
  return `${slice.metadata.namespace ?? ''}/${slice.metadata.labels?.['kubernetes.io/service-name'] ?? ''}`;
}
