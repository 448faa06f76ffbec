/**
 * Loads a compiled object: libbpf opens it, relocates it to the running kernel (CO-RE) and loads it. Config is written into
 * `.rodata` before, so the verifier knows its values; maps are ours and given to it by descriptor.
 */
import { readFileSync } from 'node:fs';
import { btfOf } from '../btf/generate.ts';
import { type Elf, parseElf } from '../btf/elf.ts';
import { layoutOf } from '../btf/layout.ts';
import { mapDefinitions } from '../btf/maps.ts';
import { writeFields } from '../btf/write.ts';
import { CirriError } from '../std/errors.ts';
import { KernelError } from '../sys/errno.ts';
import { stable } from '../sys/memory.ts';
import { type Libbpf, lastErrno, libbpf } from '../sys/native.ts';
import { type BpfProgram, programOf } from './program.ts';

export type { BpfProgram } from './program.ts';

/** What of a map an object needs. */
export interface ReusableMap {
  readonly fd: number;
  readonly spec: { readonly name: string; readonly layoutHash: string };
}

export interface LoadOptions {
  readonly path: string;
  /** Fields of `const volatile struct config config`, camelCase; those left out keep the object's values. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Told apart by their specs' names. Maps of the object that are not given are made by libbpf and end with the programs. */
  readonly maps?: Readonly<Record<string, ReusableMap>>;
  /** Programs to leave out, by name: for kernels that lack what they need. */
  readonly skip?: readonly string[];
  /** Programs that this kernel may refuse: those are left out, and `refusalOf` says why. */
  readonly optional?: readonly string[];
}

/** A program that the kernel refused: its name, and the end of what the verifier said. */
export class ProgramLoadError extends KernelError {
  readonly program: string | undefined;
  readonly log: string;

  constructor(o: { errno: number; path: string; program: string | undefined; log: string; messages: readonly string[] }) {
    const tail = o.log.trimEnd().split('\n').slice(-LOG_LINES).join('\n');
    // With a verifier's log libbpf only repeats the errno; without one (relocations, maps) its words are all there is.
    const detail = tail ? `\n${tail}` : o.messages.join('; ');
    super({ errno: o.errno, syscall: 'bpf(progLoad)', doing: `loading ${o.program ? `program ${o.program}` : 'the programs'} of ${o.path}`, detail });
    this.name = 'ProgramLoadError';
    this.program = o.program;
    this.log = o.log;
  }
}

const LOG_LINES = 25;
/** The kernel keeps the end of a longer log (since 6.4). */
const LOG_BYTES = 8 << 20;
/** struct bpf_object_open_opts of libbpf 1.x. */
const OPTIONS = { size: 80, logBuffer: 56, logSize: 64 } as const;

export class BpfObject {
  #object: number;
  readonly #programs: ReadonlyMap<string, BpfProgram>;
  readonly #mapFds: ReadonlyMap<string, number>;
  readonly #refused: ReadonlyMap<string, string>;

  private constructor(object: number, programs: ReadonlyMap<string, BpfProgram>, mapFds: ReadonlyMap<string, number>, refused: ReadonlyMap<string, string>) {
    this.#refused = refused;
    this.#object = object;
    this.#programs = programs;
    this.#mapFds = mapFds;
  }

  /** Throws ProgramLoadError for what the verifier refuses, CirriError for what does not fit together. */
  static load(options: LoadOptions): BpfObject {
    const refused = new Map<string, string>();
    for (;;) {
      try {
        return BpfObject.#load({ ...options, skip: [...options.skip ?? [], ...refused.keys()] }, refused);
      } catch (error) {
        const open = (options.optional ?? []).filter(name => !refused.has(name));
        if (!(error instanceof KernelError) || open.length === 0) throw error;
        // Where the kernel does not say which one it was, it may be all of them; if it was none, loading fails again.
        const name = error instanceof ProgramLoadError ? error.program : undefined;
        if (name !== undefined && !open.includes(name)) throw error;
        for (const one of name === undefined ? open : [name]) refused.set(one, error.message);
      }
    }
  }

  static #load(options: LoadOptions, refused: ReadonlyMap<string, string>): BpfObject {
    const elf = parseElf(readFileSync(options.path));
    checkMaps(elf, options);
    const rodata = rodataWith(elf, options.config ?? {});
    const lib = libbpf();
    const log = stable(LOG_BYTES);
    const object = openObject(lib, options.path, log.address);
    try {
      prepareMaps(lib, object, rodata, new Map(Object.values(options.maps ?? {}).map(map => [map.spec.name, map])));
      const programs = list(lib.nextProgram, object);
      for (const program of programs) if (options.skip?.includes(lib.programName(program))) lib.programSetAutoload(program, false);
      loadObject(lib, object, options.path, log.bytes);
      const loaded = programs.map(program => [lib.programName(program), lib.programFd(program)] as const).filter(([, fd]) => fd >= 0);
      const mapFds = list(lib.nextMap, object).map(map => [lib.mapName(map), lib.mapFd(map)] as const);
      return new BpfObject(object, new Map(loaded.map(([name, fd]) => [name, programOf(name, fd)])), new Map(mapFds), refused);
    } catch (error) {
      lib.objectClose(object);
      throw error;
    }
  }

  program(name: string): BpfProgram {
    const program = this.#programs.get(name);
    if (!program) throw new CirriError('ERR_NO_PROGRAM', `the object has no program ${name}`, { mend: `it has ${[...this.#programs.keys()].join(', ')}` });
    return program;
  }

  /** Why an optional program is not there; undefined when it is. */
  refusalOf(name: string): string | undefined {
    return this.#refused.get(name);
  }

  programs(): BpfProgram[] {
    return [...this.#programs.values()];
  }

  /** The descriptor of a map that libbpf made; undefined where there is no such map. */
  mapFd(name: string): number | undefined {
    return this.#mapFds.get(name);
  }

  /** Closes the programs' and maps' descriptors; what is attached stays loaded. */
  close(): void {
    if (this.#object !== 0) libbpf().objectClose(this.#object);
    this.#object = 0;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** A map of another layout than the programs were compiled for would be read as garbage: libbpf does not look. */
function checkMaps(elf: Elf, options: LoadOptions): void {
  const definitions = new Map(mapDefinitions(btfOf(elf)).map(d => [d.name, d]));
  for (const map of Object.values(options.maps ?? {})) {
    const { name } = map.spec;
    const definition = definitions.get(name);
    if (!definition) throw new CirriError('ERR_NO_MAP', `${options.path} has no map ${name}`, { mend: `it has ${[...definitions.keys()].join(', ')}` });
    if (definition.layoutHash !== map.spec.layoutHash) {
      throw new CirriError('ERR_MAP_LAYOUT', `map ${name} of ${options.path} has layout ${definition.layoutHash}, the given one ${map.spec.layoutHash}`, { mend: 'run node26 tools/generate.ts after building the object' });
    }
  }
}

/** The object's constants with the config in place. Its offset is the symbol's: compilers leave it 0 in BTF. */
function rodataWith(elf: Elf, config: Readonly<Record<string, unknown>>): Uint8Array | undefined {
  const index = elf.sections.findIndex(s => s.name === '.rodata');
  if (Object.keys(config).length === 0) return undefined;
  const symbol = elf.symbols.find(s => s.name === 'config' && s.section === index);
  const btf = btfOf(elf);
  const variable = btf.variable('config');
  if (index < 0 || !symbol || !variable) throw new CirriError('ERR_NO_CONFIG', 'the object has no `const volatile struct config config`');
  const layout = layoutOf(btf, variable.type);
  if (layout.kind !== 'struct') throw new CirriError('ERR_NO_CONFIG', 'the object\'s config is not a struct');
  const data = Uint8Array.from(elf.sections[index]!.data);
  writeFields(layout, new DataView(data.buffer), symbol.value, config);
  return data;
}

function openObject(lib: Libbpf, path: string, logAddress: number): number {
  const options = stable(OPTIONS.size);
  options.view.setBigUint64(0, BigInt(OPTIONS.size), true);
  options.view.setBigUint64(OPTIONS.logBuffer, BigInt(logAddress), true);
  options.view.setBigUint64(OPTIONS.logSize, BigInt(LOG_BYTES), true);
  const { result, messages } = lib.withMessages(() => lib.objectOpen(path, options.bytes));
  if (result !== 0) return result;
  throw new KernelError({ errno: lastErrno(), syscall: 'bpf_object__open_file', doing: `opening ${path}`, detail: messages.join('\n') });
}

function prepareMaps(lib: Libbpf, object: number, rodata: Uint8Array | undefined, given: ReadonlyMap<string, ReusableMap>): void {
  for (const map of list(lib.nextMap, object)) {
    const name = lib.mapName(map);
    const reused = given.get(name);
    if (reused) accepted(lib.mapReuseFd(map, reused.fd), 'bpf_map__reuse_fd', `giving map ${name} to the object`);
    if (rodata && name.endsWith('.rodata')) accepted(lib.mapSetInitialValue(map, rodata, rodata.length), 'bpf_map__set_initial_value', 'setting the config');
  }
}

function loadObject(lib: Libbpf, object: number, path: string, log: Uint8Array): void {
  const { result, messages } = lib.withMessages(() => lib.objectLoad(object));
  if (result === 0) return;
  const program = messages.map(m => /^prog '([^']+)': BPF program load failed/.exec(m)?.[1]).find(Boolean);
  const end = log.indexOf(0);
  const text = program ? Buffer.from(log.subarray(0, end < 0 ? log.length : end)).toString('utf8') : '';
  throw new ProgramLoadError({ errno: -result, path, program, log: text, messages });
}

function accepted(result: number, call: string, doing: string): void {
  if (result < 0) throw new KernelError({ errno: -result, syscall: call, doing });
}

function list(next: (object: number, previous: number) => number, object: number): number[] {
  const all: number[] = [];
  for (let one = next(object, 0); one !== 0; one = next(object, one)) all.push(one);
  return all;
}
