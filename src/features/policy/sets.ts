import type { PolicyClass, PolicyClassKey, PolicyVerdict, PolicyVerdictKey } from '../../datapath/generated/structs.ts';
import type { BpfMap } from '../../ebpf/map.ts';
import type { CompiledSet, VerdictRow } from '../../policy/compile.ts';
import { CirriError } from '../../std/errors.ts';

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

export interface PolicySetMaps {
  readonly classes: Pick<BpfMap<PolicyClassKey, PolicyClass>, 'lookup' | 'update' | 'delete' | 'updateBatch' | 'entries' | 'count'> & { readonly spec: { readonly maxEntries: number } };
  readonly verdicts: Pick<BpfMap<PolicyVerdictKey, PolicyVerdict>, 'lookup' | 'update' | 'delete' | 'updateBatch' | 'entries' | 'count'> & { readonly spec: { readonly maxEntries: number } };
}

const verdictNumber: Readonly<Record<VerdictRow['verdict'], number>> = { allow: 1, deny: 2, redirect: 3, audit: 4 };

/** Bits of `policy_verdict_key` before the protocol: the set and the class are always matched whole. */
const fixedBits = 64;
const protocolBits = 16;

/**
 * The policy sets of a node's kernel. A set is written whole under a new number, read back, and only then may an endpoint
 * point to it; endpoints flip one by one, each with one map update, and never see half of a set. Identities come and go
 * within a set: rows of a new class first, then the identity's class; what nobody uses any more goes last (`retain`), when
 * the ipcache no longer leads anybody to it.
 */
export class PolicySets {
  readonly #maps: PolicySetMaps;
  readonly #byKey = new Map<string, LoadedSet>();
  /** Entries to delete once the ipcache and the endpoints have been brought up to date. */
  #stale: { readonly set: number; readonly identities: readonly number[]; readonly rows: readonly VerdictRow[] }[] = [];
  #nextId = 1;
  #classCount = 0;
  #verdictCount = 0;

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
    const set: LoadedSet = { id: present?.id ?? this.#nextId++, key: compiled.key, hash: compiled.hash, verdicts: compiled.verdicts, classes: compiled.classes };
    if (present) this.#change(present, set);
    else this.#load(set);
    this.#byKey.set(set.key, set);
    return set;
  }

  /** Removes the sets whose key is not in use, and what changed sets have left behind. Call when nothing points there any more. */
  retain(keys: ReadonlySet<string>): void {
    for (const { set, identities, rows } of this.#stale.splice(0)) {
      const current = [...this.#byKey.values()].find(loaded => loaded.id === set);
      for (const identity of identities) if (!current?.classes.has(identity)) this.#deleteClass({ set, identity });
      const kept = new Set(current?.verdicts.map(rowText));
      for (const row of rows) if (!kept.has(rowText(row))) this.#deleteVerdict(verdictEntry(set, row)[0]);
    }
    for (const [key, set] of this.#byKey) {
      if (keys.has(key)) continue;
      this.#byKey.delete(key);
      this.#unload(set);
    }
  }

  /** Removes what an earlier agent left: entries of sets that this one did not load. Returns how many entries went. */
  sweep(): number {
    const known = new Set([...this.#byKey.values()].map(set => set.id));
    let removed = 0;
    for (const [key] of [...this.#maps.verdicts.entries()]) if (!known.has(key.set)) removed += this.#deleteVerdict(key);
    for (const [key] of [...this.#maps.classes.entries()]) if (!known.has(key.set)) removed += this.#deleteClass(key);
    return removed;
  }

  /** Compares the kernel's entries with what was loaded. Each difference is one sentence. Mends what differs. */
  verify(): string[] {
    const differences: string[] = [];
    for (const set of this.#byKey.values()) {
      for (const difference of this.#compare(set.id, set.verdicts, set.classes)) {
        differences.push(`policy set ${set.id}: ${difference.text}`);
        difference.mend();
      }
    }
    return differences;
  }

  #load(set: LoadedSet): void {
    this.#checkRoom(set.classes.size, set.verdicts.length);
    try {
      this.#write(set.id, set.verdicts, [...set.classes]);
    } catch (error) {
      this.#unload(set);
      throw error;
    }
  }

  /** Same rules, other identities: only what differs is written. */
  #change(old: LoadedSet, next: LoadedSet): void {
    const had = new Set(old.verdicts.map(rowText));
    const has = new Set(next.verdicts.map(rowText));
    const rows = next.verdicts.filter(row => !had.has(rowText(row)));
    const classes = [...next.classes].filter(([identity, number]) => old.classes.get(identity) !== number);
    this.#checkRoom(classes.filter(([identity]) => !old.classes.has(identity)).length, rows.length);
    this.#write(next.id, rows, classes, identity => old.classes.has(identity));
    this.#stale.push({
      set: next.id,
      identities: [...old.classes.keys()].filter(identity => !next.classes.has(identity)),
      rows: old.verdicts.filter(row => !has.has(rowText(row))),
    });
  }

  /** Rows before the classes that lead to them; then all of it is read back. */
  #write(set: number, rows: readonly VerdictRow[], classes: readonly (readonly [number, number])[], isPresent: (identity: number) => boolean = () => false): void {
    this.#verdictCount += rows.length;
    this.#maps.verdicts.updateBatch(rows.map(row => verdictEntry(set, row)));
    this.#classCount += classes.filter(([identity]) => !isPresent(identity)).length;
    this.#maps.classes.updateBatch(classes.map(([identity, number]) => [{ set, identity }, { class: number }] as const));
    const [difference] = this.#compare(set, rows, new Map(classes));
    if (difference) throw new CirriError('ERR_POLICY_READBACK', `policy set ${set} reads back differently: ${difference.text}`);
  }

  #unload(set: LoadedSet): void {
    for (const row of set.verdicts) this.#deleteVerdict(verdictEntry(set.id, row)[0]);
    for (const identity of set.classes.keys()) this.#deleteClass({ set: set.id, identity });
  }

  #deleteVerdict(key: PolicyVerdictKey): number {
    if (!this.#maps.verdicts.delete(key)) return 0;
    this.#verdictCount--;
    return 1;
  }

  #deleteClass(key: PolicyClassKey): number {
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

  #compare(set: number, rows: readonly VerdictRow[], classes: ReadonlyMap<number, number>): { text: string; mend: () => void }[] {
    const found: { text: string; mend: () => void }[] = [];
    for (const row of rows) {
      const [key, want] = verdictEntry(set, row);
      const have = this.#maps.verdicts.lookup(key);
      if (have && have.rule === want.rule && have.verdict === want.verdict && have.proxyPort === want.proxyPort && have.match === want.match) continue;
      found.push({
        text: `class ${row.class} protocol ${row.protocol ?? 'any'} port ${row.port}/${row.portBits}: rule ${want.rule} expected, ${have ? `rule ${have.rule}` : 'nothing'} found`,
        mend: () => this.#maps.verdicts.update(key, want),
      });
    }
    for (const [identity, number] of classes) {
      const have = this.#maps.classes.lookup({ set, identity });
      if (have?.class === number) continue;
      found.push({
        text: `identity ${identity}: class ${number} expected, ${have ? `class ${have.class}` : 'nothing'} found`,
        mend: () => this.#maps.classes.update({ set, identity }, { class: number }),
      });
    }
    return found;
  }
}

/** The kernel's entry for a row (`struct policy_verdict_key`, bpf/lib/policy.h). */
export function verdictEntry(set: number, row: VerdictRow): readonly [PolicyVerdictKey, PolicyVerdict] {
  const prefixBits = row.protocol === null ? fixedBits : fixedBits + protocolBits + row.portBits;
  return [
    { prefixBits, set, class: row.class, protocol: row.protocol ?? 0, port: row.protocol === null ? 0 : row.port },
    { rule: row.rule, proxyPort: row.proxyPort ?? 0, verdict: verdictNumber[row.verdict], match: row.match },
  ];
}

function rowText(row: VerdictRow): string {
  return `${row.class},${row.protocol ?? '*'},${row.port}/${row.portBits},${row.verdict},${row.rule},${row.match},${row.proxyPort ?? 0}`;
}
