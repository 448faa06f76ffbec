/** The last events of a kind, each with its time, and those who wait for new ones. Bounded; the oldest goes first. */
export class EventRing<T> {
  readonly #capacity: number;
  readonly #events: { readonly timeNs: number; readonly event: T }[] = [];
  readonly #readers = new Set<(timeNs: number, event: T) => void>();

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get size(): number {
    return this.#events.length;
  }

  push(timeNs: number, event: T): void {
    this.#events.push({ timeNs, event });
    // In steps, so that a full ring does not move all of it for each event.
    if (this.#events.length >= this.#capacity * 2) this.#events.splice(0, this.#events.length - this.#capacity);
    for (const reader of this.#readers) reader(timeNs, event);
  }

  /** The events held, oldest first. */
  all(): readonly { readonly timeNs: number; readonly event: T }[] {
    return this.#events.slice(-this.#capacity);
  }

  /** Hears of every event from now on. Returns how to stop it. */
  follow(reader: (timeNs: number, event: T) => void): () => void {
    this.#readers.add(reader);
    return () => void this.#readers.delete(reader);
  }
}
