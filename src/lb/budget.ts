import { CirriError } from '../std/errors.ts';
import type { LimitedMap, MapLimits } from './layout.ts';

type Counts = Record<LimitedMap, number>;

/** Entries that a row adds to each map. */
export type Needs = Partial<Counts>;

/** How full the maps are, and what the plan at hand has already been promised: a row that does not fit is refused before it is half in. */
export class Budget {
  readonly used: Counts = { services: 0, service_slots: 0, backends: 0, service_addresses: 0, maglev: 0, service_members: 0, service_sources: 0 };
  readonly #promised: Counts = { ...this.used };
  readonly #limits: MapLimits | undefined;

  constructor(limits: MapLimits | undefined) {
    this.#limits = limits;
  }

  /** A new plan: what the last one was promised has been written, or has failed. */
  reset(): void {
    for (const map of Object.keys(this.#promised) as LimitedMap[]) this.#promised[map] = 0;
  }

  /** Undefined when there is room; the needs are then promised. */
  take(needs: Needs): CirriError | undefined {
    if (!this.#limits) return undefined;
    const entries = Object.entries(needs) as [LimitedMap, number][];
    for (const [map, need] of entries) {
      if (need === 0 || this.used[map] + this.#promised[map] + need <= this.#limits[map]) continue;
      return new CirriError('ERR_MAP_FULL', `map ${map} has room for ${this.#limits[map]} entries and holds ${this.used[map] + this.#promised[map]}: ${need} more do not fit`, {
        mend: 'raise bpf.lbMapMax, or remove services that nobody uses',
      });
    }
    for (const [map, need] of entries) this.#promised[map] += need;
    return undefined;
  }
}
