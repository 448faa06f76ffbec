import { callBpf, command, objectInfo } from '../../ebpf/bpf.ts';
import { BpfMap } from '../../ebpf/map.ts';
import type { MapSpec } from '../../ebpf/map.ts';
import type { WantedTable } from '../../lb/layout.ts';
import { close } from '../../sys/native.ts';
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
        names.set(array, (name = nameOf(array)));
        if (name !== '') this.#ids.set(name, array);
      }
      yield [id, name === '' ? 'unknown' : name];
    }
  }

  put(service: number, { signature, build }: WantedTable): void {
    const fd = this.#open(signature) ?? this.#make(signature, build());
    try {
      this.#outer.update({ id: service }, fd);
      this.#ids.set(signature, objectInfo(fd, 8, 'a Maglev table').getUint32(4, true));
    } finally {
      close(fd);
    }
  }

  deleteBatch(services: readonly number[]): void {
    this.#outer.deleteBatch(services.map(id => ({ id })));
  }

  #open(signature: string): number | undefined {
    const id = this.#ids.get(signature);
    if (id === undefined) return undefined;
    const fd = openById(id);
    // Ids are counted up and not given twice, but a wrapped counter would look like this.
    if (fd !== undefined && infoName(fd) === signature) return fd;
    if (fd !== undefined) close(fd);
    this.#ids.delete(signature);
    return undefined;
  }

  #make(signature: string, table: Uint32Array): number {
    const { inner } = this.#outer.spec;
    const map = BpfMap.create({ ...inner!, name: signature, maxEntries: table.length });
    try {
      map.updateBatch(Array.from(table, (backend, entry) => [entry, backend] as const));
    } catch (error) {
      map.close();
      throw error;
    }
    return map.fd;
  }
}

/** '' where the array has gone meanwhile. */
function nameOf(id: number): string {
  const fd = openById(id);
  if (fd === undefined) return '';
  try {
    return infoName(fd);
  } finally {
    close(fd);
  }
}

function infoName(fd: number): string {
  const info = objectInfo(fd, 40, 'a Maglev table');
  return Buffer.from(info.buffer, info.byteOffset + 24, 16).toString('latin1').replace(/\0.*$/, '');
}

function openById(id: number): number | undefined {
  try {
    return callBpf(command.mapGetFdById, 12, `opening map ${id}`, view => view.setUint32(0, id, true));
  } catch {
    return undefined;
  }
}
