/** cgroup v2: the folders that socket programs attach to and that processes are counted in. */
import { mkdirSync, readFileSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CirriError } from '../std/errors.ts';
import { type Fd, openFd, openFlags } from './file.ts';
import { mounts } from './mount.ts';

/** Where cgroup v2 is mounted: /sys/fs/cgroup, or /sys/fs/cgroup/unified on a hybrid hierarchy. */
export function cgroupRoot(): string {
  const found = mounts().find(m => m.type === 'cgroup2');
  if (!found) {
    throw new CirriError('ERR_NO_CGROUP2', 'no cgroup v2 hierarchy is mounted', { mend: 'mount -t cgroup2 none /sys/fs/cgroup/unified' });
  }
  return found.target;
}

/** Creates the group and its parents; returns the absolute path. `name` is relative to the root. */
export function createCgroup(name: string): string {
  const path = join(cgroupRoot(), name);
  mkdirSync(path, { recursive: true });
  return path;
}

/** The descriptor that programs attach to. */
export function openCgroup(path: string): Fd {
  return openFd(path, openFlags.directory);
}

/** Moves a process with all its threads; 0 means this process. */
export function moveToCgroup(path: string, pid: number): void {
  try {
    writeFileSync(join(path, 'cgroup.procs'), String(pid));
  } catch (error) {
    throw new CirriError('ERR_CGROUP', `moving process ${pid} to cgroup ${path}`, { cause: error });
  }
}

/** Processes in the group itself, not in its children. */
export function cgroupProcesses(path: string): number[] {
  return readFileSync(join(path, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number);
}

/**
 * Removes a group and everything below it, leaves first. Missing is fine. Throws ERR_CGROUP_BUSY with the processes that
 * still live there; with `kill` they are killed first (cgroup.kill, kernel 5.14), and the groups may need another call
 * until the kernel has buried them.
 */
export function removeCgroup(path: string, o: { kill?: boolean } = {}): void {
  try {
    if (o.kill) writeFileSync(join(path, 'cgroup.kill'), '1');
    removeTree(path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') return;
    if (code !== 'EBUSY') throw error;
    throw new CirriError('ERR_CGROUP_BUSY', `removing cgroup ${path}: processes still live in it`, { cause: error });
  }
}

function removeTree(path: string): void {
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isDirectory()) removeTree(join(path, entry.name));
  }
  rmdirSync(path);
}
