import type { Policy } from '../policy/policy.ts';

/** The labels of nodes that some policy selects by, kept level policy by policy. */
export class NodeLabelKeys {
  readonly #counts = new Map<string, number>();
  #revision = 0;

  /** Counts changes of `keys`. */
  get revision(): number {
    return this.#revision;
  }

  get keys(): ReadonlySet<string> {
    return new Set(this.#counts.keys());
  }

  /** One policy became another; undefined: it was not there, or has gone. */
  change(before: Policy | undefined, after: Policy | undefined): void {
    for (const key of before ? nodeLabelKeys(before) : []) this.#count(key, -1);
    for (const key of after ? nodeLabelKeys(after) : []) this.#count(key, 1);
  }

  #count(key: string, by: 1 | -1): void {
    const before = this.#counts.get(key) ?? 0;
    if (before + by > 0) this.#counts.set(key, before + by);
    else this.#counts.delete(key);
    if (before === 0 || before + by === 0) this.#revision++;
  }
}

function nodeLabelKeys({ specs }: Policy): ReadonlySet<string> {
  const keys = new Set<string>();
  for (const { peers } of specs.flatMap(spec => spec.rules)) {
    for (const peer of peers === 'any' ? [] : peers) {
      if (peer.type !== 'selector') continue;
      const aboutNodes = peer.selector.requirements.some(r => r.source === 'reserved');
      for (const { source, key } of peer.selector.requirements) if (source === 'node' || (source === 'any' && aboutNodes)) keys.add(key);
    }
  }
  return keys;
}
