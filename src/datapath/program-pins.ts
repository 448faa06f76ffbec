import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { mapId, openPinnedObject, pinObject } from '../ebpf/bpf.ts';
import { BpfObject, type LoadOptions, type ReusableMap } from '../ebpf/object.ts';
import { type BpfProgram, programOf } from '../ebpf/program.ts';
import { CirriError } from '../std/errors.ts';
import { close } from '../sys/native.ts';

/** Programs in the kernel, wherever they came from; `BpfObject` is one. */
export interface LoadedPrograms {
  program(name: string): BpfProgram;
  /** Why this kernel refused an optional program; undefined when it is there. */
  refusalOf(name: string): string | undefined;
  close(): void;
}

export interface PinnedLoad {
  readonly programs: LoadedPrograms;
  /** False when the kernel had to verify them. */
  readonly adopted: boolean;
}

/**
 * Loads the object, or takes over what an earlier agent loaded: verifying takes most of a start, and while an agent is away nobody
 * learns that a backend has gone. Programs are pinned in a folder that is named for everything they were made of: the object, its
 * config, which of its programs, and the maps they use. Whatever differs is another folder, and loaded anew.
 *
 *     DIRECTORY/FINGERPRINT/PROGRAM
 *
 * A folder is filled under another name and then renamed, so one that is there is whole. Where the kernel refused an optional
 * program nothing is pinned: the next start asks again, and hears why.
 */
export function loadPinned(directory: string, options: LoadOptions & { readonly maps: Readonly<Record<string, ReusableMap>> }): PinnedLoad {
  mkdirSync(directory, { recursive: true });
  const fingerprint = fingerprintOf(options);
  removeAll(directory, name => name !== fingerprint);
  const folder = join(directory, fingerprint);
  const found = openAll(folder);
  if (found) return { programs: new PinnedPrograms(found), adopted: true };
  const object = BpfObject.load(options);
  if ((options.optional ?? []).every(name => object.refusalOf(name) === undefined)) pinAll(object, directory, folder);
  return { programs: object, adopted: false };
}

class PinnedPrograms implements LoadedPrograms {
  readonly #programs: ReadonlyMap<string, BpfProgram>;

  constructor(programs: ReadonlyMap<string, BpfProgram>) {
    this.#programs = programs;
  }

  program(name: string): BpfProgram {
    const program = this.#programs.get(name);
    if (!program) throw new CirriError('ERR_NO_PROGRAM', `no program ${name} is pinned`, { mend: `there are ${[...this.#programs.keys()].join(', ')}` });
    return program;
  }

  refusalOf(): undefined {
    return undefined;
  }

  close(): void {
    for (const { fd } of this.#programs.values()) close(fd);
  }
}

function fingerprintOf({ path, config, maps, optional, skip }: Parameters<typeof loadPinned>[1]): string {
  const plain = (_: string, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value instanceof Uint8Array ? [...value] : value);
  // A map that was made anew under the same pin has another number.
  const ids = Object.values(maps).map(map => `${map.spec.name} ${mapId(map.fd)}`).sort();
  return createHash('sha256').update(readFileSync(path)).update(JSON.stringify([config ?? {}, ids, optional ?? [], skip ?? []], plain)).digest('hex').slice(0, 16);
}

function openAll(folder: string): ReadonlyMap<string, BpfProgram> | undefined {
  const names = namesIn(folder);
  if (names.length === 0) return undefined;
  const programs = new Map<string, BpfProgram>();
  for (const name of names) {
    const fd = openPinnedObject(join(folder, name), `program ${name}`);
    if (fd !== undefined) programs.set(name, programOf(name, fd));
  }
  return programs;
}

function pinAll(object: BpfObject, directory: string, folder: string): void {
  const unfinished = join(directory, 'unfinished');
  mkdirSync(unfinished);
  for (const program of object.programs()) pinObject(program.fd, join(unfinished, program.name), `program ${program.name}`);
  renameSync(unfinished, folder);
}

/** Folders of other objects and configs; what is attached stays in the kernel. */
function removeAll(directory: string, isOld: (name: string) => boolean): void {
  for (const name of readdirSync(directory).filter(isOld)) {
    for (const pin of namesIn(join(directory, name))) unlinkSync(join(directory, name, pin));
    rmdirSync(join(directory, name));
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
