/** /proc/sys of the network namespace that the calling thread is in; use inside `withNetns` for another one. */
import { readFileSync, writeFileSync } from 'node:fs';
import { CirriError } from '../std/errors.ts';

/**
 * Sets e.g. `net/ipv4/conf/eth0/forwarding` (slashes: device names may hold dots). False where the setting does not exist,
 * as when the kernel lacks the family.
 */
export function writeSysctl(key: string, value: string | number): boolean {
  const path = sysctlPath(key);
  try {
    writeFileSync(path, `${value}\n`);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw new CirriError('ERR_SYSCTL', `setting ${key} to ${value}`, { cause: error });
  }
}

/** The value without its line end, undefined where the setting does not exist. */
export function readSysctl(key: string): string | undefined {
  const path = sysctlPath(key);
  try {
    return readFileSync(path, 'utf8').trimEnd();
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw new CirriError('ERR_SYSCTL', `reading ${key}`, { cause: error });
  }
}

function sysctlPath(key: string): string {
  if (!/^[A-Za-z0-9_@.:-]+(\/[A-Za-z0-9_@.:-]+)*$/.test(key) || key.split('/').some(part => /^\.+$/.test(part))) {
    throw new CirriError('ERR_SYSCTL', `"${key}" is not a sysctl; write it with slashes, e.g. net/ipv4/ip_forward`);
  }
  return `/proc/sys/${key}`;
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT';
}
