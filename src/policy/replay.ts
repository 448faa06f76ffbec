/** Policies tried on what was recorded: of all that was seen, what they would have denied, and what they would have let pass. */
import type { ObservedPair } from '../model/observed.ts';
import type { RuleInfo } from './compile.ts';
import { ObservedWorld } from './observed.ts';
import type { Scenario } from './scenario.ts';

export interface ReplayedPair {
  readonly pair: ObservedPair;
  /** `audit` passes and is reported, `redirect` passes as far as requests do. */
  readonly verdict: 'allow' | 'deny' | 'audit' | 'redirect';
  readonly rule: RuleInfo;
  /** `policies/web.yaml:12` of the rule. */
  readonly place?: string;
}

export interface Replay {
  /** Passed then, would be denied; the most frequent first. */
  readonly denied: readonly ReplayedPair[];
  /** Was denied then, would pass. */
  readonly allowed: readonly ReplayedPair[];
  /** Passed then, would pass and be reported as denied. */
  readonly audited: readonly ReplayedPair[];
  /** Connections of all, and of those for which nothing changes. */
  readonly connections: number;
  readonly unchanged: number;
  /** Rows that no policies are asked about: between parties none of which is a pod. */
  readonly unasked: number;
}

export function replay(scenario: Scenario, pairs: readonly ObservedPair[]): Replay {
  const observed = new ObservedWorld(scenario, pairs);
  const denied: ReplayedPair[] = [];
  const allowed: ReplayedPair[] = [];
  const audited: ReplayedPair[] = [];
  let [connections, unchanged, unasked] = [0, 0, 0];
  for (const pair of pairs) {
    connections += pair.count;
    const step = observed.judge(pair);
    if (!step) {
      unasked += pair.count;
      continue;
    }
    const row: ReplayedPair = { pair, verdict: step.verdict, rule: step.rule, ...(step.place !== undefined && { place: step.place }) };
    const passed = pair.verdict !== 'DROPPED';
    if (passed && step.verdict === 'deny') denied.push(row);
    else if (!passed && step.verdict !== 'deny') allowed.push(row);
    else if (passed && step.verdict === 'audit' && pair.verdict !== 'AUDIT') audited.push(row);
    else unchanged += pair.count;
  }
  const byCount = (a: ReplayedPair, b: ReplayedPair) => b.pair.count - a.pair.count;
  return { denied: denied.sort(byCount), allowed: allowed.sort(byCount), audited: audited.sort(byCount), connections, unchanged, unasked };
}
