/** bpf(2): command numbers, and the call with an error that says what was being done. */
import { KernelError } from '../sys/errno.ts';
import { type Stable, stable, stableString } from '../sys/memory.ts';
import { bpf, bpfErrno } from '../sys/native.ts';

export const command = {
  mapCreate: 0, mapLookup: 1, mapUpdate: 2, mapDelete: 3, mapGetNextKey: 4, progLoad: 5, objPin: 6, objGet: 7, progAttach: 8, progTestRun: 10, mapGetFdById: 14,
  getInfo: 15, progQuery: 16, mapLookupBatch: 24, mapUpdateBatch: 26, mapDeleteBatch: 27, linkCreate: 28, linkUpdate: 29, iterCreate: 33, linkDetach: 34,
} as const;

export const mapType = {
  hash: 1, array: 2, programArray: 3, percpuHash: 5, percpuArray: 6, lruHash: 9, lruPercpuHash: 10, lpmTrie: 11, hashOfMaps: 13, sockhash: 18, ringbuf: 27,
} as const;

export const attachType = {
  cgroupSockOps: 3, skMsgVerdict: 7, cgroupInet4Connect: 10, cgroupInet6Connect: 11, cgroupInet4PostBind: 12, cgroupInet6PostBind: 13, cgroupUdp4Sendmsg: 14, cgroupUdp6Sendmsg: 15, cgroupUdp4Recvmsg: 19,
  cgroupUdp6Recvmsg: 20, traceIter: 28, skLookup: 36, cgroupInet4Getpeername: 29, cgroupInet6Getpeername: 30, xdp: 37, tcxIngress: 46, tcxEgress: 47,
} as const;

const ATTEMPTS = 10;

const commandName = new Map<number, string>(Object.entries(command).map(([name, n]) => [n, `bpf(${name})`]));

/** For calls made once: fills fresh attributes (or the given ones, to read answers from) and returns the result. */
export function callBpf(number: number, size: number, doing: string, fill: (view: DataView) => void, attributes: Stable = stable(size)): number {
  fill(attributes.view);
  for (let attempt = 1; ; attempt++) {
    const result = bpf(number, attributes.address, size);
    if (result >= 0) return result;
    const error = bpfError(number, doing);
    // Long calls (test runs, the verifier) stop for a pending signal, one of the runtime's own too, and want to be called again.
    if (attempt === ATTEMPTS || (error.errno !== 'EINTR' && error.errno !== 'EAGAIN')) throw error;
  }
}

export function bpfError(number: number, doing: string, mend?: string): KernelError {
  return new KernelError({ errno: bpfErrno(), syscall: commandName.get(number) ?? 'bpf', doing, ...(mend !== undefined && { mend }) });
}

export function setAddress(view: DataView, at: number, memory: Stable): void {
  view.setBigUint64(at, BigInt(memory.address), true);
}

/** Pins a map, program or link at a path of a BPF file system. EEXIST where something is pinned. */
export function pinObject(fd: number, path: string, what: string): void {
  const name = stableString(path);
  callBpf(command.objPin, 16, `pinning ${what} at ${path}`, view => {
    setAddress(view, 0, name);
    view.setUint32(8, fd, true);
  });
}

/** Undefined where nothing is pinned. */
export function openPinnedObject(path: string, what: string): number | undefined {
  const name = stableString(path);
  try {
    return callBpf(command.objGet, 16, `opening pinned ${what} ${path}`, view => setAddress(view, 0, name));
  } catch (error) {
    if (error instanceof KernelError && error.errno === 'ENOENT') return undefined;
    throw error;
  }
}

/** BPF_OBJ_GET_INFO_BY_FD: the info struct's first `size` bytes. */
export function objectInfo(fd: number, size: number, what: string): DataView {
  const info = stable(size);
  callBpf(command.getInfo, 16, `reading the info of ${what}`, view => {
    view.setUint32(0, fd, true);
    view.setUint32(4, size, true);
    setAddress(view, 8, info);
  });
  return info.view;
}

/** The kernel's number of a map; two maps never have the same. */
export function mapId(fd: number): number {
  return objectInfo(fd, 8, 'a map').getUint32(4, true);
}
