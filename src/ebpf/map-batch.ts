/** Many entries in one system call; one by one where the kernel has no batches for the map's type. */
import { type Stable, stable } from '../sys/memory.ts';
import { bpf } from '../sys/native.ts';
import { bpfError, command, setAddress } from './bpf.ts';
import { type Walkable, batchEntries } from './map-walk.ts';
import type { Codec } from './codec.ts';

interface Batchable<K, V> extends Walkable {
  readonly spec: Walkable['spec'] & { readonly key: Codec<K> };
  update(key: K, value: V): void;
  delete(key: K): boolean;
}

export function updateInBatches<K, V>(map: Batchable<K, V>, entries: readonly (readonly [K, V])[], writeValue: (view: DataView, at: number, value: V) => void): void {
  const { key } = map.spec;
  const memory = makeMemory(map, entries.length, true);
  for (let start = 0; start < entries.length; ) {
    const count = Math.min(memory.entries, entries.length - start);
    for (let i = 0; i < count; i++) {
      const entry = entries[start + i]!;
      key.write(memory.keys.view, i * key.size, entry[0]);
      writeValue(memory.values.view, i * map.valueSize, entry[1]);
    }
    const done = submit(map, command.mapUpdateBatch, memory, count);
    start += done;
    // What stopped the batch is asked for again alone: that gives the entry's own error, or goes through.
    if (done < count) map.update(entries[start]![0], entries[start++]![1]);
  }
}

export function deleteInBatches<K, V>(map: Batchable<K, V>, keys: readonly K[]): void {
  const { key } = map.spec;
  const memory = makeMemory(map, keys.length, false);
  for (let start = 0; start < keys.length; ) {
    const count = Math.min(memory.entries, keys.length - start);
    for (let i = 0; i < count; i++) key.write(memory.keys.view, i * key.size, keys[start + i]!);
    const done = submit(map, command.mapDeleteBatch, memory, count);
    start += done;
    if (done < count) map.delete(keys[start++]!); // a missing key ends a batch; here it is nothing
  }
}

interface Memory {
  entries: number;
  readonly keys: Stable;
  readonly values: Stable;
  readonly attributes: Stable;
}

function makeMemory(map: Walkable, wanted: number, withValues: boolean): Memory {
  const entries = Math.max(1, Math.min(wanted, batchEntries(map)));
  return { entries, keys: stable(entries * map.spec.key.size), values: stable(withValues ? entries * map.valueSize : 0), attributes: stable(56) };
}

/** How many of the first `count` entries the kernel did. */
function submit(map: Walkable, number: number, memory: Memory, count: number): number {
  if (memory.entries === 1) return 0;
  const { view, address } = memory.attributes;
  setAddress(view, 16, memory.keys);
  setAddress(view, 24, memory.values);
  view.setUint32(32, count, true);
  view.setUint32(36, map.fd, true);
  if (bpf(number, address, 56) === 0) return count;
  const { errno } = bpfError(number, 'batch');
  const done = view.getUint32(32, true);
  if (errno === 'ENOTSUPP' || errno === 'EOPNOTSUPP' || errno === 'EINVAL') memory.entries = 1; // from here one by one
  // An error before the first entry leaves the count as it was given.
  return done < count ? done : 0;
}
