import { readFileSync } from 'node:fs';
import { getHeapStatistics } from 'node:v8';
import { madvise, mallocTrim } from './native.ts';

/** Room that the heap holds and does not use, above which it is given back. */
const slackBytes = 24 << 20;

/**
 * Gives memory back after bursts. The first lists of a large cluster make a heap three times as large as what stays, and
 * neither V8 nor malloc returns it by itself for a long time. A collection takes tens of milliseconds in which no packet
 * waits: the datapath does not know that the agent exists. Needs `--expose-gc`; without it nothing happens.
 */
export function keepMemorySmall(options: { readonly signal: AbortSignal; readonly everyMs?: number }): void {
  const { signal, everyMs = 15_000 } = options;
  const timer = setInterval(() => {
    const { heapTotal, heapUsed } = process.memoryUsage();
    if (heapTotal - heapUsed >= slackBytes) giveMemoryBack();
  }, everyMs);
  timer.unref();
  signal.addEventListener('abort', () => clearInterval(timer), { once: true });
}

/** What a process that is above its limit must have grown by before it is worth looking again for what can be given back. */
const worthBytes = 2 << 20;
/** And its heap, before it is worth a collection that nobody waits for; and before it is worth one that somebody does. */
const worthCollecting = { idle: 2 << 20, busy: 5 << 20 } as const;

/** So many times the limit are given back at once, whoever waits. */
const urgent = 1.3;

/** Pages of a file that are in use come back within a second, while requests wait for them: they are looked through rarely, and late. */
const unmapEveryMs = 60_000;

/**
 * For a process that is to stay small while it works: above `bytes` it gives back what malloc keeps of compilations that are over, and
 * collects what connections that have ended left in the old space, where V8 itself would wait for four times what lives; when that is not
 * enough, pages of Node's file that nobody has asked for lately go too. A collection takes some ten milliseconds, the rest a few: while
 * `isBusy` says so, asked every `momentMs`, both wait for a moment in which nobody does, until there is much of it. Needs `--expose-gc` to collect.
 */
export function keepResidentBelow(bytes: number, options: { readonly signal: AbortSignal; readonly isBusy?: () => boolean; readonly everyMs?: number; readonly momentMs?: number }): void {
  const { signal, isBusy = () => false, everyMs = 2_000, momentMs = 30 } = options;
  let left = 0;
  let livesBytes = Infinity;
  let unmapAt = 0;
  let moment: NodeJS.Timeout | undefined;
  const isMuch = (resident: number) => (resident >= bytes * urgent && resident >= left + worthBytes) || heapBytes() - livesBytes >= worthCollecting.busy;
  const give = () => {
    clearInterval(moment);
    moment = undefined;
    if (heapBytes() - livesBytes >= worthCollecting.idle) livesBytes = collectAll(livesBytes);
    mallocTrim(0);
    left = process.memoryUsage.rss();
    if (left < bytes * 1.1 || performance.now() < unmapAt) return;
    unmapAt = performance.now() + unmapEveryMs;
    unmapStartupPages();
  };
  const timer = setInterval(() => {
    const resident = process.memoryUsage.rss();
    livesBytes = Math.min(livesBytes, heapBytes());
    if (resident < bytes || (heapBytes() - livesBytes < worthCollecting.idle && resident < left + worthBytes)) return;
    if (moment && isMuch(resident)) return give();
    isBusy();
    moment ??= setInterval(() => void (isBusy() || give()), momentMs).unref();
  }, everyMs);
  timer.unref();
  signal.addEventListener('abort', () => {
    clearInterval(timer);
    clearInterval(moment);
  }, { once: true });
}

function collector(): ((options: { readonly type: 'major'; readonly execution: 'sync'; readonly flavor?: 'last-resort' }) => void) | undefined {
  return (globalThis as { gc?: ReturnType<typeof collector> }).gc;
}

const heapBytes = (): number => getHeapStatistics().used_heap_size;

/** What is left then. A collection that V8 had begun already leaves all that has come since: another one follows it. */
function collectAll(expectedBytes: number): number {
  const collect = collector();
  for (let round = 0; round < 2 && heapBytes() - expectedBytes >= worthCollecting.idle; round++) collect?.({ type: 'major', execution: 'sync' });
  return heapBytes();
}

/** MADV_DONTNEED of madvise(2). */
const DONT_NEED = 4;

/** Once, now: for a process that has started and will hold little. Tens of milliseconds. */
export function giveMemoryBack(): void {
  const collect = collector();
  if (!collect) return;
  collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
  mallocTrim(0);
  unmapStartupPages();
}

/**
 * Node's own file is over 100 MB, of which starting maps some 45: the kernel maps 16 pages for each that is touched. Most are never
 * asked for again. They are clean pages of a file: who needs one finds it in the page cache, with a fault of a microsecond. Returns
 * how many bytes were no longer mapped.
 */
export function unmapStartupPages(): number {
  let bytes = 0;
  for (const { start, length, resident } of cleanMappings(readFileSync('/proc/self/smaps', 'latin1'), process.execPath)) {
    if (madvise(start, length, DONT_NEED) === 0) bytes += resident;
  }
  return bytes;
}

/** Read-only mappings of a file of which the process has no page of its own: what was changed there once (relocations) would be lost. */
export function cleanMappings(smaps: string, path: string): { readonly start: number; readonly length: number; readonly resident: number }[] {
  return smaps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m).flatMap(mapping => {
    const [head = ''] = mapping.split('\n', 1);
    const found = /^([0-9a-f]+)-([0-9a-f]+) r-[x-]p \S+ \S+ \S+ +(.*)$/.exec(head);
    const kilobytes = (field: string) => Number(new RegExp(`^${field}: +(\\d+) kB`, 'm').exec(mapping)?.[1] ?? NaN);
    if (!found || found[3] !== path || kilobytes('Anonymous') !== 0 || kilobytes('Private_Dirty') !== 0) return [];
    const [start, end] = [parseInt(found[1]!, 16), parseInt(found[2]!, 16)];
    return [{ start, length: end - start, resident: kilobytes('Rss') * 1024 }];
  });
}
