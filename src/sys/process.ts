/** Processes by number and by pidfd. */
import { Fd } from './file.ts';
import { KernelError, check, isErrno } from './errno.ts';
import { lastErrno, syscallNumber } from './native.ts';
import * as native from './native.ts';

/** kill(2). False where the process does not exist; signal 0 only asks. */
export function sendSignal(pid: number, signal: number): boolean {
  return sent(native.kill(pid, signal), 'kill', `sending signal ${signal} to process ${pid}`);
}

/** True while the process exists (a zombie counts). */
export function isAlive(pid: number): boolean {
  try {
    return sendSignal(pid, 0);
  } catch (error) {
    if (isErrno(error, 'EPERM')) return true;
    throw error;
  }
}

/** A handle that cannot come to mean another process, as a reused pid can. Undefined where the process is gone. */
export function openPidfd(pid: number): Fd | undefined {
  const fd = native.syscall(syscallNumber.pidfdOpen, pid, 0, 0, 0);
  if (fd >= 0) return new Fd(fd, `process ${pid}`);
  const error = new KernelError({ errno: lastErrno(), syscall: 'pidfd_open', doing: `opening process ${pid}` });
  if (isErrno(error, 'ESRCH')) return undefined;
  throw error;
}

/** False where the process is gone. */
export function sendSignalByPidfd(pidfd: Fd, signal: number): boolean {
  const result = native.syscall(syscallNumber.pidfdSendSignal, pidfd.fd, signal, 0, 0);
  return sent(result, 'pidfd_send_signal', `sending signal ${signal} to ${pidfd.what}`);
}

/** Asks the kernel to send `signal` to this process when its parent's thread ends (prctl(2), PR_SET_PDEATHSIG). */
export function setParentDeathSignal(signal: number): void {
  check(native.prctl(1, signal, 0, 0, 0), 'prctl', 'setting the parent death signal');
}

/** A duplicate of another process's descriptor, close-on-exec (pidfd_getfd(2), Linux 5.6). Needs the right to trace the process. */
export function takeFd(pidfd: Fd, fd: number): number {
  return check(native.syscall(syscallNumber.pidfdGetfd, pidfd.fd, fd, 0, 0), 'pidfd_getfd', `taking descriptor ${fd} of ${pidfd.what}`);
}

function sent(result: number, syscall: string, doing: string): boolean {
  if (result === 0) return true;
  const error = new KernelError({ errno: lastErrno(), syscall, doing });
  if (isErrno(error, 'ESRCH')) return false;
  throw error;
}
