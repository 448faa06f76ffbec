import { CirriError } from '../std/errors.ts';
import type { LimitedMap, MapLimits } from './layout.ts';

type Counts = Record<LimitedMap, number>;

const noEntries: Counts = { services: 0, service_slots: 0, backends: 0, service_addresses: 0, maglev: 0, service_members: 0, service_sources: 0 };
const limitedMaps = Object.keys(noEntries) as readonly LimitedMap[];

/** How full the maps are, and what the plan at hand has already been promised: a row that does not fit is refused before it is half in. */
export class Budget {
  readonly used: Counts = { ...noEntries };
  readonly #promised: Counts = { ...noEntries };
  readonly #limits: MapLimits | undefined;

  constructor(limits: MapLimits | undefined) {
    this.#limits = limits;
  }

  /** A new plan: what the last one was promised has been written, or has failed. */
  reset(): void {
    Object.assign(this.#promised, noEntries);
  }

  /** Undefined when there is room for the entries that a row adds; they are then promised. */
  take(needs: Readonly<Counts>): CirriError | undefined {
    if (!this.#limits) return undefined;
    for (const map of limitedMaps) {
      const held = this.used[map] + this.#promised[map];
      if (needs[map] === 0 || held + needs[map] <= this.#limits[map]) continue;
      return new CirriError('ERR_MAP_FULL', `map ${map} has room for ${this.#limits[map]} entries and holds ${held}: ${needs[map]} more do not fit`, {
        mend: 'raise bpf.lbMapMax, or remove services that nobody uses',
      });
    }
    for (const map of limitedMaps) this.#promised[map] += needs[map];
    return undefined;
  }
}
