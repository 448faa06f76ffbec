/** The slowest hundredth: what most of it is, on a shared machine, is what else the machine did. So bursts are taken together, and chance is told. */
import type { Ratio } from './ratios.ts';
import { quantile } from './ratios.ts';

/** Requests by their latency in microseconds. */
export type Histogram = ReadonlyMap<number, number>;

/** A wrk script that prints all latencies that wrk goes by (what a client that waited did not ask is among them): `latencies <µs>:<count>,…`. */
export const tellLatencies = `done = function(summary, latency)
  local all = {}
  for i = 1, #latency do
    local us, count = latency(i)
    all[i] = string.format("%d:%d", us, count)
  end
  io.write("latencies " .. table.concat(all, ",") .. "\\n")
end
`;

/** Of wrk's output. */
export function latenciesOf(stdout: string): Histogram {
  const told = /^latencies (.*)$/m.exec(stdout)?.[1] ?? '';
  return new Map(told.split(',').filter(Boolean).map(each => each.split(':').map(Number) as [number, number]));
}

/** The latency below which that part of all requests is. */
export function latencyAt(part: number, histograms: readonly Histogram[]): number {
  const all = new Map<number, number>();
  let count = 0;
  for (const histogram of histograms) {
    for (const [us, requests] of histogram) {
      all.set(us, (all.get(us) ?? 0) + requests);
      count += requests;
    }
  }
  let below = 0;
  for (const us of [...all.keys()].sort((a, b) => a - b)) {
    below += all.get(us)!;
    if (below >= part * count) return us;
  }
  return NaN;
}

const draws = 200;

/**
 * The latency at `part` of all requests of `over` to that of `under`, each a list of rounds with their bursts. Quarter points: of what it comes to
 * when as many rounds are drawn from these rounds, again and again.
 */
export function tailRatio(part: number, over: readonly (readonly Histogram[])[], under: readonly (readonly Histogram[])[]): Ratio | undefined {
  const rounds = Math.min(over.length, under.length);
  if (rounds === 0) return undefined;
  const of = (chosen: readonly number[]) => latencyAt(part, chosen.flatMap(round => over[round]!)) / latencyAt(part, chosen.flatMap(round => under[round]!));
  const all = Array.from({ length: rounds }, (_, i) => i);
  const drawn = Array.from({ length: draws }, () => of(all.map(() => Math.floor(Math.random() * rounds))));
  return { median: of(all), low: quantile(drawn, 0.25), high: quantile(drawn, 0.75), rounds };
}
