import { EndpointFlag } from '../datapath/generated/enums.ts';
import type { NodeMaps } from '../datapath/maps.ts';
import { mapTarget } from '../datapath/map-target.ts';
import { addressKey, type AddressRow } from '../features/addresses/book.ts';
import { addressLayout } from '../features/addresses/layout.ts';
import { endpointAddresses, type Endpoint } from '../features/endpoints/endpoint.ts';
import { endpointLayout, endpointRowKey, type EndpointRow } from '../features/endpoints/layout.ts';
import { PolicySets, type LoadedSet } from '../features/policy/sets.ts';
import { RuntimeFlag } from '../datapath/generated/enums.ts';
import { subjectText, type CompiledSet, type SetDelta, type Subject } from '../policy/compile.ts';
import { errorText } from '../std/errors.ts';
import type { Logger } from '../std/log.ts';
import { Reconciler } from '../table/reconcile.ts';
import { Table } from '../table/table.ts';
import type { EngineChange } from './engine-changes.ts';
import { hostKey, HostPolicy } from './host-policy.ts';

export interface RegenerateDependencies {
  readonly maps: NodeMaps;
  readonly endpoints: Table<Endpoint>;
  readonly log: Logger;
  /** Takes policies and identities into the engine, and returns what that changes in sets. */
  readonly refreshEngine: () => EngineChange;
  readonly compile: (subject: Subject, direction: 'ingress' | 'egress') => CompiledSet;
  /** Nobody here is this subject any more. */
  readonly forget: (subject: Subject) => void;
  readonly subjectOf: (endpoint: Endpoint) => Subject;
  /** What changed of the ipcache's rows since the last call. */
  readonly takeAddresses: () => { readonly rows: readonly AddressRow[]; readonly gone: readonly string[] };
  /** The node's own addresses, without policy sets. */
  readonly hostRows: () => readonly EndpointRow[];
  /** The node as policies with a nodeSelector see it. */
  readonly hostSubject?: () => Subject | undefined;
  /** Whether what policies deny this endpoint passes. Asked as soon as the first lists are there. */
  readonly audit: (endpoint: Endpoint) => boolean;
  /** Whether the kernel may carry out a pod's HTTP: `wanted` has the programs at its device when it says so. */
  readonly http?: { wanted(endpoint: Endpoint, ingress: LoadedSet): boolean; isAttached(endpoint: Endpoint): boolean };
  /** Who a local pod is as a destination at an address, where that is another number than its identity. */
  readonly policyIdentity?: (endpoint: Endpoint, address: string) => number | undefined;
  /** Told once for each new reason why something of a pod, or an address, is not in the kernel as it should be. */
  readonly onTrouble?: (about: { readonly endpoint?: Endpoint; readonly address?: string }, message: string) => void;
  /** After the sets of one subject were loaded, or could not be. */
  readonly onLoaded?: (outcome: 'success' | 'failure', seconds: number) => void;
  /** After each pass: what the sets in the kernel and the endpoints were brought to. */
  readonly onPass?: () => void;
  /** False until every reflector has delivered its first list: until then nothing is taken away and no set is replaced. */
  readonly synced: () => boolean;
}

/** What endpoints of this node are to policies; those that cannot be told apart are one. */
interface LocalSubject {
  readonly key: string;
  /** One of them. */
  readonly endpoint: Endpoint;
  readonly subject: Subject;
  /** As the engine calls it. */
  readonly text: string;
}

/** The sets in force for one subject. */
interface SubjectSets {
  readonly ingress: LoadedSet;
  readonly egress: LoadedSet;
}

/**
 * From tables to the kernel, in the one order in which no window opens:
 *
 *     1 policy sets: written whole under new numbers, read back and compared
 *     2 ipcache: new addresses and identities, which the sets know by now
 *     3 endpoints: each flips to its new sets with one update
 *     4 ipcache: rows that are gone go; had a prefix gone before the flip, the old sets would judge it as the wider one
 *     5 generation: running connections are judged anew on their next packet
 *     6 sets and classes that nothing leads to any more are removed
 *
 * A pass is synchronous and needs nothing but the tables, so the state of the kernel depends on the present objects alone.
 */
export class Regenerator {
  readonly #deps: RegenerateDependencies;
  readonly sets: PolicySets;
  readonly host: HostPolicy;
  readonly addresses = new Table<AddressRow>('addresses', addressKey);
  readonly endpointRows = new Table<EndpointRow>('endpoint-rows', endpointRowKey);
  readonly addressReconciler: Reconciler<AddressRow>;
  readonly endpointReconciler: Reconciler<EndpointRow>;
  readonly #subjects = new Map<string, LocalSubject>();
  readonly #bySubject = new Map<string, SubjectSets>();
  /** Why a subject's policy is not in force as written; the previous sets stay. */
  readonly failures = new Map<string, { readonly message: string; readonly since: string; attempts: number }>();
  readonly #firstLists: { synced(): void }[];
  #changed = false;
  #swept = false;

  constructor(dependencies: RegenerateDependencies) {
    this.#deps = dependencies;
    const { maps, log } = dependencies;
    this.sets = new PolicySets({ classes: maps.policyClasses, verdicts: maps.policyVerdicts });
    this.host = new HostPolicy({ sets: this.sets, compile: dependencies.compile, forget: dependencies.forget, subject: () => dependencies.hostSubject?.() });
    this.#firstLists = [this.addresses.producer('first lists'), this.endpointRows.producer('first lists')];
    const onApplied = () => { this.#changed = true; };
    const onFailed = (address: string, _: string, error: Error) => dependencies.onTrouble?.({ address }, errorText(error));
    this.addressReconciler = new Reconciler({ desired: this.addresses, target: mapTarget(maps.ipcache, addressLayout), log, onApplied, onFailed });
    this.endpointReconciler = new Reconciler({ desired: this.endpointRows, target: mapTarget(maps.endpoints, endpointLayout), log, onApplied, onFailed });
  }

  /** One pass. Cheap when nothing has changed. Returns ms until failed rows want another, or undefined. */
  run(): number | undefined {
    const { synced } = this.#deps;
    const change = this.#deps.refreshEngine();
    if (change.stale.size > 0 || change.deltas.length > 0) this.#changed = true;
    this.#loadSets(change);
    const { rows, gone } = this.#deps.takeAddresses();
    // A call takes only so many arguments.
    for (let i = 0; i < rows.length; i += 10_000) this.addresses.upsert(...rows.slice(i, i + 10_000));
    this.addressReconciler.settle();
    const hostRows = this.#hostRows();
    const hostPolicy = hostRows.some(row => row.ingressSet !== 0 || row.egressSet !== 0);
    if (hostPolicy) this.#flagHostPolicy(true);
    this.endpointRows.replaceAll([...hostRows, ...this.#podRows()]);
    if (synced()) for (const first of this.#firstLists.splice(0)) first.synced();
    this.endpointReconciler.settle();
    if (!hostPolicy) this.#flagHostPolicy(false);
    this.addresses.delete(...gone);
    this.addressReconciler.settle();
    if (this.#changed) this.#bumpGeneration();
    this.#retireSets();
    this.#deps.onPass?.();
    const waits = [this.addressReconciler.turn(), this.endpointReconciler.turn(), this.failures.size > 0 ? 5_000 : undefined].filter(ms => ms !== undefined);
    // A row that failed before may have gone in just now; entries of connections go by what the last generation has found.
    if (this.#changed) this.#bumpGeneration();
    return waits.length > 0 ? Math.min(...waits) : undefined;
  }

  /** A pass for one endpoint's sake: throws when it is not ready afterwards. */
  makeReady(endpoint: Endpoint): void {
    this.run();
    const failure = this.failures.get(subjectKey(endpoint));
    if (failure && !this.#bySubject.has(subjectKey(endpoint))) throw new Error(`the policy of ${endpoint.namespace}/${endpoint.podName} could not be loaded: ${failure.message}`);
    for (const address of endpointAddresses(endpoint)) {
      const failed = [...this.endpointReconciler.statuses()].find(status => status.key === address);
      if (failed) throw new Error(`the map entry of ${address} could not be written: ${failed.error ?? 'pending'}`);
      if (!this.endpointRows.get(address)?.ready) throw new Error(`the endpoint ${address} has no policy in the kernel yet`);
    }
  }

  setsOf(endpoint: Endpoint): SubjectSets | undefined {
    return this.#bySubject.get(subjectKey(endpoint));
  }

  #loadSets({ stale, deltas }: EngineChange): void {
    this.#takeSubjects();
    // Before the first lists policies are missing: what an earlier agent put in place knows more.
    if (!this.#deps.synced()) return;
    const behind = this.#applyDeltas(deltas);
    if (this.host.isBehind(stale, behind) || this.failures.has(hostKey)) this.#attempt(hostKey, undefined, () => this.host.load());
    for (const subject of this.#subjects.values()) {
      const sets = this.#bySubject.get(subject.key);
      const isCurrent = sets && !stale.has(subject.text) && !behind.has(sets.ingress.key) && !behind.has(sets.egress.key) && !this.failures.has(subject.key);
      if (!isCurrent) this.#loadSubject(subject);
    }
  }

  #takeSubjects(): void {
    const present = new Set<string>();
    for (const endpoint of this.#deps.endpoints.rows()) {
      const key = subjectKey(endpoint);
      present.add(key);
      if (this.#subjects.has(key)) continue;
      const subject = this.#deps.subjectOf(endpoint);
      this.#subjects.set(key, { key, endpoint, subject, text: subjectText(subject) });
    }
    if (present.size === this.#subjects.size) return;
    const gone = [...this.#subjects.values()].filter(({ key }) => !present.has(key));
    for (const { key } of gone) for (const map of [this.#subjects, this.#bySubject, this.failures]) map.delete(key);
    // Names of ports in capitals are other keys to us, and the same subject to the engine.
    const texts = new Set([...this.#subjects.values()].map(({ text }) => text));
    for (const { text, subject } of gone) if (!texts.has(text)) this.#deps.forget(subject);
  }

  /** Returns the keys of sets that must be compared whole: a change did not fit, or starts where they do not stand. */
  #applyDeltas(deltas: readonly SetDelta[]): ReadonlySet<string> {
    const behind = new Set<string>();
    for (const delta of deltas) {
      if (behind.has(delta.key) || !this.sets.get(delta.key)) continue;
      try {
        if (!this.sets.apply(delta)) behind.add(delta.key);
      } catch {
        // Loading the set meets the same error, and says whom it concerns.
        behind.add(delta.key);
      }
    }
    return behind;
  }

  /** Policies that are too large are refused in the compilation or where they would be loaded; the others of the node are loaded all the same. */
  #loadSubject({ key, endpoint, subject }: LocalSubject): void {
    this.#attempt(key, endpoint, () => {
      const compiled = { ingress: this.#deps.compile(subject, 'ingress'), egress: this.#deps.compile(subject, 'egress') };
      this.#bySubject.set(key, { ingress: this.sets.ensure(compiled.ingress), egress: this.sets.ensure(compiled.egress) });
    });
  }

  #attempt(key: string, endpoint: Endpoint | undefined, load: () => void): void {
    const startedAt = performance.now();
    const tell = (outcome: 'success' | 'failure') => this.#deps.onLoaded?.(outcome, (performance.now() - startedAt) / 1000);
    try {
      load();
      this.failures.delete(key);
      tell('success');
    } catch (error) {
      tell('failure');
      const message = errorText(error);
      const before = this.failures.get(key);
      if (before?.message !== message) {
        this.#deps.log.error('policy could not be loaded; what was in force stays', { subject: key, error: message });
        if (endpoint || key === hostKey) this.#deps.onTrouble?.(endpoint ? { endpoint } : {}, message);
      }
      this.failures.set(key, { message, since: before?.since ?? new Date().toISOString(), attempts: (before?.attempts ?? 0) + 1 });
    }
  }

  #hostRows(): EndpointRow[] {
    return this.#deps.hostRows().map(row => {
      const kept = this.host.isLoaded ? undefined : this.#adopted(row.address, row);
      const { ingressSet, egressSet } = kept ?? this.host.ids;
      return { ...row, ingressSet, egressSet };
    });
  }

  #podRows(): EndpointRow[] {
    const rows: EndpointRow[] = [];
    for (const endpoint of this.#deps.endpoints.rows()) {
      const sets = this.#bySubject.get(subjectKey(endpoint));
      const addresses = endpointAddresses(endpoint);
      const http = sets && this.#deps.synced() && this.#deps.http?.wanted(endpoint, sets.ingress);
      for (const address of addresses) {
        const other = addresses.find(one => one !== address);
        const present = sets && this.#deps.synced() ? undefined : this.#adopted(address, endpoint);
        const kept = sets ? undefined : present;
        const policyIdentity = this.#deps.policyIdentity?.(endpoint, address);
        rows.push({
          address, ifindex: endpoint.ifindex, id: endpoint.id, identity: endpoint.identity,
          ingressSet: sets?.ingress.id ?? kept?.ingressSet ?? 0,
          egressSet: sets?.egress.id ?? kept?.egressSet ?? 0,
          mac: endpoint.mac, hostMac: endpoint.hostMac,
          ready: sets !== undefined || kept !== undefined, host: false,
          // Until the annotations have been read, what an earlier agent has read of them holds.
          audit: this.#deps.synced() ? this.#deps.audit(endpoint) : ((present?.flags ?? 0) & EndpointFlag.Audit) !== 0,
          ...(http || (((present?.flags ?? 0) & EndpointFlag.Http) !== 0 && this.#deps.http?.isAttached(endpoint)) ? { http: true } : {}),
          ...(policyIdentity === undefined ? {} : { policyIdentity }),
          ...(other === undefined ? {} : { other }),
        });
      }
    }
    return rows;
  }

  /** What the kernel enforces for this very endpoint since before this agent started. */
  #adopted(address: string, endpoint: { readonly id: number }): { ingressSet: number; egressSet: number; flags: number } | undefined {
    const present = this.#deps.maps.endpoints.lookup(endpointLayout.keyFromText(address));
    return present && present.id === endpoint.id && (present.ingressSet | present.egressSet) !== 0 ? present : undefined;
  }

  #bumpGeneration(): void {
    const row = this.#deps.maps.runtime.lookup(0) ?? { policyGeneration: 0, flags: 0 };
    this.#deps.maps.runtime.update(0, { ...row, policyGeneration: (row.policyGeneration + 1) >>> 0 });
    this.#changed = false;
  }

  /** Set before the node's rows get sets and cleared after they have lost them: a program that looks in between looks too often. */
  #flagHostPolicy(present: boolean): void {
    const row = this.#deps.maps.runtime.lookup(0) ?? { policyGeneration: 0, flags: 0 };
    const flags = present ? row.flags | RuntimeFlag.HostPolicy : row.flags & ~RuntimeFlag.HostPolicy;
    if (flags !== row.flags) this.#deps.maps.runtime.update(0, { ...row, flags });
  }

  /** Only when no row of the kernel can still point to them. */
  #retireSets(): void {
    if (!this.#deps.synced() || !this.endpointReconciler.settled) return;
    const inUse = new Set<string>(this.host.keys);
    for (const sets of this.#bySubject.values()) inUse.add(sets.ingress.key).add(sets.egress.key);
    this.sets.retain(inUse);
    if (this.#swept || this.failures.size > 0) return;
    const removed = this.sets.sweep();
    this.#swept = true;
    if (removed > 0) this.#deps.log.info('removed policy entries of an earlier agent', { entries: removed });
  }
}

/** Endpoints with equal labels and equally named ports share their sets. */
export function subjectKey(endpoint: Endpoint): string {
  const known = subjectKeys.get(endpoint);
  if (known !== undefined) return known;
  const key = `${endpoint.identity}|${endpoint.namedPorts.map(port => `${port.name}=${port.protocol}/${port.port}`).sort().join(',')}`;
  subjectKeys.set(endpoint, key);
  return key;
}

/** Rows do not change, and each pass asks for all of them. */
const subjectKeys = new WeakMap<Endpoint, string>();
