/**
 * Maps through bpf(2): one call an operation, batches where the kernel has them. Each map owns its scratch memory, so an
 * operation allocates nothing but its result.
 */
import { KernelError } from '../sys/errno.ts';
import { type Stable, stable } from '../sys/memory.ts';
import { bpf, close, bpfErrno } from '../sys/native.ts';
import { CirriError } from '../std/errors.ts';
import { bpfError, callBpf, command, mapType, objectInfo, openPinnedObject, pinObject, setAddress } from './bpf.ts';
import type { Codec } from './codec.ts';
import { possibleCpus } from './cpus.ts';
import { deleteInBatches, updateInBatches } from './map-batch.ts';
import { walkMap } from './map-walk.ts';

export interface MapSpec<K, V, Inner = number> {
  readonly name: string;
  /** BPF_MAP_TYPE_*. */
  readonly type: number;
  readonly maxEntries: number;
  readonly flags: number;
  readonly key: Codec<K>;
  /** Of one processor's value where the map is per-CPU. */
  readonly value: Codec<V>;
  readonly perCpu: boolean;
  /** Of a map of maps: those in it, whose `maxEntries` may differ. Values are descriptors when written, ids when read. */
  readonly inner?: MapSpec<number, Inner>;
  /** 8 hex digits over type, flags, size and layouts; part of the pin's path. */
  readonly layoutHash: string;
}

export type UpdateMode = 'any' | 'create' | 'replace';

const MODES: Readonly<Record<UpdateMode, number>> = { any: 0, create: 1, replace: 2 };
const ARRAYS: ReadonlySet<number> = new Set([mapType.array, mapType.percpuArray]);
const ATTRIBUTES = 32;
const ENOENT = 2;

export class BpfMap<K, V> {
  readonly spec: MapSpec<K, V>;
  /** Bytes that the kernel copies for one value: all processors' where the map is per-CPU. */
  readonly valueSize: number;
  #fd: number;
  readonly #key: Stable;
  readonly #value: Stable;
  readonly #attributes: Stable;

  private constructor(spec: MapSpec<K, V>, fd: number) {
    this.spec = spec;
    this.#fd = fd;
    this.valueSize = spec.perCpu ? slotSize(spec.value.size) * possibleCpus() : spec.value.size;
    this.#key = stable(spec.key.size);
    this.#value = stable(this.valueSize);
    this.#attributes = stable(ATTRIBUTES);
    this.#attributes.view.setUint32(0, fd, true);
    setAddress(this.#attributes.view, 8, this.#key);
    setAddress(this.#attributes.view, 16, this.#value);
  }

  static create<K, V>(spec: MapSpec<K, V>): BpfMap<K, V> {
    // The kernel learns from a first one what the maps in a map look like, and keeps nothing of it.
    using inner = spec.inner && BpfMap.create(spec.inner);
    const fd = callBpf(command.mapCreate, 72, `creating map ${spec.name} (type ${spec.type}, ${spec.maxEntries} entries)`, view => {
      [spec.type, spec.key.size, spec.value.size, spec.maxEntries, spec.flags, inner?.fd ?? 0].forEach((n, i) => view.setUint32(i * 4, n, true));
      // The kernel keeps 15 bytes of a name; libbpf cuts them the same way.
      const name = new TextEncoder().encode(spec.name.replace(/[^A-Za-z0-9_.]/g, '_').slice(0, 15));
      new Uint8Array(view.buffer).set(name, 28);
    });
    return new BpfMap(spec, fd);
  }

  /** Undefined where nothing is pinned. A map of another shape is ERR_MAP_LAYOUT and left alone. */
  static openPinned<K, V>(spec: MapSpec<K, V>, path: string): BpfMap<K, V> | undefined {
    const fd = openPinnedObject(path, `map ${spec.name}`);
    if (fd === undefined) return undefined;
    try {
      checkShape(spec, fd, path);
    } catch (error) {
      close(fd);
      throw error;
    }
    return new BpfMap(spec, fd);
  }

  /** The map of that id, as a map of maps tells it; undefined when it has gone meanwhile. It may hold fewer or more entries than the spec says. */
  static openById<K, V>(spec: MapSpec<K, V>, id: number): BpfMap<K, V> | undefined {
    let fd: number;
    try {
      fd = callBpf(command.mapGetFdById, 12, `opening map ${id} of ${spec.name}`, view => view.setUint32(0, id, true));
    } catch (error) {
      if (error instanceof KernelError && error.errno === 'ENOENT') return undefined;
      throw error;
    }
    return new BpfMap({ ...spec, maxEntries: objectInfo(fd, 40, `map ${id}`).getUint32(16, true) }, fd);
  }

  get fd(): number {
    if (this.#fd < 0) throw new Error(`map ${this.spec.name}: used after close`);
    return this.#fd;
  }

  pin(path: string): void {
    pinObject(this.fd, path, `map ${this.spec.name}`);
  }

  /** Closes the descriptor; pinned or used by a program, the map lives on. */
  close(): void {
    if (this.#fd < 0) return;
    close(this.#fd);
    this.#fd = -1;
    // A closed descriptor's number is soon another file's: no later call may reach it.
    this.#attributes.view.setInt32(0, -1, true);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** A copy of the value, undefined where the key is missing. For per-CPU maps see `lookupPerCpu`. */
  lookup(key: K): V | undefined {
    if (this.spec.perCpu) throw new TypeError(`map ${this.spec.name} is per-CPU: use lookupPerCpu`);
    return this.#lookup(key) ? this.spec.value.read(this.#value.view, 0) : undefined;
  }

  /** The values of all possible processors, in their order. */
  lookupPerCpu(key: K): V[] | undefined {
    return this.#lookup(key) ? this.#readSlots(this.#value.view, 0) : undefined;
  }

  /**
   * Writes an entry. `create` throws EEXIST where the key is there, `replace` ENOENT where it is not. A full map is E2BIG
   * (hash) or ENOSPC (LPM), and nothing has changed. In a per-CPU map every processor gets the value.
   */
  update(key: K, value: V, mode: UpdateMode = 'any'): void {
    const attributes = this.#attributes;
    this.spec.key.write(this.#key.view, 0, key);
    this.#writeValue(this.#value.view, 0, value);
    attributes.view.setUint32(24, MODES[mode], true);
    if (bpf(command.mapUpdate, attributes.address, ATTRIBUTES) < 0) throw this.#error(command.mapUpdate, 'updating');
  }

  /** False where the key is missing. */
  delete(key: K): boolean {
    this.spec.key.write(this.#key.view, 0, key);
    // Only up to the key: the kernel refuses a delete with more.
    if (bpf(command.mapDelete, this.#attributes.address, 16) === 0) return true;
    return this.#missing(command.mapDelete, 'deleting from');
  }

  /**
   * Every entry that is there for the whole walk, once; entries that come or go meanwhile may be seen or not. Read in
   * batches of up to 4096. For per-CPU maps see `entriesPerCpu`.
   */
  *entries(): Generator<[K, V]> {
    if (this.spec.perCpu) throw new TypeError(`map ${this.spec.name} is per-CPU: use entriesPerCpu`);
    const { key, value } = this.spec;
    for (const chunk of walkMap(this)) {
      for (let i = 0; i < chunk.count; i++) yield [key.read(chunk.keys, i * key.size), value.read(chunk.values, i * this.valueSize)];
    }
  }

  *entriesPerCpu(): Generator<[K, V[]]> {
    const { key } = this.spec;
    for (const chunk of walkMap(this)) {
      for (let i = 0; i < chunk.count; i++) yield [key.read(chunk.keys, i * key.size), this.#readSlots(chunk.values, i * this.valueSize)];
    }
  }

  /** Writes all entries. The first that the kernel refuses is thrown; those before it are written. */
  updateBatch(entries: readonly (readonly [K, V])[]): void {
    updateInBatches(this, entries, (view, at, value) => this.#writeValue(view, at, value));
  }

  /** Deletes what is there of the keys. */
  deleteBatch(keys: readonly K[]): void {
    deleteInBatches(this, keys);
  }

  /** Entries at this moment; of an array its size. Walks the map: not for every request. */
  count(): number {
    if (ARRAYS.has(this.spec.type)) return this.spec.maxEntries;
    let count = 0;
    for (const chunk of walkMap(this)) count += chunk.count;
    return count;
  }

  #lookup(key: K): boolean {
    this.spec.key.write(this.#key.view, 0, key);
    this.#attributes.view.setUint32(24, 0, true);
    if (bpf(command.mapLookup, this.#attributes.address, ATTRIBUTES) === 0) return true;
    return this.#missing(command.mapLookup, 'reading');
  }

  #missing(number: number, verb: string): false {
    if (bpfErrno() === ENOENT) return false; // the usual case: no error object for it
    throw this.#error(number, verb);
  }

  #error(number: number, verb: string): KernelError {
    const error = bpfError(number, `${verb} map ${this.spec.name}`);
    if (error.errno !== 'E2BIG' && error.errno !== 'ENOSPC') return error;
    if (ARRAYS.has(this.spec.type)) return bpfError(number, `${verb} map ${this.spec.name}: the index is not below ${this.spec.maxEntries}`);
    return bpfError(number, `${verb} map ${this.spec.name}: it is full at ${this.spec.maxEntries} entries`, 'raise the map\'s size, or remove what fills it');
  }

  #writeValue(view: DataView, at: number, value: V): void {
    const codec = this.spec.value;
    codec.write(view, at, value);
    if (!this.spec.perCpu) return;
    for (let slot = slotSize(codec.size); slot < this.valueSize; slot += slotSize(codec.size)) codec.write(view, at + slot, value);
  }

  #readSlots(view: DataView, at: number): V[] {
    if (!this.spec.perCpu) throw new TypeError(`map ${this.spec.name} is not per-CPU`);
    const size = slotSize(this.spec.value.size);
    return Array.from({ length: possibleCpus() }, (_, cpu) => this.spec.value.read(view, at + cpu * size));
  }
}

/** A processor's value takes whole 8 bytes. */
function slotSize(size: number): number {
  return (size + 7) & ~7;
}

function checkShape(spec: MapSpec<unknown, unknown>, fd: number, path: string): void {
  const info = objectInfo(fd, 40, `map ${path}`);
  const shape = (at: number) => info.getUint32(at, true);
  const wanted = [spec.type, spec.key.size, spec.value.size, spec.maxEntries, spec.flags];
  const found = [shape(0), shape(8), shape(12), shape(16), shape(20)];
  if (wanted.every((n, i) => n === found[i])) return;
  throw new CirriError('ERR_MAP_LAYOUT', `the map pinned at ${path} has type, key, value, entries, flags ${found.join(', ')}, not ${wanted.join(', ')}`, {
    mend: 'it is another version\'s map: give the new one another path',
  });
}
