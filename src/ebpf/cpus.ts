/** Possible processors: what the kernel sizes per-CPU values by, more than are online where some may be plugged in. */
import { readFileSync } from 'node:fs';

let count: number | undefined;

export function possibleCpus(): number {
  return (count ??= parseCpuList(readFileSync('/sys/devices/system/cpu/possible', 'utf8')));
}

/** The number of processors in `0-3,8`. */
export function parseCpuList(text: string): number {
  return text.trim().split(',').reduce((sum, range) => {
    const [first, last = first] = range.split('-').map(Number);
    return sum + last! - first! + 1;
  }, 0);
}
