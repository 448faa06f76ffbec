import type { IpcacheEntry, IpcacheKey } from '../../datapath/generated/structs.ts';
import { cidrLabeller, firstPrefixIdentity, identityScope } from '../../model/identity.ts';
import type { LabelSet } from '../../model/labels.ts';
import { formatPrefix, parsePrefix } from '../../std/ip.ts';

/**
 * Node-local identities of the prefixes that policies name. A number stays with its prefix for as long as the kernel
 * remembers it, over restarts too: the numbers are read back from the ipcache, so that rows and policy sets written by two
 * lives of the agent never disagree on what a number means.
 */
export class PrefixIdentities {
  readonly #byPrefix = new Map<string, number>();
  readonly #labels = new Map<number, LabelSet>();
  #next = firstPrefixIdentity;
  #current: string | undefined;
  #revision = 0;

  /** Counts changes of `entries`. */
  get revision(): number {
    return this.#revision;
  }

  adopt(entries: Iterable<readonly [IpcacheKey, IpcacheEntry]>): void {
    for (const [key, entry] of entries) {
      if (identityScope(entry.identity) !== 'prefix') continue;
      this.#byPrefix.set(formatPrefix({ addr: key.addr, bits: key.prefixBits }), entry.identity);
      this.#next = Math.max(this.#next, entry.identity + 1);
      this.#revision++;
    }
  }

  /** Makes these, and only these, the prefixes with an identity. True when anything changed. */
  set(prefixes: Iterable<string>): { readonly changed: boolean; readonly added: readonly (readonly [number, LabelSet])[]; readonly removed: readonly number[] } {
    const wanted = [...new Set([...prefixes].map(text => formatPrefix(parsePrefix(text))))].sort();
    const key = wanted.join();
    if (key === this.#current) return { changed: false, added: [], removed: [] };
    this.#current = key;
    this.#revision++;
    const keep = new Set(wanted);
    const removed: number[] = [];
    for (const [prefix, id] of this.#byPrefix) {
      if (keep.has(prefix)) continue;
      this.#byPrefix.delete(prefix);
      if (this.#labels.delete(id)) removed.push(id);
    }
    const added: (readonly [number, LabelSet])[] = [];
    const labelsOf = cidrLabeller(wanted);
    for (const prefix of wanted) {
      const id = this.#byPrefix.get(prefix) ?? this.#next++;
      this.#byPrefix.set(prefix, id);
      // A prefix carries the labels of all that contain it, so a new wide one changes those of the narrow ones.
      const labels = labelsOf(prefix);
      if (this.#labels.get(id)?.toString() === labels.toString()) continue;
      this.#labels.set(id, labels);
      added.push([id, labels]);
    }
    return { changed: true, added, removed };
  }

  entries(): IterableIterator<[prefix: string, identity: number]> {
    return this.#byPrefix.entries();
  }

  labels(id: number): LabelSet | undefined {
    return this.#labels.get(id);
  }
}
