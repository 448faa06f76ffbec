import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { maps as specs } from '../datapath/generated/maps.ts';
import type { NameState } from '../datapath/generated/structs.ts';
import { namePutter } from '../datapath/name-put.ts';
import { openPinnedObject } from '../ebpf/bpf.ts';
import { BpfMap } from '../ebpf/map.ts';
import { type BpfProgram, programOf } from '../ebpf/program.ts';
import type { Settings } from '../model/settings.ts';
import { deadNameState, nameColumn, startNameState } from '../policy/name-automaton.ts';
import { endOfLabel } from '../policy/name-trie.ts';
import { CirriError } from '../std/errors.ts';
import { addrFromWire } from '../std/ip.ts';
import { close } from '../sys/native.ts';
import type { NameTables } from './dns/tables.ts';

/** As the kernel reckons an answer's end (bpf/lib/dns.h). */
const graceSeconds = 30;
const mostSeconds = 7 * 86_400;

export interface KernelNamesOptions {
  /** Where the node's maps and programs are pinned. */
  readonly maps: string;
  readonly programs: string;
  readonly settings: Settings['dns'];
}

/** Names as the datapath has them: its automaton, and its program that writes addresses. */
export class KernelNames implements NameTables {
  readonly refusal: number;
  readonly #options: KernelNamesOptions;
  #outer: BpfMap<number, number> | undefined;
  #inner: { readonly id: number; readonly map: BpfMap<number, NameState> } | undefined;
  #put: { readonly pin: string; readonly program: BpfProgram; readonly put: ReturnType<typeof namePutter> } | undefined;

  constructor(options: KernelNamesOptions) {
    this.#options = options;
    this.refusal = { refused: 5, nameError: 3 }[options.settings.rejectResponse];
  }

  identityOf(name: string): number {
    const map = this.#automaton();
    if (!map) return 0;
    const text = name.endsWith('.') ? name.slice(0, -1) : name;
    let state = map.lookup(startNameState);
    const step = (column: number) => {
      const next = state?.next[column] ?? deadNameState;
      state = next === deadNameState ? undefined : map.lookup(next);
    };
    for (let i = 0; i < text.length && state; i++) step(nameColumn(text.charCodeAt(i)));
    if (text !== '') step(endOfLabel);
    return state?.identity ?? 0;
  }

  learn(endpoint: number, address: Uint8Array, identity: number, ttlSeconds: number): void {
    const now = Number(process.hrtime.bigint() / 1_000_000_000n);
    const lives = Math.max(Math.min(ttlSeconds, mostSeconds), this.#options.settings.minTTL) + graceSeconds;
    this.#putter()({ endpoint, addr: addrFromWire(address), identity, expiresS: now + lives });
  }

  close(): void {
    this.#outer?.close();
    this.#inner?.map.close();
    if (this.#put) close(this.#put.program.fd);
  }

  /** The one in force: a new one takes the place of the old one as a whole, under another number. */
  #automaton(): BpfMap<number, NameState> | undefined {
    this.#outer ??= BpfMap.openPinned(specs.nameAutomaton, join(this.#options.maps, `${specs.nameAutomaton.name}-${specs.nameAutomaton.layoutHash}`));
    const id = this.#outer?.lookup(0);
    if (id === undefined || id === this.#inner?.id) return id === undefined ? undefined : this.#inner?.map;
    this.#inner?.map.close();
    this.#inner = undefined;
    const map = BpfMap.openById(specs.nameAutomaton.inner!, id);
    if (map) this.#inner = { id, map };
    return map;
  }

  /** The program of the agent that was there last: another object or config pins it elsewhere. */
  #putter(): ReturnType<typeof namePutter> {
    if (this.#put && existsSync(this.#put.pin)) return this.#put.put;
    if (this.#put) close(this.#put.program.fd);
    this.#put = undefined;
    const { programs } = this.#options;
    for (const folder of existsSync(programs) ? readdirSync(programs) : []) {
      const pin = join(programs, folder, 'name_put');
      const fd = folder === 'unfinished' ? undefined : openPinnedObject(pin, 'program name_put');
      if (fd === undefined) continue;
      const program = programOf('name_put', fd);
      this.#put = { pin, program, put: namePutter(program) };
      return this.#put.put;
    }
    throw new CirriError('ERR_NO_PROGRAM', 'addresses of names cannot be written: no program name_put is pinned', { mend: 'see whether the node\'s agent runs: cirri status' });
  }
}
