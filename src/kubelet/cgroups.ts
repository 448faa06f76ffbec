/** The cgroup trees of this machine, hybrid or unified, as far as a kubelet needs them: kill, count out-of-memory kills, remove. */
import { existsSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { delay } from '../std/async.ts';
import { CirriError } from '../std/errors.ts';

export interface CgroupTrees {
  /** The cgroup2 mount. */
  readonly unified: string;
  /** Every cgroup mount, the unified one too. */
  readonly all: readonly string[];
  readonly memory: string | undefined;
}

/** From the text of /proc/self/mountinfo. */
export function cgroupTrees(mountinfo: string): CgroupTrees {
  const all: string[] = [];
  let unified: string | undefined;
  let memory: string | undefined;
  for (const line of mountinfo.split('\n')) {
    const [before, after] = line.split(' - ');
    const point = before?.split(' ')[4];
    const [type, , options] = after?.split(' ') ?? [];
    if (point === undefined || (type !== 'cgroup' && type !== 'cgroup2') || all.includes(point)) continue;
    all.push(point);
    if (type === 'cgroup2') unified ??= point;
    else if (options?.split(',').includes('memory')) memory ??= point;
  }
  if (unified === undefined) throw new CirriError('ERR_NO_CGROUP2', 'no cgroup2 file system is mounted', { mend: 'mount -t cgroup2 none /sys/fs/cgroup/unified' });
  return { unified, all, memory: memory ?? unified };
}

export class Cgroups {
  readonly trees: CgroupTrees;

  constructor(trees: CgroupTrees) {
    this.trees = trees;
  }

  /** Ends every process in the group and below it at once. No group is no error. */
  kill(path: string): void {
    const group = this.trees.unified + path;
    try {
      writeFileSync(`${group}/cgroup.kill`, '1');
    } catch (error) {
      // Kernels before 5.14 have no cgroup.kill.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT' && existsSync(group)) this.#killEach(group);
    }
  }

  /** True when the kernel killed a process of the group for memory. */
  outOfMemory(path: string): boolean {
    for (const file of [`${this.trees.memory}${path}/memory.oom_control`, `${this.trees.unified}${path}/memory.events`]) {
      try {
        if (/^oom_kill [1-9]/m.test(readFileSync(file, 'utf8'))) return true;
      } catch {
        // The group is gone, or the controller is not here.
      }
    }
    return false;
  }

  /** Removes the group in every tree, leaves first. A group that is still emptying is tried again for a second. */
  async remove(path: string): Promise<void> {
    for (let attempt = 0; attempt < 20; attempt++) {
      if (this.trees.all.map(root => removeTree(root + path)).every(done => done)) return;
      await delay(50);
    }
  }

  #killEach(group: string): void {
    for (const pid of readFileSync(`${group}/cgroup.procs`, 'utf8').split('\n').filter(Boolean)) {
      try {
        process.kill(Number(pid), 'SIGKILL');
      } catch {
        // It has gone by itself.
      }
    }
    for (const entry of readdirSync(group, { withFileTypes: true })) if (entry.isDirectory()) this.#killEach(`${group}/${entry.name}`);
  }
}

function removeTree(group: string): boolean {
  try {
    rmdirSync(group);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return true;
  }
  try {
    for (const entry of readdirSync(group, { withFileTypes: true })) if (entry.isDirectory()) removeTree(`${group}/${entry.name}`);
    rmdirSync(group);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT';
  }
}
