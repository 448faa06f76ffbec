/** Removes everything that a node's kubelet has made: containers, mounts, namespaces, groups. For tests of the kubelet alone; `cirri down` works from its own inventory. */
import { existsSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { errorText } from '../std/errors.ts';
import type { StatePaths } from '../model/cluster.ts';
import { layoutOf } from './assemble.ts';
import { Cgroups, cgroupTrees } from './cgroups.ts';
import { isAlive, processStart, runProgram } from './process.ts';

export interface CleanupOptions {
  readonly paths: StatePaths;
  readonly instance: string;
  readonly node: string;
  /** Repository root. */
  readonly root: string;
}

/** Idempotent: what is not there is not missed. Returns what could not be removed, one sentence each. Network plugins are not asked: the whole node goes. */
export async function cleanupNode(options: CleanupOptions): Promise<string[]> {
  const { paths, instance, node, root } = options;
  const layout = layoutOf(paths, instance, node);
  const cgroups = new Cgroups(cgroupTrees(readFileSync('/proc/self/mountinfo', 'utf8')));
  const trouble: string[] = [];
  const attempt = async (what: string, action: () => unknown) => {
    try {
      await action();
    } catch (error) {
      trouble.push(`${what}: ${errorText(error)}`);
    }
  };
  const shims = shimsOf(layout.node.pods);
  await attempt('kill containers', () => cgroups.kill(layout.cgroupBase));
  // Their shims end by themselves when their container has; one that does not is ended.
  await attempt('end shims', () => endShims(shims));
  await attempt('remove cgroups', () => cgroups.remove(layout.cgroupBase));
  await attempt('unmount', async () => {
    const mounts = [...podNamespaces(layout.podNetnsPrefix), ...ipcNamespaces(layout.node.pods), ...mountsBelow(layout.volumesDir)];
    if (mounts.length > 0) await runProgram(join(root, 'build/cirri-shim'), ['unmount', ...mounts]);
  });
  for (const dir of [layout.node.pods, layout.node.runcRoot, layout.exitsDir, layout.volumesDir]) await attempt(`remove ${dir}`, () => rmSync(dir, { recursive: true, force: true }));
  for (const parent of [`/${instance}/${node}`, `/${instance}`]) removeEmptyGroups(cgroups, parent);
  return trouble;
}

interface Shim {
  readonly pid: number;
  readonly start: number;
}

function shimsOf(pods: string): Shim[] {
  const found: Shim[] = [];
  for (const uid of names(pods)) {
    for (const run of names(`${pods}/${uid}/run`)) {
      const pid = Number(readText(`${pods}/${uid}/run/${run}/shim.pid`));
      const start = pid > 0 && readText(`/proc/${pid}/comm`).trim() === 'cirri-shim' ? processStart(pid) : undefined;
      if (start !== undefined) found.push({ pid, start });
    }
  }
  return found;
}

async function endShims(shims: readonly Shim[]): Promise<void> {
  const deadline = performance.now() + 2_000;
  while (shims.some(s => isAlive(s.pid, s.start)) && performance.now() < deadline) await new Promise(resolve => setTimeout(resolve, 20));
  for (const shim of shims) if (isAlive(shim.pid, shim.start)) process.kill(shim.pid, 'SIGKILL');
}

function podNamespaces(prefix: string): string[] {
  const dir = dirname(prefix);
  // A pod's name is the prefix and ten hexadecimal digits: another node whose name begins like ours is not touched.
  return names(dir).filter(name => name.startsWith(basename(prefix)) && /^[0-9a-f]{1,10}$/.test(name.slice(basename(prefix).length))).map(name => `${dir}/${name}`);
}

function ipcNamespaces(pods: string): string[] {
  return names(pods).map(uid => `${pods}/${uid}/ipc`).filter(path => existsSync(path));
}

function mountsBelow(path: string): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8').split('\n').map(line => line.split(' ')[4] ?? '').filter(point => point === path || point.startsWith(`${path}/`)).reverse();
}

/** The node's own group may hold others' processes; it is removed when it is empty. */
function removeEmptyGroups(cgroups: Cgroups, path: string): void {
  for (const root of cgroups.trees.all) {
    try {
      if (root !== cgroups.trees.unified) rmEmpty(root + path);
    } catch {
      // Somebody is in it.
    }
  }
  try {
    rmEmpty(cgroups.trees.unified + path);
  } catch {
    // Likewise.
  }
}

function rmEmpty(path: string): void {
  rmdirSync(path);
}

function names(dir: string): string[] {
  return existsSync(dir) ? readdirSync(dir) : [];
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
