import { Signal } from '../std/async.ts';
import type { Logger } from '../std/log.ts';

/** Something with a `watch`: any table, whatever its rows. */
export interface Watchable {
  watch(onMark: () => void): () => void;
}

/**
 * Runs a step whenever one of its inputs changed: many changes, one run. The step reads tables and writes tables (or throws,
 * which is logged and retried with the next change or after `retryMs`). All steps of a process run on one event loop, one at
 * a time, so a step sees its inputs at one instant.
 */
export async function derive(
  options: { readonly name: string; readonly inputs: readonly Watchable[]; readonly step: () => void | Promise<void>; readonly retryMs?: number },
  dependencies: { readonly log: Logger; readonly signal: AbortSignal },
): Promise<void> {
  const mark = new Signal();
  const stops = options.inputs.map(input => input.watch(() => mark.mark()));
  mark.mark();
  let failed = false;
  try {
    while (!dependencies.signal.aborted) {
      await mark.wait(failed ? { timeoutMs: options.retryMs ?? 1_000, signal: dependencies.signal } : { signal: dependencies.signal });
      if (dependencies.signal.aborted) break;
      try {
        await options.step();
        failed = false;
      } catch (error) {
        failed = true;
        dependencies.log.error('derivation failed', { step: options.name, error: String(error), stack: error instanceof Error ? error.stack : undefined });
      }
    }
  } finally {
    for (const stop of stops) stop();
  }
}
