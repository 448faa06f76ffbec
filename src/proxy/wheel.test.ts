import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Timed, Wheel } from './wheel.ts';

class Probe implements Timed {
  wheelTick = 0;
  wheelPrevious: Timed | undefined;
  wheelNext: Timed | undefined;
  /** When it wants to be called; 0: never. */
  wanted = 0;
  readonly calls: number[] = [];

  tick(now: number): number {
    if (this.wanted === 0) return 0;
    if (now < this.wanted) return this.wanted;
    this.calls.push(now);
    this.wanted = 0;
    return 0;
  }
}

test('each object is called once at its time, however often it was put off or brought forward', () => {
  const step = fc.record({ who: fc.nat(4), inTicks: fc.integer({ min: 1, max: 3000 }), advance: fc.oneof(fc.nat(5), fc.nat(4000)), stop: fc.boolean() });
  fc.assert(fc.property(fc.array(step, { maxLength: 60 }), steps => {
    const wheel = new Wheel(1000);
    const probes = Array.from({ length: 5 }, () => new Probe());
    let now = 1000;
    for (const { who, inTicks, advance, stop } of steps) {
      const probe = probes[who]!;
      probe.wanted = stop ? 0 : now + inTicks;
      if (!stop) wheel.arm(probe, probe.wanted);
      const due = probes.filter(({ wanted }) => wanted !== 0 && wanted <= now + advance).map(each => ({ each, wanted: each.wanted, calls: each.calls.length }));
      now += advance;
      wheel.advance(now);
      for (const { each, wanted, calls } of due) {
        assert.equal(each.calls.length, calls + 1);
        assert.ok(each.calls.at(-1)! >= wanted && each.calls.at(-1)! <= now);
      }
      assert.ok(probes.every(each => each.wanted === 0 || each.wanted > now));
    }
  }));
});
