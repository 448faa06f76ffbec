import type { ResourceType } from './resource.ts';
import { apiVersionOf } from './resource.ts';

/** The resources that the API serves now. CRDs come and go while it runs; `revision` tells caches that they are stale. */
export class Registry {
  readonly #byPath = new Map<string, ResourceType>();
  readonly #groups = new Map<string, string[]>();
  #revision = 0;

  /** `preferred` lists a group's versions in the order in which discovery names them. */
  add(type: ResourceType): void {
    this.#byPath.set(`${apiVersionOf(type)}/${type.plural}`, type);
    const versions = this.#groups.get(type.group) ?? [];
    if (!versions.includes(type.version)) this.#groups.set(type.group, [...versions, type.version].sort(compareVersions));
    this.#revision++;
  }

  remove(type: Pick<ResourceType, 'group' | 'version' | 'plural'>): void {
    this.#byPath.delete(`${apiVersionOf(type)}/${type.plural}`);
    const versions = (this.#groups.get(type.group) ?? []).filter(v => this.types(type.group, v).length > 0);
    if (versions.length > 0) this.#groups.set(type.group, versions);
    else this.#groups.delete(type.group);
    this.#revision++;
  }

  find(group: string, version: string, plural: string): ResourceType | undefined {
    return this.#byPath.get(`${group === '' ? version : `${group}/${version}`}/${plural}`);
  }

  types(group: string, version: string): ResourceType[] {
    return this.all().filter(t => t.group === group && t.version === version).sort((a, b) => (a.plural < b.plural ? -1 : 1));
  }

  all(): ResourceType[] {
    return [...this.#byPath.values()];
  }

  /** Groups and their versions, the preferred version first. */
  groups(): ReadonlyMap<string, readonly string[]> {
    return this.#groups;
  }

  get revision(): number {
    return this.#revision;
  }
}

/** Kubernetes' order of versions: GA before beta before alpha, larger numbers first. */
export function compareVersions(a: string, b: string): number {
  const left = versionRank(a);
  const right = versionRank(b);
  for (let i = 0; i < 3; i++) if (left[i] !== right[i]) return right[i]! - left[i]!;
  return a < b ? -1 : a > b ? 1 : 0;
}

function versionRank(version: string): number[] {
  const match = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(version);
  if (!match) return [-1, 0, 0];
  const stage = match[2] === 'alpha' ? 0 : match[2] === 'beta' ? 1 : 2;
  return [stage, Number(match[1]), Number(match[3] ?? 0)];
}
