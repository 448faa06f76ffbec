import { getPriority } from 'node:os';
import { stable } from './memory.ts';
import { syscall, syscallNumber } from './native.ts';

/** The shortest that the kernel takes, nanoseconds. */
const shortestSliceNs = 100_000n;
/** `struct sched_attr` of linux/sched/types.h, its first version. */
const attributes = { length: 48, size: 0, policy: 4, nice: 16, runtime: 24 } as const;
const SCHED_OTHER = 0;

/**
 * This thread is woken to answer somebody who waits, and works in short pieces: where another has the processor it takes its turn at once,
 * and not when that one's slice is over, which with a tick of 4 ms may be 4 ms later. Its share stays what it was (sched_setattr(2); a slice
 * of one's own: Linux 6.12, earlier ones take no notice). False: the kernel does not let us.
 */
export function takeShortTurns(): boolean {
  const { address, bytes } = stable(attributes.length);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  view.setUint32(attributes.size, attributes.length, true);
  view.setUint32(attributes.policy, SCHED_OTHER, true);
  view.setInt32(attributes.nice, getPriority(), true);
  view.setBigUint64(attributes.runtime, shortestSliceNs, true);
  return syscall(syscallNumber.schedSetattr, 0, address, 0, 0) === 0;
}
