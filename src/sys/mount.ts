/** Mounts: bpffs, bind mounts, and what /proc/self/mountinfo says. */
import { mkdirSync, readFileSync } from 'node:fs';
import { KernelError, check, isErrno } from './errno.ts';
import { lastErrno } from './native.ts';
import * as native from './native.ts';

export const mountFlags = {
  readOnly: 1, noSuid: 2, noDev: 4, noExec: 8, remount: 32, bind: 4096, recursive: 16384, private: 1 << 18, slave: 1 << 19, shared: 1 << 20,
} as const;

/** mount(2). `data` are the file system's own options. */
export function mount(o: { source: string; target: string; type?: string; flags?: number; data?: string }): void {
  const result = native.mount(o.source, o.target, o.type ?? 'none', o.flags ?? 0, o.data ?? null);
  check(result, 'mount', `mounting ${o.source} at ${o.target}`);
}

/** umount2(2). False where nothing was mounted. Detached lazily by default: a busy mount goes when its last user does. */
export function unmount(target: string, o: { lazy?: boolean } = {}): boolean {
  if (native.umount2(target, (o.lazy ?? true) ? 2 /* MNT_DETACH */ : 0) === 0) return true;
  const error = new KernelError({ errno: lastErrno(), syscall: 'umount2', doing: `unmounting ${target}` });
  if (isErrno(error, 'EINVAL', 'ENOENT')) return false;
  throw error;
}

export interface MountInfo {
  readonly root: string;
  readonly target: string;
  readonly type: string;
  readonly source: string;
  readonly options: string;
}

/** The mounts that this process sees, in mounting order (proc(5), mountinfo). */
export function mounts(): MountInfo[] {
  return parseMountInfo(readFileSync('/proc/self/mountinfo', 'utf8'));
}

export function parseMountInfo(text: string): MountInfo[] {
  const result: MountInfo[] = [];
  for (const line of text.split('\n')) {
    const fields = line.split(' ');
    const dash = fields.indexOf('-', 6);
    if (dash < 0 || fields.length < dash + 3) continue;
    result.push({
      root: unescapeOctal(fields[3]!),
      target: unescapeOctal(fields[4]!),
      options: fields[5]!,
      type: fields[dash + 1]!,
      source: unescapeOctal(fields[dash + 2]!),
    });
  }
  return result;
}

/** Mounts a BPF file system unless one is there already. Creates the folder. */
export function ensureBpffs(target: string): void {
  mkdirSync(target, { recursive: true, mode: 0o700 });
  if (mounts().some(m => m.target === target && m.type === 'bpf')) return;
  mount({ source: 'bpf', target, type: 'bpf', flags: mountFlags.noSuid | mountFlags.noDev | mountFlags.noExec, data: 'mode=0700' });
}

function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
