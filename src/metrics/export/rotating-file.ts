import { close, createReadStream, createWriteStream, fstat, mkdir, open, readdir, rename, unlink, write, constants } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { createGzip } from 'node:zlib';
import { backoffMs } from '../../std/async.ts';
import { errorText } from '../../std/errors.ts';

const io = {
  open: promisify(open), close: promisify(close), stat: promisify(fstat), write: promisify(write), mkdir: promisify(mkdir), readdir: promisify(readdir), rename: promisify(rename), unlink: promisify(unlink),
};

export interface RotatingFileOptions {
  readonly path: string;
  readonly maxBytes: number;
  /** Rotated files that are kept; 0 keeps all, as upstream. */
  readonly maxBackups: number;
  readonly compress: boolean;
  /** What may wait to be written; more is lost and counted. Default 4 MiB. */
  readonly maxWaitingBytes?: number;
  readonly random?: () => number;
}

/**
 * Lines in a file that is rotated by size: `flows.log` becomes `flows-2026-11-28T14-36-22.123.log`, with `.gz` behind it where it
 * is compressed. Nobody waits for the disk: lines gather in memory while one write is under way, in threads of the runtime; a disk
 * that is full or a folder that may not be written costs the lines, which are counted, and is tried again.
 */
export class RotatingFile {
  readonly #options: RotatingFileOptions;
  readonly #maxWaiting: number;
  #waiting: string[] = [];
  #waitingBytes = 0;
  #fd: number | undefined;
  #size = 0;
  /** A line was cut in the middle: the next one begins on its own. */
  #cut = false;
  #busy: Promise<void> | undefined;
  #failures = 0;
  #retryAt = 0;
  #trouble: string | undefined;
  #written = 0;
  #lost = 0;
  #closed = false;
  #backupTime = 0;

  constructor(options: RotatingFileOptions) {
    this.#options = options;
    this.#maxWaiting = options.maxWaitingBytes ?? 4 << 20;
  }

  /** Lines. */
  get written(): number {
    return this.#written;
  }

  get lost(): number {
    return this.#lost;
  }

  /** Why nothing is written now. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  /** Takes a line without its end. */
  add(line: string): void {
    if (this.#closed || this.#waitingBytes + line.length > this.#maxWaiting) {
      this.#lost++;
      return;
    }
    this.#waiting.push(line);
    this.#waitingBytes += line.length + 1;
  }

  /** Writes what waits, unless that is being done. */
  flush(): void {
    if (this.#busy !== undefined || this.#waiting.length === 0 || performance.now() < this.#retryAt) return;
    this.#busy = this.#write().finally(() => {
      this.#busy = undefined;
      // What came meanwhile.
      this.flush();
    });
  }

  /** Everything that was added is written, as far as the disk lets it. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#retryAt = 0;
    this.flush();
    while (this.#busy !== undefined) await this.#busy;
    this.#lost += this.#waiting.length;
    this.#waiting = [];
    if (this.#fd !== undefined) await io.close(this.#fd).catch(() => {});
    this.#fd = undefined;
  }

  async #write(): Promise<void> {
    const lines = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    let done = 0;
    try {
      while (done < lines.length) {
        const fd = await this.#open();
        const { text, count } = this.#piece(lines, done);
        const bytes = Buffer.from(this.#cut ? `\n${text}` : text);
        let at = 0;
        while (at < bytes.length) {
          this.#cut = true;
          const { bytesWritten } = await io.write(fd, bytes, at);
          at += bytesWritten;
          this.#size += bytesWritten;
        }
        this.#cut = false;
        done += count;
        this.#written += count;
        if (this.#size >= this.#options.maxBytes) await this.#rotate();
      }
      this.#failures = 0;
      this.#trouble = undefined;
    } catch (error) {
      this.#lost += lines.length - done;
      this.#trouble = `${this.#options.path}: ${errorText(error)}`;
      this.#retryAt = performance.now() + backoffMs(this.#failures++, { baseMs: 500, maxMs: 30_000, ...(this.#options.random ? { random: this.#options.random } : {}) });
      if (this.#fd !== undefined) await io.close(this.#fd).catch(() => {});
      this.#fd = undefined;
    }
  }

  /** As many lines as the file takes, at least one. */
  #piece(lines: readonly string[], from: number): { readonly text: string; readonly count: number } {
    let text = '';
    let count = 0;
    for (let i = from; i < lines.length && (count === 0 || this.#size + text.length < this.#options.maxBytes); i++) {
      text += `${lines[i]!}\n`;
      count++;
    }
    return { text, count };
  }

  async #open(): Promise<number> {
    if (this.#fd !== undefined) return this.#fd;
    const { path } = this.#options;
    await io.mkdir(dirname(path), { recursive: true });
    // No link: whoever may write in the folder could otherwise choose what root appends to.
    const fd = await io.open(path, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
    this.#fd = fd;
    this.#size = (await io.stat(fd)).size;
    return fd;
  }

  async #rotate(): Promise<void> {
    const { path, compress } = this.#options;
    if (this.#fd !== undefined) await io.close(this.#fd);
    this.#fd = undefined;
    this.#size = 0;
    const backup = await this.#freeName();
    await io.rename(path, backup);
    if (compress) await compressFile(backup);
    await this.#prune();
  }

  async #freeName(): Promise<string> {
    const { path } = this.#options;
    const taken = new Set(await io.readdir(dirname(path)));
    // Later than the last one, whatever the clock says and has been taken away since: names are in the order of their lines.
    for (let time = Math.max(Date.now(), this.#backupTime + 1); ; time++) {
      const name = backupName(path, new Date(time));
      if (taken.has(name) || taken.has(`${name}.gz`)) continue;
      this.#backupTime = time;
      return join(dirname(path), name);
    }
  }

  async #prune(): Promise<void> {
    const { path, maxBackups } = this.#options;
    if (maxBackups === 0) return;
    const backups = (await io.readdir(dirname(path))).filter(name => isBackup(path, name)).sort();
    for (const name of backups.slice(0, Math.max(0, backups.length - maxBackups))) await io.unlink(join(dirname(path), name));
  }
}

function stem(path: string): { readonly name: string; readonly extension: string } {
  const extension = extname(path);
  return { name: basename(path, extension), extension };
}

/** `flows-2026-11-28T14-36-22.123.log`. */
function backupName(path: string, time: Date): string {
  const { name, extension } = stem(path);
  return `${name}-${time.toISOString().slice(0, -1).replaceAll(':', '-')}${extension}`;
}

function isBackup(path: string, name: string): boolean {
  const { name: before, extension } = stem(path);
  if (!name.startsWith(`${before}-`)) return false;
  const rest = name.slice(before.length + 1).replace(/\.gz$/, '');
  return rest.endsWith(extension) && /^\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}$/.test(extension === '' ? rest : rest.slice(0, -extension.length));
}

async function compressFile(path: string): Promise<void> {
  const part = `${path}.gz.part`;
  await pipeline(createReadStream(path), createGzip({ level: 6 }), createWriteStream(part, { mode: 0o600 }));
  await io.rename(part, `${path}.gz`);
  await io.unlink(path);
}
