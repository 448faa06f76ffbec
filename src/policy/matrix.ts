/** Who may talk to whom, by workload, and what differs between two worlds. */
import { reserved } from '../model/identity.ts';
import { AccessTable, noAccess, sameAccess, subtract } from './access.ts';
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
  if (from.pods.length === 0 && to.pods.length === 0) return undefined;
  if (from === to && from.pods.length === 1 && from.pods[0]!.workload.kind === 'Pod') return undefined;
  return table.between(from.end, to.end);
}

export function partiesOf(world: World, options: MatrixOptions = {}): readonly Party[] {
  const wanted = world.scenario.pods.filter(pod => !pod.hostNetwork && (options.namespaces === undefined || options.namespaces.includes(pod.namespace)));
  const workloads = new Map<string, ScenarioPod[]>();
  for (const pod of wanted) {
    const name = `${pod.namespace}/${pod.workload.name}`;
    workloads.set(name, [...(workloads.get(name) ?? []), pod]);
  }
  const pods = [...workloads].sort(([a], [b]) => (a < b ? -1 : 1)).flatMap(([name, members]) => partiesOfWorkload(world, name, members));
  return [...pods, ...outsiders(world, options)];
}

function partiesOfWorkload(world: World, name: string, pods: readonly ScenarioPod[]): readonly Party[] {
  const groups = new Map<unknown, ScenarioPod[]>();
  for (const pod of pods) groups.set(world.memberOf(pod), [...(groups.get(world.memberOf(pod)) ?? []), pod]);
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
  return [
    ...entities.map(([name, identity]) => ({ name, end: identityEnd(name, identity), pods: [] })),
    ...prefixes.map(text => ({ name: text, end: identityEnd(text, world.identityOfPrefix(text), text), pods: [] })),
  ];
}

// ---- differences ----

export interface Difference {
  readonly from: string;
  readonly to: string;
  readonly gained: Access;
  readonly lost: Access;
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
    return sameAccess(was, is) ? [] : [{ from: from.name, to: to.name, gained: subtract(is, was), lost: subtract(was, is) }];
  }));
  return {
    differences,
    added: after.parties.map(p => p.name).filter(name => !oldIndex.has(name)),
    removed: before.parties.map(p => p.name).filter(name => !newNames.has(name)),
  };
}

/** The differences that a change of policies makes for the pods of one world. */
export function diffWorlds(before: World, after: World, options: MatrixOptions = {}): MatrixDiff {
  const prefixes = [...new Set([...before.prefixes, ...after.prefixes].map(p => p.text))];
  const both = { ...options, prefixes };
  return diffMatrices(computeMatrix(before, both), computeMatrix(after, both));
}
