/** Names: resolvers that were forgotten, and names that nobody teaches. */
import { labelKeys } from '../../model/identity.ts';
import { LabelSet } from '../../model/labels.ts';
import type { Subject } from '../compile.ts';
import { valueAt } from '../edit.ts';
import { portsMatched } from '../evaluate.ts';
import type { PolicySpec, Rule } from '../policy.ts';
import type { World } from '../world.ts';
import type { Checked } from './finding.ts';
import { fieldsOf, listOf } from './finding.ts';
import { coversSelector } from './shadows.ts';

const dnsPort = { protocol: 17, port: 53 };

/** What is wider is a range that was not meant for DNS alone. */
const widestRange = 1000;

export function checkDns(checked: Checked): void {
  for (const spec of checked.policy.specs) {
    if (spec.selectsNodes) continue;
    if (spec.defaultDeny.egress) checkForgotten(checked, spec);
    checkUntaught(checked, spec);
  }
}

/** Egress is closed, something is open, and no rule opens port 53. */
function checkForgotten({ world, policy, report }: Checked, spec: PolicySpec): void {
  const own = spec.rules.filter(opens);
  if (own.length === 0) return;
  const subjects = world.scenario.pods.filter(pod => !pod.hostNetwork && spec.subject.matches(pod.labels));
  const field = `${spec.path}.egress`;
  const mend = policy.kind === 'NetworkPolicy'
    ? 'add an egress entry to kube-dns: namespaceSelector kubernetes.io/metadata.name: kube-system, podSelector k8s-app: kube-dns, ports 53/UDP and 53/TCP'
    : 'add an egress rule with toEndpoints k8s:io.kubernetes.pod.namespace: kube-system, k8s-app: kube-dns and toPorts 53/ANY';
  const message = 'egress is closed but for some peers, and port 53 is not among what is open: names cannot be resolved, so connections by name fail before they begin';
  if (subjects.length === 0) {
    const around = world.policies.flatMap(p => p.specs).filter(s => s === spec || coversSelector(s.subject, spec.subject)).flatMap(s => s.rules).filter(opens);
    if (!around.some(rule => opensDns(rule, { labels: LabelSet.empty, namedPorts: new Map() }, world))) report('dns-forgotten', 'warning', field, message, mend);
    return;
  }
  const without = subjects.find(pod => !world.engine.rulesFor(world.memberOf(pod)!.subject, 'egress').some(({ rule }) => opens(rule) && opensDns(rule, world.memberOf(pod)!.subject, world)));
  if (without) report('dns-forgotten', 'warning', field, `${message} (${without.namespace}/${without.name})`, mend);
}

function opens(rule: Rule): boolean {
  return rule.direction === 'egress' && (rule.effect === 'allow' || rule.effect === 'inspect') && (rule.peers === 'any' || rule.peers.length > 0);
}

/** A rule with port 53 means DNS, whoever it is for: resolvers have many places. One for every port must be for a resolver. */
function opensDns(rule: Rule, subject: Subject, world: World): boolean {
  if (rule.ports !== 'any' && rule.ports.some(p => 'name' in p && p.name.startsWith('dns'))) return true;
  const size = portsMatched(rule, subject, undefined, dnsPort.protocol, dnsPort.port);
  if (size === undefined) return false;
  if (size <= widestRange || rule.peers === 'any') return true;
  const resolvers = world.scenario.pods.filter(pod => ['kube-dns', 'coredns'].includes(pod.ownLabels['k8s-app'] ?? '') || pod.ports.some(p => p.port === dnsPort.port && p.protocol === 'UDP'));
  return rule.peers.some(peer => {
    if (peer.type === 'cidr') return peer.cidr.endsWith('/0');
    if (peer.type !== 'selector') return false;
    if (peer.written !== undefined) return true;
    // Where no resolver was read, a whole namespace may hold it.
    return resolvers.length > 0 ? resolvers.some(pod => peer.selector.matches(pod.labels)) : peer.selector.requirements.every(r => r.key === labelKeys.namespace || r.key === labelKeys.cluster || r.key.startsWith(labelKeys.namespaceLabels));
  });
}

/**
 * Addresses of names are learned from answers that pass a rule with `rules.dns`, which may be another policy's; here also where
 * port 53 is open without one.
 */
function checkUntaught({ world, source, report }: Checked, spec: PolicySpec): void {
  const egress = listOf(valueAt(source.object, `${spec.path}.egress`)).map(fieldsOf);
  const index = egress.findIndex(entry => listOf(entry['toFQDNs']).length > 0);
  if (index < 0) return;
  const around = world.policies.flatMap(p => p.specs).filter(s => coversSelector(s.subject, spec.subject));
  if (around.some(s => s.rules.some(rule => rule.l7?.protocol === 'dns'))) return;
  const anybody: Subject = { labels: LabelSet.empty, namedPorts: new Map() };
  const isOpen = !around.some(s => s.defaultDeny.egress) || around.some(s => s.rules.some(rule => opens(rule) && opensDns(rule, anybody, world)));
  const at = `${spec.path}.egress[${index}].toFQDNs`;
  const mend = 'add an egress rule to the resolver with toPorts 53/ANY and rules: {dns: [{matchPattern: "*"}]}';
  if (isOpen) report('fqdn-without-dns', 'warning', at, 'no rule has rules.dns: names are learned here from what may be asked on port 53; upstream would learn none, and this rule would never allow anything there', mend);
  else report('fqdn-without-dns', 'error', at, 'no rule lets DNS pass, so that no names are learned: this rule never allows anything', mend);
}
