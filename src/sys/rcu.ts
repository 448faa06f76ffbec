/**
 * How long the kernel waits for its readers. Attaching to a device with tcx waits for an RCU grace period: 10 ms and more, twice
 * for each pod (net/core: tcx_entry_sync). The kernel's own device code asks for expedited ones while it holds rtnl
 * (synchronize_net); tcx does not, so this asks for it, for as long as a section takes.
 */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';

const path = '/sys/kernel/rcu_expedited';

/**
 * Runs `section` with expedited grace periods, where this kernel and this mount of /sys allow it; else it is only slower. The
 * setting is the whole machine's: whoever finds it on leaves it on, and when two agents overlap one of them waits longer. A process
 * that is killed inside leaves it on, so keep sections short (an attachment takes 0.1 ms): no harm but interrupts on idle processors.
 */
export function withExpeditedGracePeriods<T>(section: () => T): T {
  let fd: number;
  try {
    fd = openSync(path, 'r+');
  } catch {
    return section();
  }
  try {
    if (!set(fd, '0', '1')) return section();
    try {
      return section();
    } finally {
      set(fd, '1', '0');
    }
  } finally {
    closeSync(fd);
  }
}

/** False where the setting is not `from`, or may not be changed. */
function set(fd: number, from: string, to: string): boolean {
  const now = Buffer.alloc(8);
  try {
    const length = readSync(fd, now, 0, now.length, 0);
    if (now.toString('latin1', 0, length).trim() !== from) return false;
    writeSync(fd, to, 0);
    return true;
  } catch {
    return false;
  }
}
