import { backoffMs } from '../std/async.ts';
import { errorText } from '../std/errors.ts';
import type { Logger } from '../std/log.ts';
import { isConflict } from '../kube/errors.ts';

export interface WorkQueueOptions {
  readonly name: string;
  /** Makes the world right for one key. The result, if any, is in how many ms to look again. */
  readonly handle: (key: string) => Promise<number | void>;
  readonly concurrency?: number;
  /** A key is started at most this often: a burst of changes becomes its first and its last state. */
  readonly paceMs?: number;
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly random?: () => number;
}

/**
 * Keys that need a look. A key waits at most once and is never handled twice at the same time: what is added while it is
 * handled is handled once more afterwards. A failing key comes back after its own back-off and holds up nobody.
 */
export class WorkQueue {
  readonly #options: WorkQueueOptions;
  readonly #concurrency: number;
  readonly #waiting = new Set<string>();
  readonly #running = new Set<string>();
  readonly #timers = new Map<string, { readonly timer: NodeJS.Timeout; readonly atMs: number }>();
  readonly #failures = new Map<string, number>();
  readonly #lastStart = new Map<string, number>();
  #scheduled = false;

  constructor(options: WorkQueueOptions) {
    this.#options = options;
    this.#concurrency = options.concurrency ?? 8;
    options.signal.addEventListener('abort', () => this.#stop(), { once: true });
  }

  /** Keys waiting or being handled. */
  get size(): number {
    return this.#waiting.size + this.#running.size;
  }

  get failing(): number {
    return this.#failures.size;
  }

  add(key: string): void {
    if (this.#options.signal.aborted) return;
    this.#waiting.add(key);
    this.#schedule();
  }

  /** Adds the key after `ms`, or earlier if it was to come earlier anyway. */
  addAfter(key: string, ms: number): void {
    if (this.#options.signal.aborted) return;
    const atMs = performance.now() + ms;
    const known = this.#timers.get(key);
    if (known && known.atMs <= atMs) return;
    if (known) clearTimeout(known.timer);
    // A later look is never urgent enough to keep a process alive, nor longer away than a timer can count.
    const timer = setTimeout(() => {
      this.#timers.delete(key);
      this.add(key);
    }, Math.min(ms, 2 ** 31 - 1)).unref();
    this.#timers.set(key, { timer, atMs });
  }

  /** Many adds of one turn of the event loop are one start. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#start();
    });
  }

  #start(): void {
    for (const key of this.#waiting) {
      if (this.#running.size >= this.#concurrency) return;
      if (this.#running.has(key)) continue;
      this.#waiting.delete(key);
      const tooSoonMs = this.#paceLeft(key);
      if (tooSoonMs > 0) {
        this.addAfter(key, tooSoonMs);
        continue;
      }
      this.#running.add(key);
      void this.#handle(key);
    }
  }

  async #handle(key: string): Promise<void> {
    const { handle, log, name, signal, random } = this.#options;
    try {
      const againMs = await handle(key);
      this.#failures.delete(key);
      if (againMs !== undefined) this.addAfter(key, againMs);
    } catch (error) {
      if (signal.aborted) return;
      const failures = (this.#failures.get(key) ?? 0) + 1;
      this.#failures.set(key, failures);
      // A conflict only says that the object changed meanwhile, which the watch is about to tell.
      const level = isConflict(error) && failures < 5 ? 'debug' : 'warn';
      log[level]('controller will try again', { controller: name, key, failures, error: errorText(error) });
      this.addAfter(key, backoffMs(failures - 1, { baseMs: 10, maxMs: 30_000, ...(random ? { random } : {}) }));
    } finally {
      this.#running.delete(key);
      this.#schedule();
    }
  }

  #paceLeft(key: string): number {
    const { paceMs } = this.#options;
    if (paceMs === undefined) return 0;
    const now = performance.now();
    const left = (this.#lastStart.get(key) ?? -Infinity) + paceMs - now;
    if (left > 0) return left;
    this.#lastStart.delete(key);
    this.#lastStart.set(key, now);
    // What has rested longer than its pace needs no memory; the oldest stand first.
    for (const [old, at] of this.#lastStart) {
      if (at + paceMs > now) break;
      this.#lastStart.delete(old);
    }
    return 0;
  }

  #stop(): void {
    this.#waiting.clear();
    for (const { timer } of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }
}
