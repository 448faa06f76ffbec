import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { mounts } from '../sys/mount.ts';
import { linksOf } from './network.ts';
import { nftTables, tableName } from './outside.ts';
import { findProcesses, processRef, type ProcessRef } from './pidfile.ts';

/** Everything on the machine that belongs to an instance, as it is found, whatever the record says. */
export interface Inventory {
  readonly processes: readonly (ProcessRef & { readonly name: string })[];
  /** Mount points, the deepest first. */
  readonly mounts: readonly string[];
  readonly namespaces: readonly string[];
  readonly links: readonly string[];
  /** In every hierarchy. */
  readonly cgroups: readonly string[];
  readonly tables: readonly string[];
}

const netnsFolder = '/run/netns';

export function takeInventory(instance: string, state: string): Inventory {
  const all = mounts();
  const own = (target: string) => target === state || target.startsWith(`${state}/`);
  const namespaces = existsSync(netnsFolder) ? readdirSync(netnsFolder).filter(name => name.startsWith(`${instance}-`)) : [];
  const hierarchies = [...new Set(all.filter(m => m.type === 'cgroup2' || m.type === 'cgroup').map(m => m.target))];
  const cgroups = hierarchies.map(root => `${root}/${instance}`).filter(path => existsSync(path));
  return {
    processes: unique([...findProcesses(instance, state), ...cgroupProcesses(cgroups)]),
    mounts: all.map(m => m.target).filter(own).reverse(),
    namespaces: namespaces.map(name => `${netnsFolder}/${name}`),
    links: linksOf(instance),
    cgroups,
    tables: nftTables().filter(name => name === tableName(instance)),
  };
}

/** What is left, in words; nothing when all is gone. */
export function describe(found: Inventory): string[] {
  return [
    ...found.processes.map(p => `process ${p.pid} (${p.name})`),
    ...found.mounts.map(target => `mount ${target}`),
    ...found.namespaces.map(path => `namespace ${path}`),
    ...found.links.map(name => `device ${name}`),
    ...found.cgroups.map(path => `cgroup ${path}`),
    ...found.tables.map(name => `nft table ${name}`),
  ];
}

/** Processes in these groups and below them. */
function cgroupProcesses(cgroups: readonly string[]): (ProcessRef & { name: string })[] {
  return cgroups.flatMap(path => groupMembers(path)).flatMap(pid => {
    const ref = processRef(pid);
    return ref ? [{ ...ref, name: 'in a pod' }] : [];
  });
}

function groupMembers(path: string): number[] {
  try {
    const below = readdirSync(path, { withFileTypes: true }).filter(entry => entry.isDirectory());
    const own = readFileSync(`${path}/cgroup.procs`, 'utf8').split('\n').filter(Boolean).map(Number);
    return [...own, ...below.flatMap(entry => groupMembers(`${path}/${entry.name}`))];
  } catch {
    return [];
  }
}

function unique<T extends ProcessRef>(list: readonly T[]): T[] {
  return [...new Map(list.map(ref => [ref.pid, ref])).values()];
}
