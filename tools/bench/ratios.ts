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
  readonly what: string;
  readonly ratio: Ratio;
  readonly limit: number;
  readonly isUpper: boolean;
  readonly isMet: boolean;
}

/** Processor time of `over` to that of `under` in the rounds that have both: median and quarter points. */
export function ratio(result: HarnessResult, mode: string, over: string, under: string): Ratio | undefined {
  const bursts = (cell: string) => new Map((result.res[cell]?.[mode] ?? []).map(burst => [burst.round, burst.cpu_us]));
  const below = bursts(under);
  const values = [...bursts(over)].flatMap(([round, cpu]) => (below.get(round) ? [cpu / below.get(round)!] : [])).sort((a, b) => a - b);
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
  const targets = [
    { mode: 'crr', over: ours, under: 'floor:0', limit: 1.05, isUpper: true },
    { mode: 'crr', over: `ipt-legacy:${services}`, under: ours, limit: 3, isUpper: false },
    { mode: 'crr', over: `nft:${services}`, under: ours, limit: 1.2, isUpper: false },
    { mode: 'rr', over: ours, under: 'floor:0', limit: 1.02, isUpper: true },
    { mode: 'rr', over: 'floor:0', under: 'cirri-sockmap:10', limit: 2, isUpper: false },
  ];
  return targets.filter(target => target.mode === mode).flatMap(({ over, under, limit, isUpper }) => {
    const found = ratio(result, mode, over, under);
    return found ? [{ mode, what: `${over} / ${under}`, ratio: found, limit, isUpper, isMet: isUpper ? found.median <= limit : found.median >= limit }] : [];
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
