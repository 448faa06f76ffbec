/** Changes that might let a denied step pass: each is small, none is proved; suggest.ts tries them. */
import { reserved } from '../model/identity.ts';
import type { Step } from './connection.ts';
import { entryPath, valueAt } from './edit.ts';
import type { Edit } from './edit.ts';
import type { End } from './ends.ts';
import { hostPrefix, identityOf } from './ends.ts';
import { minimalSelector } from './minimal-selector.ts';
import { nearMisses } from './near-miss.ts';
import { policyAddress, policyText, protocolName } from './policy.ts';
import type { Policy } from './policy.ts';
import type { ScenarioPolicy } from './scenario.ts';
import { entityIdentities } from './world.ts';
import type { World } from './world.ts';

export type Candidate =
  | { readonly kind: 'patch'; readonly source: ScenarioPolicy; readonly edits: readonly Edit[]; readonly text: string }
  | { readonly kind: 'new'; readonly object: Record<string, unknown>; readonly text: string };

/** A peer as a field of a rule and an entry of its list. */
interface WrittenPeer { readonly field: string; readonly item: unknown }

export function candidates(world: World, step: Step): readonly Candidate[] {
  if (step.rule.effect === 'default-deny') return [...widened(world, step), ...newEntries(world, step), ...newPolicy(world, step)];
  if (step.rule.kind === 'default' || step.rule.notEnforced !== undefined) return [];
  return narrowedDeny(world, step);
}

// ---- a rule that nearly allows it ----

function widened(world: World, step: Step): readonly Candidate[] {
  return nearMisses(world, step).filter(m => m.rule.effect === 'allow' && m.missed !== 'peer and port').slice(0, 8).flatMap(({ policy, rule, missed }) => {
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
  if (policy.kind === 'NetworkPolicy') return [{ op: 'add', path: `${entry}.ports[-]`, value: item }];
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
  return world.policies.filter(p => p.kind !== 'NetworkPolicy' || step.protocol === 6 || step.protocol === 17 || step.protocol === 132).flatMap(policy => {
    const source = world.sourceOf(policyAddress(policy))!;
    return policy.specs.filter(s => !s.selectsNodes && s.defaultDeny[step.direction] && s.subject.matches(step.subject.labels)).flatMap(spec => {
      const list = `${spec.path}.${step.direction}`;
      const append = Array.isArray(valueAt(source.object, list)) ? `${list}[-]` : undefined;
      return entriesFor(world, step, policy).map((entry): Candidate => ({
        kind: 'patch', source, edits: [append !== undefined ? { op: 'add', path: append, value: entry } : { op: 'add', path: list, value: [entry] }],
        text: `a rule of its own in ${policyText(policy)} (${list})`,
      }));
    });
  });
}

function entriesFor(world: World, step: Step, policy: Pick<Policy, 'kind' | 'namespace'>): readonly Record<string, unknown>[] {
  const port = writtenPort(step, policy.kind);
  if (port === undefined) return [];
  const icmp = step.protocol === 1 || step.protocol === 58;
  return writtenPeers(world, step, policy).map(({ field, item }) => ({
    [field]: [item],
    ...(policy.kind === 'NetworkPolicy' ? { ports: [port] } : icmp ? { icmps: [{ fields: [port] }] } : { toPorts: [{ ports: [port] }] }),
  }));
}

function newPolicy(world: World, step: Step): readonly Candidate[] {
  const { pod, direction } = step;
  const [entry] = entriesFor(world, step, { kind: 'CiliumNetworkPolicy', namespace: pod.namespace });
  if (!entry) return [];
  const who = step.peer.text.split('/').at(-1)!.replaceAll(/[^a-z0-9-]+/g, '-');
  const name = `allow-${direction === 'ingress' ? `${who}-to-${pod.workload.name}` : `${pod.workload.name}-to-${who}`}-${step.port}`.toLowerCase().replaceAll(/[^a-z0-9-]+/g, '-').slice(0, 63).replace(/-+$/, '');
  return [{
    kind: 'new', text: `a new policy`,
    object: {
      apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata: { name, namespace: pod.namespace },
      spec: { endpointSelector: { matchLabels: minimalSelector(pod, world.scenario.pods) }, [direction]: [entry] },
    },
  }];
}

// ---- a rule that denies ----

function narrowedDeny(world: World, step: Step): readonly Candidate[] {
  const address = `${step.rule.kind}/${step.rule.namespace ?? ''}/${step.rule.name}`;
  const source = world.sourceOf(address);
  if (!source) return [];
  const entry = entryPath(step.rule.path);
  const name = `${step.rule.kind} ${step.rule.namespace === undefined ? '' : `${step.rule.namespace}/`}${step.rule.name}`;
  const except = exceptions(world, step, source, entry);
  return [
    ...(except.length > 0 ? [{ kind: 'patch' as const, source, edits: except, text: `an exception in the rule of ${name} that denies it (${entry})` }] : []),
    { kind: 'patch', source, edits: [{ op: 'remove', path: entry }], text: `without the rule of ${name} that denies it (${entry})` },
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
  const [label] = Object.entries(minimalSelector(step.peer.pod, world.scenario.pods));
  const list = valueAt(source.object, `${entry}.${prefix}Endpoints`);
  if (!label || !Array.isArray(list)) return [];
  return list.map((_, i) => ({ op: 'add', path: `${entry}.${prefix}Endpoints[${i}].matchExpressions[-]`, value: { key: label[0], operator: 'NotIn', values: [label[1]] } }));
}

// ---- how peers and ports are written ----

function writtenPort(step: Step, kind: Policy['kind']): Record<string, unknown> | undefined {
  const { protocol, port } = step;
  if (protocol === 1 || protocol === 58) return kind === 'NetworkPolicy' ? undefined : { family: protocol === 1 ? 'IPv4' : 'IPv6', type: port };
  if (![6, 17, 132].includes(protocol)) return undefined;
  return { port: kind === 'NetworkPolicy' ? port : String(port), protocol: protocolName(protocol) };
}

function writtenPeers(world: World, step: Step, policy: Pick<Policy, 'kind' | 'namespace'>): readonly WrittenPeer[] {
  const direction = step.direction === 'ingress' ? 'from' : 'to';
  const { peer } = step;
  if (policy.kind === 'NetworkPolicy') return kubernetesPeer(world, peer, policy.namespace).map(item => ({ field: direction, item }));
  if (peer.type === 'pod') {
    const labels = minimalSelector(peer.pod, world.scenario.pods);
    const scope = peer.pod.namespace === policy.namespace ? {} : { 'k8s:io.kubernetes.pod.namespace': peer.pod.namespace };
    return [{ field: `${direction}Endpoints`, item: { matchLabels: { ...scope, ...labels } } }];
  }
  if (peer.type === 'identity' && peer.prefix !== undefined) {
    return [{ field: `${direction}CIDR`, item: hostPrefix(peer.prefix) }, { field: `${direction}CIDRSet`, item: { cidr: hostPrefix(peer.prefix) } }];
  }
  const entity = entityOf(identityOf(world, peer, step.pod));
  return entity === undefined ? [] : [{ field: `${direction}Entities`, item: entity }];
}

function kubernetesPeer(world: World, peer: End, namespace: string | undefined): readonly unknown[] {
  if (peer.type === 'pod') {
    const podSelector = { matchLabels: minimalSelector(peer.pod, world.scenario.pods) };
    return [peer.pod.namespace === namespace ? { podSelector } : { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': peer.pod.namespace } }, podSelector }];
  }
  if (peer.type === 'identity' && peer.prefix !== undefined) return [{ ipBlock: { cidr: hostPrefix(peer.prefix) } }];
  if (peer.type === 'identity' && peer.identity === reserved.worldIPv4) return [{ ipBlock: { cidr: '0.0.0.0/0' } }];
  return [];
}

function entityOf(identity: number): string | undefined {
  if (identity === reserved.world || identity === reserved.worldIPv4 || identity === reserved.worldIPv6) return 'world';
  return Object.entries(entityIdentities).find(([, id]) => id === identity)?.[0];
}

