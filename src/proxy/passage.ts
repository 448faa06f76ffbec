import type { Leg, LegOwner } from './leg.ts';
import type { Loop } from './loop.ts';
import type { Side } from './protocol.ts';
import { Transit } from './transit.ts';

/** What of a connection passes unread. */
export class Passage {
  /** Bytes of a side that pass. */
  readonly left = { client: 0, server: 0 };
  /** All passes, and the session is asked nothing more. */
  all = false;
  readonly #loop: Loop;
  readonly #owner: LegOwner;
  #transits: { readonly client: Transit; readonly server: Transit } | undefined;

  constructor(loop: Loop, owner: LegOwner) {
    this.#loop = loop;
    this.#owner = owner;
  }

  /** In pipes. */
  get held(): number {
    return this.heldOf('client') + this.heldOf('server');
  }

  get rests(): boolean {
    return this.held === 0 && (this.all || this.left.client + this.left.server === 0);
  }

  heldOf(from: Side): number {
    return this.#transits?.[from].held ?? 0;
  }

  /** Bytes of that side that pass. */
  leftOf(from: Side): number {
    return from === 'client' ? this.left.client : this.left.server;
  }

  /** That many of them have passed. */
  passed(from: Side, bytes: number): void {
    if (from === 'client') this.left.client -= bytes;
    else this.left.server -= bytes;
  }

  passAll(): void {
    this.all = true;
    this.left.client = this.left.server = Infinity;
  }

  /** As `Transit.move`; what has passed is counted. */
  move(from: Leg, into: Leg): number {
    this.#transits ??= { client: new Transit(this.#loop, this.#owner), server: new Transit(this.#loop, this.#owner) };
    const count = this.#transits[from.side].move(from, into, this.leftOf(from.side));
    if (count > 0) this.passed(from.side, count);
    return count;
  }

  /** There is room in `into` again. True when nothing waits for it any more. */
  drain(into: Leg): boolean {
    return this.#transits?.[into.side === 'client' ? 'server' : 'client'].drain(into) ?? true;
  }

  close(): void {
    this.#transits?.client.close();
    this.#transits?.server.close();
  }
}
