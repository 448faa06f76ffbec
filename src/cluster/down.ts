import { rmdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import type { StatePaths } from '../model/cluster.ts';
import { delay } from '../std/async.ts';
import { CirriError } from '../std/errors.ts';
import { unmount } from '../sys/mount.ts';
import { describe, takeInventory } from './inventory.ts';
import { removeNetwork } from './network.ts';
import { removeOutside } from './outside.ts';
import { isSameProcess, readPidFile, signalProcess, type ProcessRef } from './pidfile.ts';
import type { Progress } from './progress.ts';

export interface DownOptions {
  readonly instance: string;
  readonly paths: StatePaths;
  /** Leaves the state folder (API objects, logs) for the next `up`. */
  readonly keepState: boolean;
}

const politeMs = 1_500;
const patienceMs = 10_000;

/**
 * Removes everything of an instance, from what is found on the machine rather than from what should be there: it works after a
 * crash at any point, and when half is gone already. Throws ERR_LEFTOVERS naming what could not be removed.
 */
export async function bringDown(options: DownOptions, progress: Progress): Promise<{ readonly removed: number }> {
  const { instance, paths } = options;
  const before = takeInventory(instance, paths.state);
  const removed = describe(before).length;

  // The supervisor first and without ceremony: otherwise it brings back what is ended next.
  const supervisor = readPidFile(`${paths.run}/supervisor.pid`) ?? before.processes.find(p => p.name === 'supervisor');
  if (supervisor) await endProcesses([supervisor], 'SIGKILL');
  if (before.processes.length > 0) await progress.step('processes ended', () => endAll(instance, paths.state));

  await progress.step('network, mounts and groups removed', async () => {
    const { mounts, namespaces, links } = takeInventory(instance, paths.state);
    removeNetwork({ links, namespaces });
    for (const target of mounts) unmount(target);
    await removeCgroups(instance, paths.state);
    removeOutside(instance);
  });
  if (options.keepState) rmSync(paths.run, { recursive: true, force: true });
  else rmSync(paths.state, { recursive: true, force: true });

  const left = describe(await settled(instance, paths.state));
  if (left.length > 0) {
    throw new CirriError('ERR_LEFTOVERS', `could not remove:\n  ${left.join('\n  ')}`, { mend: 'see who uses them (lsof, fuser), then run the command again' });
  }
  return { removed };
}

/** API server and agents get a moment to close their files; everything in the instance's groups is killed. */
async function endAll(instance: string, state: string): Promise<void> {
  const { processes, cgroups } = takeInventory(instance, state);
  await endProcesses(processes.filter(p => p.name === 'apiserver'), 'SIGTERM');
  for (const path of cgroups) killGroup(path);
  await endProcesses(processes, 'SIGKILL');
  // A shim or a runtime may have begun one more between the look and the kill.
  const late = takeInventory(instance, state).processes;
  if (late.length > 0) await endProcesses(late, 'SIGKILL');
}

async function endProcesses(processes: readonly ProcessRef[], signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  for (const ref of processes) signalProcess(ref, signal);
  const startedAt = performance.now();
  let killed = signal === 'SIGKILL';
  while (processes.some(isSameProcess)) {
    const waited = performance.now() - startedAt;
    if (waited > patienceMs) return;
    if (!killed && waited > politeMs) {
      killed = true;
      for (const ref of processes) signalProcess(ref, 'SIGKILL');
    }
    await delay(5);
  }
}

/** Kernel 5.14 ends a whole tree at once; before that, and in v1 hierarchies, its processes are found one by one. */
function killGroup(path: string): void {
  try {
    writeFileSync(`${path}/cgroup.kill`, '1');
  } catch {
    // Not a v2 group, or gone.
  }
}

async function removeCgroups(instance: string, state: string): Promise<void> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const { cgroups } = takeInventory(instance, state);
    for (const path of cgroups) removeTree(path);
    if (takeInventory(instance, state).cgroups.length === 0 || performance.now() > deadline) return;
    for (const path of cgroups) killGroup(path);
    await delay(10);
  }
}

function removeTree(path: string): void {
  try {
    for (const entry of readdirSync(path, { withFileTypes: true })) if (entry.isDirectory()) removeTree(`${path}/${entry.name}`);
    rmdirSync(path);
  } catch {
    // Busy until the kernel has buried its last process, or gone already: the caller looks again.
  }
}

/** The kernel takes namespaces and their devices apart in its own time. */
async function settled(instance: string, state: string): Promise<ReturnType<typeof takeInventory>> {
  const deadline = performance.now() + 3_000;
  for (;;) {
    const found = takeInventory(instance, state);
    if (describe(found).length === 0 || performance.now() > deadline) return found;
    await delay(20);
  }
}
