import type { Difference } from '../features/policy/entries.ts';
import type { PolicyAuditStatus } from '../model/status.ts';
import { errorText } from '../std/errors.ts';
import type { Logger } from '../std/log.ts';

export interface PolicyAuditOptions {
  /** Entries compared at one step. */
  readonly entriesPerStep: number;
}

export interface PolicyAuditDependencies {
  readonly sets: { audit(): Generator<Difference | undefined, void, undefined> };
  /** False while what stands in the kernel is still an earlier agent's. */
  readonly isReady: () => boolean;
  readonly log: Logger;
  /** Told of each difference. */
  readonly onDifference: (text: string) => void;
  readonly now?: () => number;
}

const differencesKept = 20;

/**
 * Compares the kernel's policy tables with what was meant, a few entries at a time and round after round, and mends what
 * differs. Nothing but this node's agent writes there: a difference is a fault of ours, of the kernel or of somebody with root,
 * so each is an alarm.
 */
export class PolicyAudit {
  readonly #options: PolicyAuditOptions;
  readonly #deps: PolicyAuditDependencies;
  #round: Generator<Difference | undefined, void, undefined> | undefined;
  #rounds = 0;
  #compared = 0;
  #differences = 0;
  #failure: string | undefined;
  readonly #last: { readonly time: string; readonly text: string }[] = [];

  constructor(options: PolicyAuditOptions, dependencies: PolicyAuditDependencies) {
    this.#options = options;
    this.#deps = dependencies;
  }

  get status(): PolicyAuditStatus {
    return { rounds: this.#rounds, compared: this.#compared, differences: this.#differences, last: [...this.#last], ...(this.#failure === undefined ? {} : { failure: this.#failure }) };
  }

  /** Goes on where the last step stopped. */
  step(): void {
    if (!this.#deps.isReady()) return;
    try {
      for (let left = this.#options.entriesPerStep; left > 0; left--) if (!this.#compareOne()) return;
      this.#failure = undefined;
    } catch (error) {
      this.#round = undefined;
      this.#fail(errorText(error));
    }
  }

  /** A step every so often until the signal aborts. */
  start(everyMs: number, signal: AbortSignal): void {
    const timer = setInterval(() => this.step(), everyMs);
    timer.unref();
    signal.addEventListener('abort', () => clearInterval(timer), { once: true });
  }

  /** False at the end of a round. */
  #compareOne(): boolean {
    this.#round ??= this.#deps.sets.audit();
    const { done, value } = this.#round.next();
    if (done) {
      this.#round = undefined;
      this.#rounds++;
      return false;
    }
    this.#compared++;
    if (value?.mend()) this.#tell(value.text);
    return true;
  }

  #tell(text: string): void {
    this.#differences++;
    this.#last.unshift({ time: new Date((this.#deps.now ?? Date.now)()).toISOString(), text });
    this.#last.splice(differencesKept);
    this.#deps.log.error('a policy table in the kernel was not what it should be, and was mended', { difference: text });
    this.#deps.onDifference(text);
  }

  #fail(message: string): void {
    if (message !== this.#failure) this.#deps.log.error('the policy tables could not be compared; the next step begins anew', { error: message });
    this.#failure = message;
  }
}
