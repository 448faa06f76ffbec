import type { KubeClient } from '../kube/client.ts';
import { isNotFound } from '../kube/errors.ts';
import type { Resource } from '../kube/resources.ts';

export interface DiscoveredResource extends Resource {
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
}

interface ApiResourceList {
  readonly resources?: readonly {
    readonly name: string; readonly singularName?: string; readonly namespaced: boolean; readonly kind: string;
    readonly shortNames?: readonly string[]; readonly categories?: readonly string[];
  }[];
}

/** Which kinds the API serves, asked once a group version. */
export class Discovery {
  readonly #client: KubeClient;
  readonly #lists = new Map<string, Promise<DiscoveredResource[]>>();

  constructor(client: KubeClient) {
    this.#client = client;
  }

  async forKind(apiVersion: string, kind: string): Promise<DiscoveredResource | undefined> {
    const find = async () => (await this.#list(apiVersion)).find(resource => resource.kind === kind);
    const found = await find();
    if (found) return found;
    // A definition applied a moment ago is not in a list taken before it.
    this.#lists.delete(apiVersion);
    return find();
  }

  /** By plural, singular, short name, kind, or any of them with `.group`. */
  async forName(name: string): Promise<DiscoveredResource | undefined> {
    const lower = name.toLowerCase();
    const all = await this.all();
    return all.find(resource => {
      const names = [resource.plural, resource.singular, resource.kind.toLowerCase(), ...resource.shortNames];
      return names.includes(lower) || names.some(own => `${own}.${resource.group}` === lower);
    });
  }

  /** The preferred version of every group, core first. */
  async all(): Promise<DiscoveredResource[]> {
    const groups = (await this.#client.raw('GET', '/apis')) as { groups?: { preferredVersion?: { groupVersion: string } }[] };
    const versions = ['v1', ...(groups.groups ?? []).flatMap(group => group.preferredVersion?.groupVersion ?? [])];
    return (await Promise.all(versions.map(version => this.#list(version)))).flat();
  }

  #list(apiVersion: string): Promise<DiscoveredResource[]> {
    let list = this.#lists.get(apiVersion);
    if (!list) this.#lists.set(apiVersion, (list = this.#ask(apiVersion)));
    return list;
  }

  async #ask(apiVersion: string): Promise<DiscoveredResource[]> {
    const [group, version] = apiVersion.includes('/') ? (apiVersion.split('/') as [string, string]) : ['', apiVersion];
    let list: ApiResourceList;
    try {
      list = (await this.#client.raw('GET', group === '' ? `/api/${version}` : `/apis/${group}/${version}`)) as ApiResourceList;
    } catch (error) {
      if (isNotFound(error)) return [];
      throw error;
    }
    return (list.resources ?? []).filter(resource => !resource.name.includes('/')).map(resource => ({
      group,
      version,
      plural: resource.name,
      kind: resource.kind,
      namespaced: resource.namespaced,
      singular: resource.singularName || resource.kind.toLowerCase(),
      shortNames: resource.shortNames ?? [],
      categories: resource.categories ?? [],
    }));
  }
}
