/** The identities that the engine knows, found by number, selector, prefix and port name without a look at all of them. */
import type { EndpointSelector } from '../model/selector.ts';
import type { Prefix } from '../std/ip.ts';
import { LabelIndex } from './label-index.ts';
import { portKeys } from './matchers.ts';
import type { IdentityRecord } from './matchers.ts';
import { PrefixOrder } from './prefix-order.ts';
import type { Work } from './work.ts';

export class IdentityStore {
  readonly #work: Work;
  readonly #byId = new Map<number, IdentityRecord>();
  readonly #byLabel = new LabelIndex<IdentityRecord>(record => record.labels);
  readonly #byPrefix = new PrefixOrder<IdentityRecord>();
  readonly #byPort = new Map<string, Set<IdentityRecord>>();

  constructor(work: Work) {
    this.#work = work;
  }

  get all(): ReadonlyMap<number, IdentityRecord> {
    return this.#byId;
  }

  get(id: number): IdentityRecord | undefined {
    return this.#byId.get(id);
  }

  set(record: IdentityRecord): void {
    this.delete(record.id);
    this.#byId.set(record.id, record);
    this.#byLabel.add(record);
    for (const prefix of prefixesOf(record)) this.#byPrefix.add(prefix, record);
    for (const key of portKeys(record)) this.#byPort.set(key, (this.#byPort.get(key) ?? new Set()).add(record));
  }

  delete(id: number): void {
    const record = this.#byId.get(id);
    if (!record) return;
    this.#byId.delete(id);
    this.#byLabel.remove(record);
    for (const prefix of prefixesOf(record)) this.#byPrefix.remove(prefix, record);
    for (const key of portKeys(record)) {
      const records = this.#byPort.get(key);
      if (records?.delete(record) && records.size === 0) this.#byPort.delete(key);
    }
  }

  /** Those that the selector matches. */
  selected(selector: EndpointSelector): Iterable<IdentityRecord> {
    return this.#counted(this.#byLabel.matching(selector));
  }

  /** Those whose prefix or network begins within this one. */
  within(outer: Prefix): Iterable<IdentityRecord> {
    return this.#counted(this.#byPrefix.within(outer));
  }

  /** Those with a pod that names a port so: `web/6`. */
  withPort(key: string): Iterable<IdentityRecord> {
    return this.#counted(this.#byPort.get(key) ?? []);
  }

  *#counted(records: Iterable<IdentityRecord>): Generator<IdentityRecord> {
    for (const record of records) {
      this.#work.identitiesConsidered++;
      yield record;
    }
  }
}

function prefixesOf({ prefix, network }: IdentityRecord): readonly Prefix[] {
  return [prefix, network].filter(p => p !== undefined);
}
