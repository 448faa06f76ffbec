import { objectInfo } from '../../ebpf/bpf.ts';
import { BpfMap } from '../../ebpf/map.ts';
import type { MapSpec } from '../../ebpf/map.ts';
import type { WantedTable } from '../../lb/layout.ts';
import type { MaglevTables } from './target.ts';

/** What is needed of the map of maps. */
export interface OuterMap {
  readonly spec: MapSpec<{ readonly id: number }, number>;
  entries(): Iterable<readonly [{ readonly id: number }, number]>;
  update(key: { readonly id: number }, fd: number): void;
  deleteBatch(keys: readonly { readonly id: number }[]): void;
}

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

  put(service: number, { signature, build }: WantedTable): void {
    using map = this.#open(signature) ?? this.#make(signature, build());
    this.#outer.update({ id: service }, map.fd);
    this.#ids.set(signature, objectInfo(map.fd, 8, 'a Maglev table').getUint32(4, true));
  }

  deleteBatch(services: readonly number[]): void {
    this.#outer.deleteBatch(services.map(id => ({ id })));
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
      map.updateBatch(Array.from(table, (backend, entry) => [entry, backend] as const));
    } catch (error) {
      map.close();
      throw error;
    }
    return map;
  }
}

type TableMap = BpfMap<number, number>;

function nameOf(map: TableMap): string {
  const info = objectInfo(map.fd, 40, 'a Maglev table');
  return Buffer.from(info.buffer, info.byteOffset + 24, 16).toString('latin1').replace(/\0.*$/, '');
}
