/** What the kernel refused, with the errno's name. */
import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';
import { CirriError } from '../std/errors.ts';
import { lastErrno } from './native.ts';

export class KernelError extends CirriError {
  /** `ENOENT`, `E2BIG`…; `ERRNO_n` for a number without a name. */
  readonly errno: string;
  readonly syscall: string;

  constructor(options: { errno: number | string; syscall: string; doing: string; detail?: string; mend?: string; cause?: unknown }) {
    const name = typeof options.errno === 'number' ? errnoName(options.errno) : options.errno;
    const detail = options.detail ? `: ${options.detail}` : '';
    super('ERR_KERNEL', `${options.doing}: ${errnoText(name)} (${name} from ${options.syscall})${detail}`, {
      ...(options.mend !== undefined && { mend: options.mend }),
      cause: options.cause,
    });
    this.name = 'KernelError';
    this.errno = name;
    this.syscall = options.syscall;
  }
}

/** Returns a native call's result, or throws for -1. `doing` says what it was for, e.g. "opening /proc/x". */
export function check(result: number, syscall: string, doing: string, mend?: string): number {
  if (result >= 0) return result;
  throw new KernelError({ errno: lastErrno(), syscall, doing, ...(mend !== undefined && { mend }) });
}

/** True for a KernelError with one of these names. */
export function isErrno(error: unknown, ...names: string[]): error is KernelError {
  return error instanceof KernelError && names.includes(error.errno);
}

export function errnoName(errno: number): string {
  return names.get(errno) ?? `ERRNO_${errno}`;
}

/** The number of a name, undefined where the name is unknown. */
export function errnoNumber(name: string): number | undefined {
  return numbers.get(name);
}

export function errnoText(name: string): string {
  return texts.get(name) ?? 'refused';
}

// Names that node's tables lack; 524 is the kernel's own ENOTSUPP, which bpf(2) leaks to user space.
const extra: readonly (readonly [number, string, string])[] = [
  [524, 'ENOTSUPP', 'not supported by this kernel object'],
  [75, 'EOVERFLOW', 'value too large'],
  [61, 'ENODATA', 'no data available'],
  [87, 'EUSERS', 'too many users'],
  [90, 'EMSGSIZE', 'message too long'],
  [108, 'ESHUTDOWN', 'transport endpoint is shut down'],
  [85, 'ERESTART', 'interrupted, to be restarted'],
  [129, 'EKEYREJECTED', 'key was rejected'],
];

const numbers = new Map<string, number>([...Object.entries(constants.errno), ...extra.map(([n, name]) => [name, n] as const)]);
const names = new Map<number, string>([...numbers].map(([name, n]) => [n, name]));
// Two names for one number on Linux: the ones that kernel documentation uses.
names.set(11, 'EAGAIN').set(95, 'EOPNOTSUPP');
const texts = new Map<string, string>([
  ...[...getSystemErrorMap().values()].map(([name, text]) => [name, text] as const),
  ...extra.map(([, name, text]) => [name, text] as const),
  ['EOPNOTSUPP', 'operation not supported'],
  ['EOVERFLOW', 'value too large'],
]);
