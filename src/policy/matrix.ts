/** Who may talk to whom, by workload, and what differs between two worlds. */
import { reserved } from '../model/identity.ts';
import { AccessTable, newlyAudited, noAccess, sameAccess, subtract } from './access.ts';
import type { Access } from './access.ts';
import { identityEnd, podEnd } from './ends.ts';
import type { End } from './ends.ts';
import type { ScenarioPod } from './scenario.ts';
import type { World } from './world.ts';

/** A row or column. Pods of a workload that policies can tell apart are parties of their own. */
export interface Party {
  readonly name: string;
  /** Absent for what is no pod. */
  readonly namespace?: string;
  readonly end: End;
  readonly pods: readonly ScenarioPod[];
}

export interface MatrixOptions {
  /** Pods of these namespaces only; what is no pod stays. */
  readonly namespaces?: readonly string[];
  /** Also host, remote-node and kube-apiserver. */
  readonly entities?: boolean;
  /** Prefixes beside those that the policies name. */
  readonly prefixes?: readonly string[];
  /** Also the nodes; without it, where a policy is for nodes or tells them apart. */
  readonly nodes?: boolean;
  /** Worlds of the same pods that may tell more of them apart. */
  readonly worlds?: readonly World[];
}

export interface Matrix {
  readonly parties: readonly Party[];
  /** `access[i][j]`: from party i to party j; undefined on the diagonal of a single pod and between two that are no pods. */
  readonly access: readonly (readonly (Access | undefined)[])[];
}

export function computeMatrix(world: World, options: MatrixOptions = {}): Matrix {
  const parties = partiesOf(world, options);
  const table = new AccessTable(world);
  return { parties, access: parties.map(from => parties.map(to => accessBetween(table, from, to))) };
}

function accessBetween(table: AccessTable, from: Party, to: Party): Access | undefined {
  if (!hasPolicies(from) && !hasPolicies(to)) return undefined;
  if (from === to && from.pods.length === 1 && from.pods[0]!.workload.kind === 'Pod') return undefined;
  return table.between(from.end, to.end);
}

/** Pods, and nodes where there are policies for them. */
export function hasPolicies({ pods, end }: Party): boolean {
  return pods.length > 0 || end.type === 'node';
}

export function partiesOf(world: World, options: MatrixOptions = {}): readonly Party[] {
  const wanted = world.scenario.pods.filter(pod => !pod.hostNetwork && (options.namespaces === undefined || options.namespaces.includes(pod.namespace)));
  const workloads = new Map<string, ScenarioPod[]>();
  for (const pod of wanted) {
    const name = `${pod.namespace}/${pod.workload.name}`;
    workloads.set(name, [...(workloads.get(name) ?? []), pod]);
  }
  const pods = [...workloads].sort(([a], [b]) => (a < b ? -1 : 1)).flatMap(([name, members]) => partiesOfWorkload([world, ...options.worlds ?? []], name, members, showsNodes(world, options)));
  return [...pods, ...outsiders(world, options)];
}

function showsNodes(world: World, options: MatrixOptions): boolean {
  return options.nodes ?? world.tellsNodesApart;
}

/** Where nodes are shown, a pod is told from its siblings on other nodes: to each its own node is the host. */
function partiesOfWorkload(worlds: readonly World[], name: string, pods: readonly ScenarioPod[], byNode: boolean): readonly Party[] {
  const numbers = new Map<unknown, number>();
  const numberOf = (value: unknown) => numbers.get(value) ?? numbers.set(value, numbers.size).size - 1;
  const groups = new Map<string, ScenarioPod[]>();
  for (const pod of pods) {
    const key = [...worlds.map(w => w.memberOf(pod)), ...(byNode ? [pod.node] : [])].map(numberOf).join(' ');
    groups.set(key, [...(groups.get(key) ?? []), pod]);
  }
  return [...groups.values()].map(group => ({
    name: groups.size === 1 ? name : `${group[0]!.namespace}/${group[0]!.name}`, namespace: group[0]!.namespace, end: podEnd(group[0]!), pods: group,
  }));
}

function outsiders(world: World, options: MatrixOptions): readonly Party[] {
  const prefixes = [...new Set([...world.prefixes.map(p => p.text), ...(options.prefixes ?? [])])].sort();
  const entities: readonly (readonly [string, number])[] = [
    ['world', reserved.worldIPv4], ...(prefixes.some(p => p.includes(':')) ? [['world-ipv6', reserved.worldIPv6] as const] : []),
    ...(options.entities ? [['host', reserved.host], ['remote-node', reserved.remoteNode], ['kube-apiserver', reserved.kubeApiserver]] as const : []),
  ];
  const nodes = showsNodes(world, options) ? world.scenario.nodes.map(({ name }) => ({ name: `node ${name}`, end: { type: 'node', text: `node:${name}`, node: name } as const, pods: [] })) : [];
  return [
    ...entities.map(([name, identity]) => ({ name, end: identityEnd(name, identity), pods: [] })), ...nodes,
    ...prefixes.map(text => ({ name: text, end: identityEnd(text, world.identityOfPrefix(text), text), pods: [] })),
  ];
}

// ---- differences ----

export interface Difference {
  readonly from: string;
  readonly to: string;
  readonly gained: Access;
  readonly lost: Access;
  /** Allowed before, and now only because the denial is in audit. */
  readonly audited: Access;
}

export interface MatrixDiff {
  /** Between parties that are in both. */
  readonly differences: readonly Difference[];
  readonly added: readonly string[];
  readonly removed: readonly string[];
}

/** Both matrices must have been asked with the same options; a prefix that only one names must be among their `prefixes`. */
export function diffMatrices(before: Matrix, after: Matrix): MatrixDiff {
  const oldIndex = new Map(before.parties.map((p, i) => [p.name, i] as const));
  const newNames = new Set(after.parties.map(p => p.name));
  const differences = after.parties.flatMap((from, i) => after.parties.flatMap((to, j) => {
    const [oldI, oldJ] = [oldIndex.get(from.name), oldIndex.get(to.name)];
    if (oldI === undefined || oldJ === undefined) return [];
    const [was, is] = [before.access[oldI]![oldJ] ?? noAccess, after.access[i]![j] ?? noAccess];
    return sameAccess(was, is) ? [] : present({ from: from.name, to: to.name, gained: subtract(is, was), lost: subtract(was, is), audited: newlyAudited(is, was) });
  }));
  return {
    differences,
    added: after.parties.map(p => p.name).filter(name => !oldIndex.has(name)),
    removed: before.parties.map(p => p.name).filter(name => !newNames.has(name)),
  };
}

/** What is no more than less of audit, or audit for another reason, is none. */
function present(difference: Difference): readonly Difference[] {
  return difference.gained.length + difference.lost.length + difference.audited.length === 0 ? [] : [difference];
}

/** The differences that a change of policies makes for the pods of one world. */
export function diffWorlds(before: World, after: World, options: MatrixOptions = {}): MatrixDiff {
  const prefixes = [...new Set([...before.prefixes, ...after.prefixes].map(p => p.text))];
  const both = { ...options, prefixes, nodes: options.nodes ?? (before.tellsNodesApart || after.tellsNodesApart), worlds: [before, after] };
  return diffMatrices(computeMatrix(before, both), computeMatrix(after, both));
}
