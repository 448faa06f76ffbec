/** Conformance cases through the engine: what held, what did not, what was not asked and why. For the tests and for `cirri conformance`. */
import type { CaseFile, ConformanceCase, Outcome } from './case.ts';
import { componentKinds, runComponent } from './components.ts';
import { runConnectivity } from './connectivity.ts';
import { deviations } from './deviations.ts';

export interface CaseResult {
  readonly id: string;
  readonly title: string;
  /** `deviation`: it fails, as deviations.ts says, for the reason given there. */
  readonly result: 'pass' | 'fail' | 'skip' | 'deviation';
  /** Assertions that held. */
  readonly passed: number;
  readonly failures: readonly string[];
  /** Why some or all of its assertions were not made. */
  readonly skipped: readonly string[];
}

export interface Tally {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly deviations: number;
  /** Probes and other single checks in the cases that passed. */
  readonly assertions: number;
}

/** Kinds that others than the policy engine answer. */
export type Runners = Readonly<Record<string, (testCase: ConformanceCase) => Outcome>>;

export function runCase(testCase: ConformanceCase, runners: Runners = {}): CaseResult {
  return caseResult(testCase, outcomeOf(testCase, runners));
}

/** However it was run: whether it counts as passed, and known deviations. */
export function caseResult(testCase: ConformanceCase, { passed, failures, skipped }: Outcome): CaseResult {
  const base = { id: testCase.id, title: testCase.title ?? '', passed, failures, skipped };
  const known = deviations[testCase.id];
  if (known !== undefined) {
    if (failures.length > 0) return { ...base, result: 'deviation', skipped: [known] };
    return { ...base, result: 'fail', failures: ['is listed as a deviation and holds; remove it from deviations.ts'] };
  }
  return { ...base, result: failures.length > 0 ? 'fail' : passed > 0 ? 'pass' : 'skip' };
}

/** A case that cannot even be read has failed, and the others go on. */
function outcomeOf(testCase: ConformanceCase, runners: Runners): Outcome {
  try {
    const runner = runners[testCase.kind];
    if (runner) return runner(testCase);
    if (testCase.kind === 'connectivity') return runConnectivity(testCase);
    if (componentKinds.includes(testCase.kind)) return runComponent(testCase);
  } catch (error) {
    return { passed: 0, failures: [`cannot be run: ${error instanceof Error ? error.message : String(error)}`], skipped: [] };
  }
  return { passed: 0, failures: [], skipped: [`kind ${testCase.kind} is not about the policy engine, or not built yet`] };
}

export function tally(results: readonly CaseResult[]): Tally {
  const count = (result: CaseResult['result']) => results.filter(r => r.result === result).length;
  return {
    passed: count('pass'), failed: count('fail'), skipped: count('skip'), deviations: count('deviation'),
    assertions: results.reduce((sum, r) => sum + (r.result === 'pass' ? r.passed : 0), 0),
  };
}

/** Reasons of what was not asked, the most frequent first. */
export function skipReasons(results: readonly CaseResult[]): readonly (readonly [reason: string, count: number])[] {
  const reasons = new Map<string, number>();
  for (const { result, skipped } of results) if (result !== 'deviation') for (const reason of skipped) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  return [...reasons].sort(([, a], [, b]) => b - a);
}

/** The cases of a parsed file: `{meta, cases}`, or a bare list of cases. */
export function casesOf(value: unknown): readonly ConformanceCase[] | undefined {
  const cases = Array.isArray(value) ? value : (value as Partial<CaseFile> | null)?.cases;
  return Array.isArray(cases) && cases.every(c => typeof (c as ConformanceCase | null)?.id === 'string' && typeof (c as ConformanceCase).kind === 'string') ? cases as ConformanceCase[] : undefined;
}
