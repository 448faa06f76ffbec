/** Who reads the requests at a point where rules on HTTP hold, and why it is not the kernel though the kernel was asked for. */
import type { HttpReader, L7Set } from '../model/l7.ts';
import { tablesOfSet } from './http-tables.ts';
import { kernelReadsTwice } from './http-second-reading.ts';

export interface Read {
  readonly reader: HttpReader;
  /** Of the proxy, where the kernel was asked for. */
  readonly why?: string;
}

/** Why the kernel does not carry a connection whose client's end reads it, too. */
export const readAtProxy = 'what the client sends is read there already';

/** Sets do not change; their tables take some milliseconds. */
const known = new WeakMap<L7Set, Read>();

/** One phrase for people. */
export function readText({ reader, why }: Read): string {
  if (reader === 'kernel') return 'the kernel reads the requests';
  return why === undefined ? 'the proxy reads the requests' : `the proxy reads the requests, not the kernel: ${why}`;
}

/** `why`: what leaves it to the proxy, whatever the set. Undefined: nobody reads HTTP there. */
export function readerOf(set: L7Set | undefined, why?: string): Read | undefined {
  if (set?.protocol !== 'http') return undefined;
  if (!set.kernel) return { reader: 'proxy' };
  if (why !== undefined) return { reader: 'proxy', why };
  let read = known.get(set);
  if (!read) {
    const compiled = tablesOfSet(set);
    read = 'unfit' in compiled ? { reader: 'proxy', why: compiled.unfit } : { reader: 'kernel' };
    known.set(set, read);
  }
  return read;
}

/** Why the kernel refuses a request that rules may let pass. */
export function kernelRefusal({ method, path }: { readonly method: string; readonly path: string }): string | undefined {
  if (method === 'CONNECT' || !(path.startsWith('/') || path === '*')) return 'target: the kernel reads only those that begin with a slash';
  return kernelReadsTwice({ method, path }) ? undefined : 'path: it may be read in two ways, and the kernel does that only for paths up to 500 bytes and 30 segments';
}
