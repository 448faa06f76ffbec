/** What the linter says of policies: where, what comes of it, and what to do. */
import { valueAt } from '../edit.ts';
import { isClusterPolicy } from '../parse-cluster.ts';
import type { Policy, PolicySpec } from '../policy.ts';
import type { ScenarioPolicy } from '../scenario.ts';
import type { World } from '../world.ts';

/** `error`: does something else than was meant, or nothing. `warning`: probably. `info`: worth knowing. */
export type Severity = 'error' | 'warning' | 'info';

export interface Finding {
  /** `selects-nothing`: stable, to be searched for and silenced by. */
  readonly code: string;
  readonly severity: Severity;
  /** `CiliumNetworkPolicy/shop/web`. */
  readonly policy: string;
  /** `spec.ingress[0].fromEndpoints[0]`. */
  readonly field: string;
  /** `policies/web.yaml:12`; empty where the object came from the cluster. */
  readonly place: string;
  /** What it means. */
  readonly message: string;
  readonly mend: string;
}

export type Report = (code: string, severity: Severity, field: string, message: string, mend: string) => void;

/** A policy that parsed, with all that a check may ask for. */
export interface Checked {
  readonly world: World;
  readonly source: ScenarioPolicy;
  readonly policy: Policy;
  readonly report: Report;
}

export type Fields = Readonly<Record<string, unknown>>;

/** An entry of `ingress`, `egressDeny`, …, as written. */
export interface Entry {
  readonly spec: PolicySpec;
  readonly section: string;
  readonly direction: 'ingress' | 'egress';
  readonly deny: boolean;
  readonly path: string;
  readonly fields: Fields;
}

export function entriesOf({ source, policy }: Checked): readonly Entry[] {
  return policy.specs.flatMap(spec => ['ingress', 'ingressDeny', 'egress', 'egressDeny'].flatMap(section => {
    const list = valueAt(source.object, `${spec.path}.${section}`);
    return (Array.isArray(list) ? list : []).map((fields, i): Entry => ({
      spec, section, direction: section.startsWith('ingress') ? 'ingress' : 'egress', deny: section.endsWith('Deny'),
      path: `${spec.path}.${section}[${i}]`, fields: fieldsOf(fields),
    }));
  }));
}

/** Where a spec says whom it is for. */
export function subjectField({ source, policy }: Checked, { path, selectsNodes }: PolicySpec): string {
  if (policy.kind === 'NetworkPolicy') return `${path}.podSelector`;
  if (!isClusterPolicy(policy.kind)) return `${path}.${selectsNodes ? 'nodeSelector' : 'endpointSelector'}`;
  return `${path}.subject.${valueAt(source.object, `${path}.subject.namespaces`) === undefined ? 'pods' : 'namespaces'}`;
}

export function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Fields : {};
}

export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
