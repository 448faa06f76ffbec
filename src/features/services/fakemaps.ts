import type { MapAccess, ServiceMaps } from './target.ts';

/** A hash map with the kernel's manners, for tests: bounded, keys and values by content, told of each single write. */
export class MemoryMap<K, V> implements MapAccess<K, V> {
  maxEntries = Infinity;
  /** Runs after each entry that changed. */
  onWrite: () => void = () => {};
  writes = 0;
  batches = 0;
  readonly #entries = new Map<string, readonly [K, V]>();
  readonly #keyOf: (key: K) => string;

  constructor(keyOf: (key: K) => string) {
    this.#keyOf = keyOf;
  }

  get size(): number {
    return this.#entries.size;
  }

  lookup(key: K): V | undefined {
    return this.#entries.get(this.#keyOf(key))?.[1];
  }

  entries(): [K, V][] {
    return [...this.#entries.values()].map(([k, v]) => [k, v]);
  }

  update(key: K, value: V): void {
    const text = this.#keyOf(key);
    if (!this.#entries.has(text) && this.#entries.size >= this.maxEntries) throw new Error('E2BIG');
    this.#entries.set(text, [key, value]);
    this.writes++;
    this.onWrite();
  }

  /** As the kernel: what came before the entry that failed is in. */
  updateBatch(entries: readonly (readonly [K, V])[]): void {
    this.batches++;
    for (const [key, value] of entries) this.update(key, value);
  }

  delete(key: K): boolean {
    const was = this.#entries.delete(this.#keyOf(key));
    if (was) {
      this.writes++;
      this.onWrite();
    }
    return was;
  }

  deleteBatch(keys: readonly K[]): void {
    for (const key of keys) this.delete(key);
  }
}

export interface FakeServiceMaps extends ServiceMaps {
  readonly services: MemoryMap<Parameters<ServiceMaps['services']['update']>[0], Parameters<ServiceMaps['services']['update']>[1]>;
  readonly serviceSlots: MemoryMap<Parameters<ServiceMaps['serviceSlots']['update']>[0], Parameters<ServiceMaps['serviceSlots']['update']>[1]>;
  readonly backends: MemoryMap<{ readonly id: number }, Parameters<ServiceMaps['backends']['update']>[1]>;
  readonly serviceAddresses: MemoryMap<{ readonly id: number }, Parameters<ServiceMaps['serviceAddresses']['update']>[1]>;
}

export function fakeServiceMaps(): FakeServiceMaps {
  return {
    services: new MemoryMap(k => `${Buffer.from(k.addr).toString('latin1')}${k.port}/${k.protocol}/${k.scope}`),
    serviceSlots: new MemoryMap(k => `${k.service}:${k.slot}`),
    backends: new MemoryMap(k => String(k.id)),
    serviceAddresses: new MemoryMap(k => String(k.id)),
  };
}
