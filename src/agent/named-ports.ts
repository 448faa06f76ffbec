import type { NamedPorts } from '../policy/compile.ts';

/** One endpoint's port names, as some pod declares them. */
interface Declared {
  readonly identity: number;
  readonly text: string;
}

/**
 * What the pods of each identity call their ports: egress rules with a named port ask for it. Each distinct set of names
 * counts as long as an endpoint has it, so that a rollout that moves a port ends with the new number alone.
 */
export class NamedPortBook {
  readonly #byEndpoint = new Map<string, Declared>();
  readonly #byIdentity = new Map<number, Map<string, { readonly ports: NamedPorts; endpoints: number }>>();

  /** Returns the identities whose sets of names changed. An endpoint without names declares an empty `ports`. */
  set(endpoint: string, identity: number, text: string, ports: NamedPorts): readonly number[] {
    const before = this.#byEndpoint.get(endpoint);
    if (before?.identity === identity && before.text === text) return [];
    const changed = new Set(this.remove(endpoint));
    if (ports.size > 0 && this.#add(endpoint, { identity, text }, ports)) changed.add(identity);
    return [...changed];
  }

  remove(endpoint: string): readonly number[] {
    const declared = this.#byEndpoint.get(endpoint);
    const sets = declared && this.#byIdentity.get(declared.identity);
    const entry = sets?.get(declared!.text);
    if (!declared || !sets || !entry) return [];
    this.#byEndpoint.delete(endpoint);
    if (--entry.endpoints > 0) return [];
    sets.delete(declared.text);
    if (sets.size === 0) this.#byIdentity.delete(declared.identity);
    return [declared.identity];
  }

  /** One for each distinct set of names. */
  of(identity: number): readonly NamedPorts[] {
    return [...(this.#byIdentity.get(identity)?.values() ?? [])].map(entry => entry.ports);
  }

  #add(endpoint: string, declared: Declared, ports: NamedPorts): boolean {
    this.#byEndpoint.set(endpoint, declared);
    const sets = this.#byIdentity.get(declared.identity) ?? new Map<string, { readonly ports: NamedPorts; endpoints: number }>();
    this.#byIdentity.set(declared.identity, sets);
    const entry = sets.get(declared.text);
    if (entry) entry.endpoints++;
    else sets.set(declared.text, { ports, endpoints: 1 });
    return !entry;
  }
}
