import { mallocTrim } from './native.ts';

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

/** Once, now: for a process that has started and will hold little. Tens of milliseconds. */
export function giveMemoryBack(): void {
  const collect = (globalThis as { gc?: (options: { type: 'major'; execution: 'sync'; flavor: 'last-resort' }) => void }).gc;
  if (!collect) return;
  collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
  mallocTrim(0);
}
