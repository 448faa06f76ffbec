/** Label selectors as they stand in policies: validation, and the namespace that a policy's scope adds to them. */
import { labelKeys } from '../model/identity.ts';
import { EndpointSelector, selectorKey } from '../model/selector.ts';
import type { Operator, Requirement } from '../model/selector.ts';
import { join, show } from './fields.ts';
import type { FieldReader } from './fields.ts';

const operators: readonly Operator[] = ['In', 'NotIn', 'Exists', 'DoesNotExist'];

export interface SelectorOptions {
  /** 'any' in Cilium's policies, 'k8s' in NetworkPolicies, where a key has no source. */
  readonly defaultSource: string;
  /** False where a key is a plain Kubernetes key and `:` is wrong in it. */
  readonly sources: boolean;
  /** Put before every key. */
  readonly prefix?: string;
}

export const ciliumSelector: SelectorOptions = { defaultSource: 'any', sources: true };
export const kubernetesSelector: SelectorOptions = { defaultSource: 'k8s', sources: false };

/** A LabelSelector; undefined when absent or in error. */
export function parseSelector(reader: FieldReader, value: unknown, path: string, options: SelectorOptions = ciliumSelector): EndpointSelector | undefined {
  const fields = reader.object(value, path, ['matchLabels', 'matchExpressions']);
  if (!fields) return undefined;
  const before = reader.errors.length;
  const requirements = [
    ...parseMatchLabels(reader, fields['matchLabels'], join(path, 'matchLabels'), options),
    ...parseMatchExpressions(reader, fields['matchExpressions'], join(path, 'matchExpressions'), options),
  ];
  return reader.errors.length > before ? undefined : EndpointSelector.of(requirements);
}

function parseMatchLabels(reader: FieldReader, value: unknown, path: string, options: SelectorOptions): Requirement[] {
  if (value === undefined || value === null) return [];
  if (typeof value !== 'object' || Array.isArray(value)) {
    reader.fail(path, 'must be a mapping of label keys to values', 'write it as "key: value" lines');
    return [];
  }
  return Object.entries(value as Record<string, unknown>).flatMap(([text, raw]) => {
    const at = `${path}[${text}]`;
    const key = parseKey(reader, text, at, options);
    const label = raw === null ? '' : raw;
    if (typeof label !== 'string') {
      reader.fail(at, `label value must be a string, not ${typeof label}`, `write it in quotes: "${show(label)}"`);
      return [];
    }
    return key && checkValue(reader, label, at) ? [{ ...key, operator: 'In' as const, values: [label] }] : [];
  });
}

function parseMatchExpressions(reader: FieldReader, value: unknown, path: string, options: SelectorOptions): Requirement[] {
  return (reader.list(value, path) ?? []).flatMap((item, i) => {
    const at = `${path}[${i}]`;
    const fields = reader.object(item, at, ['key', 'operator', 'values']);
    if (!fields) return reader.fail(at, 'must be an object', 'give key and operator') ?? [];
    const keyText = reader.string(fields['key'], `${at}.key`);
    if (!keyText) return reader.fail(`${at}.key`, 'key is required', 'name the label') ?? [];
    const key = parseKey(reader, keyText, `${at}.key`, options);
    const operator = reader.string(fields['operator'], `${at}.operator`);
    if (!(operators as readonly (string | undefined)[]).includes(operator)) {
      return reader.fail(`${at}.operator`, `"${operator ?? ''}" is not a valid label selector operator`, `one of: ${operators.join(', ')}`) ?? [];
    }
    const values = reader.strings(fields['values'], `${at}.values`) ?? [];
    const wantsValues = operator === 'In' || operator === 'NotIn';
    if (wantsValues && values.length === 0) reader.fail(`${at}.values`, `must be specified when operator is ${operator}`, 'list at least one value');
    if (!wantsValues && values.length > 0) reader.fail(`${at}.values`, `may not be specified when operator is ${operator}`, 'remove the values');
    const valid = values.every((v, j) => checkValue(reader, v, `${at}.values[${j}]`));
    return key && valid ? [{ ...key, operator: operator as Operator, values }] : [];
  });
}

function parseKey(reader: FieldReader, text: string, path: string, options: SelectorOptions): { source: string; key: string } | undefined {
  const { source, key } = options.sources ? selectorKey(text, options.defaultSource) : { source: options.defaultSource, key: text };
  const fault = keyFault(bareKey(key));
  if (fault) return reader.fail(path, `invalid label key "${text}": ${fault}`, 'a key is [prefix/]name: a DNS name, a slash, at most 63 letters, digits, "-", "_" or "."');
  return { source, key: (options.prefix ?? '') + key };
}

/** Without the prefix of namespace labels, which may make a valid key longer than a key may be. */
function bareKey(key: string): string {
  return key.startsWith(labelKeys.namespaceLabels) ? key.slice(labelKeys.namespaceLabels.length) : key;
}

function keyFault(key: string): string | undefined {
  const parts = key.split('/');
  if (parts.length > 2) return 'more than one slash';
  const name = parts.at(-1)!;
  if (name === '') return 'the name is empty';
  if (name.length > 63) return 'the name has more than 63 characters';
  if (!/^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/.test(name)) return `"${name}" has characters that a name may not have`;
  if (parts.length === 1) return undefined;
  const prefix = parts[0]!;
  if (prefix.length === 0 || prefix.length > 253) return 'the prefix must have 1 to 253 characters';
  // A CIDR's key (cidr:fd00--0/8) holds runs of dashes that a DNS name may hold inside.
  return /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(prefix) ? undefined : `the prefix "${prefix}" is not a DNS name`;
}

function checkValue(reader: FieldReader, value: string, path: string): boolean {
  if (value.length <= 63 && /^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$/.test(value)) return true;
  reader.fail(path, `invalid label value "${value}"`, 'at most 63 letters, digits, "-", "_" or ".", beginning and ending with a letter or digit');
  return false;
}

// ---- scope ----

export interface Scope {
  /** Absent: the policy is cluster-wide. */
  readonly namespace?: string;
  /** The cluster that selectors mean when they name none; absent: there is only one. */
  readonly clusterName?: string;
}

/** What a Cilium policy's peer selector means in the scope of its policy. */
export function scopePeer(selector: EndpointSelector, scope: Scope, options: { subjectIsInit: boolean; narrow: boolean }): EndpointSelector {
  if (mentions(selector, r => r.source === 'reserved')) return selector;
  return scopeCluster(scopeNamespace(selector, scope, options), scope);
}

function scopeNamespace(selector: EndpointSelector, scope: Scope, options: { subjectIsInit: boolean; narrow: boolean }): EndpointSelector {
  const onNamespaces = selector.requirements.filter(r => isNamespaceKey(r) || isNamespaceLabelKey(r));
  if (onNamespaces.length > 0) {
    // Negative requirements alone also hold for what has no namespace. An allow rule means pods, and so does a rule about a cluster:
    // of what is no pod, only nodes whose labels some other policy names bear the cluster's label.
    const onlyNegative = onNamespaces.every(r => r.operator === 'NotIn' || r.operator === 'DoesNotExist');
    return onlyNegative && (options.narrow || scope.clusterName !== undefined) ? selector.and(hasNamespace) : selector;
  }
  if (scope.namespace !== undefined) return selector.and(inNamespace(scope.namespace));
  return options.subjectIsInit ? selector : selector.and(hasNamespace);
}

export function scopeCluster(selector: EndpointSelector, scope: Scope): EndpointSelector {
  if (scope.clusterName === undefined || mentions(selector, r => r.key === labelKeys.cluster)) return selector;
  return selector.and({ source: 'k8s', key: labelKeys.cluster, operator: 'In', values: [scope.clusterName] });
}

export const hasNamespace: Requirement = { source: 'k8s', key: labelKeys.namespace, operator: 'Exists', values: [] };

export function inNamespace(namespace: string): Requirement {
  return { source: 'k8s', key: labelKeys.namespace, operator: 'In', values: [namespace] };
}

export function isNamespaceKey(r: Requirement): boolean {
  return r.key === labelKeys.namespace && (r.source === 'k8s' || r.source === 'any');
}

function isNamespaceLabelKey(r: Requirement): boolean {
  return r.key.startsWith(labelKeys.namespaceLabels);
}

export function mentions(selector: EndpointSelector, test: (r: Requirement) => boolean): boolean {
  return selector.requirements.some(test);
}
