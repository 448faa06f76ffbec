import type { PolicyClass, PolicyClassKey, PolicyVerdict, PolicyVerdictKey } from '../../datapath/generated/structs.ts';
import type { BpfMap } from '../../ebpf/map.ts';
import type { CompiledSet, VerdictRow } from '../../policy/compile.ts';
import { CirriError } from '../../std/errors.ts';

/** A set that stands in the kernel, read back and equal. */
export interface LoadedSet {
  readonly id: number;
  readonly hash: string;
  readonly verdictKey: string;
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
 * point to it; endpoints flip one by one, each with one map update, and never see half of a set. A set whose verdict rows
 * stay the same takes a new identity in place: one entry in `policy_classes`.
 */
export class PolicySets {
  readonly #maps: PolicySetMaps;
  readonly #byHash = new Map<string, LoadedSet>();
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
    return this.#byHash.values();
  }

  get size(): number {
    return this.#byHash.size;
  }

  get(hash: string): LoadedSet | undefined {
    return this.#byHash.get(hash);
  }

  /**
   * Makes the kernel hold this set. `replaces` is the set that its users have now, if all of them move to the new one: when
   * only classes differ it is changed in place.
   * Throws when it does not fit or reads back differently; whatever was in force stays in force.
   */
  ensure(compiled: CompiledSet, replaces?: LoadedSet): LoadedSet {
    const present = this.#byHash.get(compiled.hash);
    if (present) return present;
    const verdictKey = verdictsText(compiled.verdicts);
    if (replaces && replaces.verdictKey === verdictKey && this.#byHash.get(replaces.hash) === replaces) {
      return this.#changeClasses(replaces, compiled, verdictKey);
    }
    return this.#load(compiled, verdictKey);
  }

  /** Forgets the sets whose hash is not in use, and removes them. Call when no endpoint points to them any more. */
  retain(hashes: ReadonlySet<string>): void {
    for (const [hash, set] of this.#byHash) {
      if (hashes.has(hash)) continue;
      this.#byHash.delete(hash);
      this.#unload(set);
    }
  }

  /** Removes what an earlier agent left: entries of sets that this one did not load. Returns how many entries went. */
  sweep(): number {
    const known = new Set([...this.#byHash.values()].map(set => set.id));
    let removed = 0;
    for (const [key] of [...this.#maps.verdicts.entries()]) if (!known.has(key.set)) removed += this.#deleteVerdict(key);
    for (const [key] of [...this.#maps.classes.entries()]) if (!known.has(key.set)) removed += this.#deleteClass(key);
    return removed;
  }

  /** Compares the kernel's entries with what was loaded. Each difference is one sentence. Mends what differs. */
  verify(): string[] {
    const differences: string[] = [];
    for (const set of this.#byHash.values()) {
      for (const difference of this.#compare(set)) {
        differences.push(difference.text);
        difference.mend();
      }
    }
    return differences;
  }

  #load(compiled: CompiledSet, verdictKey: string): LoadedSet {
    this.#checkRoom(compiled.classes.size, compiled.verdicts.length);
    const set: LoadedSet = { id: this.#nextId++, hash: compiled.hash, verdictKey, verdicts: compiled.verdicts, classes: new Map(compiled.classes) };
    try {
      this.#maps.verdicts.updateBatch(set.verdicts.map(row => verdictEntry(set.id, row)));
      this.#maps.classes.updateBatch([...set.classes].map(([identity, number]) => [{ set: set.id, identity }, { class: number }] as const));
      const [difference] = this.#compare(set);
      if (difference) throw new CirriError('ERR_POLICY_READBACK', `policy set ${set.id} reads back differently: ${difference.text}`);
    } catch (error) {
      this.#verdictCount += set.verdicts.length;
      this.#classCount += set.classes.size;
      this.#unload(set);
      throw error;
    }
    this.#verdictCount += set.verdicts.length;
    this.#classCount += set.classes.size;
    this.#byHash.set(set.hash, set);
    return set;
  }

  #changeClasses(old: LoadedSet, compiled: CompiledSet, verdictKey: string): LoadedSet {
    const added = [...compiled.classes].filter(([identity, number]) => old.classes.get(identity) !== number);
    const gone = [...old.classes.keys()].filter(identity => !compiled.classes.has(identity));
    this.#checkRoom(added.filter(([identity]) => !old.classes.has(identity)).length, 0);
    for (const [identity, number] of added) {
      if (!old.classes.has(identity)) this.#classCount++;
      this.#maps.classes.update({ set: old.id, identity }, { class: number });
    }
    for (const identity of gone) this.#deleteClass({ set: old.id, identity });
    const set: LoadedSet = { id: old.id, hash: compiled.hash, verdictKey, verdicts: compiled.verdicts, classes: new Map(compiled.classes) };
    this.#byHash.delete(old.hash);
    this.#byHash.set(set.hash, set);
    for (const [identity, number] of added) {
      const found = this.#maps.classes.lookup({ set: set.id, identity });
      if (found?.class !== number) throw new CirriError('ERR_POLICY_READBACK', `policy set ${set.id}: identity ${identity} reads back as class ${found?.class ?? 'none'}, not ${number}`);
    }
    return set;
  }

  #unload(set: LoadedSet): void {
    for (const row of set.verdicts) this.#deleteVerdict(verdictEntry(set.id, row)[0]);
    for (const identity of set.classes.keys()) this.#deleteClass({ set: set.id, identity });
  }

  #deleteVerdict(key: PolicyVerdictKey): number {
    this.#verdictCount--;
    return this.#maps.verdicts.delete(key) ? 1 : 0;
  }

  #deleteClass(key: PolicyClassKey): number {
    this.#classCount--;
    return this.#maps.classes.delete(key) ? 1 : 0;
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

  #compare(set: LoadedSet): { text: string; mend: () => void }[] {
    const found: { text: string; mend: () => void }[] = [];
    for (const row of set.verdicts) {
      const [key, want] = verdictEntry(set.id, row);
      const have = this.#maps.verdicts.lookup(key);
      if (have && have.rule === want.rule && have.verdict === want.verdict && have.proxyPort === want.proxyPort && have.match === want.match) continue;
      found.push({
        text: `class ${row.class} protocol ${row.protocol ?? 'any'} port ${row.port}/${row.portBits}: rule ${want.rule} expected, ${have ? `rule ${have.rule}` : 'nothing'} found`,
        mend: () => this.#maps.verdicts.update(key, want),
      });
    }
    for (const [identity, number] of set.classes) {
      const have = this.#maps.classes.lookup({ set: set.id, identity });
      if (have?.class === number) continue;
      found.push({
        text: `identity ${identity}: class ${number} expected, ${have ? `class ${have.class}` : 'nothing'} found`,
        mend: () => this.#maps.classes.update({ set: set.id, identity }, { class: number }),
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

function verdictsText(rows: readonly VerdictRow[]): string {
  return rows.map(r => `${r.class},${r.protocol ?? '*'},${r.port}/${r.portBits},${r.verdict},${r.rule},${r.match},${r.proxyPort ?? 0}`).sort().join(';');
}
