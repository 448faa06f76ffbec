/**
 * Iterator programs (bpf_iter, linux/bpf.h): run once for every object of their kind when they are read. Those over sockets see the
 * network namespace in which the thread was when the walk began.
 */
import { closeSync, readSync } from 'node:fs';
import { attachType, callBpf, command } from './bpf.ts';
import type { Attachable } from './link.ts';
import { close } from '../sys/native.ts';

/** Programs may write text to whoever reads; what they write here is dropped. */
const BUFFER = new Uint8Array(4096);

export class BpfIterator {
  #link: number;
  readonly #name: string;

  private constructor(link: number, name: string) {
    this.#link = link;
    this.#name = name;
  }

  static attach(program: Attachable): BpfIterator {
    const link = callBpf(command.linkCreate, 48, `attaching iterator ${program.name}`, view => {
      view.setUint32(0, program.fd, true);
      view.setUint32(8, attachType.traceIter, true);
    });
    return new BpfIterator(link, program.name);
  }

  /** A walk over the objects that this thread sees now; it has begun with the call of `run`, wherever the thread is then. */
  begin(): { run(): void } {
    const fd = callBpf(command.iterCreate, 8, `beginning iterator ${this.#name}`, view => view.setUint32(0, this.#link, true));
    return { run: () => readToEnd(fd) };
  }

  close(): void {
    if (this.#link < 0) return;
    close(this.#link);
    this.#link = -1;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** A long walk is cut by the kernel (a million objects a read): then EAGAIN says to read on. */
function readToEnd(fd: number): void {
  try {
    for (;;) {
      try {
        if (readSync(fd, BUFFER) === 0) return;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      }
    }
  } finally {
    closeSync(fd);
  }
}
