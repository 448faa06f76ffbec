import type { BpfProgram } from '../ebpf/program.ts';
import { CirriError } from '../std/errors.ts';
import { namePutCodec } from './generated/structs.ts';

export interface NamePutting {
  /** Local id of the pod that was told, and the address (16 bytes). */
  readonly endpoint: number;
  readonly addr: Uint8Array;
  /** 0: nothing is put, only freed. */
  readonly identity: number;
  /** CLOCK_MONOTONIC; an end is never moved back. */
  readonly expiresS: number;
  /** Identities, at most eight, whose slots are freed afterwards. */
  readonly replaces?: readonly number[];
}

/**
 * Writes to `name_addresses` as packets do, in place, by the program `name_put`: nothing that a packet writes at the same moment is
 * lost. Throws where there was no room.
 */
export function namePutter(program: Pick<BpfProgram, 'call'>): (put: NamePutting) => void {
  const bytes = new Uint8Array(namePutCodec.size);
  return ({ endpoint, addr, identity, expiresS, replaces = [] }) => {
    namePutCodec.encode({ key: { endpoint, addr }, identity, expiresS, replaces: Array.from({ length: 8 }, (_, i) => replaces[i] ?? 0), done: 0 }, bytes);
    const answer = program.call(bytes);
    if (answer !== 0 || namePutCodec.decode(bytes).done !== 1) throw new CirriError('ERR_NAMES_FULL', 'an address of a DNS name could not be written: name_addresses has no room', { mend: 'cirri status -v shows how full the maps are' });
  };
}
