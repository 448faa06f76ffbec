/** From a Kubernetes object to a Policy, with every error at once and with what will not be enforced as written. */
import type { HttpReader } from '../model/l7.ts';
import { FieldReader } from './fields.ts';
import { clusterPolicyKinds, parseClusterPolicy } from './parse-cluster.ts';
import { parseNetworkPolicySpec } from './parse-networkpolicy.ts';
import { parseSpec } from './parse-rule.ts';
import type { RuleContext } from './parse-rule.ts';
import { policyAddress, policyAnnotations } from './policy.ts';
import type { Condition, Policy, PolicyError, PolicyKind, PolicySpec } from './policy.ts';

/** As much of a Kubernetes object as is read here. */
export interface PolicyObject {
  readonly kind?: unknown;
  readonly metadata?: { readonly name?: unknown; readonly namespace?: unknown; readonly uid?: unknown; readonly annotations?: unknown };
  readonly spec?: unknown;
  readonly specs?: unknown;
}

export interface ParseOptions {
  /** This cluster's name: selectors that name no cluster then mean this one. Leave out where there is only one. */
  readonly clusterName?: string;
  /** True when remote nodes have identities with `node:` labels. */
  readonly nodeLabels?: boolean;
}

export type ParseResult =
  | { readonly policy: Policy; readonly errors?: undefined; readonly conditions: readonly Condition[] }
  | { readonly policy?: undefined; readonly errors: readonly PolicyError[]; readonly conditions: readonly Condition[] };

export const policyKinds: readonly PolicyKind[] = ['NetworkPolicy', 'CiliumNetworkPolicy', 'CiliumClusterwideNetworkPolicy', ...clusterPolicyKinds];

export function isNamespaced(kind: PolicyKind): boolean {
  return kind === 'NetworkPolicy' || kind === 'CiliumNetworkPolicy';
}

/** Parses and validates. A policy with errors must not be applied; an earlier version of it stays in force. */
export function parsePolicy(object: PolicyObject, options: ParseOptions = {}): ParseResult {
  const reader = new FieldReader();
  const conditions: Condition[] = [];
  if (!isMapping(object) || !isMapping(object.metadata ?? {})) {
    reader.fail(isMapping(object) ? 'metadata' : '', 'a policy is a mapping of kind, metadata and spec', 'write it as Kubernetes objects are written');
    return { errors: reader.errors, conditions };
  }
  const kind = reader.oneOf(object.kind, 'kind', policyKinds);
  const name = reader.string(object.metadata?.name, 'metadata.name');
  if (object.kind === undefined || object.kind === null) reader.fail('kind', 'kind is missing', `one of: ${policyKinds.join(', ')}`);
  if (!name) reader.fail('metadata.name', 'name is missing', 'name the policy');
  if (!kind || !name) return { errors: reader.errors, conditions };
  // Kubernetes puts an object without a namespace into "default".
  const namespace = !isNamespaced(kind) ? undefined : reader.string(object.metadata?.namespace, 'metadata.namespace') || 'default';
  const identity = { kind, name, ...(namespace !== undefined && { namespace }) };
  const { httpReader, ...ways } = parseAnnotations(reader, object.metadata?.annotations);
  const context: RuleContext = {
    ...(httpReader !== undefined && { httpReader }), reader, conditions, address: policyAddress(identity), nodeLabels: options.nodeLabels ?? false,
    scope: { ...(namespace !== undefined && { namespace }), ...(options.clusterName !== undefined && { clusterName: options.clusterName }) },
  };
  const { specs, order } = parseBody(context, kind, name, object);
  if (reader.errors.length > 0) return { errors: reader.errors, conditions };
  if (ways.mode !== 'enforce') conditions.push(...unreported(specs, ways.mode));
  const uid = typeof object.metadata?.uid === 'string' ? object.metadata.uid : undefined;
  return { policy: { ...identity, ...(uid !== undefined && { uid }), ...order, ...ways, specs, conditions }, conditions };
}

/** Where the connection as such is allowed, nobody reads it for the sake of a policy that is not in force. */
function unreported(specs: readonly PolicySpec[], mode: string): readonly Condition[] {
  const rule = specs.flatMap(spec => spec.rules).find(r => r.l7);
  return rule ? [{ type: 'L7NotAudited', severity: 'warning', path: rule.path, message: `what this rule would refuse within a connection is not reported while the policy is in ${mode}` }] : [];
}

function isMapping(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function parseBody(context: RuleContext, kind: PolicyKind, name: string, object: PolicyObject): { specs: readonly PolicySpec[]; order: Pick<Policy, 'tier' | 'priority'> } {
  const normal = { tier: 'normal', priority: 0 } as const;
  if (kind === 'NetworkPolicy') return { specs: parseKubernetes(context, object), order: normal };
  if (kind === 'CiliumNetworkPolicy' || kind === 'CiliumClusterwideNetworkPolicy') return { specs: parseCilium(context, object), order: normal };
  const { spec, order } = parseClusterPolicy(context, kind, name, object.spec);
  return { specs: present(spec), order };
}

/** How the policy is meant to act. Other people's annotations are none of our business; a mistyped value of ours is an error. */
function parseAnnotations(reader: FieldReader, value: unknown): Pick<Policy, 'mode' | 'keepEstablished'> & { readonly httpReader: HttpReader | undefined } {
  const annotations = (typeof value === 'object' && value !== null ? value : {}) as Readonly<Record<string, unknown>>;
  const at = (name: string) => `metadata.annotations[${name}]`;
  const mode = reader.oneOf(annotations[policyAnnotations.mode], at(policyAnnotations.mode), ['enforce', 'audit', 'shadow'] as const);
  const established = reader.oneOf(annotations[policyAnnotations.established], at(policyAnnotations.established), ['recheck', 'keep'] as const);
  const httpReader = reader.oneOf(annotations[policyAnnotations.l7Http], at(policyAnnotations.l7Http), ['proxy', 'kernel'] as const);
  return { mode: mode ?? 'enforce', keepEstablished: established === 'keep', httpReader };
}

function parseKubernetes(context: RuleContext, object: PolicyObject): readonly PolicySpec[] {
  if (object.specs !== undefined) context.reader.fail('specs', 'a NetworkPolicy has no specs', 'write several policies');
  return present(parseNetworkPolicySpec(context, object.spec ?? {}, 'spec'));
}

function parseCilium(context: RuleContext, object: PolicyObject): readonly PolicySpec[] {
  const { reader } = context;
  const list = reader.list(object.specs, 'specs') ?? [];
  const hasSpec = object.spec !== undefined && object.spec !== null;
  if (!hasSpec && list.length === 0) reader.fail('spec', 'the policy has neither spec nor specs', 'add a spec with endpointSelector and ingress or egress');
  return [
    ...(hasSpec ? present(parseSpec(context, object.spec, 'spec')) : []),
    ...list.flatMap((item, i) => present(parseSpec(context, item, `specs[${i}]`))),
  ];
}

function present<T>(value: T | undefined): readonly T[] {
  return value === undefined ? [] : [value];
}
