/**
 * Network namespaces. A namespace belongs to a *thread*: the section of `withNetns` is strictly synchronous, and the libuv
 * pool is started at import, because a pool thread that is born inside a section stays in the foreign namespace for good
 * (seen with Node 20 to 26). Sockets remember the namespace that they were made in: make the socket inside, use it outside.
 */
import { closeSync, mkdirSync, openSync, stat, unlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { KernelError, check } from './errno.ts';
import { type Fd, openFd } from './file.ts';
import { mount, mountFlags, mounts, unmount } from './mount.ts';
import * as native from './native.ts';

const CLONE_NEWNET = 0x40000000;
const OWN = '/proc/thread-self/ns/net';

// libuv starts all of its pool's threads inside the first submission: any asynchronous file call does it.
stat('/', () => {});

/**
 * Runs `section` inside the namespace and returns its result. The section must not await anything: a promise as its result
 * is refused. When the thread cannot return to its own namespace the process is aborted, for every packet and every socket
 * after that would be somebody else's.
 */
export function withNetns<T>(fd: number, section: () => T): T {
  using own = openFd(OWN);
  check(native.setns(fd, CLONE_NEWNET), 'setns', `entering network namespace (fd ${fd})`);
  let result: T;
  try {
    result = section();
  } finally {
    returnTo(own);
  }
  if (result instanceof Promise) throw new TypeError('the section of withNetns must be synchronous');
  return result;
}

/** Opens a namespace by path: a bind mount, or /proc/PID/ns/net. */
export function openNetns(path: string): Fd {
  return openFd(path);
}

/** AF_INET, SOCK_DGRAM, SOL_SOCKET; SO_NETNS_COOKIE of Linux 5.14. */
const [INET, DATAGRAM, SOCKET_LEVEL, NETNS_COOKIE] = [2, 2, 1, 71] as const;

/** The number that programs know this thread's network namespace by; never 0, and never another's while the machine runs. */
export function netnsCookie(): bigint {
  const fd = check(native.socket(INET, DATAGRAM, 0), 'socket', 'asking for the namespace\'s cookie');
  try {
    const value = new Uint8Array(8);
    const length = Uint8Array.from([8, 0, 0, 0]);
    check(native.getsockopt(fd, SOCKET_LEVEL, NETNS_COOKIE, value, length), 'getsockopt', 'asking for the namespace\'s cookie');
    return new DataView(value.buffer).getBigUint64(0, true);
  } finally {
    native.close(fd);
  }
}

/** The namespace that this thread is in. */
export function openOwnNetns(): Fd {
  return openFd(OWN);
}

/**
 * Makes a new, empty namespace (loopback down) and keeps it by a bind mount at `path`. Throws EEXIST where a namespace is
 * mounted there already; an empty file left by a reboot is taken over.
 */
export function createNetns(path: string): void {
  mkdirSync(dirname(path), { recursive: true });
  if (isNetns(path)) throw new KernelError({ errno: 'EEXIST', syscall: 'mount', doing: `creating network namespace ${path}` });
  closeSync(openSync(path, 'a', 0o444));
  using own = openFd(OWN);
  check(native.unshare(CLONE_NEWNET), 'unshare', 'creating a network namespace');
  try {
    mount({ source: OWN, target: path, flags: mountFlags.bind });
  } finally {
    returnTo(own);
  }
}

/**
 * Removes the mount and its file; the namespace itself ends with its last process and open descriptor. Missing is fine. It may be
 * mounted more than once: `ip netns add` binds its folder over itself, and what was in there shows through twice.
 */
export function deleteNetns(path: string): void {
  while (unmount(path));
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

/** True where a namespace is mounted at `path`. */
export function isNetns(path: string): boolean {
  return mounts().some(m => m.target === path && m.type === 'nsfs');
}

function returnTo(own: Fd): void {
  if (native.setns(own.fd, CLONE_NEWNET) === 0) return;
  process.stderr.write('cirri: cannot return to the own network namespace; aborting\n');
  process.abort();
}
