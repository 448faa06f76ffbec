/**
 * What policies in shadow mode would change: as the kernel saw it (rows of the agents, summed), or as the engine computes it
 * from objects (the world without the shadow policies against the world with them in force). Both give the same rows.
 */
import type { ShadowRow } from '../model/kernel-reports.ts';
import { LabelSet } from '../model/labels.ts';
import { accessWords, subtract } from './access.ts';
import type { Access } from './access.ts';
import { leg } from './connection.ts';
import type { Step } from './connection.ts';
import { computeMatrix } from './matrix.ts';
import type { Party } from './matrix.ts';
import { policyAddress, protocolName } from './policy.ts';
import type { Direction } from './policy.ts';
import { withPolicies } from './scenario.ts';
import type { Scenario, ScenarioPolicy } from './scenario.ts';
import { World } from './world.ts';

export interface ShadowCounts { readonly connections: number; readonly packets: number; readonly bytes: number; readonly lastHit: string }

export interface ShadowDifference {
  readonly verdict: 'allow' | 'deny';
  readonly direction: Direction;
  /** `ns/workload`. */
  readonly endpoint: string;
  readonly peer: string;
  /** `80/TCP`, `8000-8080/TCP`, `all ICMP`. */
  readonly ports: readonly string[];
  readonly rule: { readonly address: string; readonly because?: string; readonly place?: string };
  /** Only of what the kernel saw. */
  readonly counts?: ShadowCounts;
}

/** The policies of a scenario that are in shadow. */
export function shadowPolicies(scenario: Scenario): readonly ScenarioPolicy[] {
  return scenario.policies.filter(({ policy }) => policy?.mode === 'shadow');
}

// ---- what the kernel saw ----

/** By address of the policy. Rows of several nodes, pods of one workload and one port become one; the most connections first. */
export function differencesSeen(world: World, rows: readonly ShadowRow[]): ReadonlyMap<string, readonly ShadowDifference[]> {
  const rules = new Map<string, string>();
  for (const pod of world.scenario.pods) {
    const member = world.memberOf(pod);
    if (member) for (const direction of ['ingress', 'egress'] as const) for (const { address, because } of world.indexed(member.subject, direction).set.rules.values()) rules.set(address, because);
  }
  const names = namesOf(world);
  const found = new Map<string, Map<string, ShadowDifference>>();
  for (const row of rows) {
    const address = policyAddress(row.policy);
    const ports = [portWord(row.protocol, row.port)];
    const endpoint = names.workloads.get(row.endpoint) ?? row.endpoint;
    const peer = names.peerOf(row.peer);
    const key = JSON.stringify([row.verdict, row.direction, endpoint, peer, ports, row.address]);
    const ofPolicy = found.get(address) ?? new Map<string, ShadowDifference>();
    const because = rules.get(row.address);
    const place = world.sourceOf(address)?.place(pathOf(row.address)) || undefined;
    const rule = { address: row.address, ...(because !== undefined && { because }), ...(place !== undefined && { place }) };
    ofPolicy.set(key, { verdict: row.verdict, direction: row.direction, endpoint, peer, ports, rule, counts: addCounts(ofPolicy.get(key)?.counts, row) });
    found.set(address, ofPolicy);
  }
  return new Map([...found].map(([address, ofPolicy]) => [address, [...ofPolicy.values()].sort(mostFirst)] as const));
}

export function addCounts(a: ShadowCounts | undefined, b: ShadowCounts): ShadowCounts {
  const last = a === undefined || a.lastHit < b.lastHit ? b.lastHit : a.lastHit;
  return { connections: (a?.connections ?? 0) + Number(b.connections), packets: (a?.packets ?? 0) + Number(b.packets), bytes: (a?.bytes ?? 0) + Number(b.bytes), lastHit: last };
}

function mostFirst(a: ShadowDifference, b: ShadowDifference): number {
  const order = (d: ShadowDifference) => JSON.stringify([d.verdict === 'deny' ? 0 : 1, d.endpoint, d.peer, d.ports]);
  return (b.counts?.connections ?? 0) - (a.counts?.connections ?? 0) || (order(a) < order(b) ? -1 : 1);
}

/** `spec.ingress[0]` of a rule's address `KIND/ns/name/spec.ingress[0]`. */
function pathOf(address: string): string {
  return /\/(specs?(?:[[.].*)?)$/.exec(address)?.[1] ?? '';
}

function portWord(protocol: number, port: number): string {
  const name = protocolName(protocol);
  return /^ICMP/i.test(name) ? `${name} type ${port}` : `${port}/${name}`;
}

function namesOf(world: World) {
  const workloads = new Map<string, string>();
  const byLabels = new Map<string, string>();
  for (const pod of world.scenario.pods) {
    const name = `${pod.namespace}/${pod.workload.name}`;
    workloads.set(`${pod.namespace}/${pod.name}`, name);
    if (!pod.hostNetwork) byLabels.set(pod.labels.toString(), name);
  }
  return { workloads, peerOf: ({ identity, labels }: ShadowRow['peer']) => byLabels.get(LabelSet.of(labels).toString()) ?? labelsName(labels) ?? `identity ${identity}` };
}

/** `world`, `203.0.113.0/24`, `shop/app=web`: what there is to say of a peer of which no pod is left. */
function labelsName(labels: readonly string[]): string | undefined {
  const cidr = labels.map(l => /^cidr:(.*)$/.exec(l)?.[1]).filter(text => text !== undefined).sort((a, b) => Number(b.split('/')[1] ?? 0) - Number(a.split('/')[1] ?? 0))[0];
  if (cidr !== undefined) return cidr.replace(/=$/, '');
  const reservedName = labels.map(l => /^reserved:([^=]+)/.exec(l)?.[1]).find(name => name !== undefined);
  if (reservedName !== undefined) return reservedName;
  const namespace = labels.map(l => /^k8s:io\.kubernetes\.pod\.namespace=(.*)$/.exec(l)?.[1]).find(name => name !== undefined);
  const own = labels.filter(l => l.startsWith('k8s:') && !l.startsWith('k8s:io.')).map(l => l.slice(4));
  return namespace === undefined && own.length === 0 ? undefined : `${namespace ?? ''}/${own.join(',')}`;
}

// ---- what the engine computes ----

/** Without shadow policies, and with those in force that are asked about. */
export function shadowWorlds(scenario: Scenario, asked: ReadonlySet<string>): readonly [without: World, inForce: World] {
  const rest = { ...scenario, policies: scenario.policies.filter(({ policy }) => policy?.mode !== 'shadow') };
  const forced = shadowPolicies(scenario).filter(({ address }) => asked.has(address)).map(source => ({ ...source, policy: { ...source.policy!, mode: 'enforce' as const } }));
  return [new World(rest), new World(withPolicies(rest, forced))];
}

/** Of one policy alone: what would change if it were enforced and nothing else changed. */
export function differencesComputed(scenario: Scenario, address: string): readonly ShadowDifference[] {
  const [without, inForce] = shadowWorlds(scenario, new Set([address]));
  const options = { entities: true, prefixes: [...new Set([...without.prefixes, ...inForce.prefixes].map(p => p.text))] };
  const [before, after] = [computeMatrix(without, options), computeMatrix(inForce, options)];
  const found = new Map<string, ShadowDifference>();
  const add = (difference: ShadowDifference) => {
    const { ports, ...rest } = difference;
    const key = JSON.stringify(rest);
    const known = found.get(key);
    found.set(key, known ? { ...known, ports: [...known.ports, ...ports] } : difference);
  };
  for (const [i, from] of after.parties.entries()) {
    for (const [j, to] of after.parties.entries()) {
      const [was, is] = [before.access[i]![j], after.access[i]![j]];
      if (was === undefined || is === undefined) continue;
      for (const span of subtract(was, is)) decided(inForce, from, to, span, 'deny', inForce).forEach(add);
      for (const span of subtract(is, was)) decided(without, from, to, span, 'allow', inForce).forEach(add);
    }
  }
  return [...found.values()].sort(mostFirst);
}

/** The ends that deny in `denying`, each with the rule that decides there when the policy is in force. */
function decided(denying: World, from: Party, to: Party, span: Access[number], verdict: 'allow' | 'deny', inForce: World): readonly ShadowDifference[] {
  const ends = leg(denying, from.end, to.end, span.protocol, span.start).steps.filter(step => step.verdict === 'deny').map(step => step.direction);
  return leg(inForce, from.end, to.end, span.protocol, span.start).steps.filter(step => ends.includes(step.direction)).map(step => {
    const [subject, peer] = step.direction === 'ingress' ? [to, from] : [from, to];
    return { verdict, direction: step.direction, endpoint: subject.name, peer: peer.name, ports: accessWords([span]), rule: ruleOf(step) };
  });
}

function ruleOf({ rule, place }: Step): ShadowDifference['rule'] {
  return { address: rule.address, because: rule.because, ...(place !== undefined && { place }) };
}
