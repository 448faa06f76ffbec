import type { ListLimits } from './hpack-decoder.ts';

/** A header list, and as much of a compressed block. */
export const listLimits: ListLimits = { octets: 65_536, fields: 256 };
/** HEADERS and CONTINUATION of one block: a list within the limits needs five. */
export const maxBlockFrames = 16;
/** Streams that a client may have open, where the server does not say less. */
export const maxStreams = 1024;
/** Octets of the header lists of a connection's open streams, which are kept so that they can be judged again. */
export const maxKeptOctets = 4 << 20;
/** A header block, or what a connection begins with, must be whole within this time. */
export const blockTimeoutMs = 30_000;

/** How often something may happen that costs and brings nothing: a number at once, and some more each second. */
export class Budget {
  readonly #burst: number;
  readonly #perSecond: number;
  #left: number;
  #filledUs = -1;

  constructor(burst: number, perSecond: number) {
    this.#burst = burst;
    this.#perSecond = perSecond;
    this.#left = burst;
  }

  /** False: used up. `nowUs` in microseconds. */
  take(nowUs: number): boolean {
    if (this.#filledUs < 0) this.#filledUs = nowUs;
    if (this.#left < 1) {
      this.#left = Math.min(this.#burst, this.#left + ((nowUs - this.#filledUs) / 1e6) * this.#perSecond);
      this.#filledUs = nowUs;
      if (this.#left < 1) return false;
    }
    this.#left--;
    return true;
  }

  /** Something useful came: it pays for a few of the others. */
  earn(times: number): void {
    this.#left = Math.min(this.#burst, this.#left + times);
  }
}

/** Frames that carry no message: SETTINGS, PING, PRIORITY, WINDOW_UPDATE, empty DATA, and those of streams that are closed. */
export const controlBudget = () => new Budget(1000, 200);
/** Streams that the client ends before their answer has, or that are reset for what it sent (CVE-2023-44487, CVE-2025-8671); as nghttp2 limits them. */
export const resetBudget = () => new Budget(1000, 33);
/** What one frame of a message pays for in frames that carry none: windows of stream and connection, a ping, and one more. */
export const earnedByMessage = 4;
