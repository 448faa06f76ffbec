/** Pseudo-terminals (pty(7)): what a command that wants a terminal gets as its standard input and output. */
import { closeSync, constants, openSync } from 'node:fs';
import { check } from './errno.ts';
import * as native from './native.ts';

/** ioctl_tty(2): unlock the other end, its number, the size that it is told. */
const TIOCSPTLCK = 0x4004_5431;
const TIOCGPTN = 0x8004_5430;
const TIOCSWINSZ = 0x5414;

export interface Pty {
  /** This end: what is written here, the command reads. The caller closes both. */
  readonly master: number;
  readonly slave: number;
}

export function openPty(): Pty {
  const flags = constants.O_RDWR | constants.O_NOCTTY;
  const master = openSync('/dev/ptmx', flags);
  try {
    check(native.ioctl(master, TIOCSPTLCK, new Uint8Array(4)), 'ioctl', 'unlocking a terminal');
    const number = new Uint8Array(4);
    check(native.ioctl(master, TIOCGPTN, number), 'ioctl', 'asking for the number of a terminal');
    return { master, slave: openSync(`/dev/pts/${new DataView(number.buffer).getUint32(0, true)}`, flags) };
  } catch (error) {
    closeSync(master);
    throw error;
  }
}

/** Who has the terminal as its own hears of it by SIGWINCH. */
export function setWindowSize(master: number, size: { readonly rows: number; readonly columns: number }): void {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, size.rows, true);
  view.setUint16(2, size.columns, true);
  check(native.ioctl(master, TIOCSWINSZ, bytes), 'ioctl', 'setting the size of a terminal');
}
