/** Ratios of two cells, round by round: what a run of the harness is judged by. Pure. */

/** One burst of one cell, as the harness writes it. */
export interface Burst {
  readonly round: number;
  readonly rate: number;
  readonly cpu_us: number;
  readonly aux_us?: number;
  readonly p50: number;
  readonly p99: number;
  readonly c50?: number;
  readonly err?: number;
}

export interface HarnessResult {
  readonly cells: readonly string[];
  /** Cell → mode → bursts. */
  readonly res: Readonly<Record<string, Readonly<Record<string, readonly Burst[]>>>>;
  /** Cell → wall ms and CPU ms of programming everything. */
  readonly prog: Readonly<Record<string, string>>;
  readonly load: readonly number[];
}

export interface Ratio {
  readonly median: number;
  readonly low: number;
  readonly high: number;
  readonly rounds: number;
}

export interface Verdict {
  readonly mode: string;
  /** What is compared: processor µs an operation, unless it says another. */
  readonly what: string;
  readonly ratio: Ratio;
  readonly limit: number;
  readonly isUpper: boolean;
  readonly isMet: boolean;
}

/** What a burst took: processor time, or the clock of connect() alone. Microseconds. */
export type Measure = 'cpu_us' | 'c50';

/** What `over` took to what `under` took in the rounds that have both: median and quarter points. */
export function ratio(result: HarnessResult, mode: string, over: string, under: string, measure: Measure = 'cpu_us'): Ratio | undefined {
  return pooledRatio(result, mode, [[over, under]], measure);
}

/** The same over several pairs that should not differ: one process's luck, or a machine that is slower for a while, does not decide. */
export function pooledRatio(result: HarnessResult, mode: string, pairs: readonly (readonly [over: string, under: string])[], measure: Measure = 'cpu_us'): Ratio | undefined {
  const bursts = (cell: string) => new Map((result.res[cell]?.[mode] ?? []).flatMap(burst => (burst[measure] ? [[burst.round, burst[measure]] as const] : [])));
  const values = pairs.flatMap(([over, under]) => {
    const below = bursts(under);
    return [...bursts(over)].flatMap(([round, took]) => (below.get(round) ? [took / below.get(round)!] : []));
  }).sort((a, b) => a - b);
  if (values.length === 0) return undefined;
  const at = (part: number) => values[Math.min(values.length - 1, Math.floor(part * values.length))]!;
  return { median: median(values), low: at(0.25), high: at(0.75), rounds: values.length };
}

/** The same thing twice: when these differ the machine was not fit to measure on. */
export function isGoodPair(pair: Ratio | undefined): boolean {
  return pair !== undefined && pair.low >= 0.97 && pair.high <= 1.03;
}

export function verdicts(result: HarnessResult, mode: string, services: number): Verdict[] {
  const ours = `cirri:${services}`;
  const targets: readonly { mode: string; over: string; under: string; limit: number; isUpper: boolean; measure?: Measure }[] = [
    { mode: 'crr', over: ours, under: 'floor:0', limit: 1.05, isUpper: true },
    { mode: 'crr', over: `ipt-legacy:${services}`, under: ours, limit: 3.2, isUpper: false },
    { mode: 'crr', over: `nft:${services}`, under: ours, limit: 1.25, isUpper: false },
    { mode: 'crr', over: ours, under: 'cirri:10', limit: 1.03, isUpper: true },
    { mode: 'crr', over: `ipt-legacy:${services}`, under: ours, limit: 5.5, isUpper: false, measure: 'c50' },
    { mode: 'crr', over: `nft:${services}`, under: ours, limit: 1.22, isUpper: false, measure: 'c50' },
    { mode: 'rr', over: ours, under: 'floor:0', limit: 1.02, isUpper: true },
    { mode: 'rr', over: `ipt-legacy:${services}`, under: ours, limit: 1.2, isUpper: false },
    { mode: 'rr', over: `nft:${services}`, under: ours, limit: 1.2, isUpper: false },
    { mode: 'rr', over: ours, under: 'cirri:10', limit: 1.03, isUpper: true },
    { mode: 'rr', over: 'floor:0', under: 'cirri-sockmap:10', limit: 2, isUpper: false },
  ];
  return targets.filter(target => target.mode === mode).flatMap(({ over, under, limit, isUpper, measure }) => {
    const found = ratio(result, mode, over, under, measure);
    return found ? [{ mode, what: `${over} / ${under}${measure === 'c50' ? ' (p50 of connect)' : ''}`, ratio: found, limit, isUpper, isMet: isUpper ? found.median <= limit : found.median >= limit }] : [];
  });
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))]!;
}
