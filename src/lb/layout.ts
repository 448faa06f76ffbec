import type { Addr } from '../std/ip.ts';

/**
 * How rows lie in the kernel's maps (bpf/lib/service.h):
 *
 *     services            frontend, scope → { id, count, … }
 *     service_slots       (id, 0 … count−1) → backend id
 *     backends            backend id → address, port
 *     service_addresses   id → frontend (the way back)
 *     maglev              id → table: hash % M → backend id, where the row has one
 *     service_members     (id, backend id): whom clients may stick to, where the row has affinity
 *     service_sources     (id, prefix): who may come from outside, where the row asks
 */
export interface ServiceKey { readonly addr: Addr; readonly port: number; readonly protocol: number; readonly scope: number }
export interface ServiceValue { readonly id: number; readonly count: number; readonly affinityTimeout: number; readonly maglev: number; readonly flags: number; readonly type: number }
export interface SlotKey { readonly service: number; readonly slot: number }
export interface BackendValue { readonly addr: Addr; readonly port: number; readonly protocol: number; readonly state: number }
export interface ServiceAddressValue { readonly addr: Addr; readonly port: number }
export interface MemberKey { readonly service: number; readonly backend: number }
export interface SourceKey { readonly prefixBits: number; readonly service: number; readonly addr: Addr }

export type SlotEntry = readonly [SlotKey, { readonly backend: number }];
export type MemberEntry = readonly [MemberKey, number];
export type SourceEntry = readonly [SourceKey, number];

/** What the kernel holds at start. */
export interface KernelContents {
  readonly services: Iterable<readonly [ServiceKey, ServiceValue]>;
  readonly slots: Iterable<readonly [SlotKey, { readonly backend: number }]>;
  readonly backends: Iterable<readonly [{ readonly id: number }, BackendValue]>;
  readonly addresses: Iterable<readonly [{ readonly id: number }, ServiceAddressValue]>;
  /** Signatures of the tables, as `MaglevTables` gave them. */
  readonly tables: Iterable<readonly [service: number, signature: string]>;
  readonly members: Iterable<readonly [MemberKey, number]>;
  readonly sources: Iterable<readonly [SourceKey, number]>;
}

/** Entries that each map has room for. */
export type MapLimits = Readonly<Record<LimitedMap, number>>;
export type LimitedMap = 'services' | 'service_slots' | 'backends' | 'service_addresses' | 'maglev' | 'service_members' | 'service_sources';

/** The value of a source's entry: which form of ranges it belongs to. */
export const sourceForm = { allow: 1, deny: 2 } as const;

/** A Maglev table that is wanted: its name says all that it is made of. */
export interface WantedTable {
  readonly signature: string;
  /** Backend ids, one for each hash. */
  build(): Uint32Array;
}
