/**
 * The cluster-wide policies of Kubernetes' network policy API (policy.networking.k8s.io): AdminNetworkPolicy and
 * BaselineAdminNetworkPolicy (v1alpha1) and their successor ClusterNetworkPolicy (v1alpha2).
 *
 * Their rules are ordered: within a tier the first that applies decides, by the priority of its policy and then by its place.
 * They never put anybody into default deny. `networks` compare with the addresses of pods too, unlike Cilium's CIDR rules.
 */
import { labelKeys } from '../model/identity.ts';
import { EndpointSelector } from '../model/selector.ts';
import type { Requirement } from '../model/selector.ts';
import { formatPrefix } from '../std/ip.ts';
import { join } from './fields.ts';
import type { Fields } from './fields.ts';
import { matchPatternFault } from './fqdn.ts';
import { fqdnPeer, parseCidr } from './parse-peers.ts';
import { isServiceName } from './parse-ports.ts';
import type { RuleContext } from './parse-rule.ts';
import { hasNamespace, kubernetesSelector, mentions, parseSelector, scopeCluster } from './parse-selector.ts';
import type { SelectorOptions } from './parse-selector.ts';
import { maxPort, protocols } from './policy.ts';
import type { Direction, Effect, Peer, Policy, PolicyKind, PolicySpec, PortMatch, Rule } from './policy.ts';

export type ClusterPolicyKind = Extract<PolicyKind, 'AdminNetworkPolicy' | 'BaselineAdminNetworkPolicy' | 'ClusterNetworkPolicy'>;

export const clusterPolicyKinds: readonly ClusterPolicyKind[] = ['AdminNetworkPolicy', 'BaselineAdminNetworkPolicy', 'ClusterNetworkPolicy'];

export function isClusterPolicy(kind: PolicyKind): kind is ClusterPolicyKind {
  return (clusterPolicyKinds as readonly PolicyKind[]).includes(kind);
}

interface Dialect {
  readonly fields: readonly string[];
  readonly actions: Readonly<Record<string, Effect>>;
  /** The field of a rule that holds its ports. */
  readonly ports: 'ports' | 'protocols';
}

const dialects: Readonly<Record<ClusterPolicyKind, Dialect>> = {
  AdminNetworkPolicy: { fields: ['priority', 'subject', 'ingress', 'egress'], actions: { Allow: 'allow', Deny: 'deny', Pass: 'pass' }, ports: 'ports' },
  BaselineAdminNetworkPolicy: { fields: ['subject', 'ingress', 'egress'], actions: { Allow: 'allow', Deny: 'deny' }, ports: 'ports' },
  ClusterNetworkPolicy: { fields: ['tier', 'priority', 'subject', 'ingress', 'egress'], actions: { Accept: 'allow', Deny: 'deny', Pass: 'pass' }, ports: 'protocols' },
};

const maxPriority = 1000;
/** Of the CRDs. */
const limits = { rules: 100, peers: 100, ports: 100, networks: 25, domainNames: 25 };

export interface ClusterPolicy {
  readonly spec: PolicySpec | undefined;
  readonly order: Pick<Policy, 'tier' | 'priority'>;
}

export function parseClusterPolicy(context: RuleContext, kind: ClusterPolicyKind, name: string, value: unknown): ClusterPolicy {
  const { reader } = context;
  const dialect = dialects[kind];
  const fields = reader.object(value ?? {}, 'spec', dialect.fields) ?? {};
  if (kind === 'BaselineAdminNetworkPolicy' && name !== 'default') reader.fail('metadata.name', `a BaselineAdminNetworkPolicy must be named "default", not "${name}"`, 'there is one for a cluster: name it default');
  const order = { tier: parseTier(context, kind, fields), priority: parsePriority(context, dialect, fields) };
  const subject = parseSubject(context, fields['subject']);
  const rules = (['ingress', 'egress'] as const).flatMap(direction => parseRules(context, dialect, fields, direction));
  const spec = subject && { path: 'spec', subject, selectsNodes: false, defaultDeny: { ingress: false, egress: false }, rules };
  return { spec, order };
}

function parseTier({ reader }: RuleContext, kind: ClusterPolicyKind, fields: Fields): 'admin' | 'baseline' {
  if (kind !== 'ClusterNetworkPolicy') return kind === 'AdminNetworkPolicy' ? 'admin' : 'baseline';
  const tier = reader.oneOf(fields['tier'], 'spec.tier', ['Admin', 'Baseline']);
  if (fields['tier'] === undefined || fields['tier'] === null) reader.fail('spec.tier', 'tier is required', 'Admin, before all NetworkPolicies, or Baseline, after them');
  return tier === 'Baseline' ? 'baseline' : 'admin';
}

function parsePriority({ reader }: RuleContext, dialect: Dialect, fields: Fields): number {
  if (!dialect.fields.includes('priority')) return 0;
  if (fields['priority'] === undefined || fields['priority'] === null) reader.fail('spec.priority', 'priority is required', `a number from 0, which is asked first, to ${maxPriority}`);
  return reader.integer(fields['priority'], 'spec.priority', 0, maxPriority) ?? 0;
}

// ---- whom it is about ----

function parseSubject(context: RuleContext, value: unknown): EndpointSelector | undefined {
  const path = 'spec.subject';
  const fields = context.reader.object(value, path, ['namespaces', 'pods']);
  const kind = onlyField(context, fields, path, ['namespaces', 'pods']);
  if (kind === 'namespaces') return namespacesSelector(context, fields!['namespaces'], `${path}.namespaces`);
  return kind === 'pods' ? podsSelector(context, fields!['pods'], `${path}.pods`) : undefined;
}

/** The one field that is set; several or none is an error. */
function onlyField<K extends string>({ reader }: RuleContext, fields: Fields | undefined, path: string, names: readonly K[]): K | undefined {
  const given = names.filter(name => fields?.[name] !== undefined && fields[name] !== null);
  if (given.length === 1) return given[0];
  return reader.fail(path, given.length === 0 ? `exactly one of ${names.join(', ')} must be set, and none is` : `exactly one of ${names.join(', ')} must be set, not ${given.join(' and ')}`, 'write one of them; for several, write several entries');
}

/** All pods of the namespaces with these labels. What is no pod has no namespace: a negative requirement does not select it. */
function namespacesSelector({ reader }: RuleContext, value: unknown, path: string): EndpointSelector | undefined {
  return parseSelector(reader, value, path, { ...kubernetesSelector, prefix: labelKeys.namespaceLabels })?.and(hasNamespace);
}

/** A selector that is left out is an empty one, as the API's types have it: all namespaces, all pods of them. */
function podsSelector(context: RuleContext, value: unknown, path: string): EndpointSelector | undefined {
  const { reader, conditions } = context;
  const fields = reader.object(value, path, ['namespaceSelector', 'podSelector']) ?? {};
  for (const field of ['namespaceSelector', 'podSelector']) {
    if (fields[field] === undefined || fields[field] === null) conditions.push({ type: 'EmptyMeansAny', severity: 'warning', path, message: `${field} is left out, which means all: write "${field}: {}" to say so` });
  }
  const namespaces = namespacesSelector(context, fields['namespaceSelector'] ?? {}, `${path}.namespaceSelector`);
  const pods = parseSelector(reader, fields['podSelector'] ?? {}, `${path}.podSelector`, podKeys);
  if (!namespaces || !pods) return undefined;
  return mentions(pods, r => r.source === 'reserved') ? pods : pods.and(...namespaces.requirements);
}

/** Keys with a source (`reserved:host`) as Cilium takes them here too; what is reserved has no namespace. */
const podKeys: SelectorOptions = { defaultSource: 'k8s', sources: true };

// ---- rules ----

function parseRules(context: RuleContext, dialect: Dialect, fields: Fields, direction: Direction): readonly Rule[] {
  const path = `spec.${direction}`;
  const list = context.reader.list(fields[direction], path) ?? [];
  checkLength(context, list, path, limits.rules, 'rules', 'write several policies');
  return list.flatMap((item, i) => parseRule(context, dialect, item, `${path}[${i}]`, direction) ?? []);
}

function parseRule(context: RuleContext, dialect: Dialect, value: unknown, path: string, direction: Direction): Rule | undefined {
  const { reader } = context;
  const peerField = direction === 'ingress' ? 'from' : 'to';
  const fields = reader.object(value, path, ['name', 'action', peerField, dialect.ports]);
  if (!fields) return reader.fail(path, 'must be an object', `give action and ${peerField}`);
  const name = reader.string(fields['name'], `${path}.name`);
  if (name !== undefined && name.length > 100) reader.fail(`${path}.name`, 'a name has at most 100 characters', 'shorten it');
  const action = reader.oneOf(fields['action'], `${path}.action`, Object.keys(dialect.actions));
  if (fields['action'] === undefined || fields['action'] === null) reader.fail(`${path}.action`, 'action is required', `one of: ${Object.keys(dialect.actions).join(', ')}`);
  const effect = dialect.actions[action ?? 'Deny']!;
  const peerList = reader.list(fields[peerField], join(path, peerField)) ?? [];
  if (peerList.length === 0) reader.fail(join(path, peerField), `${peerField} must have at least one peer`, 'write "- namespaces: {}" for all pods');
  checkLength(context, peerList, join(path, peerField), limits.peers, 'peers', 'write several rules');
  const peers = peerList.flatMap((item, i) => parsePeer(context, item, `${path}.${peerField}[${i}]`, direction, effect));
  const ports = parsePorts(context, dialect, fields[dialect.ports], join(path, dialect.ports));
  if (ports !== 'any' && ports.some(port => 'name' in port)) refuseNameless(context, peerList, `${path}.${peerField}`);
  return { address: `${context.address}/${path}`, path, ...(name && { name }), direction, effect, peers, ports };
}

/** Only pods have ports with names. */
function refuseNameless({ reader }: RuleContext, peers: readonly unknown[], path: string): void {
  peers.forEach((peer, i) => {
    const kind = ['nodes', 'networks', 'domainNames'].find(field => (peer as Fields | null)?.[field] !== undefined);
    if (kind !== undefined) reader.fail(`${path}[${i}].${kind}`, `${kind} do not go with a port by name: only pods have ports with names`, 'give the port by number, or write another rule');
  });
}

function checkLength({ reader }: RuleContext, list: readonly unknown[], path: string, max: number, what: string, mend: string): void {
  if (list.length > max) reader.fail(path, `too many ${what}: ${list.length}, the max is ${max}`, mend);
}

function parsePeer(context: RuleContext, value: unknown, path: string, direction: Direction, effect: Effect): readonly Peer[] {
  const names = direction === 'ingress' ? ['namespaces', 'pods'] as const : ['namespaces', 'pods', 'nodes', 'networks', 'domainNames'] as const;
  const fields = context.reader.object(value, path, names);
  const kind = onlyField<(typeof names)[number]>(context, fields, path, names);
  if (kind === undefined) return [];
  const at = join(path, kind);
  switch (kind) {
    case 'namespaces': return selectorPeer(context, namespacesSelector(context, fields![kind], at));
    case 'pods': return selectorPeer(context, podsSelector(context, fields![kind], at));
    case 'nodes': return nodePeers(context, fields![kind], at, effect);
    case 'networks': return networkPeers(context, fields![kind], at);
    case 'domainNames': return namePeers(context, fields![kind], at, effect);
  }
}

function selectorPeer(context: RuleContext, selector: EndpointSelector | undefined): readonly Peer[] {
  if (!selector) return [];
  return [{ type: 'selector', selector: mentions(selector, r => r.source === 'reserved') ? selector : scopeCluster(selector, context.scope) }];
}

/**
 * The pod's own node is `host`, the others are remote nodes; both bear the labels of their Node objects, or where they do not, a
 * selector on labels cannot be told to match: a rule that denies then covers every node, any other none.
 */
function nodePeers({ reader, conditions, nodeLabels }: RuleContext, value: unknown, path: string, effect: Effect): readonly Peer[] {
  const selector = parseSelector(reader, value, path, { ...kubernetesSelector, defaultSource: 'node' });
  const at = (key: string): Requirement => ({ source: 'reserved', key, operator: 'Exists', values: [] });
  if (!selector) return [];
  const isTold = selector.isEverything || nodeLabels;
  if (!isTold) conditions.push({ type: 'SelectsNothing', severity: 'degraded', path, message: `nodes have no identities of their own yet: ${effect === 'deny' ? 'the deny rule covers every node' : 'a selector on node labels matches nothing'}` });
  if (!isTold && effect !== 'deny') return [];
  const wanted = isTold ? selector : EndpointSelector.everything;
  return ['host', 'remote-node'].map(key => ({ type: 'selector', selector: wanted.and(at(key)), written: `nodes ${selector.describe()}` }));
}

function networkPeers(context: RuleContext, value: unknown, path: string): readonly Peer[] {
  const list = context.reader.list(value, path) ?? [];
  if (list.length === 0) context.reader.fail(path, 'networks must have at least one entry', 'write address/length');
  checkLength(context, list, path, limits.networks, 'networks', 'write several peers');
  return list.flatMap((item, i): readonly Peer[] => {
    const at = `${path}[${i}]`;
    if (typeof item === 'string' && !item.includes('/')) return context.reader.fail(at, `"${item}" is no CIDR`, 'write address/length, such as 10.0.0.0/8 or fd00::/8') ?? [];
    const prefix = parseCidr(context.reader, item, at);
    return prefix ? [{ type: 'cidr', cidr: formatPrefix(prefix), except: [], pods: true }] : [];
  });
}

/** `*.example.com` stands for one label or more here, which is `**.` in Cilium's patterns. */
function namePeers(context: RuleContext, value: unknown, path: string, effect: Effect): readonly Peer[] {
  const { reader } = context;
  if (effect !== 'allow') reader.fail(path, 'domainNames may only stand in rules that allow', 'an address may have many names: deny networks instead');
  const list = reader.strings(value, path) ?? [];
  checkLength(context, list, path, limits.domainNames, 'domainNames', 'write several peers');
  return list.flatMap((name, i) => {
    const fault = matchPatternFault(name) ?? (/^(\*\.)?[^*]+$/.test(name) ? undefined : '"*" may only stand before the first dot');
    if (fault) return reader.fail(`${path}[${i}]`, `invalid domain name "${name}": ${fault}`, 'write a name such as api.example.com or *.example.com') ?? [];
    return [fqdnPeer((name.startsWith('*.') ? `*${name}` : name).toLowerCase().replace(/(.)\.$/, '$1'))];
  });
}

// ---- ports ----

function parsePorts(context: RuleContext, dialect: Dialect, value: unknown, path: string): Rule['ports'] {
  const list = context.reader.list(value, path) ?? [];
  checkLength(context, list, path, limits.ports, 'ports', 'use ranges, or write several rules');
  if (list.length === 0) return 'any';
  const parse = dialect.ports === 'ports' ? parsePort : parseProtocol;
  return list.flatMap((item, i) => parse(context, item, `${path}[${i}]`));
}

const named = ['TCP', 'UDP', 'SCTP'] as const;

/** A name is of whatever protocol the pod gives it. */
function namedPort({ reader }: RuleContext, value: unknown, path: string): readonly PortMatch[] {
  const name = reader.string(value, path) ?? '';
  if (!isServiceName(name)) return reader.fail(path, `"${name}" is not a port name`, 'at most 15 letters, digits and "-" with a letter in it') ?? [];
  return named.map(protocol => ({ protocol: protocols[protocol], name: name.toLowerCase() }));
}

/** AdminNetworkPolicyPort. */
function parsePort(context: RuleContext, value: unknown, path: string): readonly PortMatch[] {
  const { reader } = context;
  const fields = reader.object(value, path, ['portNumber', 'namedPort', 'portRange']);
  const kind = onlyField(context, fields, path, ['portNumber', 'namedPort', 'portRange']);
  if (kind === undefined) return [];
  const at = join(path, kind);
  if (kind === 'namedPort') return namedPort(context, fields![kind], at);
  const inner = reader.object(fields![kind], at, kind === 'portNumber' ? ['protocol', 'port'] : ['protocol', 'start', 'end']) ?? {};
  const protocol = protocols[reader.oneOf(inner['protocol'] || undefined, `${at}.protocol`, named) ?? 'TCP'];
  const range = kind === 'portNumber' ? single(context, inner['port'], `${at}.port`) : between(context, inner, at);
  return range ? [{ protocol, ...range }] : [];
}

/** ClusterNetworkPolicyProtocol. */
function parseProtocol(context: RuleContext, value: unknown, path: string): readonly PortMatch[] {
  const { reader } = context;
  const kinds = ['tcp', 'udp', 'sctp', 'destinationNamedPort'] as const;
  const fields = reader.object(value, path, kinds);
  const kind = onlyField(context, fields, path, kinds);
  if (kind === undefined) return [];
  const at = join(path, kind);
  if (kind === 'destinationNamedPort') return namedPort(context, fields![kind], at);
  const protocol = protocols[kind.toUpperCase() as 'TCP'];
  const inner = reader.object(fields![kind], at, ['destinationPort']) ?? {};
  if (inner['destinationPort'] === undefined || inner['destinationPort'] === null) return [{ protocol, start: 0, end: maxPort }];
  const portAt = `${at}.destinationPort`;
  const port = reader.object(inner['destinationPort'], portAt, ['number', 'range']);
  const form = onlyField(context, port, portAt, ['number', 'range']);
  if (form === undefined) return [];
  const range = form === 'number' ? single(context, port![form], `${portAt}.number`) : between(context, reader.object(port![form], `${portAt}.range`, ['start', 'end']) ?? {}, `${portAt}.range`);
  return range ? [{ protocol, ...range }] : [];
}

function single({ reader }: RuleContext, value: unknown, path: string): { start: number; end: number } | undefined {
  if (value === undefined || value === null) return reader.fail(path, 'a port is required', `a number from 1 to ${maxPort}`);
  const port = reader.integer(value, path, 1, maxPort);
  return port === undefined ? undefined : { start: port, end: port };
}

function between(context: RuleContext, fields: Fields, path: string): { start: number; end: number } | undefined {
  const start = single(context, fields['start'], `${path}.start`)?.start;
  const end = single(context, fields['end'], `${path}.end`)?.end;
  if (start === undefined || end === undefined) return undefined;
  if (end <= start) return context.reader.fail(path, `the end of a range must be greater than its start: ${start} to ${end}`, 'write the larger number as end, or a single port');
  return { start, end };
}
