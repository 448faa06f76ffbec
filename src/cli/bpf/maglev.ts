import { maps as specs } from '../../datapath/generated/maps.ts';
import { BpfMap } from '../../ebpf/map.ts';
import type { KernelMaps } from './kernel-maps.ts';

/** A table of `maglev`: entry → backend id. */
export interface MaglevTable {
  readonly service: number;
  readonly entries: readonly number[];
}

/** The tables in the kernel, one after the other; of one service, or of all that have one. */
export function* maglevTables(maps: KernelMaps, service?: number): Generator<MaglevTable> {
  const outer = maps.open('maglev');
  if (service !== undefined) {
    const id = outer.lookup({ id: service });
    const entries = id === undefined ? undefined : readTable(id);
    if (entries) yield { service, entries };
    return;
  }
  for (const [key, id] of outer.entries()) {
    const entries = readTable(id);
    if (entries) yield { service: key.id, entries };
  }
}

/** Undefined when the table was replaced between the two calls. */
function readTable(id: number): readonly number[] | undefined {
  using table = BpfMap.openById(specs.maglev.inner!, id);
  return table && [...table.entries()].map(([, backend]) => backend);
}
