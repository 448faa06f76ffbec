/** Pseudo-terminals (pty(7)): what a command that wants a terminal gets as its standard input and output. */
import { closeSync, constants, openSync } from 'node:fs';
import { check } from './errno.ts';
import * as native from './native.ts';

/** ioctl_tty(2): unlock the other end, its number, the size that it is told. */
const TIOCSPTLCK = 0x4004_5431;
const TIOCGPTN = 0x8004_5430;
const TIOCSWINSZ = 0x5414;
/** ioctl_tty(2): the modes of a terminal, `struct termios` of the kernel: four words of flags, then the rest of 36 bytes. */
const TCGETS = 0x5401;
const TCSETS = 0x5402;
const termiosSize = 36;
/** termios(3): of the words for input and local modes what cfmakeraw clears; of that for output the carriage return before a new line (ONLCR). */
const rawClears = { input: 0o2753, output: 0o4, local: 0o100113 } as const;

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

/** Bytes pass as they are, both ways: for a terminal behind which another one does what terminals do. Output modes but ONLCR stay: runc turns them on again. */
export function makeRaw(terminal: number): void {
  const bytes = new Uint8Array(termiosSize);
  check(native.ioctl(terminal, TCGETS, bytes), 'ioctl', 'asking for the modes of a terminal');
  const view = new DataView(bytes.buffer);
  const clear = (at: number, bits: number) => view.setUint32(at, view.getUint32(at, true) & ~bits, true);
  clear(0, rawClears.input);
  clear(4, rawClears.output);
  clear(12, rawClears.local);
  check(native.ioctl(terminal, TCSETS, bytes), 'ioctl', 'setting the modes of a terminal');
}

/** Who has the terminal as its own hears of it by SIGWINCH. */
export function setWindowSize(master: number, size: { readonly rows: number; readonly columns: number }): void {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, size.rows, true);
  view.setUint16(2, size.columns, true);
  check(native.ioctl(master, TIOCSWINSZ, bytes), 'ioctl', 'setting the size of a terminal');
}
