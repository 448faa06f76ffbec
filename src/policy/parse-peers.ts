/** The peers of a Cilium rule: endpoints, entities, CIDRs, services, nodes, names, groups. */
import { cidrContains, labelKeys } from '../model/identity.ts';
import { EndpointSelector } from '../model/selector.ts';
import type { Requirement } from '../model/selector.ts';
import { AddressError, formatPrefix, parsePrefix } from '../std/ip.ts';
import type { Prefix } from '../std/ip.ts';
import { join, show } from './fields.ts';
import type { FieldReader, Fields } from './fields.ts';
import { fqdnSource } from './fqdn.ts';
import { parseDnsRule } from './parse-l7.ts';
import { hasNamespace, parseSelector, scopeCluster, scopePeer } from './parse-selector.ts';
import type { Scope } from './parse-selector.ts';
import type { CidrGroupPeer, CidrPeer, Condition, Peer, SelectorPeer } from './policy.ts';

export interface PeerOptions {
  readonly scope: Scope;
  readonly deny: boolean;
  readonly subjectIsInit: boolean;
  /** Remote nodes have identities with their labels. Without, a selector on node labels cannot be told to match. */
  readonly nodeLabels: boolean;
  readonly conditions: Condition[];
}

/** The peers of one rule entry: absent (any peer, if the entry has ports), or a list (empty: nobody). */
export interface ParsedPeers {
  readonly peers: 'absent' | 'any' | readonly Peer[];
  readonly notEnforced?: string;
}

/** Field names in the direction: fromEndpoints, toEndpoints, …. */
export function peerFields(direction: 'ingress' | 'egress', deny: boolean): readonly string[] {
  if (direction === 'ingress') return ['fromEndpoints', 'fromCIDR', 'fromCIDRSet', 'fromEntities', 'fromGroups', 'fromNodes', 'fromRequires'];
  const both = ['toEndpoints', 'toCIDR', 'toCIDRSet', 'toEntities', 'toServices', 'toGroups', 'toNodes', 'toRequires'];
  return deny ? both : [...both, 'toFQDNs'];
}

export function parsePeers(reader: FieldReader, fields: Fields, path: string, direction: 'ingress' | 'egress', options: PeerOptions): ParsedPeers {
  const prefix = direction === 'ingress' ? 'from' : 'to';
  const at = (name: string) => join(path, prefix + name);
  const list = (name: string) => reader.list(fields[prefix + name], at(name));
  checkOnlyOneKind(reader, fields, path, peerFields(direction, options.deny), list);
  if (options.deny && (list('Requires') ?? []).length > 0) reader.fail(at('Requires'), `${prefix}Requires is not allowed in deny rules`, `write it in ${direction}`);

  const peers: Peer[] = [];
  let present = false;
  let any = false;
  const each = (name: string, parse: (value: unknown, path: string) => readonly Peer[] | 'any') => {
    const items = list(name);
    if (!items) {
      if (fields[prefix + name] === null) warnEmpty(options, at(name), 'null');
      return;
    }
    present = true;
    items.forEach((item, i) => {
      const parsed = parse(item, `${at(name)}[${i}]`);
      if (parsed === 'any') any = true;
      else peers.push(...parsed);
    });
  };
  each('Endpoints', (value, p) => parseEndpointPeer(reader, value, p, options));
  each('Entities', (value, p) => parseEntity(reader, value, p, options.scope));
  each('CIDR', (value, p) => parseCidrPeer(reader, value, p));
  each('CIDRSet', (value, p) => parseCidrRule(reader, value, p));
  let notEnforced: string | undefined;
  each('Nodes', (value, p) => {
    const nodes = parseNodePeer(reader, value, p, options);
    if (nodes.length === 0) notEnforced = 'nodes have no identities of their own';
    return nodes;
  });

  // Unlike the lists above, these three count as absent when empty (upstream).
  const eachIfAny = (name: string, parse: (value: unknown, path: string) => readonly Peer[]) => {
    const items = list(name);
    if (!items?.length) return void (items && warnEmpty(options, at(name), 'an empty list'));
    present = true;
    items.forEach((item, i) => peers.push(...parse(item, `${at(name)}[${i}]`)));
  };
  if (direction === 'egress') eachIfAny('Services', (value, p) => parseServicePeer(reader, value, p));
  eachIfAny('Groups', (value, p) => {
    parseGroup(reader, value, p);
    notEnforced = 'no cloud provider resolves groups';
    condition(options, 'GroupsNotEnforced', p, `no cloud provider resolves groups here: ${options.deny ? 'the deny rule covers everything outside the cluster' : 'the group matches nothing'}`);
    return options.deny ? entityPeers('world', options.scope) : [];
  });
  if (direction === 'egress' && !options.deny) {
    eachIfAny('FQDNs', (value, p) => {
      const name = parseDnsRule(reader, value, p);
      return name === undefined ? [] : [fqdnPeer(name)];
    });
  }
  return { peers: any ? 'any' : present ? peers : 'absent', ...(notEnforced && { notEnforced }) };
}

function checkOnlyOneKind(reader: FieldReader, fields: Fields, path: string, names: readonly string[], list: (name: string) => readonly unknown[] | undefined): void {
  const used = names.filter(name => !name.endsWith('Requires') && (list(name.replace(/^(from|to)/, '')) ?? []).length > 0 && fields[name] !== undefined);
  if (used.length < 2) return;
  const [a, b] = used.map(name => name[0]!.toUpperCase() + name.slice(1));
  reader.fail(path, `combining ${a} and ${b} is not supported yet`, 'write one list entry for each: entries are alternatives');
}

function warnEmpty(options: PeerOptions, path: string, what: string): void {
  options.conditions.push({
    type: 'EmptyMeansAny', severity: 'warning', path,
    message: `${what} counts as absent here: with ports the rule is for any peer; remove the rule if nobody was meant`,
  });
}

function condition(options: PeerOptions, type: Condition['type'], path: string, message: string): void {
  options.conditions.push({ type, severity: 'degraded', path, message });
}

/**
 * `fromRequires`/`toRequires`, which upstream had until 1.18: pods that lack one of the required labels, whatever else
 * allows them. Not (a and b) is (not a) or (not b), so each requirement gives a peer; the list is empty when nothing is
 * required.
 */
export function parseUnmetRequirements(reader: FieldReader, value: unknown, path: string): readonly SelectorPeer[] {
  const selectors = (reader.list(value, path) ?? []).map((item, i) => parseSelector(reader, item ?? {}, `${path}[${i}]`));
  return selectors.flatMap(s => s?.requirements ?? []).map(requirement => ({
    type: 'selector', selector: EndpointSelector.of([negated(requirement), hasNamespace]),
  }));
}

function negated(requirement: Requirement): Requirement {
  const opposite = { In: 'NotIn', NotIn: 'In', Exists: 'DoesNotExist', DoesNotExist: 'Exists' } as const;
  return { ...requirement, operator: opposite[requirement.operator] };
}

// ---- endpoints, nodes ----

function parseEndpointPeer(reader: FieldReader, value: unknown, path: string, options: PeerOptions): readonly Peer[] {
  const selector = parseSelector(reader, value ?? {}, path);
  if (!selector) return [];
  return [{ type: 'selector', selector: scopePeer(selector, options.scope, { subjectIsInit: options.subjectIsInit, narrow: !options.deny }) }];
}

const remoteNode: Requirement = { source: 'reserved', key: 'remote-node', operator: 'Exists', values: [] };

function parseNodePeer(reader: FieldReader, value: unknown, path: string, options: PeerOptions): readonly Peer[] {
  const selector = parseSelector(reader, value ?? {}, path);
  if (!selector) return [];
  if (selector.isEverything || options.nodeLabels) return [nodePeer(scopeNode(selector, options))];
  condition(options, 'SelectsNothing', path, `nodes have no identities of their own yet: ${options.deny ? 'the deny rule covers every remote node' : 'a selector on node labels matches nothing'}`);
  // A negative requirement would hold for every node, as none bears its labels.
  return options.deny ? [nodePeer(EndpointSelector.of([remoteNode]))] : [];
}

function scopeNode(selector: EndpointSelector, options: PeerOptions): EndpointSelector {
  const nodes = selector.and(remoteNode);
  return selector.isEverything ? nodes : scopeCluster(nodes, options.scope);
}

function nodePeer(selector: EndpointSelector): SelectorPeer {
  return { type: 'selector', selector, written: `nodes ${selector.without(r => r.key === 'remote-node').describe()}` };
}

// ---- entities ----

const entities = ['all', 'world', 'world-ipv4', 'world-ipv6', 'cluster', 'cluster-mesh', 'host', 'init', 'ingress', 'unmanaged', 'remote-node', 'health', 'none', 'kube-apiserver'] as const;
type Entity = (typeof entities)[number];

function parseEntity(reader: FieldReader, value: unknown, path: string, scope: Scope): readonly Peer[] | 'any' {
  const text = reader.string(value, path);
  if (!(entities as readonly (string | undefined)[]).includes(text)) {
    return reader.fail(path, `unsupported entity: ${show(value)}`, `one of: ${entities.join(', ')}`) ?? [];
  }
  return text === 'all' ? 'any' : entityPeers(text as Entity, scope);
}

function entityPeers(entity: Entity, scope: Scope): readonly Peer[] {
  const peers = (...keys: readonly string[]) => keys.map(key => entityPeer(entity, { source: 'reserved', key, operator: 'Exists', values: [] }));
  const inside = ['host', 'remote-node', 'init', 'ingress', 'health', 'unmanaged', 'kube-apiserver'];
  switch (entity) {
    case 'all': case 'none': return [];
    case 'world': return peers('world', 'world-ipv4', 'world-ipv6');
    case 'cluster': return [...peers(...inside), entityPeer(entity, clusterRequirement(scope.clusterName))];
    case 'cluster-mesh': return [...peers(...inside), entityPeer(entity, clusterRequirement(undefined))];
    default: return peers(entity);
  }
}

function entityPeer(entity: Entity, requirement: Requirement): SelectorPeer {
  return { type: 'selector', selector: EndpointSelector.of([requirement]), written: `entity ${entity}` };
}

function clusterRequirement(name: string | undefined): Requirement {
  const key = { source: 'k8s', key: labelKeys.cluster };
  return name === undefined ? { ...key, operator: 'Exists', values: [] } : { ...key, operator: 'In', values: [name] };
}

// ---- CIDRs ----

function parseCidrPeer(reader: FieldReader, value: unknown, path: string): readonly Peer[] {
  const prefix = parseCidr(reader, value, path);
  return prefix ? [{ type: 'cidr', cidr: formatPrefix(prefix), except: [] }] : [];
}

/** A prefix; a bare address is a host prefix, as upstream took it up to 1.20. */
export function parseCidr(reader: FieldReader, value: unknown, path: string): Prefix | undefined {
  const text = reader.string(value, path);
  if (text === undefined || text === '') return reader.fail(path, 'a CIDR is missing', 'write address/length');
  try {
    return parsePrefix(text);
  } catch (error) {
    if (!(error instanceof AddressError)) throw error;
    return reader.fail(path, `unable to parse CIDR: ${error.message}`, 'write address/length, such as 10.0.0.0/8 or fd00::/8');
  }
}

/** A CIDRRule: one of cidr, cidrGroupRef and cidrGroupSelector, with exceptions inside it. */
export function parseCidrRule(reader: FieldReader, value: unknown, path: string): readonly (CidrPeer | CidrGroupPeer)[] {
  const fields = reader.object(value, path, ['cidr', 'cidrGroupRef', 'cidrGroupSelector', 'except']);
  if (!fields) return reader.fail(path, 'must be an object', 'give cidr, cidrGroupRef or cidrGroupSelector') ?? [];
  const cidr = reader.string(fields['cidr'], join(path, 'cidr')) || undefined;
  const group = reader.string(fields['cidrGroupRef'], join(path, 'cidrGroupRef')) || undefined;
  const selector = parseSelector(reader, fields['cidrGroupSelector'], join(path, 'cidrGroupSelector'));
  const given = [cidr, group, fields['cidrGroupSelector'] ?? undefined].filter(v => v !== undefined).length;
  if (given !== 1) {
    return reader.fail(path, given === 0 ? 'one of cidr, cidrGroupRef, or cidrGroupSelector is required' : 'more than one of cidr, cidrGroupRef, or cidrGroupSelector may not be set', 'set exactly one of them') ?? [];
  }
  const outer = cidr === undefined ? undefined : parseCidr(reader, cidr, join(path, 'cidr'));
  const except = (reader.list(fields['except'], join(path, 'except')) ?? []).flatMap((item, i) => parseExcept(reader, item, `${path}.except[${i}]`, outer));
  if (outer) return [{ type: 'cidr', cidr: formatPrefix(outer), except }];
  if (group !== undefined) return [{ type: 'cidr-group', name: group, except }];
  return selector ? [{ type: 'cidr-group', selector, except }] : [];
}

function parseExcept(reader: FieldReader, value: unknown, path: string, outer: Prefix | undefined): readonly string[] {
  const prefix = parseCidr(reader, value, path);
  if (!prefix) return [];
  if (outer && !cidrContains(outer, prefix)) {
    return reader.fail(path, `allow CIDR prefix ${formatPrefix(outer)} does not contain exclude CIDR prefix ${formatPrefix(prefix)}`, 'an exception must lie inside cidr') ?? [];
  }
  return [formatPrefix(prefix)];
}

// ---- names ----

/** Addresses whose identity says that they were given for the name, or for a name that the pattern takes. */
export function fqdnPeer(name: string): SelectorPeer {
  return { type: 'selector', selector: EndpointSelector.of([{ source: fqdnSource, key: name, operator: 'Exists', values: [] }]), written: `name ${name}` };
}

// ---- services, groups ----

function parseServicePeer(reader: FieldReader, value: unknown, path: string): readonly Peer[] {
  const fields = reader.object(value, path, ['k8sService', 'k8sServiceSelector']);
  const named = reader.object(fields?.['k8sService'], join(path, 'k8sService'), ['serviceName', 'namespace']);
  const selected = reader.object(fields?.['k8sServiceSelector'], join(path, 'k8sServiceSelector'), ['selector', 'namespace']);
  const peers: Peer[] = [];
  if (named) {
    const namespace = reader.string(named['namespace'], `${path}.k8sService.namespace`) || undefined;
    const name = reader.string(named['serviceName'], `${path}.k8sService.serviceName`) || undefined;
    // Upstream: an empty namespace is any namespace, an empty name is no service.
    if (name !== undefined) peers.push({ type: 'service', name, ...(namespace !== undefined && { namespace }) });
  }
  if (selected) {
    const namespace = reader.string(selected['namespace'], `${path}.k8sServiceSelector.namespace`) || undefined;
    const at = `${path}.k8sServiceSelector.selector`;
    if (selected['selector'] === undefined || selected['selector'] === null) reader.fail(at, 'selector is required', 'write a label selector over services');
    const selector = parseSelector(reader, selected['selector'], at);
    if (selector) peers.push({ type: 'service', selector, ...(namespace !== undefined && { namespace }) });
  }
  return peers;
}

function parseGroup(reader: FieldReader, value: unknown, path: string): void {
  const fields = reader.object(value, path, ['aws']);
  const aws = reader.object(fields?.['aws'], join(path, 'aws'), ['labels', 'securityGroupsIds', 'securityGroupsNames', 'region']);
  if (!aws) return;
  reader.strings(aws['securityGroupsIds'], `${path}.aws.securityGroupsIds`);
  reader.strings(aws['securityGroupsNames'], `${path}.aws.securityGroupsNames`);
  reader.string(aws['region'], `${path}.aws.region`);
}
