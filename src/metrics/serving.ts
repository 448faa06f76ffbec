import { backoffMs, delay } from '../std/async.ts';
import { errorText } from '../std/errors.ts';
import type { Logger } from '../std/log.ts';
import { startMetricsServer, type MetricsServerOptions } from './server.ts';

export interface Serving {
  /** Why metrics are not told now: the port is taken. Tried again until it is free. */
  readonly trouble: string | undefined;
}

/** Serves metrics as soon as the port is to be had. Never fails: whoever starts it has more important things to do. */
export function keepServing(options: MetricsServerOptions, dependencies: { readonly log: Logger; readonly signal: AbortSignal }): Serving {
  const { log, signal } = dependencies;
  const state: { trouble: string | undefined } = { trouble: undefined };
  void (async () => {
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        await startMetricsServer(options, { log, signal });
        state.trouble = undefined;
        return;
      } catch (error) {
        state.trouble = `port ${options.port}: ${errorText(error)}`;
        if (attempt === 0) log.warn('metrics are not served; tried again', { port: options.port, error: errorText(error) });
        await delay(backoffMs(attempt, { baseMs: 1_000 }), signal).catch(() => {});
      }
    }
  })();
  return state;
}
