import type { PolicyVerdictKey } from '../../datapath/generated/structs.ts';
import type { CompiledSet, SetDelta, VerdictRow } from '../../policy/compile.ts';
import { CirriError } from '../../std/errors.ts';
import { compareClass, compareVerdict, placeText, rowText, verdictEntry, type Difference, type PolicySetMaps } from './entries.ts';

export type { PolicySetMaps } from './entries.ts';
export { verdictEntry } from './entries.ts';

/** A set that stands in the kernel, read back and equal. */
export interface LoadedSet {
  readonly id: number;
  /** The engine's key: the same rules. */
  readonly key: string;
  /** Of the present content. */
  readonly hash: string;
  readonly verdicts: readonly VerdictRow[];
  readonly classes: ReadonlyMap<number, number>;
}

/**
 * The policy sets of a node's kernel. A set is written whole under a new number, read back, and only then may an endpoint
 * point to it; endpoints flip one by one, each with one map update, and never see half of a set. Identities come and go
 * within a set: rows of a new class first, then the identity's class; what nobody uses any more goes last (`retain`), when
 * the ipcache no longer leads anybody to it.
 */
export class PolicySets {
  readonly #maps: PolicySetMaps;
  readonly #byKey = new Map<string, SetState>();
  readonly #byId = new Map<number, SetState>();
  /** Entries to delete once the ipcache and the endpoints have been brought up to date. */
  #stale: { readonly set: SetState; readonly identities: readonly number[]; readonly rows: readonly VerdictRow[] }[] = [];
  #nextId = 1;
  #classCount = 0;
  #verdictCount = 0;
  #swept = false;

  constructor(maps: PolicySetMaps) {
    this.#maps = maps;
    // Sets of an earlier agent stay in force under their numbers until the endpoints have been flipped (see `sweep`).
    for (const [key] of maps.classes.entries()) {
      this.#nextId = Math.max(this.#nextId, key.set + 1);
      this.#classCount++;
    }
    for (const [key] of maps.verdicts.entries()) {
      this.#nextId = Math.max(this.#nextId, key.set + 1);
      this.#verdictCount++;
    }
  }

  get loaded(): Iterable<LoadedSet> {
    return this.#byKey.values();
  }

  get size(): number {
    return this.#byKey.size;
  }

  get(key: string): LoadedSet | undefined {
    return this.#byKey.get(key);
  }

  /**
   * Makes the kernel hold this set. Throws when it does not fit or reads back differently; what was in force stays in force.
   */
  ensure(compiled: CompiledSet): LoadedSet {
    const present = this.#byKey.get(compiled.key);
    if (present?.hash === compiled.hash) return present;
    if (present) {
      this.#change(present, compiled);
      return present;
    }
    const set = new SetState(this.#nextId++, compiled);
    this.#load(set);
    this.#byKey.set(set.key, set);
    this.#byId.set(set.id, set);
    return set;
  }

  /**
   * What one identity changes, at the cost of that. False where the set is not loaded, or does not stand where the change
   * starts (an earlier one did not fit): then `ensure` compares the whole.
   */
  apply(delta: SetDelta): boolean {
    const set = this.#byKey.get(delta.key);
    if (!set || set.hash !== delta.before) return false;
    const { identity } = delta;
    const classes = delta.class === 0 ? [] : [[identity, delta.class] as const];
    this.#write(set.id, delta.rows, classes, { rows: delta.rows.length, classes: set.classes.has(identity) ? 0 : classes.length });
    const dropped = delta.droppedClass === undefined ? [] : set.takeClass(delta.droppedClass);
    if (delta.rows.length > 0) set.rows.set(delta.class, delta.rows);
    set.setIdentity(identity, delta.class);
    set.hash = delta.after;
    if (delta.class === 0 || dropped.length > 0) this.#stale.push({ set, identities: delta.class === 0 ? [identity] : [], rows: dropped });
    return true;
  }

  /** Removes the sets whose key is not in use, and what changed sets have left behind. Call when nothing points there any more. */
  retain(keys: ReadonlySet<string>): void {
    for (const { set, identities, rows } of this.#stale.splice(0)) {
      for (const identity of identities) if (!set.classes.has(identity)) this.#deleteClass({ set: set.id, identity });
      for (const row of rows) if (!set.hasPlace(row)) this.#deleteVerdict(verdictEntry(set.id, row)[0]);
    }
    for (const [key, set] of this.#byKey) {
      if (keys.has(key)) continue;
      this.#byKey.delete(key);
      this.#byId.delete(set.id);
      this.#unload(set);
    }
  }

  /** Removes what an earlier agent left: entries of sets that this one did not load. Returns how many entries went. */
  sweep(): number {
    let removed = 0;
    for (const [key] of [...this.#maps.verdicts.entries()]) if (!this.#byId.has(key.set)) removed += this.#deleteVerdict(key);
    for (const [key] of [...this.#maps.classes.entries()]) if (!this.#byId.has(key.set)) removed += this.#deleteClass(key);
    this.#swept = true;
    return removed;
  }

  /** Compares the kernel's entries with what was loaded. Each difference is one sentence. Mends what differs. */
  verify(): string[] {
    const differences: string[] = [];
    for (const difference of this.audit()) if (difference?.mend()) differences.push(difference.text);
    return differences;
  }

  /**
   * One round over all entries, one at each step: what was loaded and should be there, then, once `sweep` has been, what is
   * there and belongs to nothing. The sets may change between two steps.
   */
  *audit(): Generator<Difference | undefined, void, undefined> {
    for (const set of this.#byKey.values()) {
      for (const [number] of set.rows) for (const row of set.rows.get(number) ?? []) if (this.#isCurrent(set)) yield named(set.id, compareVerdict(this.#maps, set.id, row));
      for (const [identity] of set.classes) {
        const number = set.classes.get(identity);
        if (number !== undefined && this.#isCurrent(set)) yield named(set.id, compareClass(this.#maps, set.id, identity, number));
      }
    }
    if (!this.#swept) return;
    for (const [key] of this.#maps.verdicts.entries()) yield this.#strangeVerdict(key);
    for (const [{ set, identity }] of this.#maps.classes.entries()) yield this.#strangeClass(set, identity);
  }

  #isCurrent(set: SetState): boolean {
    return this.#byId.get(set.id) === set;
  }

  #strangeVerdict(key: PolicyVerdictKey): Difference | undefined {
    const set = this.#byId.get(key.set);
    const isKey = (row: VerdictRow) => {
      const [own] = verdictEntry(key.set, row);
      return own.prefixBits === key.prefixBits && own.class === key.class && own.protocol === key.protocol && own.port === key.port;
    };
    if (set?.rows.get(key.class)?.some(isKey) || this.#stale.some(stale => stale.set.id === key.set && stale.rows.some(isKey))) return undefined;
    return {
      text: `policy set ${key.set}: class ${key.class} protocol ${key.protocol} port ${key.port}, prefix of ${key.prefixBits} bits: nothing expected, an entry found`,
      mend: () => this.#deleteVerdict(key) > 0,
    };
  }

  #strangeClass(id: number, identity: number): Difference | undefined {
    if (this.#byId.get(id)?.classes.has(identity) || this.#stale.some(stale => stale.set.id === id && stale.identities.includes(identity))) return undefined;
    return { text: `policy set ${id}: identity ${identity}: nothing expected, a class found`, mend: () => this.#deleteClass({ set: id, identity }) > 0 };
  }

  #load(set: SetState): void {
    const { verdicts, classes } = set;
    this.#checkRoom(classes.size, verdicts.length);
    try {
      this.#write(set.id, verdicts, [...classes], { rows: verdicts.length, classes: classes.size });
    } catch (error) {
      this.#deleteAll(set);
      // How much of it got in is not known.
      this.#verdictCount = this.#maps.verdicts.count();
      this.#classCount = this.#maps.classes.count();
      throw error;
    }
  }

  /** Same rules, other identities: only what differs is written. */
  #change(set: SetState, next: CompiledSet): void {
    const nextRows = rowsByClass(next.verdicts);
    const { written, added, gone } = differentRows(set.rows, nextRows);
    const classes = [...next.classes].filter(([identity, number]) => set.classes.get(identity) !== number);
    const room = { rows: added, classes: classes.filter(([identity]) => !set.classes.has(identity)).length };
    this.#write(set.id, written, classes, room);
    this.#stale.push({ set, identities: [...set.classes.keys()].filter(identity => !next.classes.has(identity)), rows: gone });
    set.replace(next.hash, nextRows, next.classes);
  }

  /** Rows before the classes that lead to them; then all of it is read back. `room`: how many of them are new entries. */
  #write(set: number, rows: readonly VerdictRow[], classes: readonly (readonly [number, number])[], room: { readonly rows: number; readonly classes: number }): void {
    this.#checkRoom(room.classes, room.rows);
    this.#verdictCount += room.rows;
    if (rows.length > 0) this.#maps.verdicts.updateBatch(rows.map(row => verdictEntry(set, row)));
    this.#classCount += room.classes;
    if (classes.length > 0) this.#maps.classes.updateBatch(classes.map(([identity, number]) => [{ set, identity }, { class: number }] as const));
    for (const difference of this.#compare(set, rows, classes)) throw new CirriError('ERR_POLICY_READBACK', `policy set ${set} reads back differently: ${difference.text}`);
  }

  *#compare(set: number, rows: readonly VerdictRow[], classes: readonly (readonly [number, number])[]): Generator<Difference> {
    for (const row of rows) {
      const difference = compareVerdict(this.#maps, set, row);
      if (difference) yield difference;
    }
    for (const [identity, number] of classes) {
      const difference = compareClass(this.#maps, set, identity, number);
      if (difference) yield difference;
    }
  }

  #unload(set: SetState): void {
    this.#deleteAll(set);
    this.#verdictCount -= set.verdicts.length;
    this.#classCount -= set.classes.size;
  }

  /** In batches: a set that the whole cluster may reach has an entry for each identity. */
  #deleteAll(set: SetState): void {
    const { verdicts, classes } = set;
    if (verdicts.length > 0) this.#maps.verdicts.deleteBatch(verdicts.map(row => verdictEntry(set.id, row)[0]));
    if (classes.size > 0) this.#maps.classes.deleteBatch([...classes.keys()].map(identity => ({ set: set.id, identity })));
  }

  #deleteVerdict(key: PolicyVerdictKey): number {
    if (!this.#maps.verdicts.delete(key)) return 0;
    this.#verdictCount--;
    return 1;
  }

  #deleteClass(key: { readonly set: number; readonly identity: number }): number {
    if (!this.#maps.classes.delete(key)) return 0;
    this.#classCount--;
    return 1;
  }

  /** Capacity is computed before it is committed: half a set never gets in. */
  #checkRoom(classes: number, verdicts: number): void {
    const check = (what: string, need: number, used: number, max: number) => {
      if (used + need <= max) return;
      throw new CirriError('ERR_POLICY_FULL', `the policy needs ${need} more entries in ${what}, which holds ${used} of ${max}; what was in force stays in force`, {
        mend: 'use fewer distinct ports and selectors, or fewer identity-relevant labels',
      });
    };
    check('policy_verdicts', verdicts, this.#verdictCount, this.#maps.verdicts.spec.maxEntries);
    check('policy_classes', classes, this.#classCount, this.#maps.classes.spec.maxEntries);
  }
}

/** What the kernel holds of one set. Rows by class, so that an identity's change looks at its own class alone. */
class SetState implements LoadedSet {
  readonly id: number;
  readonly key: string;
  hash: string;
  rows: Map<number, readonly VerdictRow[]>;
  /** The engine's own until the first change of one identity. */
  #classes: ReadonlyMap<number, number>;
  #own: Map<number, number> | undefined;

  constructor(id: number, compiled: CompiledSet) {
    this.id = id;
    this.key = compiled.key;
    this.hash = compiled.hash;
    this.rows = rowsByClass(compiled.verdicts);
    this.#classes = compiled.classes;
  }

  get classes(): ReadonlyMap<number, number> {
    return this.#classes;
  }

  get verdicts(): readonly VerdictRow[] {
    return [...this.rows].sort(([a], [b]) => a - b).flatMap(([, rows]) => rows);
  }

  hasPlace(row: VerdictRow): boolean {
    const place = placeText(row);
    return this.rows.get(row.class)?.some(other => placeText(other) === place) ?? false;
  }

  takeClass(number: number): readonly VerdictRow[] {
    const rows = this.rows.get(number) ?? [];
    this.rows.delete(number);
    return rows;
  }

  setIdentity(identity: number, number: number): void {
    this.#classes = this.#own ??= new Map(this.#classes);
    if (number === 0) this.#own.delete(identity);
    else this.#own.set(identity, number);
  }

  replace(hash: string, rows: Map<number, readonly VerdictRow[]>, classes: ReadonlyMap<number, number>): void {
    this.hash = hash;
    this.rows = rows;
    this.#classes = classes;
    this.#own = undefined;
  }
}

interface RowDifference {
  /** New or other than before. */
  readonly written: VerdictRow[];
  /** How many of them stand where nothing stood. */
  added: number;
  readonly gone: VerdictRow[];
}

function differentRows(old: ReadonlyMap<number, readonly VerdictRow[]>, next: ReadonlyMap<number, readonly VerdictRow[]>): RowDifference {
  const difference: RowDifference = { written: [], added: 0, gone: [] };
  for (const [number, rows] of next) compareClassRows(old.get(number) ?? [], rows, difference);
  for (const [number, rows] of old) if (!next.has(number)) difference.gone.push(...rows);
  return difference;
}

function compareClassRows(old: readonly VerdictRow[], next: readonly VerdictRow[], difference: RowDifference): void {
  // The engine keeps the rows of a class that has not changed.
  if (old.length === next.length && old.every((row, i) => row === next[i])) return;
  const places = new Map(old.map(row => [placeText(row), row] as const));
  for (const row of next) {
    const place = placeText(row);
    const before = places.get(place);
    places.delete(place);
    if (before && rowText(before) === rowText(row)) continue;
    difference.written.push(row);
    if (!before) difference.added++;
  }
  difference.gone.push(...places.values());
}

function rowsByClass(verdicts: readonly VerdictRow[]): Map<number, readonly VerdictRow[]> {
  const byClass = new Map<number, VerdictRow[]>();
  for (const row of verdicts) {
    const rows = byClass.get(row.class);
    if (rows) rows.push(row);
    else byClass.set(row.class, [row]);
  }
  return byClass;
}

function named(set: number, difference: Difference | undefined): Difference | undefined {
  return difference && { text: `policy set ${set}: ${difference.text}`, mend: () => difference.mend() };
}
