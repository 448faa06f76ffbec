import { createHash } from 'node:crypto';
import { maps as specs } from '../../datapath/generated/maps.ts';
import type { NameState } from '../../datapath/generated/structs.ts';
import { objectInfo } from '../../ebpf/bpf.ts';
import { BpfMap } from '../../ebpf/map.ts';
import { nameColumns, type NameAutomaton } from '../../policy/name-automaton.ts';

/** An automaton whose accepting sets have numbers: by the number of a set in `automaton.sets`. */
export interface NumberedAutomaton {
  readonly automaton: NameAutomaton;
  readonly classes: readonly number[];
  readonly identities: readonly number[];
}

const inner = specs.nameAutomaton.inner!;

/** What is needed of the map of maps: descriptors are written, ids read. */
export type OuterMap = Pick<BpfMap<number, number>, 'lookup' | 'update'>;

/**
 * The automaton in the kernel. A new one is written whole into a map of its own, which then takes the old one's place with one
 * update: a question is read by the one or the other. The map's name is a hash of what is in it, so an agent that comes back
 * knows whether it is the right one.
 */
export class KernelAutomaton {
  readonly #outer: OuterMap;
  #signature: string | undefined;

  constructor(outer: OuterMap) {
    this.#outer = outer;
    using map = this.#open();
    this.#signature = map && nameOf(map);
  }

  /** True when the kernel had another one. */
  put(numbered: NumberedAutomaton): boolean {
    const signature = signatureOf(numbered);
    if (signature === this.#signature) return false;
    const { automaton, classes, identities } = numbered;
    using map = BpfMap.create({ ...inner, name: signature, maxEntries: automaton.states });
    map.updateBatch(Array.from({ length: automaton.states }, (_, state): [number, NameState] => {
      const set = automaton.accepting[state]!;
      return [state, { next: [...automaton.next.subarray(state * nameColumns, (state + 1) * nameColumns)], class: classes[set]!, identity: identities[set]! }];
    }));
    this.#outer.update(0, map.fd);
    this.#signature = signature;
    return true;
  }

  /** The greatest numbers in the one that is there, whoever has written it. */
  greatest(): { readonly class: number; readonly identity: number } {
    let [greatestClass, greatestIdentity] = [0, 0];
    using map = this.#open();
    for (const [, state] of map?.entries() ?? []) {
      greatestClass = Math.max(greatestClass, state.class);
      greatestIdentity = Math.max(greatestIdentity, state.identity);
    }
    return { class: greatestClass, identity: greatestIdentity };
  }

  #open(): BpfMap<number, NameState> | undefined {
    const id = this.#outer.lookup(0);
    return id === undefined ? undefined : BpfMap.openById(inner, id);
  }
}

/** 15 bytes: as much as the kernel keeps of a map's name. */
function signatureOf({ automaton, classes, identities }: NumberedAutomaton): string {
  const hash = createHash('sha256');
  hash.update(automaton.next).update(automaton.accepting).update(Uint32Array.from(classes)).update(Uint32Array.from(identities));
  return hash.digest('hex').slice(0, 15);
}

function nameOf(map: { readonly fd: number }): string {
  const info = objectInfo(map.fd, 40, 'an automaton of names');
  return Buffer.from(info.buffer, info.byteOffset + 24, 16).toString('latin1').replace(/\0.*$/, '');
}
