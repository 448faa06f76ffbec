import type { EndpointSlice, KubeObject, Service as KubeService } from '../kube/types.ts';
import { objectKey } from '../kube/reflector.ts';
import { LabelSet } from '../model/labels.ts';
import type { CidrGroup, Service } from '../policy/compile.ts';
import type { Changes, Table } from '../table/table.ts';
import type { EngineChanges } from './engine-changes.ts';

export interface NamedObjectsDependencies {
  readonly engine: Pick<EngineChanges, 'setService' | 'setCidrGroup'>;
  readonly services: Table<KubeService>;
  readonly slices: Table<EndpointSlice>;
  readonly groups: Table<KubeObject>;
}

/** Services and CIDR groups that policies may name, brought to the engine object by object. */
export class NamedObjects {
  readonly #deps: NamedObjectsDependencies;
  readonly #serviceChanges: Changes<KubeService>;
  readonly #sliceChanges: Changes<EndpointSlice>;
  readonly #groupChanges: Changes<KubeObject>;
  readonly #groups = new Map<string, KubeObject>();
  /** Addresses by service and slice, and the service of each slice. */
  readonly #addresses = new Map<string, Map<string, readonly string[]>>();
  readonly #serviceOf = new Map<string, string>();

  constructor(dependencies: NamedObjectsDependencies) {
    this.#deps = dependencies;
    this.#serviceChanges = dependencies.services.changes();
    this.#sliceChanges = dependencies.slices.changes();
    this.#groupChanges = dependencies.groups.changes();
  }

  /** Those that the engine has. */
  get groups(): Iterable<KubeObject> {
    return this.#groups.values();
  }

  takeGroups(): void {
    if (!this.#groupChanges.pending) return;
    const { changed, deleted } = this.#groupChanges.take();
    for (const group of changed) {
      this.#groups.set(group.metadata.name, group);
      this.#deps.engine.setCidrGroup(group.metadata.name, cidrGroup(group));
    }
    for (const name of deleted) {
      this.#groups.delete(name);
      this.#deps.engine.setCidrGroup(name, undefined);
    }
  }

  /** Services matter only where a policy says `toServices`: until one does, what changes waits. */
  takeServices(): void {
    if (!this.#serviceChanges.pending && !this.#sliceChanges.pending) return;
    const { changed, deleted } = this.#serviceChanges.take();
    const touched = new Set([...changed.map(objectKey), ...deleted]);
    const slices = this.#sliceChanges.take();
    for (const key of slices.deleted) touched.add(this.#setSlice(key, undefined) ?? '');
    for (const slice of slices.changed) for (const key of [this.#setSlice(objectKey(slice), undefined), this.#setSlice(objectKey(slice), slice)]) touched.add(key ?? '');
    touched.delete('');
    for (const key of touched) this.#deps.engine.setService(key, this.#service(key));
  }

  /** Returns the service that the slice belongs to, or belonged to. */
  #setSlice(key: string, slice: EndpointSlice | undefined): string | undefined {
    const name = slice?.metadata.labels?.['kubernetes.io/service-name'];
    if (slice === undefined || name === undefined) {
      const before = this.#serviceOf.get(key);
      this.#serviceOf.delete(key);
      const slices = this.#addresses.get(before ?? '');
      if (slices?.delete(key) && slices.size === 0) this.#addresses.delete(before ?? '');
      return before;
    }
    const service = `${slice.metadata.namespace}/${name}`;
    this.#serviceOf.set(key, service);
    this.#addresses.set(service, (this.#addresses.get(service) ?? new Map()).set(key, (slice.endpoints ?? []).flatMap(endpoint => endpoint.addresses)));
    return service;
  }

  #service(key: string): Service | undefined {
    const service = this.#deps.services.get(key);
    return service && {
      namespace: service.metadata.namespace ?? '',
      name: service.metadata.name,
      labels: kubernetesLabels(service.metadata.labels),
      ...(service.spec?.selector ? { selector: service.spec.selector } : {}),
      addresses: [...(this.#addresses.get(key)?.values() ?? [])].flat(),
    };
  }
}

function cidrGroup({ metadata, spec }: KubeObject): CidrGroup {
  return { name: metadata.name, labels: kubernetesLabels(metadata.labels), cidrs: (spec as { readonly externalCIDRs?: readonly string[] } | undefined)?.externalCIDRs ?? [] };
}

function kubernetesLabels(labels: Readonly<Record<string, string>> | undefined): LabelSet {
  return LabelSet.of(Object.entries(labels ?? {}).map(([key, value]) => `k8s:${key}=${value}`));
}
