// The global one is a getter that is asked each time.
const { performance } = globalThis;

/** What performance.now() must be given to be CLOCK_MONOTONIC. */
const clockOffsetUs = Number(process.hrtime.bigint() / 1000n) - performance.now() * 1000;

export function monotonicMicroseconds(): number {
  return performance.now() * 1000 + clockOffsetUs;
}
