/** A loaded program: its identity, and runs of it without a device (BPF_PROG_TEST_RUN). */
import { CirriError } from '../std/errors.ts';
import { stable } from '../sys/memory.ts';
import { callBpf, command, objectInfo, setAddress } from './bpf.ts';

export interface TestInput {
  /** The packet, from the Ethernet header for tc programs. At least 14 bytes there. */
  readonly data: Uint8Array;
  /** struct __sk_buff for tc programs: what of it may be set is the kernel's choice. */
  readonly context?: Uint8Array;
  /** Runs for timing; 1 unless given. The output is the last run's. Interrupted by a signal they begin again: effects may repeat. */
  readonly repeat?: number;
}

export interface TestOutput {
  readonly returnValue: number;
  readonly data: Uint8Array;
  /** As the program left it; only where one was given. */
  readonly context?: Uint8Array;
  /** Mean of one run. */
  readonly durationNs: number;
}

export interface BpfProgram {
  readonly name: string;
  readonly fd: number;
  readonly id: number;
  /** 16 hex digits over the instructions: equal programs have equal tags. */
  readonly tag: string;
  testRun(input: TestInput): TestOutput;
  /** Of a program that is made for it: runs it once on this, at least 14 bytes, in place, and returns what it returns. */
  call(data: Uint8Array): number;
}

/** Room for what a program adds in front of a packet or copies out of a gathered one. */
const GROWTH = 4096;

/** `fd` stays its owner's, the object that loaded it. */
export function programOf(name: string, fd: number): BpfProgram {
  const info = objectInfo(fd, 64, `program ${name}`);
  const tag = Buffer.from(info.buffer as ArrayBuffer, 8, 8).toString('hex');
  return { name, fd, id: info.getUint32(4, true), tag, testRun: input => testRun(name, fd, input), call: data => call(name, fd, data) };
}

function testRun(name: string, fd: number, input: TestInput): TestOutput {
  const dataIn = stable(input.data.length);
  dataIn.bytes.set(input.data);
  const dataOut = stable(input.data.length + GROWTH);
  const contextIn = input.context && stable(input.context.length);
  const contextOut = input.context && stable(input.context.length);
  contextIn?.bytes.set(input.context!);
  const attributes = stable(80);
  callBpf(command.progTestRun, 80, `test run of program ${name}`, view => {
    view.setUint32(0, fd, true);
    view.setUint32(8, input.data.length, true);
    view.setUint32(12, dataOut.bytes.length, true);
    setAddress(view, 16, dataIn);
    setAddress(view, 24, dataOut);
    view.setUint32(32, input.repeat ?? 1, true);
    if (contextIn && contextOut) {
      view.setUint32(40, contextIn.bytes.length, true);
      view.setUint32(44, contextOut.bytes.length, true);
      setAddress(view, 48, contextIn);
      setAddress(view, 56, contextOut);
    }
  }, attributes);
  const { view } = attributes;
  const length = view.getUint32(12, true);
  if (length > dataOut.bytes.length) throw new CirriError('ERR_TEST_RUN', `program ${name} returned ${length} bytes, more than the ${GROWTH} that a run may add`);
  return {
    returnValue: view.getInt32(4, true),
    data: dataOut.bytes.slice(0, length),
    ...(contextOut && { context: contextOut.bytes.slice(0, view.getUint32(44, true)) }),
    durationNs: view.getUint32(36, true),
  };
}

function call(name: string, fd: number, data: Uint8Array): number {
  const answer = testRun(name, fd, { data });
  data.set(answer.data);
  return answer.returnValue;
}
