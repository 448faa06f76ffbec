/**
 * Walks over a map that others change meanwhile. Hash maps hand out whole buckets (BPF_MAP_LOOKUP_BATCH since 5.6), which is
 * safe by itself, and arrays count up. Tries go on from the last key: where that was deleted meanwhile the kernel starts over,
 * so there the keys that were seen are remembered.
 */
import { isErrno } from '../sys/errno.ts';
import { stable } from '../sys/memory.ts';
import { bpf } from '../sys/native.ts';
import { CirriError } from '../std/errors.ts';
import { bpfError, command, mapType, setAddress } from './bpf.ts';

export interface Walkable {
  readonly fd: number;
  readonly valueSize: number;
  readonly spec: { readonly name: string; readonly type: number; readonly maxEntries: number; readonly key: { readonly size: number } };
}

/** The views are valid until the next chunk. */
export interface Chunk {
  readonly count: number;
  readonly keys: DataView;
  readonly values: DataView;
}

const BATCH_BYTES = 1 << 20;
const BATCH_ENTRIES = 4096;
const ATTEMPTS = 10;
const STEADY: ReadonlySet<number> = new Set([mapType.hash, mapType.percpuHash, mapType.lruHash, mapType.lruPercpuHash, mapType.array, mapType.percpuArray]);

export function* walkMap(map: Walkable): Generator<Chunk> {
  try {
    yield* STEADY.has(map.spec.type) ? walkByBatches(map) : unseen(map, walkByBatches(map));
  } catch (error) {
    // Only the first call can say so: nothing was handed out yet.
    if (!isErrno(error, 'ENOTSUPP', 'EOPNOTSUPP', 'EINVAL')) throw error;
    yield* unseen(map, walkByKeys(map));
  }
}

/** How many entries of this size go into one system call. */
export function batchEntries(map: Walkable): number {
  return Math.max(64, Math.min(BATCH_ENTRIES, Math.floor(BATCH_BYTES / (map.spec.key.size + map.valueSize))));
}

function* walkByBatches(map: Walkable): Generator<Chunk> {
  // A cursor is a bucket's number for hashes, a key for the others; it is read and written in the same place.
  const cursor = stable(Math.max(8, map.spec.key.size));
  const attributes = stable(56);
  for (let entries = batchEntries(map), first = true, done = false; !done; ) {
    const keys = stable(entries * map.spec.key.size);
    const values = stable(entries * map.valueSize);
    setAddress(attributes.view, 8, cursor);
    setAddress(attributes.view, 16, keys);
    setAddress(attributes.view, 24, values);
    attributes.view.setUint32(36, map.fd, true);
    for (let attempt = 1; ; ) {
      const from = Uint8Array.from(cursor.bytes);
      attributes.view.setBigUint64(0, first ? 0n : BigInt(cursor.address), true);
      attributes.view.setUint32(32, entries, true);
      const failed = bpf(command.mapLookupBatch, attributes.address, 56) < 0;
      const error = failed ? bpfError(command.mapLookupBatch, `reading map ${map.spec.name}`) : undefined;
      if (error?.errno === 'ENOSPC') {
        entries *= 2; // one bucket holds more than the batch: once more from the same place with room for it
        break;
      }
      // A bucket's lock was taken, or a signal came: once more from the same place.
      if (error && (error.errno === 'EAGAIN' || error.errno === 'EINTR' || error.errno === 'EBUSY') && attempt++ < ATTEMPTS) {
        cursor.bytes.set(from);
        continue;
      }
      if (error && error.errno !== 'ENOENT') throw error;
      attempt = 1;
      const count = attributes.view.getUint32(32, true);
      if (count > 0) yield { count, keys: keys.view, values: values.view };
      first = false;
      if (error) {
        done = true;
        break;
      }
    }
  }
}

/** One key a call, for kernels and map types without batches. */
function* walkByKeys(map: Walkable): Generator<Chunk> {
  const key = stable(map.spec.key.size);
  const value = stable(map.valueSize);
  const attributes = stable(32);
  attributes.view.setUint32(0, map.fd, true);
  for (let first = true; ; first = false) {
    attributes.view.setBigUint64(8, first ? 0n : BigInt(key.address), true);
    setAddress(attributes.view, 16, key);
    if (bpf(command.mapGetNextKey, attributes.address, 32) < 0) {
      const error = bpfError(command.mapGetNextKey, `reading map ${map.spec.name}`);
      if (error.errno === 'ENOENT') return;
      throw error;
    }
    setAddress(attributes.view, 8, key);
    setAddress(attributes.view, 16, value);
    if (bpf(command.mapLookup, attributes.address, 32) === 0) yield { count: 1, keys: key.view, values: value.view };
  }
}

/** Passes each key on once. A walk that is thrown back again and again ends with an error, never goes round for ever. */
function* unseen(map: Walkable, chunks: Generator<Chunk>): Generator<Chunk> {
  const seen = new Set<string>();
  const { size } = map.spec.key;
  let visited = 0;
  for (const chunk of chunks) {
    visited += chunk.count;
    if (visited > 8 * map.spec.maxEntries + 1024) throw new CirriError('ERR_MAP_BUSY', `map ${map.spec.name} changes faster than it can be read`);
    const keys = Buffer.from(chunk.keys.buffer, chunk.keys.byteOffset, chunk.count * size);
    let kept = 0;
    for (let i = 0; i < chunk.count; i++) {
      const key = keys.toString('latin1', i * size, (i + 1) * size);
      if (seen.has(key)) continue;
      seen.add(key);
      if (kept !== i) moveEntry(chunk, i, kept, size, map.valueSize);
      kept++;
    }
    if (kept > 0) yield { ...chunk, count: kept };
  }
}

function moveEntry(chunk: Chunk, from: number, to: number, keySize: number, valueSize: number): void {
  new Uint8Array(chunk.keys.buffer).copyWithin(to * keySize, from * keySize, (from + 1) * keySize);
  new Uint8Array(chunk.values.buffer).copyWithin(to * valueSize, from * valueSize, (from + 1) * valueSize);
}
