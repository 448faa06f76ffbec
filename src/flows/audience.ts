import type { FlowConsumer, LostFlows } from './consumer.ts';
import { layout } from './decode.ts';
import { EventType } from './event.ts';
import type { ColumnView } from './view.ts';

export interface AudienceDependencies {
  readonly view: ColumnView;
  readonly monotonicNs: () => bigint;
  /** A consumer threw and was taken off. */
  readonly onFailed: (error: unknown) => void;
}

/** While rings fill, a consumer may take so long for a flow, on average over a turn; looked at after so many flows. */
const hurriedNs = 1_000;
const checkEvery = 64;
/** What a consumer may have saved up: a collection of garbage, or another process's turn, is not its slowness. */
const mostSavedNs = 5_000_000;

/**
 * Those who see every flow. While the kernel's rings fill faster than they are read, nobody may hold up the reading: a consumer
 * that takes too long in a turn loses the rest of that turn and is told how many of which class. The others lose nothing. What it takes less
 * than it may it has for later turns, and something of it after each turn in which there was no hurry.
 */
export class Audience {
  readonly #view: ColumnView;
  readonly #monotonicNs: () => bigint;
  readonly #onFailed: (error: unknown) => void;
  #consumers: readonly FlowConsumer[] = [];
  readonly #savedNs = new Map<FlowConsumer, number>();

  constructor({ view, monotonicNs, onFailed }: AudienceDependencies) {
    this.#view = view;
    this.#monotonicNs = monotonicNs;
    this.#onFailed = onFailed;
  }

  /** Returns how to leave. */
  join(consumer: FlowConsumer): () => void {
    this.#consumers = [...this.#consumers, consumer];
    return () => this.#leave(consumer);
  }

  tell(slots: Uint32Array, count: number, isHurried: boolean): void {
    this.#each(consumer => {
      if (isHurried) this.#tellHurried(consumer, slots, count);
      else {
        for (let i = 0; i < count; i++) consumer.flow(this.#view.at(slots[i]!));
        this.#savedNs.set(consumer, mostSavedNs);
      }
    });
  }

  lost(lost: LostFlows): void {
    this.#each(consumer => consumer.lost?.(lost));
  }

  settle(): void {
    this.#each(consumer => consumer.settle?.());
  }

  #tellHurried(consumer: FlowConsumer, slots: Uint32Array, count: number): void {
    const startNs = this.#monotonicNs();
    const budgetNs = Math.max(count, checkEvery) * hurriedNs + (this.#savedNs.get(consumer) ?? 0);
    let at = 0;
    for (; at < count; at++) {
      if (at > 0 && at % checkEvery === 0 && Number(this.#monotonicNs() - startNs) > budgetNs) break;
      consumer.flow(this.#view.at(slots[at]!));
    }
    this.#savedNs.set(consumer, Math.max(0, Math.min(mostSavedNs, budgetNs - Number(this.#monotonicNs() - startNs))));
    if (at < count) this.#lose(consumer, slots, at, count);
  }

  #lose(consumer: FlowConsumer, slots: Uint32Array, from: number, to: number): void {
    let drops = 0;
    for (let i = from; i < to; i++) if (this.#view.columns.byte(slots[i]!, layout.type) === EventType.drop) drops++;
    for (const [name, count] of [['drops', drops], ['flows', to - from - drops]] as const) {
      if (count > 0) consumer.lost?.({ source: 'OBSERVER_EVENTS_QUEUE', class: name, count });
    }
  }

  #each(run: (consumer: FlowConsumer) => void): void {
    for (const consumer of this.#consumers) {
      try {
        run(consumer);
      } catch (error) {
        this.#leave(consumer);
        this.#onFailed(error);
      }
    }
  }

  #leave(consumer: FlowConsumer): void {
    this.#consumers = this.#consumers.filter(other => other !== consumer);
    this.#savedNs.delete(consumer);
  }
}
