import type { WantedTable } from '../../lb/layout.ts';
import { attempt } from './target.ts';
import type { MaglevTables, MapAccess, ServiceMaps, ServiceTable } from './target.ts';

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

type Entry<Name extends keyof ServiceMaps> = Parameters<ServiceMaps[Name]['update']>;

export type FakeServiceMaps = { readonly [Name in keyof ServiceMaps]: MemoryMap<Entry<Name>[0], Entry<Name>[1]> };

const addrText = (addr: Uint8Array) => Buffer.from(addr).toString('latin1');

export function fakeServiceMaps(): FakeServiceMaps {
  return {
    services: new MemoryMap(k => `${addrText(k.addr)}${k.port}/${k.protocol}/${k.scope}`),
    serviceSlots: new MemoryMap(k => `${k.service}:${k.slot}`),
    backends: new MemoryMap(k => String(k.id)),
    serviceAddresses: new MemoryMap(k => String(k.id)),
    serviceMembers: new MemoryMap(k => `${k.service}:${k.backend}`),
    serviceSources: new MemoryMap(k => `${k.service}:${addrText(k.addr)}${k.prefixBits}`),
  };
}

/** A map of maps with the manners of `KernelMaglevTables`. */
export class FakeMaglevTables implements MaglevTables {
  readonly tables = new Map<number, { readonly signature: string; readonly table: Uint32Array }>();
  onWrite: () => void = () => {};
  writes = 0;

  entries(): [number, string][] {
    return [...this.tables].map(([service, { signature }]) => [service, signature]);
  }

  putBatch(tables: readonly ServiceTable[]): (Error | undefined)[] {
    return tables.map(({ service, table }) => attempt(() => this.put(service, table)));
  }

  put(service: number, { signature, build }: WantedTable): void {
    const shared = [...this.tables.values()].find(t => t.signature === signature);
    this.tables.set(service, shared ?? { signature, table: build() });
    this.writes++;
    this.onWrite();
  }

  deleteBatch(services: readonly number[]): void {
    for (const service of services) {
      this.tables.delete(service);
      this.writes++;
      this.onWrite();
    }
  }
}
