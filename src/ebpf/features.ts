/**
 * What this kernel can do, found by trying and never guessed from a version. Each probe makes the smallest object that needs
 * the feature and drops it.
 */
import { CirriError } from '../std/errors.ts';
import { KernelError } from '../sys/errno.ts';
import { stable, stableString } from '../sys/memory.ts';
import { close } from '../sys/native.ts';
import { attachType, callBpf, command, mapType, setAddress } from './bpf.ts';
import { u32Codec } from './codec.ts';
import { BpfMap, type MapSpec } from './map.ts';

export interface Feature {
  readonly available: boolean;
  /** Why not, in a sentence. */
  readonly reason?: string;
}

export type FeatureName = 'hash' | 'hashOfMaps' | 'lruHash' | 'lpmTrie' | 'ringbuf' | 'mapBatch' | 'tcProgram' | 'tcx' | 'redirect' | 'redirectPeer' | 'redirectNeigh'
  | 'sockConnect4' | 'sockConnect6' | 'sockSendmsg4' | 'sockSendmsg6' | 'sockRecvmsg4' | 'sockRecvmsg6' | 'sockGetpeername4' | 'sockGetpeername6' | 'sockPostBind4' | 'sockPostBind6' | 'cgroupSock';

const SCHED_CLS = 3;
const CGROUP_SOCK = 9;
const CGROUP_SOCK_ADDR = 18;
const SOCKET_HOOKS = {
  sockConnect4: attachType.cgroupInet4Connect, sockConnect6: attachType.cgroupInet6Connect,
  sockSendmsg4: attachType.cgroupUdp4Sendmsg, sockSendmsg6: attachType.cgroupUdp6Sendmsg,
  sockRecvmsg4: attachType.cgroupUdp4Recvmsg, sockRecvmsg6: attachType.cgroupUdp6Recvmsg,
  sockGetpeername4: attachType.cgroupInet4Getpeername, sockGetpeername6: attachType.cgroupInet6Getpeername,
} as const;
const BIND_HOOKS = { sockPostBind4: attachType.cgroupInet4PostBind, sockPostBind6: attachType.cgroupInet6PostBind } as const;

/** A few milliseconds; for start-up. */
export function probeFeatures(): Readonly<Record<FeatureName, Feature>> {
  const hooks = (types: Readonly<Record<string, number>>, program: number) =>
    Object.entries(types).map(([name, type]) => [name, probe(() => close(loadProgram(program, [moveImmediate(0, 1), EXIT], type)))] as const);
  const sockets = [...hooks(SOCKET_HOOKS, CGROUP_SOCK_ADDR), ...hooks(BIND_HOOKS, CGROUP_SOCK)];
  const missing = sockets.find(([, feature]) => !feature.available);
  return {
    hash: probe(() => makeMap(mapType.hash)),
    hashOfMaps: probe(() => makeMap(mapType.hashOfMaps, { inner: { name: 'cirri_probe', type: mapType.array, maxEntries: 1, flags: 0, key: u32Codec, value: u32Codec, perCpu: false, layoutHash: '' } })),
    lruHash: probe(() => makeMap(mapType.lruHash)),
    lpmTrie: probe(() => makeMap(mapType.lpmTrie, { flags: 1, key: { ...u32Codec, size: 8 } })),
    ringbuf: probe(() => makeMap(mapType.ringbuf, { key: { ...u32Codec, size: 0 }, value: { ...u32Codec, size: 0 }, maxEntries: 65536 })),
    mapBatch: probe(probeBatch),
    tcProgram: probe(() => close(loadProgram(SCHED_CLS, [moveImmediate(0, 0), EXIT]))),
    tcx: probe(probeTcx),
    redirect: probe(() => close(loadProgram(SCHED_CLS, [moveImmediate(1, 1), moveImmediate(2, 0), call(23), EXIT]))),
    redirectPeer: probe(() => close(loadProgram(SCHED_CLS, [moveImmediate(1, 1), moveImmediate(2, 0), call(155), EXIT]))),
    redirectNeigh: probe(() => close(loadProgram(SCHED_CLS, [...[1, 0, 0, 0].map((n, i) => moveImmediate(i + 1, n)), call(152), EXIT]))),
    ...(Object.fromEntries(sockets) as Record<keyof typeof SOCKET_HOOKS | keyof typeof BIND_HOOKS, Feature>),
    cgroupSock: missing ? { available: false, reason: `${missing[0]}: ${missing[1].reason}` } : { available: true },
  };
}

/** What the datapath as built today cannot do without. */
const needed: readonly FeatureName[] = ['hash', 'lruHash', 'lpmTrie', 'ringbuf', 'tcProgram', 'tcx', 'redirectPeer', 'redirectNeigh', 'cgroupSock'];

/** Throws ERR_KERNEL, naming what this kernel lacks. */
export function requireFeatures(): void {
  const missing = missingFor(needed, probeFeatures());
  if (missing.length === 0) return;
  throw new CirriError('ERR_KERNEL', `this kernel cannot run the datapath: ${missing.join('; ')}`, {
    mend: 'boot Linux 6.6 or newer: programs attach with tcx, and there is no older way of attachment yet',
  });
}

/** Each that is not there, and why. */
export function missingFor(names: readonly FeatureName[], features: Readonly<Record<FeatureName, Feature>>): string[] {
  return names.filter(name => !features[name].available).map(name => `${name} (${features[name].reason})`);
}

function probe(attempt: () => unknown): Feature {
  try {
    attempt();
    return { available: true };
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return { available: false, reason: error.message };
  }
}

function makeMap(type: number, more: Partial<MapSpec<number, number>> = {}): void {
  BpfMap.create({ name: 'cirri_probe', type, maxEntries: 16, flags: 0, key: u32Codec, value: u32Codec, perCpu: false, layoutHash: '', ...more }).close();
}

/** Straight to the call: `updateBatch` would go round a missing one. */
function probeBatch(): void {
  using map = BpfMap.create({ name: 'cirri_probe', type: mapType.hash, maxEntries: 16, flags: 0, key: u32Codec, value: u32Codec, perCpu: false, layoutHash: '' });
  const memory = stable(8);
  callBpf(command.mapUpdateBatch, 56, 'updating a map by a batch', view => {
    setAddress(view, 16, memory);
    setAddress(view, 24, memory);
    view.setUint32(32, 1, true);
    view.setUint32(36, map.fd, true);
  });
}

/** Attaches to a device that cannot be: a kernel with tcx looks for the device (ENODEV), one without knows no such link. */
function probeTcx(): void {
  const program = loadProgram(SCHED_CLS, [moveImmediate(0, 0), EXIT]);
  try {
    callBpf(command.linkCreate, 48, 'attaching a tcx link', view => [program, 0x7fffffff, attachType.tcxIngress, 0].forEach((n, i) => view.setUint32(i * 4, n, true)));
  } catch (error) {
    if (!(error instanceof KernelError && error.errno === 'ENODEV')) throw error;
  } finally {
    close(program);
  }
}

// Instructions (kernel, Documentation/bpf/standardization/instruction-set.rst): opcode, registers, offset, immediate.
const EXIT: Instruction = [0x95, 0, 0];
const moveImmediate = (register: number, value: number): Instruction => [0xb7, register, value];
const call = (helper: number): Instruction => [0x85, 0, helper];
type Instruction = readonly [opcode: number, registers: number, immediate: number];

function loadProgram(type: number, instructions: readonly Instruction[], expectedAttachType = 0): number {
  const code = stable(instructions.length * 8);
  instructions.forEach(([opcode, registers, immediate], i) => {
    code.view.setUint8(i * 8, opcode);
    code.view.setUint8(i * 8 + 1, registers);
    code.view.setInt32(i * 8 + 4, immediate, true);
  });
  const licence = stableString('Dual BSD/GPL');
  return callBpf(command.progLoad, 128, `loading a program of type ${type}`, view => {
    view.setUint32(0, type, true);
    view.setUint32(4, instructions.length, true);
    setAddress(view, 8, code);
    setAddress(view, 16, licence);
    view.setUint32(68, expectedAttachType, true);
  });
}
