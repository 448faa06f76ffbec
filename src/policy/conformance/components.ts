/** Cases of single parts: labels, selectors, ports, prefixes, names, validation of one rule, one endpoint's policy map. */
import { formatLabel, LabelSet, parseLabel, parseSelectLabel } from '../../model/labels.ts';
import { EndpointSelector, selectorKey } from '../../model/selector.ts';
import { PolicyEngine } from '../compile.ts';
import type { NamedPorts } from '../compile.ts';
import { lookup, portsMatched } from '../evaluate.ts';
import { FieldReader } from '../fields.ts';
import { namePattern } from '../fqdn.ts';
import { parseDnsRule } from '../parse-l7.ts';
import { parseCidrRule } from '../parse-peers.ts';
import { parseSelector } from '../parse-selector.ts';
import { parsePolicy } from '../parse.ts';
import type { Policy } from '../policy.ts';
import { rangeToPrefixes } from '../prefixes.ts';
import { resolvePeers, selectsService } from '../resolve.ts';
import { parseAddr, parsePrefix, prefixHas } from '../../std/ip.ts';
import { outcome } from './case.ts';
import type { ConformanceCase, Outcome } from './case.ts';
import { kubernetesLabels } from '../scenario.ts';

/** A checker gives undefined when the case holds, or what differs; `skip: …` when it cannot be asked. */
type Checker = (input: never, expected: never) => string | undefined;

const checkers: Readonly<Record<string, Checker>> = {
  'port-range-decompose': portRange, 'parse-label': label(parseLabel), 'parse-select-label': label(parseSelectLabel), 'label-key': labelKey,
  'testlabels-has': labelsHas, 'testlabels-hassource': labelsHasSource, 'testlabels-getfromsource': labelsOfSource,
  'selector-sanitize': selectorSanitize, 'selector-json': selectorJson, 'label-selector': labelSelector, 'prefixes-contain': prefixesContain,
  'toservices-match': toServices, 'cnp-to-rule': cnpToRule, 'fqdn-match-pattern': fqdnPattern, 'fqdn-pattern-regex': fqdnRegex,
  'ipblock-match': ipBlock, 'np-port-match': networkPolicyPort, 'anp-port-match': clusterPorts('ports'), 'cnp-protocol-match': clusterPorts('protocols'), validation, 'policy-map': policyMap,
};

export const componentKinds: readonly string[] = Object.keys(checkers);

export function runComponent(testCase: ConformanceCase): Outcome {
  const result = checkers[testCase.kind]!(testCase.input as never, testCase.expect as never);
  if (result === undefined) return outcome(1);
  return result.startsWith('skip: ') ? outcome(0, [], [result.slice(6)]) : outcome(0, [result]);
}

function same(actual: unknown, expected: unknown): string | undefined {
  const [a, e] = [JSON.stringify(actual), JSON.stringify(expected)];
  return a === e ? undefined : `expected ${e}, got ${a}`;
}

// ---- ports, labels ----

function portRange(input: { start: number; end: number }, expected: { masked: { port: number; mask: number }[] }): string | undefined {
  return same(rangeToPrefixes(input.start, input.end).map(p => ({ port: p.port, mask: (0xffff << (16 - p.bits)) & 0xffff })), expected.masked);
}

function label(parse: (text: string) => Parameters<typeof formatLabel>[0]): Checker {
  return (input: { string: string }, expected: { label: string }) => same(formatLabel(parse(input.string)), expected.label);
}

function labelKey(input: { string: string }, expected: { label: string }): string | undefined {
  const { source, key } = selectorKey(input.string);
  return same(`${source}.${key}`, expected.label);
}

function labelSetOf(labels: Readonly<Record<string, string>>): LabelSet {
  return LabelSet.of(Object.values(labels));
}

function labelsHas(input: { l: Record<string, string>; in: string }, expected: { want: boolean }): string | undefined {
  const { source, key, value } = parseLabel(input.in);
  return same(labelSetOf(input.l).hasValue(source, key, value), expected.want);
}

function labelsHasSource(input: { l: Record<string, string>; args: { source: string } }, expected: { want: boolean }): string | undefined {
  return same([...labelSetOf(input.l).keysOf(input.args.source)].length > 0, expected.want);
}

function labelsOfSource(input: { l: Record<string, string>; args: { source: string } }, expected: { want: Record<string, string> }): string | undefined {
  const found = [...labelSetOf(input.l).labels()].filter(l => l.source === input.args.source);
  return same(Object.fromEntries(found.map(l => [l.key, formatLabel(l)])), expected.want);
}

// ---- selectors ----

/** Some of the sources show selectors in upstream's internal form, `k8s.app`: sources before a dot. */
function fromInternal(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value).replaceAll(/"(any|k8s|reserved)\.([^"]*)":/g, '"$1:$2":').replaceAll(/"key":"(any|k8s|reserved)\.([^"]*)"/g, '"key":"$1:$2"')) as unknown;
}

function selectorOf(value: unknown): EndpointSelector | undefined {
  return parseSelector(new FieldReader(), fromInternal(value), '');
}

function selectorSanitize(input: { selector: unknown }, expected: { selector: unknown; error: boolean }): string | undefined {
  const actual = selectorOf(input.selector);
  if (expected.error) return actual === undefined ? undefined : 'expected an error';
  return same(actual?.text, selectorOf(expected.selector)?.text);
}

function selectorJson(input: { json: string }, expected: { sanitizedExepected: unknown; expectedErr: boolean }): string | undefined {
  let value: unknown;
  try {
    value = JSON.parse(input.json);
  } catch {
    return expected.expectedErr ? undefined : 'not JSON';
  }
  return same(selectorOf(value)?.text, selectorOf(expected.sanitizedExepected)?.text);
}

function labelSelector(input: { selector: unknown; labels: Record<string, string> }, expected: { match: boolean; invalid?: boolean }): string | undefined {
  const selector = parseSelector(new FieldReader(), input.selector, '', { defaultSource: 'k8s', sources: false });
  if (expected.invalid) return selector === undefined ? undefined : 'expected an error';
  return same(selector?.matches(kubernetesLabels(input.labels ?? {})), expected.match);
}

// ---- prefixes, names, services, ports of a NetworkPolicy ----

function prefixesContain(input: { prefixes: string[]; addr: string }, expected: { match: boolean }): string | undefined {
  return same(input.prefixes.some(p => prefixHas(parsePrefix(p), parseAddr(input.addr))), expected.match);
}

function toServices(input: { spec?: { egress?: object[] }; ev: { name: { namespace: string; name: string }; service?: { labels?: Record<string, string> } } }, expected: { match: boolean }): string | undefined {
  if (!input.spec) return same(false, expected.match);
  const result = parsePolicy({ kind: 'CiliumClusterwideNetworkPolicy', metadata: { name: 'p' }, spec: { endpointSelector: {}, ...input.spec } });
  if (result.errors) return result.errors[0]!.message;
  const service = { ...input.ev.name, labels: kubernetesLabels(input.ev.service?.labels ?? {}) };
  const peers = result.policy.specs.flatMap(s => s.rules).flatMap(r => (r.peers === 'any' ? [] : r.peers));
  return same(peers.some(p => p.type === 'service' && selectsService(p, service)), expected.match);
}

function fqdnPattern(input: { matchPattern: string }, expected: { accept: string[]; reject: string[] }): string | undefined {
  const expression = namePattern(input.matchPattern);
  return same({ accept: expected.accept.filter(n => expression.test(n)), reject: expected.reject.filter(n => !expression.test(n)) }, { accept: expected.accept, reject: expected.reject });
}

/** Upstream's expression differs in form; the names that it takes must be the same. */
function fqdnRegex(input: { matchPattern: string }, expected: { regex: string }): string | undefined {
  const names = ['', '.', 'io.', 'cilium.io.', 'a.cilium.io.', 'a.b.cilium.io.', 'xcilium.io.', '.cilium.io.', 'cilium.io', 'a-b_c.cilium.io.'];
  const [ours, theirs] = [namePattern(input.matchPattern), new RegExp(expected.regex)];
  return same(names.filter(n => ours.test(n)), names.filter(n => theirs.test(n)));
}

function networkPolicy(ingress: object): Policy | string {
  const result = parsePolicy({ kind: 'NetworkPolicy', metadata: { name: 'p', namespace: 'n' }, spec: { podSelector: {}, ingress: [ingress] } });
  return result.errors ? result.errors.map(e => e.message).join('; ') : result.policy;
}

function ipBlock(input: { ipBlock: object | null; ip: string | null }, expected: { match: boolean }): string | undefined {
  if (!input.ipBlock || !input.ip) return 'skip: a NetworkPolicy peer without content is refused';
  const policy = networkPolicy({ from: [{ ipBlock: input.ipBlock }] });
  if (typeof policy === 'string') return policy.includes('does not contain') ? 'skip: an exception outside its block is refused, as the API does' : policy;
  const peers = resolvePeers(policy.specs[0]!.rules[0]!.peers, { services: () => [], groups: () => [] });
  const prefix = parseAddr(input.ip);
  const match = peers !== 'any' && peers.cidrs.some(c => prefixHas(parsePrefix(c.cidr), prefix) && !c.except.some(e => prefixHas(parsePrefix(e), prefix)));
  return same(match, expected.match);
}

const protocolNumbers: Readonly<Record<string, number>> = { TCP: 6, UDP: 17, SCTP: 132 };

function networkPolicyPort(input: { ports: { endPort?: number }[] | null; port: number; protocol: string }, expected: { match: boolean }): string | undefined {
  const policy = networkPolicy({ ports: input.ports ?? [] });
  if (typeof policy === 'string') return input.ports?.some(p => (p.endPort ?? 0) > 65535) ? 'skip: a port above 65535 is refused, as the API does' : policy;
  const ports = policy.specs[0]!.rules[0]!.ports;
  const match = ports === 'any' || ports.some(p => !('name' in p) && p.protocol === protocolNumbers[input.protocol] && p.start <= input.port && input.port <= p.end);
  return same(match, expected.match);
}

interface ClusterPortInput { readonly ports: unknown[] | null; readonly pod: { readonly ports: readonly { readonly name: string; readonly port: number; readonly protocol: string }[] } | null; readonly port: number; readonly protocol: string }

/** Ports of an AdminNetworkPolicy, or protocols of a ClusterNetworkPolicy, asked of one pod. */
function clusterPorts(field: 'ports' | 'protocols'): Checker {
  return (input: ClusterPortInput, expected: { match: boolean }) => {
    const kind = field === 'ports' ? 'AdminNetworkPolicy' : 'ClusterNetworkPolicy';
    const rule = { action: field === 'ports' ? 'Allow' : 'Accept', from: [{ namespaces: {} }], [field]: input.ports ?? [] };
    const result = parsePolicy({ kind, metadata: { name: 'p' }, spec: { priority: 1, ...(field === 'protocols' && { tier: 'Admin' }), subject: { namespaces: {} }, ingress: [rule] } });
    if (result.errors) return result.errors.map(e => e.message).join('; ');
    const namedPorts: NamedPorts = new Map((input.pod?.ports ?? []).map(p => [p.name, p]));
    const subject = { labels: LabelSet.empty, namedPorts };
    return same(portsMatched(result.policy.specs[0]!.rules[0]!, subject, undefined, protocolNumbers[input.protocol] ?? 0, input.port) !== undefined, expected.match);
  };
}

// ---- a rule: validity, namespaces ----

function validation(input: { type: string; value: unknown }, expected: { valid: boolean }): string | undefined {
  const errors = validate(input.type, input.value);
  if (errors === undefined) return `skip: type ${input.type}`;
  return errors.length === 0 === expected.valid ? undefined : `expected ${expected.valid ? 'valid' : 'invalid'}, got ${errors.length === 0 ? 'valid' : errors.join('; ')}`;
}

function validate(type: string, value: unknown): readonly string[] | undefined {
  const reader = new FieldReader();
  switch (type) {
    case 'Rule': return parsePolicy({ kind: 'CiliumClusterwideNetworkPolicy', metadata: { name: 'p' }, spec: fromInternal(value) }).errors?.map(e => e.message) ?? [];
    case 'CIDRRule': parseCidrRule(reader, value, ''); break;
    case 'EndpointSelector': parseSelector(reader, fromInternal(value), ''); break;
    case 'FQDNSelector': case 'PortRuleDNS': parseDnsRule(reader, value, ''); break;
    default: return undefined;
  }
  return reader.errors.map(e => e.message);
}

function cnpToRule(input: { namespace: string; rule: { endpointSelector: unknown; ingress?: object[]; egress?: object[] } }, expected: { rule: { endpointSelector: unknown; ingress?: { fromEndpoints?: unknown[] }[] } }): string | undefined {
  const rule = fromInternal(input.rule) as { ingress?: object[]; egress?: object[] };
  const hasRules = (rule.ingress ?? rule.egress) !== undefined;
  const result = parsePolicy({ kind: 'CiliumNetworkPolicy', metadata: { name: 'p', namespace: input.namespace }, spec: hasRules ? rule : { ...rule, ingress: [{}] } });
  if (result.errors) return result.errors.map(e => e.message).join('; ');
  const [spec] = result.policy.specs;
  // The source's expectation leaves open whether the key is any: or k8s:; for pods these are one.
  const plain = (selector: EndpointSelector | undefined) => EndpointSelector.of((selector?.requirements ?? []).map(r => ({ ...r, source: r.source === 'any' ? 'k8s' : r.source }))).text;
  const subject = same(plain(spec!.subject), plain(selectorOf(expected.rule.endpointSelector)));
  if (subject) return `endpointSelector: ${subject}`;
  const actual = spec!.rules.flatMap(r => (r.peers === 'any' ? [] : r.peers)).map(p => (p.type === 'selector' ? plain(p.selector) : p.type));
  const wanted = (expected.rule.ingress ?? []).flatMap(i => i.fromEndpoints ?? []).map(s => plain(selectorOf(s)));
  return same(actual, wanted);
}

// ---- the policy map of one endpoint ----

interface PolicyMapProbe { readonly from_labels: readonly string[]; readonly port: number; readonly protocol: string; readonly expect: string }

function policyMap(input: { rules: object[]; endpoint_labels: string[]; identities: Record<string, string[]>; named_ports?: unknown }, expected: { derived_probes?: PolicyMapProbe[] }): string | undefined {
  return policyMapVerdicts(input, expected).find(v => v.actual !== v.probe.expect)?.text;
}

function policyMapVerdicts(input: { rules: object[]; endpoint_labels: string[]; identities: Record<string, string[]>; named_ports?: unknown }, expected: { derived_probes?: PolicyMapProbe[] }) {
  const inNamespace = (labels: readonly string[]) => LabelSet.of([...labels.map(l => (l.startsWith('any:') ? `k8s:${l.slice(4)}` : `k8s:${l}`)), 'k8s:io.kubernetes.pod.namespace=n']);
  const engine = new PolicyEngine({ provides: { proxy: true, authentication: true } });
  engine.setPolicies(input.rules.map((rule, i) => {
    const result = parsePolicy({ kind: 'CiliumClusterwideNetworkPolicy', metadata: { name: `rule-${i}` }, spec: rule });
    if (result.errors) throw new Error(result.errors.map(e => e.message).join('; '));
    return result.policy;
  }));
  const identities = new Map((expected.derived_probes ?? []).map((p, i) => [p.from_labels.join(), 300 + i] as const));
  for (const [labels, id] of identities) engine.upsertIdentity(id, inNamespace(labels.split(',')));
  const namedPorts: NamedPorts = new Map(input.named_ports === undefined ? [] : [['port-80', { protocol: 'TCP', port: 80 }]]);
  const set = engine.compile({ labels: inNamespace(input.endpoint_labels), namedPorts }, 'ingress');
  return (expected.derived_probes ?? []).map(probe => {
    const row = lookup(set, identities.get(probe.from_labels.join())!, protocolNumbers[probe.protocol]!, probe.port)!;
    const rule = set.rules.get(row.rule)!;
    const actual = row.verdict === 'redirect' ? 'allow' : row.verdict;
    return { probe, actual, text: `from ${probe.from_labels.join()} ${probe.port}/${probe.protocol}: expected ${probe.expect}, got ${actual} (${rule.because})` };
  });
}

