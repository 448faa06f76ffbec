/** Changes that might let a denied step pass: each is small, none is proved; suggest.ts tries them. */
import type { Step } from './connection.ts';
import { entryPath, valueAt } from './edit.ts';
import type { Edit } from './edit.ts';
import { hostPrefix, nodeOf } from './ends.ts';
import { selectsPeer } from './evaluate.ts';
import { minimalSelector } from './minimal-selector.ts';
import { isSubject, nearMisses } from './near-miss.ts';
import { isClusterPolicy } from './parse-cluster.ts';
import { policyAddress, policyText } from './policy.ts';
import type { Policy, Rule } from './policy.ts';
import type { ScenarioPolicy } from './scenario.ts';
import type { World } from './world.ts';
import { entriesFor, nodeSelector, writtenPeers, writtenPort } from './writing.ts';
import { peerPath } from './written.ts';

export type Candidate =
  | { readonly kind: 'patch'; readonly source: ScenarioPolicy; readonly edits: readonly Edit[]; readonly text: string }
  | { readonly kind: 'new'; readonly object: Record<string, unknown>; readonly text: string };

export function candidates(world: World, step: Step): readonly Candidate[] {
  if (step.rule.effect === 'default-deny') return [...widened(world, step), ...newEntries(world, step), ...newPolicy(world, step, false)];
  if (step.rule.kind === 'default' || step.rule.notEnforced !== undefined) return [];
  const deciding = world.engine.rulesFor(step.member.subject, step.direction).find(({ info }) => info.id === step.rule.id);
  if (!deciding) return [];
  const { policy, rule } = deciding;
  switch (policy.tier) {
    case 'normal': return narrowedDeny(world, step, policy, rule);
    case 'admin': return [...widened(world, step), ...insertedBefore(world, step, policy, rule), ...narrowedDeny(world, step, policy, rule)];
    // What the tier normal allows is never asked of the tier baseline.
    case 'baseline': return [...widened(world, step), ...insertedBefore(world, step, policy, rule), ...narrowedDeny(world, step, policy, rule), ...newPolicy(world, step, true)];
  }
}

// ---- a rule that nearly allows it ----

function widened(world: World, step: Step): readonly Candidate[] {
  return nearMisses(world, step).filter(m => (m.rule.effect === 'allow' || m.rule.effect === 'pass') && m.missed !== 'peer and port').slice(0, 8).flatMap(({ policy, rule, missed }) => {
    const source = world.sourceOf(policyAddress(policy))!;
    const entry = entryPath(rule.path);
    const edits = missed === 'port' ? portEdits(source, entry, step, policy) : peerEdits(world, source, entry, step, policy);
    const what = missed === 'port' ? 'one more port' : 'one more peer';
    return edits.map((edit): Candidate => ({ kind: 'patch', source, edits: [edit], text: `${what} in ${policyText(policy)} (${entry})` }));
  });
}

function portEdits(source: ScenarioPolicy, entry: string, step: Step, policy: Policy): readonly Edit[] {
  const item = writtenPort(step, policy.kind);
  if (item === undefined) return [];
  const field = policy.kind === 'ClusterNetworkPolicy' ? 'protocols' : 'ports';
  if (policy.kind === 'NetworkPolicy' || isClusterPolicy(policy.kind)) return [{ op: 'add', path: `${entry}.${field}[-]`, value: item }];
  const blocks = valueAt(source.object, `${entry}.toPorts`);
  if (!Array.isArray(blocks)) return [];
  const plain = blocks.findIndex(b => Array.isArray((b as { ports?: unknown } | null)?.ports) && Object.keys(b as object).every(key => key === 'ports'));
  return plain >= 0 ? [{ op: 'add', path: `${entry}.toPorts[${plain}].ports[-]`, value: item }] : [{ op: 'add', path: `${entry}.toPorts[-]`, value: { ports: [item] } }];
}

function peerEdits(world: World, source: ScenarioPolicy, entry: string, step: Step, policy: Policy): readonly Edit[] {
  return writtenPeers(world, step, policy).filter(({ field }) => Array.isArray(valueAt(source.object, `${entry}.${field}`)))
    .map(({ field, item }) => ({ op: 'add' as const, path: `${entry}.${field}[-]`, value: item }));
}

// ---- a new entry, a new policy ----

function newEntries(world: World, step: Step): readonly Candidate[] {
  return world.policies.filter(p => p.mode === 'enforce').flatMap(policy => {
    const source = world.sourceOf(policyAddress(policy))!;
    return policy.specs.filter(s => s.defaultDeny[step.direction] && isSubject(s, step)).flatMap(spec => {
      const list = `${spec.path}.${step.direction}`;
      const append = Array.isArray(valueAt(source.object, list)) ? `${list}[-]` : undefined;
      return entriesFor(world, step, policy).map((entry): Candidate => ({
        kind: 'patch', source, edits: [append !== undefined ? { op: 'add', path: append, value: entry } : { op: 'add', path: list, value: [entry] }],
        text: `a rule of its own in ${policyText(policy)} (${list})`,
      }));
    });
  });
}

/** `open`: without closing what it does not mention. A node needs no new policy: some policy closed it. */
function newPolicy(world: World, step: Step, open: boolean): readonly Candidate[] {
  const { pod, direction } = step;
  if (!pod) return [];
  const [entry] = entriesFor(world, step, { kind: 'CiliumNetworkPolicy', namespace: pod.namespace });
  if (!entry) return [];
  const who = step.peer.text.split('/').at(-1)!.replaceAll(/[^a-z0-9-]+/g, '-');
  const plain = `allow-${direction === 'ingress' ? `${who}-to-${pod.workload.name}` : `${pod.workload.name}-to-${who}`}-${step.port}`.toLowerCase().replaceAll(/[^a-z0-9-]+/g, '-').slice(0, 63).replace(/-+$/, '');
  // The other end of the connection may have taken the name a change ago.
  const name = world.sourceOf(`CiliumNetworkPolicy/${pod.namespace}/${plain}`) ? `${plain.slice(0, 55)}-${direction}` : plain;
  return [{
    kind: 'new', text: `a new policy`,
    object: {
      apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata: { name, namespace: pod.namespace },
      spec: { endpointSelector: { matchLabels: minimalSelector(pod, world.scenario.pods) }, [direction]: [entry], ...(open && { enableDefaultDeny: { [direction]: false } }) },
    },
  }];
}

// ---- a rule that denies ----

function narrowedDeny(world: World, step: Step, policy: Policy, rule: Rule): readonly Candidate[] {
  const source = world.sourceOf(policyAddress(policy))!;
  const entry = entryPath(rule.path);
  const edits = isClusterPolicy(policy.kind) ? clusterExceptions(world, step, source, rule) : exceptions(world, step, source, entry);
  return [
    ...(edits.length > 0 ? [{ kind: 'patch' as const, source, edits, text: `an exception in the rule of ${policyText(policy)} that denies it (${entry})` }] : []),
    { kind: 'patch', source, edits: [{ op: 'remove', path: entry }], text: `without the rule of ${policyText(policy)} that denies it (${entry})` },
  ];
}

/** The peer is taken out of each selector or prefix that matches it. */
function exceptions(world: World, step: Step, source: ScenarioPolicy, entry: string): readonly Edit[] {
  const prefix = step.direction === 'ingress' ? 'from' : 'to';
  const address = step.peer.type === 'identity' ? step.peer.prefix : undefined;
  if (address !== undefined) {
    const sets = valueAt(source.object, `${entry}.${prefix}CIDRSet`);
    return Array.isArray(sets) ? sets.map((_, i) => ({ op: 'add', path: `${entry}.${prefix}CIDRSet[${i}].except[-]`, value: hostPrefix(address) })) : [];
  }
  if (step.peer.type !== 'pod') return [];
  const list = valueAt(source.object, `${entry}.${prefix}Endpoints`);
  const without = Object.entries(minimalSelector(step.peer.pod, world.scenario.pods)).map(([key, value]) => ({ key, operator: 'NotIn', values: [value] }))[0];
  if (!without || !Array.isArray(list)) return [];
  return list.map((_, i) => ({ op: 'add', path: `${entry}.${prefix}Endpoints[${i}].matchExpressions[-]`, value: without }));
}

// ---- rules in an order ----

/** A rule of its own before the one that denies; passing on leaves the verdict with those who are asked next. */
function insertedBefore(world: World, step: Step, policy: Policy, rule: Rule): readonly Candidate[] {
  const source = world.sourceOf(policyAddress(policy))!;
  const at = entryPath(rule.path);
  const allow = policy.kind === 'ClusterNetworkPolicy' ? 'Accept' : 'Allow';
  const actions = policy.tier === 'admin' ? ['Pass', allow] : [allow];
  return entriesFor(world, step, policy).flatMap(entry => actions.map((action): Candidate => ({
    kind: 'patch', source, edits: [{ op: 'add', path: at, value: { action, ...entry } }],
    text: `a rule that ${action === 'Pass' ? 'passes it on' : 'allows it'}, before the one of ${policyText(policy)} that denies it (${at})`,
  })));
}

/** The peer is taken out of each selector that matches it; a network cannot have holes. */
function clusterExceptions(world: World, step: Step, source: ScenarioPolicy, rule: Rule): readonly Edit[] {
  const view = world.viewOf(step.identity);
  const matching = rule.peers === 'any' ? [] : rule.peers.flatMap((peer, i) => (selectsPeer({ ...rule, peers: [peer] }, view, {}) ? [peerPath(source.object, entryPath(rule.path), i)] : []));
  const edits = [...new Set(matching)].map(path => clusterException(world, step, source, path));
  return edits.includes(undefined) ? [] : edits as Edit[];
}

function clusterException(world: World, step: Step, source: ScenarioPolicy, path: string): Edit | undefined {
  const [field] = Object.keys((valueAt(source.object, path) as object | undefined) ?? {});
  const not = (at: string, labels: Readonly<Record<string, string>>): Edit | undefined => {
    const [first] = Object.entries(labels);
    return first && { op: 'add', path: `${path}.${at}.matchExpressions[-]`, value: { key: first[0], operator: 'NotIn', values: [first[1]] } };
  };
  if (step.peer.type === 'pod' && field === 'pods') return not('pods.podSelector', minimalSelector(step.peer.pod, world.scenario.pods));
  if (step.peer.type === 'pod' && field === 'namespaces') return not('namespaces', { 'kubernetes.io/metadata.name': step.peer.pod.namespace });
  if (step.peer.type === 'node' && field === 'nodes') return not('nodes', nodeSelector(world, nodeOf(step.peer, step.end)).matchLabels ?? {});
  return undefined;
}
