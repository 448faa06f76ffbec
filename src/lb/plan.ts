import type { BackendValue, MemberEntry, ServiceAddressValue, ServiceKey, ServiceValue, SlotEntry, SlotKey, SourceEntry, WantedTable } from './layout.ts';
import type { ServiceRow } from './rows.ts';

/** A row as the kernel has it. */
export interface Frontend {
  readonly key: string;
  readonly address: ServiceKey;
  readonly id: number;
  /** As written; undefined when there is no entry in `services`: not yet, or no more and only the rest is left. */
  value: ServiceValue | undefined;
  /** Slots that exist, by number; may be longer than the count, and (after a crash) have holes. */
  readonly slots: number[];
  members: readonly Backend[];
  hasAddress: boolean;
  /** Of the Maglev table in place; '' is none. */
  table: string;
  /** Backend ids that clients may stick to; undefined is none. */
  stickers: Set<number> | undefined;
  /** Prefixes in place, and the form that each was written for; undefined is none. */
  sources: Map<string, number> | undefined;
  /** The row as it was last brought in; undefined for what was adopted. */
  row: ServiceRow | undefined;
}

/** A backend as the kernel has it. */
export interface Backend {
  readonly key: string;
  readonly id: number;
  /** As written; undefined while its number is only reserved. */
  value: BackendValue | undefined;
  /** How many frontends name it. */
  refs: number;
  /** The last plan that writes it. */
  plan: number;
  /** True when a row had it: there may be connections to it. */
  served: boolean;
  /** `namespace/name` of the service that let it go last. */
  lastService: string;
}

/** What to write for some rows, phase by phase. Entries are in the form in which the maps take them. */
export interface Plan {
  /** Phase 1; a backend that several rows need is here once. */
  readonly backends: readonly BackendWrite[];
  readonly rows: readonly RowPlan[];
}

export interface BackendWrite {
  readonly backend: Backend;
  readonly entry: readonly [{ readonly id: number }, BackendValue];
}

export interface RowPlan {
  readonly row: ServiceRow;
  readonly frontend: Frontend;
  /** A map has no room for what the row needs: nothing of it is to be written. */
  readonly refusal: Error | undefined;
  /** All backends of the row, in slots or not. */
  readonly members: readonly Backend[];
  /** True when phase 1 has to bring some of them about. */
  readonly isWaiting: boolean;
  readonly address: readonly [{ readonly id: number }, ServiceAddressValue] | undefined;
  readonly slots: readonly SlotEntry[];
  readonly table: WantedTable | undefined;
  readonly stickers: readonly MemberEntry[];
  readonly sources: readonly SourceEntry[];
  readonly service: readonly [ServiceKey, ServiceValue] | undefined;
}

/** What a grace period has to pass for. */
export interface Leftovers {
  readonly frontends: readonly Frontend[];
  readonly backends: readonly Backend[];
  readonly strays: Strays;
}

/** Found at start, and nobody's. */
export interface Strays {
  readonly slots: SlotKey[];
  readonly addresses: number[];
  readonly tables: number[];
  readonly members: MemberEntry[0][];
  readonly sources: SourceEntry[0][];
}

/** The deletes of phase 4. */
export interface Deletes extends Strays {
  readonly backends: number[];
  /** Those of them that may have had connections. */
  readonly gone: readonly GoneBackend[];
}

export interface GoneBackend extends BackendValue {
  /** `10.244.1.5:8080/TCP`. */
  readonly key: string;
  /** `namespace/name` of who had it last. */
  readonly services: readonly string[];
}
