import { matchesMap, matchesRequirement, matchesSelector } from '../kube/selector.ts';
import type { Node, NodeSelectorTerm, Pod, PodAffinityTerm, PodSpec, Taint, Toleration, TopologySpreadConstraint } from '../kube/types.ts';
import { controllerOf, isFinished, isTerminating } from './pods.ts';

/** Where one pod may go, and where best; all pure. Reasons are worded as kube-scheduler words them. */

export interface Placed {
  /** Pods on each node, finished ones left out. */
  readonly podsOn: (node: string) => Iterable<Pod>;
  readonly countOn: (node: string) => number;
  /** How many pods of one controller run on a node. */
  readonly siblingsOn: (node: string, controllerUid: string) => number;
}

export type Decision = { readonly node: string } | { readonly reason: string };

const defaultPodCapacity = 110;

/** Chooses a node for a pod. Equal nodes are taken in the order given, so the caller may rotate them. */
export function placePod(pod: Pod, nodes: readonly Node[], placed: Placed): Decision {
  const refusals = new Map<string, number>();
  const spread = spreadCounts(pod, nodes, placed);
  let best: { node: Node; score: readonly number[] } | undefined;
  for (const node of nodes) {
    const refusal = refusalOf(pod, node, nodes, placed, spread);
    if (refusal !== undefined) {
      refusals.set(refusal, (refusals.get(refusal) ?? 0) + 1);
      continue;
    }
    const score = scoreOf(pod, node, placed, spread);
    if (!best || isHigher(score, best.score)) best = { node, score };
  }
  if (best) return { node: best.node.metadata.name };
  const why = [...refusals].map(([reason, count]) => `${count} ${reason}`).sort().join(', ');
  return { reason: `0/${nodes.length} nodes are available: ${why || 'no nodes'}.` };
}

function refusalOf(pod: Pod, node: Node, nodes: readonly Node[], placed: Placed, spread: readonly Spread[]): string | undefined {
  const tolerations = pod.spec.tolerations ?? [];
  if (node.metadata.deletionTimestamp !== undefined) return 'node(s) were being deleted';
  if (node.spec?.unschedulable && !tolerates(tolerations, { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' })) return 'node(s) were unschedulable';
  const taint = untolerated(node, tolerations, ['NoSchedule', 'NoExecute']);
  if (taint) return `node(s) had untolerated taint {${taint.key}: ${taint.value ?? ''}}`;
  if (!matchesNodeAffinity(pod.spec, node)) return "node(s) didn't match Pod's node affinity/selector";
  const capacity = Number(node.status?.allocatable?.['pods'] ?? node.status?.capacity?.['pods'] ?? defaultPodCapacity);
  if (placed.countOn(node.metadata.name) >= capacity) return 'Too many pods';
  if (hasPortConflict(pod, node, placed)) return "node(s) didn't have free ports for the requested pod ports";
  if (spread.some(s => s.hard && !s.allows(node))) return "node(s) didn't match pod topology spread constraints";
  return affinityRefusal(pod, node, nodes, placed);
}

/** Higher is better, the first difference decides. */
function scoreOf(pod: Pod, node: Node, placed: Placed, spread: readonly Spread[]): readonly number[] {
  const owner = controllerOf(pod)?.uid;
  const skew = spread.reduce((sum, s) => sum + s.countAt(node), 0);
  const avoided = (node.spec?.taints ?? []).filter(t => t.effect === 'PreferNoSchedule' && !tolerates(pod.spec.tolerations ?? [], t)).length;
  const preferred = (pod.spec.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [])
    .reduce((sum, p) => sum + (matchesTerm(p.preference, node) ? p.weight : 0), 0);
  return [-avoided, preferred, -skew, owner === undefined ? 0 : -placed.siblingsOn(node.metadata.name, owner), -placed.countOn(node.metadata.name)];
}

function isHigher(a: readonly number[], b: readonly number[]): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i]! > b[i]!;
  return false;
}

// Nodes

/** nodeSelector and required node affinity together. */
export function matchesNodeAffinity(spec: PodSpec, node: Node): boolean {
  if (spec.nodeSelector && !matchesMap(spec.nodeSelector, node.metadata.labels)) return false;
  const required = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return required === undefined || required.nodeSelectorTerms.some(term => matchesTerm(term, node));
}

function matchesTerm(term: NodeSelectorTerm, node: Node): boolean {
  const { matchExpressions = [], matchFields = [] } = term;
  // An empty term matches nothing (core/v1 NodeSelectorTerm).
  if (matchExpressions.length + matchFields.length === 0) return false;
  return matchExpressions.every(r => matchesRequirement(r, node.metadata.labels))
    && matchFields.every(r => matchesRequirement(r, { 'metadata.name': node.metadata.name }));
}

export function toleratesAll(node: Node, tolerations: readonly Toleration[], effects: readonly string[]): boolean {
  return untolerated(node, tolerations, effects) === undefined;
}

function untolerated(node: Node, tolerations: readonly Toleration[], effects: readonly string[]): Taint | undefined {
  return (node.spec?.taints ?? []).find(t => effects.includes(t.effect) && !tolerates(tolerations, t));
}

export function tolerates(tolerations: readonly Toleration[], taint: Taint): boolean {
  return tolerations.some(t => {
    if (t.effect && t.effect !== taint.effect) return false;
    if (t.key && t.key !== taint.key) return false;
    if (t.operator === 'Exists') return true;
    // No key is allowed only together with Exists.
    return Boolean(t.key) && (t.value ?? '') === (taint.value ?? '');
  });
}

// Other pods

function hasPortConflict(pod: Pod, node: Node, placed: Placed): boolean {
  const wanted = hostPorts(pod);
  if (wanted.length === 0) return false;
  for (const other of placed.podsOn(node.metadata.name)) {
    for (const taken of hostPorts(other)) if (wanted.some(w => w.text === taken.text && (w.ip === taken.ip || w.ip === '' || taken.ip === ''))) return true;
  }
  return false;
}

function hostPorts(pod: Pod): { text: string; ip: string }[] {
  return pod.spec.containers.flatMap(c => (c.ports ?? []).flatMap(p => {
    const port = p.hostPort ?? (pod.spec.hostNetwork ? p.containerPort : 0);
    const ip = p.hostIP === undefined || p.hostIP === '0.0.0.0' || p.hostIP === '::' ? '' : p.hostIP;
    return port > 0 ? [{ text: `${p.protocol ?? 'TCP'}/${port}`, ip }] : [];
  }));
}

function affinityRefusal(pod: Pod, node: Node, nodes: readonly Node[], placed: Placed): string | undefined {
  const { podAffinity, podAntiAffinity } = pod.spec.affinity ?? {};
  for (const term of podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []) {
    if (someIn(term, pod, node, nodes, placed)) return "node(s) didn't match pod anti-affinity rules";
  }
  for (const term of podAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []) {
    if (someIn(term, pod, node, nodes, placed)) continue;
    // The first of a group that wants to be together may go anywhere, if it belongs to the group itself.
    const alone = !nodes.some(n => someIn(term, pod, n, nodes, placed));
    if (!(alone && matchesSelector(term.labelSelector, pod.metadata.labels))) return "node(s) didn't match pod affinity rules";
  }
  return undefined;
}

/** True when a pod that the term selects runs in the node's topology domain. */
function someIn(term: PodAffinityTerm, pod: Pod, node: Node, nodes: readonly Node[], placed: Placed): boolean {
  const domain = domainOf(node, term.topologyKey);
  if (domain === undefined) return false;
  const namespaces = term.namespaces ?? [pod.metadata.namespace ?? ''];
  for (const other of nodes) {
    if (domainOf(other, term.topologyKey) !== domain) continue;
    for (const neighbour of placed.podsOn(other.metadata.name)) {
      if (namespaces.includes(neighbour.metadata.namespace ?? '') && matchesSelector(term.labelSelector, neighbour.metadata.labels)) return true;
    }
  }
  return false;
}

interface Spread {
  readonly hard: boolean;
  countAt(node: Node): number;
  allows(node: Node): boolean;
}

function spreadCounts(pod: Pod, nodes: readonly Node[], placed: Placed): Spread[] {
  return (pod.spec.topologySpreadConstraints ?? []).map(constraint => spreadOf(constraint, pod, nodes, placed));
}

function spreadOf(constraint: TopologySpreadConstraint, pod: Pod, nodes: readonly Node[], placed: Placed): Spread {
  const counts = new Map<string, number>();
  for (const node of nodes) {
    const domain = domainOf(node, constraint.topologyKey);
    if (domain === undefined || !matchesNodeAffinity(pod.spec, node)) continue;
    let count = counts.get(domain) ?? 0;
    for (const other of placed.podsOn(node.metadata.name)) {
      if (other.metadata.namespace === pod.metadata.namespace && !isTerminating(other) && matchesSelector(constraint.labelSelector, other.metadata.labels)) count++;
    }
    counts.set(domain, count);
  }
  const least = Math.min(...counts.values());
  const self = matchesSelector(constraint.labelSelector, pod.metadata.labels) ? 1 : 0;
  const countAt = (node: Node) => counts.get(domainOf(node, constraint.topologyKey) ?? '') ?? 0;
  return {
    hard: constraint.whenUnsatisfiable === 'DoNotSchedule',
    countAt,
    allows: node => domainOf(node, constraint.topologyKey) !== undefined && countAt(node) + self - least <= constraint.maxSkew,
  };
}

function domainOf(node: Node, topologyKey: string): string | undefined {
  return node.metadata.labels?.[topologyKey] ?? (topologyKey === 'kubernetes.io/hostname' ? node.metadata.name : undefined);
}

// The state that decisions read

/** Pods by node, kept up to date pod by pod; knows decisions that the API has not confirmed yet. */
export class Placements implements Placed {
  readonly #nodes = new Map<string, { readonly pods: Map<string, Pod>; readonly owners: Map<string, number> }>();
  readonly #where = new Map<string, string>();

  /** Puts a pod (by key) on a node, or, without one or when it has finished, nowhere. */
  put(key: string, pod: Pod | undefined, node = pod?.spec.nodeName): void {
    const before = this.#where.get(key);
    if (before !== undefined) this.#take(key, before);
    if (pod === undefined || node === undefined || node === '' || isFinished(pod)) return;
    const slot = this.#nodes.get(node) ?? { pods: new Map<string, Pod>(), owners: new Map<string, number>() };
    this.#nodes.set(node, slot);
    slot.pods.set(key, pod);
    const owner = controllerOf(pod)?.uid;
    if (owner !== undefined) slot.owners.set(owner, (slot.owners.get(owner) ?? 0) + 1);
    this.#where.set(key, node);
  }

  podsOn(node: string): Iterable<Pod> {
    return this.#nodes.get(node)?.pods.values() ?? [];
  }

  countOn(node: string): number {
    return this.#nodes.get(node)?.pods.size ?? 0;
  }

  siblingsOn(node: string, controllerUid: string): number {
    return this.#nodes.get(node)?.owners.get(controllerUid) ?? 0;
  }

  #take(key: string, node: string): void {
    const slot = this.#nodes.get(node);
    const pod = slot?.pods.get(key);
    this.#where.delete(key);
    if (!slot || !pod) return;
    slot.pods.delete(key);
    const owner = controllerOf(pod)?.uid;
    if (owner === undefined) return;
    const left = (slot.owners.get(owner) ?? 1) - 1;
    if (left > 0) slot.owners.set(owner, left);
    else slot.owners.delete(owner);
  }
}
