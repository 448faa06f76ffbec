import { createHash } from 'node:crypto';
import { maps as specs } from '../../datapath/generated/maps.ts';
import { httpSetCodec } from '../../datapath/generated/structs.ts';
import { objectInfo } from '../../ebpf/bpf.ts';
import { bytesCodec } from '../../ebpf/codec.ts';
import { BpfMap } from '../../ebpf/map.ts';
import { CirriError } from '../../std/errors.ts';

/** What is needed of `http_sets`: descriptors are written, ids read. */
export type OuterMap = Pick<BpfMap<number, number>, 'lookup' | 'update' | 'delete' | 'entries'>;

/** The tables as they are made: bytes of one `struct http_set`. */
const inner = { ...specs.httpSets.inner!, value: bytesCodec(httpSetCodec.size) };

/**
 * The tables of one set as they stand in `http_sets`: a map of their own each, written whole and read back before the set's number leads
 * to it. A map's name is a hash of what is in it, so an agent that comes back knows which it need not write.
 */
export class KernelTables {
  readonly #outer: OuterMap;

  constructor(outer: OuterMap) {
    this.#outer = outer;
  }

  /** Numbers that the kernel has, whoever has written them. */
  numbers(): number[] {
    return [...this.#outer.entries()].map(([number]) => number);
  }

  /** False when they were there already. Throws when they do not go in, or read back differently; then the number leads to what it did. */
  put(number: number, tables: Uint8Array): boolean {
    const name = nameOf(tables);
    using present = this.#open(number);
    if (present && nameOfMap(present) === name && isSame(present, tables)) return false;
    using map = BpfMap.create({ ...inner, name });
    map.update(0, tables);
    if (!isSame(map, tables)) throw readBack(number);
    this.#outer.update(number, map.fd);
    using found = this.#open(number);
    if (!found || nameOfMap(found) !== name) throw readBack(number);
    return true;
  }

  remove(number: number): void {
    this.#outer.delete(number);
  }

  #open(number: number): BpfMap<number, Uint8Array> | undefined {
    const id = this.#outer.lookup(number);
    return id === undefined ? undefined : BpfMap.openById(inner, id);
  }
}

function isSame(map: BpfMap<number, Uint8Array>, tables: Uint8Array): boolean {
  const found = map.lookup(0);
  return found !== undefined && Buffer.compare(found, tables) === 0;
}

function readBack(number: number): CirriError {
  return new CirriError('ERR_HTTP_READBACK', `the tables of layer 7 set ${number} read back differently`, { mend: 'the proxy carries the set; restart the agent, and report this when it happens again' });
}

/** 15 bytes: as much as the kernel keeps of a map's name. */
function nameOf(tables: Uint8Array): string {
  return createHash('sha256').update(tables).digest('hex').slice(0, 15);
}

function nameOfMap(map: { readonly fd: number }): string {
  const info = objectInfo(map.fd, 40, 'the tables of a layer 7 set');
  return Buffer.from(info.buffer, info.byteOffset + 24, 16).toString('latin1').replace(/\0.*$/, '');
}
