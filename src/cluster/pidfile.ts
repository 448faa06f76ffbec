import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** A process that cannot be mistaken for another: its number and the clock tick at which it began (proc(5), stat field 22). */
export interface ProcessRef {
  readonly pid: number;
  readonly startTicks: string;
}

/** The process of that number now, undefined when there is none or it is only a zombie. */
export function processRef(pid: number): ProcessRef | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // The name may hold spaces and brackets; fields count from behind the last one.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' || fields[0] === 'X' ? undefined : { pid, startTicks: fields[19]! };
}

export function isSameProcess(ref: ProcessRef): boolean {
  return processRef(ref.pid)?.startTicks === ref.startTicks;
}

/** Written aside and renamed: whole or absent. */
export function writePidFile(path: string, ref: ProcessRef): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.new`, `${ref.pid} ${ref.startTicks}\n`);
  renameSync(`${path}.new`, path);
}

/** The process that the file names, if it still runs. */
export function readPidFile(path: string): ProcessRef | undefined {
  try {
    const [pid, startTicks] = readFileSync(path, 'utf8').trim().split(' ');
    const ref = { pid: Number(pid), startTicks: startTicks ?? '' };
    return Number.isInteger(ref.pid) && ref.pid > 1 && isSameProcess(ref) ? ref : undefined;
  } catch {
    return undefined;
  }
}

export function removePidFile(path: string): void {
  rmSync(path, { force: true });
}

/** Sends a signal, unless the process has ended meanwhile. */
export function signalProcess(ref: ProcessRef, signal: NodeJS.Signals): boolean {
  if (!isSameProcess(ref)) return false;
  try {
    process.kill(ref.pid, signal);
    return true;
  } catch {
    return false;
  }
}

/**
 * Processes that an instance's supervisor began, found by what it put into their environment. For the case that the pid files
 * are gone; a user's shell has CIRRI_INSTANCE perhaps, but never CIRRI_PROCESS.
 */
export function findProcesses(instance: string, state: string): (ProcessRef & { readonly name: string })[] {
  const found: (ProcessRef & { name: string })[] = [];
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) continue;
    let environment: string[];
    try {
      environment = readFileSync(`/proc/${entry}/environ`, 'latin1').split('\0');
    } catch {
      continue;
    }
    const name = environment.find(value => value.startsWith('CIRRI_PROCESS='));
    if (!name || !environment.includes(`CIRRI_INSTANCE=${instance}`) || !environment.includes(`CIRRI_STATE=${state}`)) continue;
    const ref = processRef(Number(entry));
    if (ref) found.push({ ...ref, name: name.slice('CIRRI_PROCESS='.length) });
  }
  return found;
}
