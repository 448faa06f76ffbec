import type { BpfMap } from '../ebpf/map.ts';
import type { Target } from '../table/reconcile.ts';

/** How rows of a table stand in a BPF map: one row, one entry. */
export interface RowLayout<R, K, V> {
  /** The entry of a row. */
  entry(row: R): readonly [K, V];
  /** The table's key for an entry found in the map: must agree with the table's own. */
  keyText(key: K): string;
  /** The map key for a table key. */
  keyFromText(text: string): K;
}

/**
 * A BPF map as the target of a reconciler. Whole batches where the kernel takes them; when a batch is refused (full map, or a
 * kernel without batches) each row is tried on its own, so that one bad row fails alone and says why.
 */
export function mapTarget<R, K, V>(map: BpfMap<K, V>, layout: RowLayout<R, K, V>): Target<R> {
  return {
    *list() {
      for (const [key] of map.entries()) yield layout.keyText(key);
    },
    apply: rows => {
      const entries = rows.map(row => layout.entry(row));
      if (entries.length > 1) {
        try {
          map.updateBatch(entries);
          return new Array<undefined>(rows.length).fill(undefined);
        } catch {
          // Which row it was is not told: the single updates below say.
        }
      }
      return entries.map(([key, value]) => attempt(() => map.update(key, value)));
    },
    remove: keys => keys.map(text => attempt(() => void map.delete(layout.keyFromText(text)))),
  };
}

function attempt(run: () => void): Error | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}
