/**
 * The border to native code: the only module that knows koffi and holds prototypes. Everything above calls these plain
 * functions; replacing the binding means rewriting this file alone.
 *
 * Addresses are numbers (user space ends below 2^47). A buffer whose address is handed to the kernel inside another
 * structure comes from `memory.ts`: its backing store never moves. An object that owns native memory is kept in a live
 * variable by its user: koffi frees what is collected.
 */
import koffi from 'koffi';

const libc = koffi.load('libc.so.6');

type Bytes = Uint8Array;

/** The errno that the last native call on this thread left. */
export const lastErrno: () => number = () => koffi.errno();

/** The address of a buffer's first byte. Stable only for buffers from `memory.ts`. */
export const addressOf = (bytes: Bytes): number => Number(koffi.address(bytes));

/** Memory at a foreign address as an ArrayBuffer, without a copy. The caller answers for its lifetime. */
export const viewMemory = (address: number, length: number): ArrayBuffer => koffi.view(BigInt(address), length);

/** The NUL-terminated text at an address. */
export const readCString = (address: number): string => (address === 0 ? '' : koffi.decode.string(BigInt(address)));

// -- libc ---------------------------------------------------------------------------------------------------------------

export const open: (path: string, flags: number, mode: number) => number = libc.func('open', 'int', ['str', 'int', 'int']);
export const close: (fd: number) => number = libc.func('close', 'int', ['int']);
export const mmap: (address: number, length: number, protection: number, flags: number, fd: number, offset: number) => number =
  libc.func('mmap', 'int64', ['uint64', 'size_t', 'int', 'int', 'int', 'int64']);
export const munmap: (address: number, length: number) => number = libc.func('munmap', 'int', ['uint64', 'size_t']);
export const setns: (fd: number, type: number) => number = libc.func('setns', 'int', ['int', 'int']);
export const unshare: (flags: number) => number = libc.func('unshare', 'int', ['int']);
export const mount: (source: string, target: string, type: string, flags: number, data: string | null) => number =
  libc.func('mount', 'int', ['str', 'str', 'str', 'uint64', 'str']);
export const umount2: (target: string, flags: number) => number = libc.func('umount2', 'int', ['str', 'int']);
export const kill: (pid: number, signal: number) => number = libc.func('kill', 'int', ['int', 'int']);
export const memfdCreate: (name: string, flags: number) => number = libc.func('memfd_create', 'int', ['str', 'uint32']);
export const pageSize: number = libc.func('getpagesize', 'int', [])();
/** glibc only; elsewhere it does nothing. */
export const mallocTrim: (keep: number) => number = optional('malloc_trim', ['size_t']) ?? (() => 0);
export const madvise: (address: number, length: number, advice: number) => number = libc.func('madvise', 'int', ['uint64', 'size_t', 'int']);
export const prctl: (option: number, a: number, b: number, c: number, d: number) => number =
  libc.func('prctl', 'int', ['int', 'uint64', 'uint64', 'uint64', 'uint64']);

/** With an argument that the kernel reads or writes. */
export const ioctl: (fd: number, request: number, argument: Bytes) => number = libc.func('ioctl', 'int', ['int', 'uint64', 'void *']);

export const socket: (family: number, type: number, protocol: number) => number = libc.func('socket', 'int', ['int', 'int', 'int']);
export const setsockopt: (fd: number, level: number, option: number, value: Bytes, length: number) => number =
  libc.func('setsockopt', 'int', ['int', 'int', 'int', 'void *', 'uint32']);
export const getsockopt: (fd: number, level: number, option: number, value: Bytes, length: Bytes) => number =
  libc.func('getsockopt', 'int', ['int', 'int', 'int', 'void *', 'void *']);
export const bind: (fd: number, address: Bytes, length: number) => number = libc.func('bind', 'int', ['int', 'void *', 'uint32']);
export const listen: (fd: number, backlog: number) => number = libc.func('listen', 'int', ['int', 'int']);
/** The addresses of room for the peer's, and of the room's length. */
export const accept4: (fd: number, address: number, length: number, flags: number) => number = libc.func('accept4', 'int', ['int', 'uint64', 'uint64', 'int']);
export const connect: (fd: number, address: Bytes, length: number) => number = libc.func('connect', 'int', ['int', 'void *', 'uint32']);
export const getsockname: (fd: number, address: Bytes, length: Bytes) => number = libc.func('getsockname', 'int', ['int', 'void *', 'void *']);
export const getpeername: (fd: number, address: Bytes, length: Bytes) => number = libc.func('getpeername', 'int', ['int', 'void *', 'void *']);
export const shutdown: (fd: number, how: number) => number = libc.func('shutdown', 'int', ['int', 'int']);
export const send: (fd: number, data: Bytes, length: number, flags: number) => number =
  libc.func('send', 'int64', ['int', 'void *', 'size_t', 'int']);
export const recv: (fd: number, into: Bytes, length: number, flags: number) => number =
  libc.func('recv', 'int64', ['int', 'void *', 'size_t', 'int']);

// Of sockets, pipes and epoll. Addresses, not buffers: these calls are made for every request, and an address costs less to hand over.
/** At most 2^31 - 1 bytes at once. recv(2) and send(2), not read and write: those also pass what files need, for a twentieth of a request's time. */
export const recvAt: (fd: number, address: number, length: number, flags: number) => number = libc.func('recv', 'int', ['int', 'uint64', 'size_t', 'int']);
export const sendAt: (fd: number, address: number, length: number, flags: number) => number = libc.func('send', 'int', ['int', 'uint64', 'size_t', 'int']);
/** Without offsets: pipes and sockets. */
export const splice: (from: number, fromOffset: number, into: number, intoOffset: number, length: number, flags: number) => number =
  libc.func('splice', 'int', ['int', 'uint64', 'int', 'uint64', 'size_t', 'uint32']);
export const pipe2: (fds: Bytes, flags: number) => number = libc.func('pipe2', 'int', ['void *', 'int']);
export const fcntl: (fd: number, command: number, argument: number) => number = libc.func('fcntl', 'int', ['int', 'int', 'int']);
export const epollCreate: (flags: number) => number = libc.func('epoll_create1', 'int', ['int']);
export const epollControl: (epoll: number, operation: number, fd: number, event: number) => number = libc.func('epoll_ctl', 'int', ['int', 'int', 'int', 'uint64']);
export const epollWait: (epoll: number, events: number, most: number, timeoutMs: number) => number = libc.func('epoll_wait', 'int', ['int', 'uint64', 'int', 'int']);

/** Calls `ready` from the event loop for as long as `fd` can be read. The result must be kept in a live variable until it is stopped. */
export function watchReadable(fd: number, ready: () => void): { stop(): void } {
  const handle = koffi.node.poll(fd, { readable: true }, () => ready());
  return { stop: () => handle.close() };
}

function optional(name: string, parameters: string[]): ((keep: number) => number) | undefined {
  try {
    return libc.func(name, 'int', parameters) as (keep: number) => number;
  } catch {
    return undefined;
  }
}

/** syscall(2) for calls without a libc wrapper; every argument is an integer or an address. */
export const syscall: (number: number, a: number, b: number, c: number, d: number) => number =
  libc.func('syscall', 'int64', ['int64', 'int64', 'uint64', 'int64', 'int64']);

const arm = process.arch === 'arm64';
export const syscallNumber = { bpf: arm ? 280 : 321, pidfdOpen: 434, pidfdSendSignal: 424, pidfdGetfd: 438, schedSetattr: arm ? 274 : 314 } as const;

const bpfCall: (number: number, command: number, attributes: number, size: number) => number =
  libc.func('syscall', 'int', ['int', 'int', 'uint64', 'uint32']);

let bpfFailure = 0;

/** bpf(2) with the attributes at a stable address. Returns the call's result or -1 (see `bpfErrno`). */
export function bpf(command: number, attributes: number, size: number): number {
  const result = bpfCall(syscallNumber.bpf, command, attributes, size);
  // At once: whatever allocates next may collect garbage, whose own system calls leave their errno.
  if (result < 0) bpfFailure = koffi.errno();
  return result;
}

/** The errno of the last `bpf` that failed. */
export const bpfErrno = (): number => bpfFailure;

// -- libbpf -------------------------------------------------------------------------------------------------------------

export interface Libbpf {
  objectOpen(path: string, options: Bytes): number;
  objectLoad(object: number): number;
  objectClose(object: number): void;
  nextMap(object: number, previous: number): number;
  mapName(map: number): string;
  mapFd(map: number): number;
  mapReuseFd(map: number, fd: number): number;
  mapSetInitialValue(map: number, data: Bytes, size: number): number;
  nextProgram(object: number, previous: number): number;
  programName(program: number): string;
  programFd(program: number): number;
  programSetAutoload(program: number, on: boolean): number;
  /** Runs `section` and returns with its result what libbpf had to say meanwhile, a line each. */
  withMessages<T>(section: () => T): { result: T; messages: string[] };
}

let loaded: Libbpf | undefined;

/** libbpf, loaded at the first use: a process that only reads maps does not need it. */
export function libbpf(): Libbpf {
  return (loaded ??= loadLibbpf());
}

function loadLibbpf(): Libbpf {
  const lib = koffi.load('libbpf.so.1');
  const printer = koffi.proto('int CirriLibbpfPrint(int level, const char *format, void *arguments)');
  const setPrint: (print: bigint | null) => unknown = lib.func('libbpf_set_print', 'void *', [koffi.pointer(printer)]);
  const vsnprintf: (into: Bytes, size: number, format: string, list: unknown) => number =
    libc.func('vsnprintf', 'int', ['void *', 'size_t', 'str', 'void *']);
  const text = new Uint8Array(new ArrayBuffer(8192));
  let sink: string[] | undefined;
  const onPrint = (level: number, format: string, list: unknown): number => {
    if (level > 0 || !sink) return 0; // warnings only: LIBBPF_WARN = 0
    const length = Math.min(vsnprintf(text, text.length, format, list), text.length - 1);
    sink.push(Buffer.from(text.buffer, 0, Math.max(0, length)).toString('utf8').replace(/^libbpf: /, '').trimEnd());
    return 0;
  };
  // Registered once and for good: `loaded` keeps the closure, libbpf the trampoline.
  setPrint(koffi.register(onPrint, koffi.pointer(printer)));
  return {
    objectOpen: lib.func('bpf_object__open_file', 'uint64', ['str', 'void *']),
    objectLoad: lib.func('bpf_object__load', 'int', ['uint64']),
    objectClose: lib.func('bpf_object__close', 'void', ['uint64']),
    nextMap: lib.func('bpf_object__next_map', 'uint64', ['uint64', 'uint64']),
    mapName: lib.func('bpf_map__name', 'str', ['uint64']),
    mapFd: lib.func('bpf_map__fd', 'int', ['uint64']),
    mapReuseFd: lib.func('bpf_map__reuse_fd', 'int', ['uint64', 'int']),
    mapSetInitialValue: lib.func('bpf_map__set_initial_value', 'int', ['uint64', 'void *', 'size_t']),
    nextProgram: lib.func('bpf_object__next_program', 'uint64', ['uint64', 'uint64']),
    programName: lib.func('bpf_program__name', 'str', ['uint64']),
    programFd: lib.func('bpf_program__fd', 'int', ['uint64']),
    programSetAutoload: lib.func('bpf_program__set_autoload', 'int', ['uint64', 'bool']),
    withMessages: section => {
      const messages: string[] = [];
      const before = sink;
      sink = messages;
      try {
        return { result: section(), messages };
      } finally {
        sink = before;
      }
    },
  };
}
