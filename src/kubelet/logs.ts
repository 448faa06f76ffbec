/** Container logs in CRI form (`time stream F text`), read whole, from the end, or as they grow. */
import { createReadStream, existsSync, readFileSync, statSync, watch } from 'node:fs';

export interface LogOptions {
  readonly follow: boolean;
  /** Lines from the end; undefined: all. */
  readonly tail: number | undefined;
  readonly previous: boolean;
  readonly timestamps: boolean;
  /** Milliseconds since the epoch; lines before are left out. */
  readonly since: number | undefined;
  readonly signal: AbortSignal;
  /** True when the container will write no more. */
  readonly ended: () => boolean;
}

const pollMs = 200;

/** Lines with their ends (partial ones without), in the order written. `path` is the log's; its older half is `.rotated`, the run before is `.log.1`. */
export async function* readLog(path: string, options: LogOptions): AsyncGenerator<string> {
  const files = options.previous ? [`${path}.1`] : [`${path}.rotated`, path];
  const { text, end } = readNow(files);
  const lines = text.split('\n').filter(Boolean).filter(line => options.since === undefined || Date.parse(line.slice(0, line.indexOf(' '))) >= options.since);
  for (const line of options.tail === undefined ? lines : lines.slice(Math.max(0, lines.length - options.tail))) yield render(line, options.timestamps);
  if (!options.follow || options.previous) return;
  for await (const line of grow(path, end, options)) yield render(line, options.timestamps);
}

/** `2026-11-20T21:57:00.123Z stdout F text` → `text\n`; a partial line (P) goes without its end. */
export function render(line: string, timestamps: boolean): string {
  const match = /^(\S+) (stdout|stderr) ([FP]) ?(.*)$/s.exec(line);
  if (!match) return line + '\n';
  return (timestamps ? `${match[1]} ` : '') + match[4] + (match[3] === 'F' ? '\n' : '');
}

/** Only whole lines count; `end` is where the next one starts in the newest file. */
function readNow(files: readonly string[]): { text: string; end: number } {
  let text = '';
  let end = 0;
  for (const file of files) {
    const content = existsSync(file) ? readFileSync(file) : Buffer.alloc(0);
    end = content.lastIndexOf(10) + 1;
    text += content.subarray(0, end).toString('utf8');
  }
  return { text, end };
}

async function* grow(path: string, from: number, { signal, ended }: LogOptions): AsyncGenerator<string> {
  let at = from;
  let inode = inodeOf(path);
  let wake = () => {};
  const watcher = existsSync(path) ? watch(path, () => wake()) : undefined;
  try {
    while (!signal.aborted) {
      const last = ended();
      // Rotated: the rest of the old file is the end of `.rotated`.
      const now = inodeOf(path);
      if (now !== inode) {
        yield* take(`${path}.rotated`, at).lines;
        at = 0;
        inode = now;
      }
      const part = await tail(path, at);
      at += part.consumed;
      yield* part.lines;
      if (last && part.lines.length === 0) return;
      if (part.lines.length > 0) continue;
      // The watch wakes early; the clock covers a file that was replaced.
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, pollMs);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
        signal.addEventListener('abort', wake, { once: true });
      });
    }
  } finally {
    watcher?.close();
  }
}

function take(path: string, at: number): { lines: string[] } {
  const content = existsSync(path) ? readFileSync(path).subarray(at) : Buffer.alloc(0);
  return { lines: content.toString('utf8').split('\n').filter(Boolean) };
}

async function tail(path: string, at: number): Promise<{ lines: string[]; consumed: number }> {
  if (!existsSync(path)) return { lines: [], consumed: 0 };
  const chunks: Buffer[] = [];
  for await (const chunk of createReadStream(path, { start: at, end: at + (1 << 20) })) chunks.push(chunk as Buffer);
  const content = Buffer.concat(chunks);
  const end = content.lastIndexOf(10) + 1;
  return { lines: content.subarray(0, end).toString('utf8').split('\n').filter(Boolean), consumed: end };
}

function inodeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.ino ?? 0;
}
