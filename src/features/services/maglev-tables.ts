import { objectInfo } from '../../ebpf/bpf.ts';
import { BpfMap } from '../../ebpf/map.ts';
import type { MapSpec } from '../../ebpf/map.ts';
import { mapShared } from '../../sys/file.ts';
import { attempt } from './target.ts';
import type { MaglevTables, ServiceTable } from './target.ts';

type TableMap = BpfMap<number, number>;

/** What is needed of the map of maps. */
export interface OuterMap {
  readonly spec: MapSpec<{ readonly id: number }, number>;
  entries(): Iterable<readonly [{ readonly id: number }, number]>;
  update(key: { readonly id: number }, fd: number): void;
  updateBatch(entries: readonly (readonly [{ readonly id: number }, number])[]): void;
  deleteBatch(keys: readonly { readonly id: number }[]): void;
}

/** Descriptors that are open at a time; a process may have 1,024. */
const openAtOnce = 128;

/**
 * Tables in the kernel: an array each, made whole before any packet can see it. An array's name is its table's signature: a
 * restart knows from it what a table was made of, and services with equal backends share one array (a node port has a row for
 * each of the node's addresses). The kernel frees an array with the last service that has it.
 */
export class KernelMaglevTables implements MaglevTables {
  readonly #outer: OuterMap;
  /** Ids of arrays in the kernel, by signature; some may be gone. */
  readonly #ids = new Map<string, number>();

  constructor(outer: OuterMap) {
    this.#outer = outer;
  }

  *entries(): Generator<readonly [service: number, signature: string]> {
    const names = new Map<number, string>();
    for (const [{ id }, array] of this.#outer.entries()) {
      let name = names.get(array);
      if (name === undefined) {
        using map = BpfMap.openById(this.#outer.spec.inner!, array);
        name = map ? nameOf(map) : 'gone';
        names.set(array, name);
        this.#ids.set(name, array);
      }
      yield [id, name];
    }
  }

  /**
   * The kernel waits for a grace period (20 ms and more) after each change of a map of maps, so that no program uses the old one
   * when the call returns: here once for `openAtOnce` services.
   */
  putBatch(tables: readonly ServiceTable[]): (Error | undefined)[] {
    const errors: (Error | undefined)[] = [];
    for (let from = 0; from < tables.length; from += openAtOnce) errors.push(...this.#putSome(tables.slice(from, from + openAtOnce)));
    return errors;
  }

  deleteBatch(services: readonly number[]): void {
    this.#outer.deleteBatch(services.map(id => ({ id })));
  }

  #putSome(tables: readonly ServiceTable[]): (Error | undefined)[] {
    const opened = new Map<string, TableMap>();
    try {
      const made = tables.map(({ table: { signature, build } }) => {
        let map = opened.get(signature);
        const error = map ? undefined : attempt(() => void opened.set(signature, (map = this.#open(signature) ?? this.#make(signature, build()))));
        return error ?? map!;
      });
      const entries = tables.flatMap(({ service }, i) => (made[i] instanceof Error ? [] : [[{ id: service }, made[i]!.fd] as const]));
      const isWhole = entries.length === 0 || attempt(() => this.#outer.updateBatch(entries)) === undefined;
      for (const [signature, map] of opened) this.#ids.set(signature, objectInfo(map.fd, 8, 'a Maglev table').getUint32(4, true));
      // One of them was refused: which one, and why.
      return tables.map(({ service }, i) => {
        const map = made[i]!;
        if (map instanceof Error) return map;
        return isWhole ? undefined : attempt(() => this.#outer.update({ id: service }, map.fd));
      });
    } finally {
      for (const map of opened.values()) map.close();
    }
  }

  #open(signature: string): TableMap | undefined {
    const id = this.#ids.get(signature);
    const map = id === undefined ? undefined : BpfMap.openById(this.#outer.spec.inner!, id);
    // Ids are counted up and not given twice, but a wrapped counter would look like this.
    if (map && nameOf(map) === signature) return map;
    map?.close();
    this.#ids.delete(signature);
    return undefined;
  }

  #make(signature: string, table: Uint32Array): TableMap {
    const map = BpfMap.create({ ...this.#outer.spec.inner!, name: signature, maxEntries: table.length });
    try {
      // Entries of an array are 8 bytes apart, whatever their size.
      const memory = mapShared({ fd: map.fd, length: table.length * 8, writable: true, what: 'a Maglev table' });
      const entries = new Uint32Array(memory.buffer);
      table.forEach((backend, entry) => { entries[2 * entry] = backend; });
      memory.unmap();
    } catch (error) {
      map.close();
      throw error;
    }
    return map;
  }
}

function nameOf(map: TableMap): string {
  const info = objectInfo(map.fd, 40, 'a Maglev table');
  return Buffer.from(info.buffer, info.byteOffset + 24, 16).toString('latin1').replace(/\0.*$/, '');
}
