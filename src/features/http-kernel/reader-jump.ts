import type { NodeMaps } from '../../datapath/maps.ts';
import type { Programs } from '../../datapath/programs.ts';
import { errorText } from '../../std/errors.ts';
import type { Logger } from '../../std/log.ts';

export interface ReaderJumpDependencies {
  readonly programs: Pick<Programs, 'program' | 'refusalOf'>;
  /** Programs are written by their descriptors and read by their numbers. */
  readonly map: Pick<NodeMaps['httpReaders'], 'lookup' | 'update' | 'delete'>;
  readonly log: Logger;
}

const ROW = 0;
const PROGRAM = 'http_to_pod';

/**
 * The row of `http_readers`, by which whoever forwards a segment jumps to the program that reads it. Without it segments meet that program
 * at the pod's device, one queue later: slower, and nothing else. An agent that starts swaps the program for all connections at once; while
 * none runs the map's pin keeps it.
 */
export class ReaderJump {
  readonly #deps: ReaderJumpDependencies;
  #told: string | undefined;

  constructor(dependencies: ReaderJumpDependencies) {
    this.#deps = dependencies;
  }

  /** Writes the row where it is not there, and reads it back. Undefined: it is there; else why it is not. */
  ensure(): string | undefined {
    const reason = this.#ensure();
    if (reason !== undefined && reason !== this.#told) this.#deps.log.warn('segments whose HTTP the kernel reads take the queues of the pods\' devices', { reason });
    this.#told = reason;
    return reason;
  }

  #ensure(): string | undefined {
    const { programs, map } = this.#deps;
    try {
      const refusal = programs.refusalOf(PROGRAM)?.split('\n')[0];
      if (refusal !== undefined) {
        // An earlier agent's, of other maps: those at the devices know what they have begun.
        map.delete(ROW);
        return `this kernel refuses ${PROGRAM}: ${refusal}`;
      }
      const { id, fd } = programs.program(PROGRAM);
      if (map.lookup(ROW) === id) return undefined;
      map.update(ROW, fd);
      const found = map.lookup(ROW);
      return found === id ? undefined : `http_readers leads to program ${found}, and ${PROGRAM} is ${id}`;
    } catch (error) {
      return errorText(error);
    }
  }
}
