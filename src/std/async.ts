/** Waiting without losing the way out: everything here takes an AbortSignal. */

/** Resolves after `ms`, or rejects with the signal's reason. The timer does not keep the process alive on abort. */
export function delay(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason as Error);
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal!.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, ms);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

/** Exponential back-off with full jitter: 0 ≤ result < min(maxMs, baseMs·2^attempt), never under baseMs/2. */
export function backoffMs(attempt: number, options: { baseMs?: number; maxMs?: number; random?: () => number } = {}): number {
  const { baseMs = 100, maxMs = 30_000, random = Math.random } = options;
  const ceiling = Math.min(maxMs, baseMs * 2 ** Math.min(attempt, 20));
  return Math.max(baseMs / 2, random() * ceiling);
}

/**
 * A condition polled with a deadline. For what the kernel or another process offers no event for; the error says what was
 * awaited. Never a substitute for an event that exists.
 */
export async function waitFor<T>(
  what: string,
  probe: () => T | undefined | false | Promise<T | undefined | false>,
  options: { timeoutMs?: number; everyMs?: number; signal?: AbortSignal } = {},
): Promise<T> {
  const { timeoutMs = 10_000, everyMs = 20, signal } = options;
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline) throw new Error(`timed out after ${timeoutMs} ms waiting for ${what}`);
    await delay(everyMs, signal);
  }
}

/** A mark that handlers set and one loop takes: many marks, one turn. */
export class Signal {
  #waiting: (() => void) | undefined;
  #marked = false;

  mark(): void {
    this.#marked = true;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.();
  }

  /** Resolves when marked (at once if it already is) and clears the mark; or when `timeoutMs` has passed or `signal` aborts. */
  async wait(options: { timeoutMs?: number; signal?: AbortSignal } = {}): Promise<void> {
    if (!this.#marked && !options.signal?.aborted) {
      await new Promise<void>(resolve => {
        const done = () => {
          if (timer) clearTimeout(timer);
          options.signal?.removeEventListener('abort', done);
          this.#waiting = undefined;
          resolve();
        };
        const timer = options.timeoutMs === undefined ? undefined : setTimeout(done, options.timeoutMs);
        options.signal?.addEventListener('abort', done, { once: true });
        this.#waiting = done;
      });
    }
    this.#marked = false;
  }
}
