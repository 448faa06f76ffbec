import { errorText } from '../std/errors.ts';
import type { Logger } from '../std/log.ts';

/** Work that is done again and again, each round in small steps: what fails is told once, and the next round begins anew. */
export class Rounds<R> {
  readonly #round: () => Generator<void, R, undefined>;
  readonly #over: (result: R) => number;
  readonly #options: { readonly log: Logger; readonly failed: string; readonly betweenStepsMs: number; readonly afterFailureMs: number };
  #work: Generator<void, R, undefined> | undefined;
  #failure: string | undefined;

  /** `over` takes what a round has come to, and says how long to rest, in ms. `failed`: what could not be done. */
  constructor(round: () => Generator<void, R, undefined>, over: (result: R) => number, options: { readonly log: Logger; readonly failed: string; readonly betweenStepsMs: number; readonly afterFailureMs: number }) {
    this.#round = round;
    this.#over = over;
    this.#options = options;
  }

  /** Returns ms until the next step is due. */
  step(): number {
    const { log, failed, betweenStepsMs, afterFailureMs } = this.#options;
    try {
      this.#work ??= this.#round();
      const { done, value } = this.#work.next();
      if (!done) return betweenStepsMs;
      this.#work = undefined;
      this.#failure = undefined;
      return this.#over(value);
    } catch (error) {
      this.#work = undefined;
      const message = errorText(error);
      if (message !== this.#failure) log.error(`${failed}; the next round begins anew`, { error: message });
      this.#failure = message;
      return afterFailureMs;
    }
  }

  /** Rounds until the signal aborts. */
  start(signal: AbortSignal): void {
    let timer: NodeJS.Timeout;
    const turn = (): void => {
      timer = setTimeout(turn, this.step());
      timer.unref();
    };
    turn();
    signal.addEventListener('abort', () => clearTimeout(timer), { once: true });
  }
}
