import type { PrefixIdentities } from '../features/addresses/prefix-identities.ts';
import type { Endpoint } from '../features/endpoints/endpoint.ts';
import type { CiliumEndpoint } from '../features/endpoints/objects.ts';
import type { Identity } from '../features/identities/allocate.ts';
import { objectKey } from '../kube/reflector.ts';
import type { KubeObject } from '../kube/types.ts';
import { LabelSet } from '../model/labels.ts';
import type { NamedPort, NamedPorts, Subject } from '../policy/compile.ts';
import { parsePolicy } from '../policy/parse.ts';
import { policyAddress, type Condition, type Policy, type PolicyError } from '../policy/policy.ts';
import type { Changes, Table } from '../table/table.ts';
import type { Enforced, PolicyVersion } from './enforcement.ts';
import type { EngineChange, EngineChanges } from './engine-changes.ts';
import { policySources, type Inputs } from './inputs.ts';
import type { LocalIdentities } from './local-identities.ts';
import { NamedObjects } from './named-objects.ts';
import { NamedPortBook } from './named-ports.ts';
import { NodeLabelKeys } from './node-label-keys.ts';
import type { PolicySecrets } from './policy-secrets.ts';

export interface PolicyInputsDependencies {
  readonly inputs: Inputs;
  readonly identities: Table<Identity>;
  readonly engine: EngineChanges;
  readonly prefixes: PrefixIdentities;
  /** Of nodes and of pods as destinations; gets `namedPorts` from here. */
  readonly local?: (namedPorts: (identity: number) => readonly NamedPorts[]) => Pick<LocalIdentities, 'refresh' | 'settling'>;
  readonly secrets?: Pick<PolicySecrets, 'refresh' | 'watch'>;
  /** Of DNS names. */
  readonly names?: { refresh(): void };
  readonly isSynced: () => boolean;
  readonly clusterName: string;
}

/** One object of a policy kind, as this agent understands it. */
interface Entry {
  /** The object's last version that this agent has seen. */
  readonly seen: ObjectVersion;
  /** What is in force: of the last version that was valid. */
  readonly version?: PolicyVersion;
  readonly errors: readonly PolicyError[];
}

interface ObjectVersion {
  readonly uid?: string;
  readonly generation?: number;
  readonly resourceVersion?: string;
}

/** A row of the agent's `/v1/policies`: which version of the object is known, and whether this node enforces that very version. */
export interface PolicyReport extends ObjectVersion, Enforced {
  readonly address: string;
  /** Of the version in force. */
  readonly tier?: Policy['tier'];
  readonly priority?: number;
  readonly mode?: Policy['mode'];
  readonly keepEstablished?: boolean;
  readonly errors: readonly PolicyError[];
  readonly conditions: readonly Condition[];
}

/**
 * What the engine needs, kept level with the tables: policies (parsed once per change), identities of the cluster and of
 * prefixes, services and groups. `refresh` costs nothing when nothing has changed.
 */
export class PolicyInputs {
  readonly #deps: PolicyInputsDependencies;
  readonly #entries = new Map<string, Entry>();
  /** What each entry was parsed from, without what does not change a policy: its status, its resource version. */
  readonly #contents = new Map<string, string>();
  #revision = 0;
  readonly #sources: { readonly kind: string; readonly changes: Changes<KubeObject> }[];
  readonly #identityChanges: Changes<Identity>;
  readonly #named: NamedObjects;
  readonly #endpointChanges: Changes<KubeObject>;
  readonly #namedPorts = new NamedPortBook();
  readonly #local: Pick<LocalIdentities, 'refresh' | 'settling'> | undefined;
  readonly #nodeKeys = new NodeLabelKeys();
  /** Policies that say `toServices`. */
  #serviceUsers = 0;
  #prefixRevision = -1;
  readonly #renamed = new Set<number>();
  /** Changes of policies since the agent started, the first list included. */
  readonly changes = { updated: 0, refused: 0, deleted: 0 };

  constructor(dependencies: PolicyInputsDependencies) {
    this.#deps = dependencies;
    const { inputs } = dependencies;
    this.#sources = policySources(inputs).map(({ resource, table }) => ({ kind: resource.kind, changes: table.changes() }));
    this.#local = dependencies.local?.(identity => this.#namedPorts.of(identity));
    this.#identityChanges = dependencies.identities.changes();
    this.#endpointChanges = inputs.ciliumEndpoints.table.changes();
    this.#named = new NamedObjects({ engine: dependencies.engine, services: inputs.services.table, slices: inputs.endpointSlices.table, groups: inputs.ciliumCidrGroups.table });
  }

  /** Tables whose change asks for a pass. */
  get watched(): readonly { watch(onMark: () => void): () => void }[] {
    const { inputs, secrets } = this.#deps;
    return [...policySources(inputs).map(({ table }) => table), ...(secrets ? [secrets] : []), inputs.ciliumCidrGroups.table, inputs.services.table, inputs.endpointSlices.table, inputs.nodes.table];
  }

  get size(): number {
    return this.#entries.size;
  }

  get counts(): { readonly total: number; readonly invalid: number; readonly degraded: number } {
    let invalid = 0;
    let degraded = 0;
    for (const { version, errors } of this.#entries.values()) {
      if (errors.length > 0) invalid++;
      if (version?.policy.conditions.some(condition => condition.severity === 'degraded')) degraded++;
    }
    return { total: this.#entries.size, invalid, degraded };
  }

  /** Counts changes of the policies that the engine was given. */
  get revision(): number {
    return this.#revision;
  }

  /** Another pass is needed though nothing has changed. */
  get settling(): boolean {
    return this.#local?.settling ?? false;
  }

  /** What is in force of an object, by `policyAddress`. */
  version(address: string): PolicyVersion | undefined {
    return this.#entries.get(address)?.version;
  }

  versions(): PolicyVersion[] {
    return [...this.#entries.values()].map(entry => entry.version).filter(version => version !== undefined);
  }

  report(enforced: (version: PolicyVersion) => Enforced): PolicyReport[] {
    const conflicts = new Map(this.#deps.engine.l7Conflicts().flatMap(({ conflict, because }) => (conflict ?? []).map(address => [address, because] as const)));
    return [...this.#entries].map(([address, { seen, version, errors }]) => ({
      address, ...(version && waysOf(version.policy)), ...seen, errors, conditions: version?.policy.conditions ?? [],
      ...(errors.length > 0 ? { enforced: false, error: invalidText(errors, version !== undefined) } : withConflict(enforced(version!), conflicts.get(address))),
    }));
  }

  /** The groups that the sets in force were compiled with. */
  groups(): (ObjectVersion & { readonly name: string })[] {
    return [...this.#named.groups].map(({ metadata: { name, uid, generation } }) => ({ name, ...(uid !== undefined && { uid }), ...(generation !== undefined && { generation }) }));
  }

  /** Brings the engine level with the tables, at the cost of what has changed in them. Returns what that changes in sets. */
  refresh(): EngineChange {
    this.#takePolicies();
    this.#deps.secrets?.refresh(policySources(this.#deps.inputs).every(({ table }) => table.synced));
    this.#named.takeGroups();
    if (this.#serviceUsers > 0) this.#named.takeServices();
    this.#takeIdentities();
    if (this.#deps.isSynced()) {
      // Before the first lists the prefixes, nodes and networks of an earlier agent stay: fewer policies would look like fewer of them.
      this.#takeLocal();
      this.#takePrefixes();
      this.#deps.names?.refresh();
    }
    return this.#deps.engine.take();
  }

  subjectOf(endpoint: Endpoint): Subject {
    return { labels: LabelSet.of(endpoint.labels), namedPorts: namedPortMap(endpoint.namedPorts) };
  }

  #takePolicies(): void {
    let changed = false;
    for (const { kind, changes } of this.#sources) {
      if (!changes.pending) continue;
      const { changed: objects, deleted } = changes.take();
      for (const object of objects) changed = this.#parse({ ...object, kind }) || changed;
      for (const key of deleted) changed = this.#forget(addressOf(kind, key)) || changed;
    }
    if (changed) this.#revision++;
  }

  /**
   * An object that became invalid keeps its last valid form in force; the API refuses such objects, but other clients may not
   * ask. A change of its status alone changes no policy: every agent writes its own part there.
   */
  #parse(object: KubeObject): boolean {
    const { uid, generation, resourceVersion, namespace, name, annotations } = object.metadata;
    const seen: ObjectVersion = { ...(uid === undefined ? {} : { uid }), ...(generation === undefined ? {} : { generation }), ...(resourceVersion === undefined ? {} : { resourceVersion }) };
    const address = addressOf(object.kind, namespace === undefined ? name : `${namespace}/${name}`);
    const before = this.#entries.get(address);
    const content = JSON.stringify([uid, generation ?? object.spec, generation ?? object['specs'], annotations]);
    if (before && this.#contents.get(address) === content) {
      this.#entries.set(address, { ...before, seen });
      return false;
    }
    this.#contents.set(address, content);
    const { policy, errors } = parsePolicy(object, { clusterName: this.#deps.clusterName, nodeLabels: true });
    this.changes[policy ? 'updated' : 'refused']++;
    if (policy) {
      this.#entries.set(address, { seen, version: { policy, revision: this.#revision + 1 }, errors: [] });
      this.#replace(address, before?.version?.policy, policy);
    } else this.#entries.set(address, { seen, ...(before?.version ? { version: before.version } : {}), errors });
    return policy !== undefined;
  }

  #forget(address: string): boolean {
    this.changes.deleted++;
    this.#contents.delete(address);
    this.#replace(address, this.#entries.get(address)?.version?.policy, undefined);
    return this.#entries.delete(address);
  }

  #replace(address: string, before: Policy | undefined, after: Policy | undefined): void {
    if (after) this.#deps.engine.upsertPolicy(after);
    else this.#deps.engine.removePolicy(address);
    this.#nodeKeys.change(before, after);
    this.#serviceUsers += Number(after !== undefined && usesServices(after)) - Number(before !== undefined && usesServices(before));
  }

  #takeIdentities(): void {
    const renamed = this.#takeNamedPorts();
    if (!this.#identityChanges.pending && renamed.size === 0) return;
    const { changed, deleted } = this.#identityChanges.take();
    const known = [...renamed].map(id => this.#deps.identities.get(String(id))).filter(identity => identity !== undefined);
    for (const identity of [...changed, ...known]) this.#deps.engine.upsertIdentity(identity.id, identity.labels, this.#namedPorts.of(identity.id));
    for (const key of deleted) this.#deps.engine.removeIdentity(Number(key));
  }

  /** Port names of the pods behind each identity. Returns whose changed. */
  #takeNamedPorts(): Set<number> {
    if (!this.#endpointChanges.pending) return new Set();
    const { changed, deleted } = this.#endpointChanges.take();
    const renamed = new Set(deleted.flatMap(key => this.#namedPorts.remove(key)));
    for (const object of changed as readonly CiliumEndpoint[]) {
      const ports = object.status?.['named-ports'] ?? [];
      const identity = object.status?.identity.id ?? 0;
      for (const id of this.#namedPorts.set(objectKey(object), identity, JSON.stringify(ports), namedPortMap(ports))) renamed.add(id);
    }
    for (const id of renamed) this.#renamed.add(id);
    return renamed;
  }

  #takeLocal(): void {
    if (!this.#local) return;
    const renamed = new Set(this.#renamed);
    this.#renamed.clear();
    this.#local.refresh(this.#nodeKeys, renamed);
  }

  #takePrefixes(): void {
    const { engine, prefixes } = this.#deps;
    if (engine.prefixRevision === this.#prefixRevision) return;
    this.#prefixRevision = engine.prefixRevision;
    const { added, removed } = prefixes.set(engine.cidrPrefixes());
    for (const id of removed) engine.removeIdentity(id);
    for (const [id, labels] of added) engine.upsertIdentity(id, labels);
  }
}

function namedPortMap(ports: Endpoint['namedPorts']): NamedPorts {
  return new Map(ports.map(port => [port.name, { protocol: port.protocol as NamedPort['protocol'], port: port.port }]));
}

/** Where rules of two policies cannot hold together nothing passes: neither is in force as written. */
function withConflict(enforced: Enforced, conflict: string | undefined): Enforced {
  return conflict === undefined || !enforced.enforced ? enforced : { enforced: false, error: conflict };
}

function addressOf(kind: string, key: string): string {
  const [namespace, name] = key.includes('/') ? [key.slice(0, key.indexOf('/')), key.slice(key.indexOf('/') + 1)] : [undefined, key];
  return policyAddress({ kind, name, ...(namespace === undefined ? {} : { namespace }) });
}

function invalidText(errors: readonly PolicyError[], earlierInForce: boolean): string {
  return `${errors.map(error => `${error.path}: ${error.message}`).join('; ')}${earlierInForce ? '; the version before it stays in force' : '; it is not in force'}`;
}

function usesServices(policy: Policy): boolean {
  return policy.specs.some(spec => spec.rules.some(rule => rule.peers !== 'any' && rule.peers.some(peer => peer.type === 'service')));
}

/** What sets a policy apart from one that is simply in force. */
function waysOf({ tier, priority, mode, keepEstablished }: Policy): Pick<PolicyReport, 'tier' | 'priority' | 'mode' | 'keepEstablished'> {
  return { ...(tier !== 'normal' && { tier, priority }), ...(mode !== 'enforce' && { mode }), ...(keepEstablished && { keepEstablished }) };
}
