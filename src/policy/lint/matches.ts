/** Selectors that select nobody, among the pods that were read. */
import { labelKeys } from '../../model/identity.ts';
import { EndpointSelector } from '../../model/selector.ts';
import type { Requirement } from '../../model/selector.ts';
import { entryPath } from '../edit.ts';
import type { Peer, PolicySpec, Rule } from '../policy.ts';
import { selectsService } from '../resolve.ts';
import type { World } from '../world.ts';
import { peerPath } from '../written.ts';
import type { Checked } from './finding.ts';
import { subjectField } from './finding.ts';

export function checkMatches(checked: Checked): void {
  const { world, policy, report } = checked;
  if (world.scenario.pods.length === 0) return;
  for (const spec of policy.specs) {
    if (spec.selectsNodes) checkNodes(checked, spec);
    if (spec.selectsNodes || isReserved(spec.subject)) continue;
    const field = subjectField(checked, spec);
    if (!world.scenario.pods.some(pod => !pod.hostNetwork && spec.subject.matches(pod.labels))) {
      const hidden = world.scenario.pods.some(pod => pod.hostNetwork && spec.subject.matches(pod.labels));
      if (hidden) report('host-network', 'error', field, 'the only pods that this selects are in the host\'s network: policies for pods do not reach them', 'restrict the node with a nodeSelector policy, or give the pods a network of their own');
      else report('selects-nothing', 'warning', field, `no pod matches: the policy restricts nobody${nearText(world, spec.subject)}`, mendOf(world, spec.subject));
    }
    for (const rule of spec.rules) checkPeers(checked, rule);
  }
}

function checkNodes({ world, report }: Checked, spec: PolicySpec): void {
  const { nodes } = world.scenario;
  if (nodes.length === 0 || nodes.some(n => spec.subject.matches(world.nodeMember(n.name)!.subject.labels))) return;
  report('selects-nothing', 'warning', `${spec.path}.nodeSelector`, 'no node matches: the policy restricts nobody', 'compare with kubectl get nodes --show-labels');
}

function checkPeers({ world, source, report }: Checked, rule: Rule): void {
  if (rule.peers === 'any') return;
  for (const [i, peer] of rule.peers.entries()) {
    const missing = nobody(world, peer);
    if (missing === undefined) continue;
    report('peer-matches-nothing', 'warning', peerPath(source.object, entryPath(rule.path), i), missing.message, missing.mend);
  }
}

function nobody(world: World, peer: Peer): { readonly message: string; readonly mend: string } | undefined {
  switch (peer.type) {
    case 'cidr': return undefined;
    case 'selector': {
      if (peer.written !== undefined || isReserved(peer.selector) || [...world.engine.identities.values()].some(i => peer.selector.matches(i.labels))) return undefined;
      return { message: `no pod matches: this peer is nobody${nearText(world, peer.selector)}`, mend: mendOf(world, peer.selector) };
    }
    case 'cidr-group': {
      if (world.scenario.groups.some(g => (peer.name !== undefined ? g.name === peer.name : peer.selector!.matches(g.labels)))) return undefined;
      return { message: `there is no CIDR group ${peer.name ?? peer.selector!.describe()}: this peer is nobody`, mend: 'create the CiliumCIDRGroup, or mend its name' };
    }
    case 'service': {
      if (world.scenario.services.some(s => selectsService(peer, s))) return undefined;
      return { message: `there is no service ${peer.namespace ?? '(any namespace)'}/${peer.name ?? peer.selector!.describe()}: this peer is nobody`, mend: 'mend name and namespace; services of other files have to be read too' };
    }
  }
}

function isReserved(selector: EndpointSelector): boolean {
  return selector.requirements.some(r => r.source === 'reserved' || r.source === 'cidr' || r.source === 'fqdn' || r.source === 'cidrgroup');
}

/** Which requirement nobody meets, if it is one alone. */
function nearText(world: World, selector: EndpointSelector): string {
  const culprit = culpritOf(world, selector);
  return culprit === undefined ? '' : `; ${describe(culprit)} is what nobody has`;
}

function culpritOf(world: World, selector: EndpointSelector): Requirement | undefined {
  return selector.requirements.find(r => r.key !== labelKeys.cluster && !world.scenario.pods.some(pod => EndpointSelector.of([r]).matches(pod.labels)));
}

function describe(r: Requirement): string {
  if (r.key === labelKeys.namespace) return `namespace ${r.values.join(' or ')}`;
  return EndpointSelector.of([{ ...r, source: 'any', key: r.key.replace(labelKeys.namespaceLabels, 'namespace label ') }]).describe();
}

function mendOf(world: World, selector: EndpointSelector): string {
  const culprit = culpritOf(world, selector);
  if (!culprit) {
    const scoped = selector.requirements.find(r => r.key === labelKeys.namespace);
    const rest = selector.without(r => r.key === labelKeys.namespace);
    const elsewhere = scoped && world.scenario.pods.find(pod => rest.matches(pod.labels));
    return elsewhere ? `such pods are in namespace ${elsewhere.namespace}: a selector without a namespace means the policy's own (${scoped.values.join()})` : 'no pod has all of these labels at once: compare with kubectl get pods --show-labels';
  }
  const values = [...new Set(world.scenario.pods.flatMap(pod => pod.labels.all(culprit.source, culprit.key)))];
  const near = values.find(v => culprit.values.some(w => distance(v, w) <= 2));
  if (near !== undefined) return `did you mean ${describe({ ...culprit, operator: 'In', values: [near] })}?`;
  if (values.length > 0) return `values of ${culprit.key.replace(labelKeys.namespaceLabels, '')} here: ${values.slice(0, 6).join(', ')}`;
  return 'mend the label, or read the pods that have it too';
}

function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
    row = next;
  }
  return row[b.length]!;
}
