import type { L7Set } from '../model/l7.ts';
import { CirriError, errorText } from '../std/errors.ts';
import { passThrough } from './pass-through.ts';
import type { Layers } from './protocol.ts';
import type { AnyProtocol } from './protocols.ts';

export interface LoadedSet {
  readonly protocol: AnyProtocol;
  readonly compiled: unknown;
}

/** What two numbers of a row come to: one protocol for both, and what each end's policy asks of it. */
export interface Resolved {
  readonly protocol: AnyProtocol;
  readonly layers: Layers<unknown>;
}

/** Why a connection is refused, and at which end. */
export interface SetFault {
  readonly fault: string;
  readonly direction: 'EGRESS' | 'INGRESS';
}

const forgetAfterMs = 60_000;
/** A set that could not be loaded is tried again after so long: those who ask for it meanwhile are refused at once. */
const retryAfterMs = 500;

interface Entry {
  readonly set: LoadedSet | undefined;
  readonly fault: string;
  usedAt: number;
}

/** The layer 7 sets that connections ask for by number, loaded at the first and dropped when nobody has asked for a while. */
export class Sets {
  readonly #entries = new Map<number, Entry>();
  readonly #pairs = new Map<number, Map<number, Resolved>>();
  readonly #read: (number: number) => L7Set;
  readonly #load: (set: L7Set) => AnyProtocol;
  readonly #now: () => number;

  /** `read` throws where there is no such set. `now` in milliseconds. */
  constructor(dependencies: { readonly read: (number: number) => L7Set; readonly load: (set: L7Set) => AnyProtocol; readonly now: () => number }) {
    this.#read = dependencies.read;
    this.#load = dependencies.load;
    this.#now = dependencies.now;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Numbers that could not be loaded, and why. */
  *faults(): Generator<readonly [number, string]> {
    for (const [number, entry] of this.#entries) if (!entry.set) yield [number, entry.fault];
  }

  /** The same object for the same numbers for as long as they are kept. */
  resolve(egress: number, ingress: number): Resolved | SetFault {
    const known = this.#pairs.get(egress)?.get(ingress);
    if (known) return this.#touch(egress, ingress, known);
    const out = egress === 0 ? undefined : this.#entry(egress);
    if (out && !out.set) return { fault: out.fault, direction: 'EGRESS' };
    const into = ingress === 0 ? undefined : this.#entry(ingress);
    if (into && !into.set) return { fault: into.fault, direction: 'INGRESS' };
    if (out?.set && into?.set && out.set.protocol !== into.set.protocol) {
      return { fault: 'the policies of its two ends ask for different protocols', direction: 'INGRESS' };
    }
    const resolved = {
      protocol: out?.set?.protocol ?? into?.set?.protocol ?? passThrough,
      layers: { ...(out?.set && { egress: out.set.compiled }), ...(into?.set && { ingress: into.set.compiled }) },
    };
    const row = this.#pairs.get(egress) ?? new Map<number, Resolved>();
    this.#pairs.set(egress, row.set(ingress, resolved));
    return resolved;
  }

  /** Drops what nobody has asked for; connections keep what they have. `inUse`: numbers that some have. */
  sweep(inUse: ReadonlySet<number>): void {
    const before = this.#now() - forgetAfterMs;
    for (const [number, entry] of this.#entries) {
      if (entry.usedAt > before || inUse.has(number)) continue;
      this.#entries.delete(number);
      this.#pairs.delete(number);
      for (const row of this.#pairs.values()) row.delete(number);
    }
  }

  #touch(egress: number, ingress: number, resolved: Resolved): Resolved {
    const now = this.#now();
    const [out, into] = [this.#entries.get(egress), this.#entries.get(ingress)];
    if (out) out.usedAt = now;
    if (into) into.usedAt = now;
    return resolved;
  }

  #entry(number: number): Entry {
    const now = this.#now();
    const known = this.#entries.get(number);
    if (known && (known.set || now - known.usedAt < retryAfterMs)) return known;
    const entry = this.#loadEntry(number, now);
    this.#entries.set(number, entry);
    return entry;
  }

  #loadEntry(number: number, usedAt: number): Entry {
    try {
      const set = this.#read(number);
      if ('tls' in set && set.tls?.fault !== undefined) throw new CirriError('ERR_L7_SET', set.tls.fault);
      const protocol = this.#load(set);
      return { set: { protocol, compiled: protocol.compile(set) }, fault: '', usedAt };
    } catch (error) {
      return { set: undefined, fault: `layer 7 set ${number}: ${errorText(error)}`, usedAt };
    }
  }
}
