/** One spec of a CiliumNetworkPolicy or CiliumClusterwideNetworkPolicy (upstream's Rule). */
import { labelKeys } from '../model/identity.ts';
import type { HttpReader } from '../model/l7.ts';
import { parseLabel, formatLabel } from '../model/labels.ts';
import { EndpointSelector } from '../model/selector.ts';
import { join } from './fields.ts';
import type { FieldReader, Fields } from './fields.ts';
import { refuseParserConflicts } from './parse-conflicts.ts';
import { parsePeers, parseUnmetRequirements, peerFields } from './parse-peers.ts';
import type { ParsedPeers, PeerOptions } from './parse-peers.ts';
import { parseIcmps, parsePortRules } from './parse-ports.ts';
import type { PortBlock } from './parse-ports.ts';
import { inNamespace, isNamespaceKey, mentions, parseSelector } from './parse-selector.ts';
import type { Scope } from './parse-selector.ts';
import type { Condition, Direction, Effect, Peer, PolicySpec, PortMatch, Rule } from './policy.ts';

export interface RuleContext {
  readonly reader: FieldReader;
  readonly conditions: Condition[];
  readonly scope: Scope;
  readonly nodeLabels: boolean;
  /** `CiliumNetworkPolicy/shop/web`. */
  readonly address: string;
  /** Who is to carry out its rules on HTTP, where it says so. */
  readonly httpReader?: HttpReader;
}

const sections = [
  { field: 'ingress', direction: 'ingress', deny: false }, { field: 'ingressDeny', direction: 'ingress', deny: true },
  { field: 'egress', direction: 'egress', deny: false }, { field: 'egressDeny', direction: 'egress', deny: true },
] as const;

const specFields = ['endpointSelector', 'nodeSelector', 'ingress', 'ingressDeny', 'egress', 'egressDeny', 'labels', 'enableDefaultDeny', 'description', 'log'];

export function parseSpec(context: RuleContext, value: unknown, path: string): PolicySpec | undefined {
  const { reader, conditions } = context;
  const fields = reader.object(value, path, specFields);
  if (!fields) return reader.fail(path, 'must be an object', 'give endpointSelector and ingress or egress');
  const subject = parseSubject(context, fields, path);
  const selectsNodes = (fields['nodeSelector'] ?? undefined) !== undefined;
  const subjectIsInit = subject !== undefined && mentions(subject, r => r.source === 'reserved' && r.key === 'init' && (r.operator === 'In' || r.operator === 'Exists'));
  const rules: Rule[] = [];
  const used: Record<Direction, boolean> = { ingress: false, egress: false };
  for (const { field, direction, deny } of sections) {
    const entries = reader.list(fields[field], join(path, field)) ?? [];
    if (entries.length > 0) used[direction] = true;
    entries.forEach((entry, i) => rules.push(...parseEntry(context, entry, `${join(path, field)}[${i}]`, { direction, deny, selectsNodes, subjectIsInit })));
  }
  if (!used.ingress && !used.egress) reader.fail(path, 'rule must have at least one of Ingress, IngressDeny, Egress, EgressDeny', 'add "ingress: [{}]" for default deny, or a rule');
  warnUnlearnedNames(context, fields, path);
  refuseParserConflicts(reader, rules);
  const extra = parseExtras(reader, fields, path);
  const defaultDeny = parseDefaultDeny(reader, fields, path, used);
  return subject && { path, subject, selectsNodes, defaultDeny, rules, ...extra };
}

// ---- subject ----

function parseSubject(context: RuleContext, fields: Fields, path: string): EndpointSelector | undefined {
  const { reader, scope } = context;
  const has = (name: string) => fields[name] !== undefined && fields[name] !== null;
  if (has('endpointSelector') && has('nodeSelector')) return reader.fail(path, 'rule cannot have both EndpointSelector and NodeSelector', 'write two specs');
  if (has('nodeSelector')) {
    if (scope.namespace !== undefined) return reader.fail(join(path, 'nodeSelector'), 'Invalid CiliumNetworkPolicy spec: rule cannot have NodeSelector', 'use a CiliumClusterwideNetworkPolicy');
    return parseSelector(reader, fields['nodeSelector'], join(path, 'nodeSelector'));
  }
  if (!has('endpointSelector')) return reader.fail(path, 'rule must have one of EndpointSelector or NodeSelector', 'add "endpointSelector: {}" for every endpoint in scope');
  const selector = parseSelector(reader, fields['endpointSelector'], join(path, 'endpointSelector'));
  return selector && scope.namespace !== undefined ? forceNamespace(context, selector, scope.namespace, join(path, 'endpointSelector')) : selector;
}

/** A namespaced policy applies to its own namespace, whatever its selector says. */
function forceNamespace(context: RuleContext, selector: EndpointSelector, namespace: string, path: string): EndpointSelector {
  const foreign = selector.requirements.find(r => isNamespaceKey(r) && r.operator === 'In' && !r.values.includes(namespace));
  if (foreign) {
    context.conditions.push({
      type: 'NamespaceOverridden', severity: 'warning', path: `${path}.matchLabels[${labelKeys.namespace}]`,
      message: `a namespaced policy applies to its own namespace: ${foreign.values.join(', ')} is replaced by ${namespace}`,
    });
  }
  return selector.without(r => isNamespaceKey(r) && r.operator === 'In').and(inNamespace(namespace));
}

// ---- entries ----

interface EntryOptions {
  readonly direction: Direction;
  readonly deny: boolean;
  readonly selectsNodes: boolean;
  readonly subjectIsInit: boolean;
}

/** One element of ingress, ingressDeny, egress or egressDeny: a rule, and one more for each `toPorts` that is looked into. */
function parseEntry(context: RuleContext, value: unknown, path: string, options: EntryOptions): readonly Rule[] {
  const { reader, conditions } = context;
  const known = [...peerFields(options.direction, options.deny), 'toPorts', 'icmps', ...(options.deny ? [] : ['authentication'])];
  const fields = reader.object(value, path, known);
  if (!fields) return reader.fail(path, 'must be an object', 'write {} for a rule that selects nothing') ?? [];
  const peerOptions: PeerOptions = { scope: context.scope, deny: options.deny, subjectIsInit: options.subjectIsInit, nodeLabels: context.nodeLabels, conditions };
  const parsed = parsePeers(reader, fields, path, options.direction, peerOptions);
  const blocks = parsePortRules(reader, fields['toPorts'], join(path, 'toPorts'), { ...options, namespace: context.scope.namespace ?? 'default' }) ?? [];
  const icmps = parseIcmps(reader, fields['icmps'], join(path, 'icmps'));
  if (blocks.length > 0 && icmps?.length) reader.fail(path, 'the ICMPs block may only be present without ToPorts. Define a separate rule to use ToPorts', 'move icmps into a list entry of its own');
  const authentication = options.deny ? undefined : parseAuthentication(context, fields, path, parsed);
  const required = requirementRule(context, fields, path, options);
  const hasIcmps = (reader.list(fields['icmps'], '') ?? []).length > 0;
  if (parsed.peers === 'absent' && blocks.length === 0 && !hasIcmps) {
    if (required.length > 0) return required;
    conditions.push({ type: 'SelectsNothing', severity: 'warning', path, message: emptyRuleMessage(options) });
    return [];
  }
  const peers = parsed.peers === 'absent' ? 'any' : parsed.peers;
  if (peers !== 'any' && peers.length === 0 && !parsed.notEnforced) {
    conditions.push({ type: 'SelectsNothing', severity: 'warning', path, message: 'the list of peers is empty: the rule is for nobody' });
  }
  const ports = hasIcmps ? icmps! : blocks.length === 0 ? 'any' : mergePorts(blocks.filter(b => !b.l7));
  const base = { direction: options.direction, peers };
  const rules: Rule[] = [...required];
  if (hasIcmps || blocks.length === 0 || blocks.some(b => !b.l7)) {
    rules.push(makeRule(context, path, base, ports, options.deny ? 'deny' : authentication ? 'unauthenticated' : 'allow', authentication ?? parsed.notEnforced));
  }
  for (const block of blocks) if (block.l7) rules.push(inspectingRule(context, block, base, authentication));
  return rules;
}

function requirementRule(context: RuleContext, fields: Fields, path: string, options: EntryOptions): readonly Rule[] {
  const field = options.direction === 'ingress' ? 'fromRequires' : 'toRequires';
  if (options.deny || !Array.isArray(fields[field]) || fields[field].length === 0) return [];
  const peers = parseUnmetRequirements(context.reader, fields[field], join(path, field));
  context.conditions.push({ type: 'RequiresIsDeny', severity: 'warning', path: join(path, field), message: `${field} was removed upstream in 1.19: taken as a deny rule for pods that lack these labels` });
  return peers.length === 0 ? [] : [makeRule(context, join(path, field), { direction: options.direction, peers }, 'any', 'deny', undefined)];
}

function emptyRuleMessage(options: EntryOptions): string {
  const what = options.deny ? 'denies nothing by itself' : 'allows nothing';
  return `an empty rule ${what} and turns on default deny at ${options.direction}; in a NetworkPolicy the same text would allow everything`;
}

/** With `authentication` the rule waits for that first. */
function inspectingRule(context: RuleContext, block: PortBlock, base: { direction: Direction; peers: Rule['peers'] }, authentication: string | undefined): Rule {
  const { unmet, l7 } = block;
  if (unmet) {
    context.conditions.push({ type: unmet.type, severity: 'degraded', path: unmet.path, message: `not enforced: ${unmet.what}; what only this rule would allow is denied` });
  }
  const reasons = [authentication, unmet?.what].filter(reason => reason !== undefined);
  const rule = makeRule(context, block.path, base, block.ports, authentication === undefined ? 'inspect' : 'unauthenticated', reasons.length === 0 ? undefined : reasons.join(', and '));
  const { httpReader } = context;
  return { ...rule, ...(l7 && { l7: l7.protocol === 'http' && httpReader !== undefined ? { ...l7, reader: httpReader } : l7 }) };
}

function makeRule(context: RuleContext, path: string, base: { direction: Direction; peers: 'any' | readonly Peer[] }, ports: 'any' | readonly PortMatch[], effect: Effect, notEnforced: string | undefined): Rule {
  return { address: `${context.address}/${path}`, path, ...base, ports, effect, ...(notEnforced !== undefined && { notEnforced }) };
}

function mergePorts(blocks: readonly PortBlock[]): 'any' | readonly PortMatch[] {
  return blocks.some(b => b.ports === 'any') ? 'any' : blocks.flatMap(b => b.ports as readonly PortMatch[]);
}

// ---- authentication, DNS, default deny, the rest ----

/** Why the rule cannot let anything pass, or undefined when it asks for no authentication. */
function parseAuthentication(context: RuleContext, fields: Fields, path: string, parsed: ParsedPeers): string | undefined {
  const { reader, conditions } = context;
  const at = join(path, 'authentication');
  const authentication = reader.object(fields['authentication'], at, ['mode']);
  if (!authentication) return undefined;
  const mode = reader.oneOf(authentication['mode'], join(at, 'mode'), ['disabled', 'required', 'test-always-fail']);
  if (authentication['mode'] === undefined || authentication['mode'] === null) reader.fail(join(at, 'mode'), 'mode is required', 'disabled or required');
  if (mode === undefined || mode === 'disabled') return undefined;
  conditions.push({ type: 'AuthenticationNotEnforced', severity: 'degraded', path: at, message: 'mutual authentication is not available yet: what this rule covers is denied' });
  if (canNeverAuthenticate(parsed.peers)) {
    conditions.push({ type: 'PeerCannotAuthenticate', severity: 'warning', path, message: 'peer cannot authenticate: only pods of the cluster have certificates, so this traffic would stay denied' });
  }
  return mode === 'required' ? 'authentication is required and not available yet' : 'authentication is set to fail always';
}

function canNeverAuthenticate(peers: ParsedPeers['peers']): boolean {
  if (typeof peers === 'string') return false;
  return peers.some(p => p.type === 'cidr' || p.type === 'cidr-group' || (p.type === 'selector' && p.selector.requirements.some(r => r.source === 'reserved' && r.key.startsWith('world'))));
}

/** Names are learned from answers that pass a rule with `rules.dns`; without one, upstream learns nothing. */
function warnUnlearnedNames(context: RuleContext, fields: Fields, path: string): void {
  const entries = (Array.isArray(fields['egress']) ? fields['egress'] : []) as readonly (Fields | null)[];
  const usesNames = entries.some(entry => Array.isArray(entry?.['toFQDNs']) && entry['toFQDNs'].length > 0);
  const learnsNames = entries.some(entry => Array.isArray(entry?.['toPorts']) && (entry['toPorts'] as readonly ({ readonly rules?: { readonly dns?: unknown } } | null)[]).some(p => Array.isArray(p?.rules?.dns)));
  if (!usesNames || learnsNames) return;
  context.conditions.push({ type: 'NoDNSRule', severity: 'warning', path: join(path, 'egress'), message: 'no rule has rules.dns: names are learned all the same, from the answers on port 53 that the pod may have; upstream learns none without such a rule' });
}

function parseDefaultDeny(reader: FieldReader, fields: Fields, path: string, used: Readonly<Record<Direction, boolean>>): Record<Direction, boolean> {
  const at = join(path, 'enableDefaultDeny');
  const given = reader.object(fields['enableDefaultDeny'], at, ['ingress', 'egress']) ?? {};
  return {
    ingress: reader.boolean(given['ingress'], `${at}.ingress`) ?? used.ingress,
    egress: reader.boolean(given['egress'], `${at}.egress`) ?? used.egress,
  };
}

function parseExtras(reader: FieldReader, fields: Fields, path: string): Pick<PolicySpec, 'description' | 'log' | 'labels'> {
  const description = reader.string(fields['description'], join(path, 'description'));
  const log = reader.string(reader.object(fields['log'], join(path, 'log'), ['value'])?.['value'], join(path, 'log.value'));
  if (log !== undefined && !/^[\x20-\x7e]{0,32}$/.test(log)) reader.fail(join(path, 'log.value'), 'log value must be at most 32 printable characters', 'shorten it');
  const labels = reader.list(fields['labels'], join(path, 'labels'))?.flatMap((item, i) => parsePolicyLabel(reader, item, `${join(path, 'labels')}[${i}]`));
  return { ...(description !== undefined && { description }), ...(log !== undefined && { log }), ...(labels && { labels }) };
}

function parsePolicyLabel(reader: FieldReader, value: unknown, path: string): readonly string[] {
  if (typeof value === 'string') return [formatLabel(parseLabel(value))];
  const fields = reader.object(value, path, ['key', 'value', 'source']);
  const key = reader.string(fields?.['key'], join(path, 'key'));
  if (!key) return reader.fail(join(path, 'key'), 'a label needs a key', 'write key, value and source') ?? [];
  return [formatLabel({ source: reader.string(fields!['source'], join(path, 'source')) || 'unspec', key, value: reader.string(fields!['value'], join(path, 'value')) ?? '' })];
}
