import type { LoadedSet, PolicySets } from '../features/policy/sets.ts';
import { LabelSet } from '../model/labels.ts';
import { subjectText, type CompiledSet, type Subject } from '../policy/compile.ts';
import type { Node } from '../kube/types.ts';

export interface HostPolicyDependencies {
  /** The node as policies see it; undefined while its object is not known. */
  readonly subject: () => Subject | undefined;
  readonly compile: (subject: Subject, direction: 'ingress' | 'egress') => CompiledSet;
  /** The node is not this subject any more. */
  readonly forget: (subject: Subject) => void;
  readonly sets: PolicySets;
}

/** The node itself as an end of connections: never a pod's id, never 0 (which is "not on this node"). */
export const hostEndpointId = 2 ** 31 - 1;

/** The key of the node's failures among those of subjects. */
export const hostKey = 'host';

/**
 * The sets of the node itself. A direction that no policy with a nodeSelector speaks of has none: it is not restricted, whatever
 * the policy mode is, and costs nothing.
 */
export class HostPolicy {
  readonly #deps: HostPolicyDependencies;
  /** What the sets were made for. */
  #subject: Subject | undefined;
  #ingress: LoadedSet | undefined;
  #egress: LoadedSet | undefined;

  constructor(dependencies: HostPolicyDependencies) {
    this.#deps = dependencies;
  }

  /** The node has other labels, or its sets are other ones than those in force. `stale`: subjects; `behind`: keys of sets. */
  isBehind(stale: ReadonlySet<string>, behind: ReadonlySet<string>): boolean {
    const subject = this.#deps.subject();
    if (subject?.labels.toString() !== this.#subject?.labels.toString()) return true;
    return subject !== undefined && (stale.has(subjectText(subject)) || this.keys.some(key => behind.has(key)));
  }

  /** False until the first `load`: until then what an earlier agent put in place counts. */
  get isLoaded(): boolean {
    return this.#subject !== undefined;
  }

  get ids(): { readonly ingressSet: number; readonly egressSet: number } {
    return { ingressSet: this.#ingress?.id ?? 0, egressSet: this.#egress?.id ?? 0 };
  }

  get keys(): readonly string[] {
    return [this.#ingress, this.#egress].flatMap(set => (set ? [set.key] : []));
  }

  /** Throws when the kernel does not take a set; then both stay as they were. */
  load(): void {
    const subject = this.#deps.subject();
    if (!subject) return;
    const ingress = this.#ensure(subject, 'ingress');
    const egress = this.#ensure(subject, 'egress');
    this.#ingress = ingress;
    this.#egress = egress;
    if (this.#subject && subjectText(this.#subject) !== subjectText(subject)) this.#deps.forget(this.#subject);
    this.#subject = subject;
  }

  #ensure(subject: Subject, direction: 'ingress' | 'egress'): LoadedSet | undefined {
    const compiled = this.#deps.compile(subject, direction);
    return isRestricted(compiled) ? this.#deps.sets.ensure(compiled) : undefined;
  }
}

/** The labels that a nodeSelector is compared with. */
export function hostSubject(node: Node | undefined): Subject | undefined {
  if (!node) return undefined;
  return { labels: LabelSet.of(['reserved:host', ...Object.entries(node.metadata.labels ?? {}).map(([key, value]) => `k8s:${key}=${value}`)]), namedPorts: new Map(), isHost: true };
}

/** Does any policy speak of this direction? The default of the policy mode alone does not: it would cut every node off. */
function isRestricted(compiled: CompiledSet): boolean {
  return [...compiled.rules.values()].some(rule => rule.kind !== 'default' || rule.address.startsWith('default/deny/'));
}
