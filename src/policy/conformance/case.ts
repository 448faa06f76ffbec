/** Conformance cases as their files hold them (../shared/conformance/FORMAT.md), as far as the policy engine can answer. */
export interface CaseFile {
  readonly meta: { readonly source: string };
  readonly cases: readonly ConformanceCase[];
}

export interface ConformanceCase {
  readonly id: string;
  readonly kind: string;
  readonly category?: string;
  readonly title?: string;
  readonly cluster?: Cluster;
  readonly policies?: readonly KubernetesObject[];
  readonly probes?: readonly Probe[];
  readonly matrix?: readonly Matrix[];
  readonly matrix_cilium?: readonly Matrix[];
  readonly input?: unknown;
  readonly expect?: unknown;
}

export interface KubernetesObject {
  readonly kind?: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly labels?: Readonly<Record<string, string>> };
  readonly spec?: { readonly [field: string]: unknown };
}

export interface Cluster {
  readonly name?: string;
  readonly namespaces: readonly { readonly name: string; readonly labels?: Readonly<Record<string, string>> }[];
  readonly pods: readonly ClusterPod[];
  readonly nodes?: readonly { readonly name: string; readonly labels?: Readonly<Record<string, string>>; readonly ips: readonly string[] }[];
  readonly dns?: Readonly<Record<string, readonly string[]>>;
}

export interface ClusterPod {
  readonly namespace: string;
  readonly name: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly ip?: string;
  readonly node?: string;
  readonly service_account?: string;
  readonly host_network?: boolean;
  readonly ports?: readonly { readonly name?: string; readonly port: number; readonly protocol: string }[];
}

export interface End { readonly pod?: string; readonly ip?: string; readonly fqdn?: string; readonly node?: string }

export interface Probe {
  readonly from: End;
  readonly to: End;
  readonly port?: number;
  readonly protocol: string;
  readonly http?: { readonly method: string; readonly path: string; readonly headers?: Readonly<Record<string, string>> };
  readonly expect: 'allow' | 'deny' | 'reject' | 'http-403';
}

export interface Matrix {
  readonly port: number;
  readonly protocol: string;
  readonly from: readonly (string | { readonly ip: string })[];
  readonly to: readonly (string | { readonly ip: string })[];
  readonly rows: readonly string[];
}

/** What came of a case: how many of its probes held, what did not, and why the rest was not asked. */
export interface Outcome {
  readonly passed: number;
  readonly failures: readonly string[];
  readonly skipped: readonly string[];
}

export function outcome(passed: number, failures: readonly string[] = [], skipped: readonly string[] = []): Outcome {
  return { passed, failures, skipped };
}
