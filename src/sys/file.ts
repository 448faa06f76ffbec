/** File descriptors with an owner, and the mapping of files into memory. */
import { check } from './errno.ts';
import * as native from './native.ts';

export const openFlags = { readOnly: 0, writeOnly: 1, readWrite: 2, create: 0o100, exclusive: 0o200, truncate: 0o1000, directory: 0o200000, path: 0o10000000, closeOnExec: 0o2000000 } as const;

/** A file descriptor that is closed once, by its owner: `using ns = openNetns(path)`. */
export class Fd {
  #fd: number;
  readonly what: string;

  constructor(fd: number, what: string) {
    this.#fd = fd;
    this.what = what;
  }

  get fd(): number {
    if (this.#fd < 0) throw new Error(`${this.what}: used after close`);
    return this.#fd;
  }

  get closed(): boolean {
    return this.#fd < 0;
  }

  close(): void {
    if (this.#fd < 0) return;
    native.close(this.#fd);
    this.#fd = -1;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** open(2), close-on-exec. Synchronous and on this thread, which matters for /proc/thread-self. */
export function openFd(path: string, flags: number = openFlags.readOnly, mode = 0o600): Fd {
  return new Fd(check(native.open(path, flags | openFlags.closeOnExec, mode), 'open', `opening ${path}`), path);
}

/** An anonymous file in memory. */
export function memfd(name: string): Fd {
  return new Fd(check(native.memfdCreate(name, 1 /* MFD_CLOEXEC */), 'memfd_create', `creating memory file ${name}`), name);
}

export const pageSize = native.pageSize;

/** Memory shared with the kernel or a file. The buffer must not be touched after `unmap`: the process would fault. */
export interface Mapping {
  readonly buffer: ArrayBuffer;
  unmap(): void;
}

export function mapShared(o: { fd: number; length: number; offset?: number; writable: boolean; what: string }): Mapping {
  const protection = o.writable ? 3 : 1; // PROT_READ (1) | PROT_WRITE (2)
  const address = native.mmap(0, o.length, protection, 1 /* MAP_SHARED */, o.fd, o.offset ?? 0);
  if (address === -1) check(-1, 'mmap', `mapping ${o.what}`);
  const buffer = native.viewMemory(address, o.length);
  let mapped = true;
  return {
    buffer,
    unmap: () => {
      if (mapped) native.munmap(address, o.length);
      mapped = false;
    },
  };
}
