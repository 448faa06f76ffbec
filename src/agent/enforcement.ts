import { endpointAddresses, type Endpoint } from '../features/endpoints/endpoint.ts';
import { LabelSet } from '../model/labels.ts';
import type { Policy } from '../policy/policy.ts';
import { hostKey } from './host-policy.ts';
import { subjectKey } from './regenerate.ts';

/** Whether a node enforces a version of a policy, and if not, why. */
export interface Enforced {
  readonly enforced: boolean;
  readonly error?: string;
  /** The next pass will load it. */
  readonly pending?: boolean;
}

/** A policy, and at which of the agent's revisions it took its present form. */
export interface PolicyVersion {
  readonly policy: Policy;
  readonly revision: number;
}

export interface EnforcementDependencies {
  readonly endpoints: { rows(): Iterable<Endpoint> };
  /** Why a subject's sets, or an address's row, are not in the kernel as they should be. */
  readonly failures: () => ReadonlyMap<string, { readonly message: string }>;
  readonly rowErrors: () => Iterable<{ readonly key: string; readonly state: string; readonly error?: string }>;
  readonly hasSets: (endpoint: Endpoint) => boolean;
  /** The node itself, which policies with a nodeSelector select; its failure stands under its own key. */
  readonly host: () => { readonly labels: LabelSet; readonly hasSets: boolean } | undefined;
  readonly isSynced: () => boolean;
}

/** A subject whose sets in the kernel are older than the policies. */
interface Behind extends Failing {
  /** The last revision that its sets were loaded at; -1 when never. */
  readonly revision: number;
  /** Whether any policy that selects it came later; asked once a pass. */
  newer?: boolean;
}

interface Failing {
  readonly labels: LabelSet;
  readonly isHost: boolean;
  readonly hasSets: boolean;
  readonly message: string;
}

/**
 * Which version of which policy the kernel of this node enforces. Each change of the policies is a revision; a pass that
 * loads all sets (written, read back, equal) and flips all endpoints brings the node to it. A subject whose sets could not be
 * loaded stays at its own revision, and only what came after it and selects that subject is not in force.
 */
export class Enforcement {
  readonly #deps: EnforcementDependencies;
  readonly #behind = new Map<string, Behind>();
  #revision = -1;
  #failure: string | undefined;

  constructor(dependencies: EnforcementDependencies) {
    this.#deps = dependencies;
  }

  /** The revision that the last pass brought into the kernel. */
  get revision(): number {
    return this.#revision;
  }

  /** After each pass: `revision` is what the engine was given before it. */
  passed(revision: number): void {
    if (!this.#deps.isSynced()) return;
    const failing = this.#failing();
    for (const key of this.#behind.keys()) if (!failing.has(key)) this.#behind.delete(key);
    for (const [key, subject] of failing) this.#behind.set(key, { ...subject, revision: this.#behind.get(key)?.revision ?? (subject.hasSets ? this.#revision : -1) });
    this.#revision = revision;
    this.#failure = undefined;
  }

  /** Instead of `passed`: what came since is not in force, and this is why. */
  failed(message: string): void {
    this.#failure = message;
  }

  of(version: PolicyVersion, all: Iterable<PolicyVersion>): Enforced {
    if (this.#revision < version.revision) {
      return this.#failure === undefined ? { enforced: false, error: 'not loaded into the kernel yet', pending: true } : { enforced: false, error: `a pass of the agent failed: ${this.#failure}` };
    }
    for (const behind of this.#behind.values()) {
      if (!selects(version.policy, behind)) continue;
      // Where no newer policy is to blame it is the peers that did not fit, and that concerns every policy of the subject.
      if (version.revision > behind.revision || !(behind.newer ??= anyNewer(all, behind))) return { enforced: false, error: behind.message };
    }
    return { enforced: true };
  }

  #failing(): Map<string, Failing> {
    const failing = new Map<string, Failing>();
    const failures = this.#deps.failures();
    const rows = new Map([...this.#deps.rowErrors()].filter(row => row.state === 'error').map(row => [row.key, row.error ?? 'the kernel refused it'] as const));
    if (failures.size === 0 && rows.size === 0) return failing;
    const host = failures.get(hostKey) && this.#deps.host();
    if (host) failing.set(hostKey, { ...host, isHost: true, message: failures.get(hostKey)!.message });
    for (const endpoint of this.#deps.endpoints.rows()) {
      const row = endpointAddresses(endpoint).find(address => rows.has(address));
      const message = failures.get(subjectKey(endpoint))?.message ?? (row === undefined ? undefined : `the map entry of ${row} could not be written: ${rows.get(row)}`);
      if (message !== undefined) failing.set(subjectKey(endpoint), { labels: LabelSet.of(endpoint.labels), isHost: false, hasSets: this.#deps.hasSets(endpoint), message });
    }
    return failing;
  }
}

function anyNewer(all: Iterable<PolicyVersion>, behind: Behind): boolean {
  for (const { policy, revision } of all) if (revision > behind.revision && selects(policy, behind)) return true;
  return false;
}

function selects(policy: Policy, { labels, isHost }: Failing): boolean {
  return policy.specs.some(spec => spec.selectsNodes === isHost && spec.subject.matches(labels));
}
