import { execFileSync } from 'node:child_process';
import { existsSync, globSync, readFileSync, readdirSync } from 'node:fs';

/** What a cluster could leave behind on a machine, as text that can be compared. */
export interface MachineState {
  readonly namespaces: readonly string[];
  readonly links: readonly string[];
  readonly mounts: readonly string[];
  readonly cgroups: readonly string[];
  readonly processes: readonly string[];
  readonly pins: readonly string[];
  readonly tables: string;
  readonly sysctls: readonly string[];
  readonly state: readonly string[];
}

/** Only what carries this instance's name, and what is common to all: other tests may run their own clusters meanwhile. */
export function machineState(instance: string): MachineState {
  const own = (text: string) => text.includes(instance);
  const list = (folder: string) => (existsSync(folder) ? readdirSync(folder) : []);
  return {
    namespaces: list('/run/netns').filter(own),
    links: execFileSync('ip', ['-o', 'link'], { encoding: 'utf8' }).split('\n').map(line => line.split(': ')[1] ?? '').filter(own),
    mounts: readFileSync('/proc/self/mountinfo', 'utf8').split('\n').map(line => line.split(' ')[4] ?? '').filter(own),
    cgroups: globSync('/sys/fs/cgroup/**/', { exclude: path => path.split('/').length > 7 }).filter(own),
    processes: list('/proc').filter(pid => /^\d+$/.test(pid) && belongsTo(pid, instance)),
    pins: list('/sys/fs/bpf'),
    tables: nftTables().filter(own).join('\n'),
    sysctls: [],
    state: list('/var/lib/cirri').filter(own),
  };
}

function belongsTo(pid: string, instance: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').some(entry => entry === `CIRRI_INSTANCE=${instance}`) && !readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('.test.ts')
      && Number(pid) !== process.pid;
  } catch {
    return false;
  }
}

function nftTables(): string[] {
  try {
    return execFileSync('nft', ['list', 'tables'], { encoding: 'utf8' }).split('\n');
  } catch {
    return [];
  }
}
