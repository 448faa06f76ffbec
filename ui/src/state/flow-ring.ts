import type { Flow } from '../../../src/model/flow.ts';

const capacity = 10_000;

/** The newest flows, bounded: the oldest go. */
export class FlowRing {
  #flows: Flow[] = [];
  /** Ever added. */
  total = 0;
  /** Matched and not sent, lost before anybody could look. */
  left = 0;
  lost = 0;

  get size(): number {
    return this.#flows.length;
  }

  /** Oldest first. */
  add(flows: readonly Flow[]): void {
    this.total += flows.length;
    // Cut in large steps: moving ten thousand places for each batch would be most of the work.
    if (this.#flows.length + flows.length > capacity * 1.25) this.#flows = this.#flows.slice(-(Math.max(0, capacity - flows.length)));
    for (const flow of flows) this.#flows.push(flow);
    if (this.#flows.length > capacity * 1.25) this.#flows = this.#flows.slice(-capacity);
  }

  clear(): void {
    this.#flows = [];
    this.total = 0;
    this.left = 0;
    this.lost = 0;
  }

  /** A copy, oldest first, of what matches. */
  snapshot(matches?: (flow: Flow) => boolean): readonly Flow[] {
    return matches ? this.#flows.filter(matches) : this.#flows.slice();
  }

  find(id: string): Flow | undefined {
    return this.#flows.findLast(flow => flow.id === id);
  }
}
