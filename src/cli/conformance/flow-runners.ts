import { filterFlags, filterSwitches, filtersFromFlags, type FlagUse } from '../../flows/flags.ts';
import { outcome, type ConformanceCase, type Outcome } from '../../policy/conformance/case.ts';
import type { Runners } from '../../policy/conformance/run.ts';
import { runFilter } from './filter-runner.ts';
import { runFlowType, runHostNames, runPolicyNames, runPrint } from './print-runners.ts';

/** Kinds about flows: flags, layouts. */
export const flowRunners: Runners = {
  'hubble-observe-flags': runObserveFlags,
  'hubble-filter': runFilter,
  'hubble-print': runPrint,
  'test-getflowtype': runFlowType,
  'test-gethostnames': runHostNames,
  testformatpolicynames: runPolicyNames,
};

interface FlagsCase {
  readonly input: { readonly flags: readonly string[] };
  readonly expect: { readonly whitelist: readonly unknown[] | null; readonly blacklist?: readonly unknown[]; readonly error?: string };
}

function runObserveFlags(testCase: ConformanceCase): Outcome {
  const { input, expect } = testCase as unknown as FlagsCase;
  let found: ReturnType<typeof filtersFromFlags>;
  try {
    found = filtersFromFlags(flagUses(input.flags));
  } catch (error) {
    const { message } = error as Error;
    return message === expect.error ? outcome(1) : outcome(0, [`expected ${expect.error === undefined ? 'filters' : `the error ${expect.error}`}, got the error ${message}`]);
  }
  if (expect.error !== undefined) return outcome(0, [`expected the error ${expect.error}, got ${JSON.stringify(found.whitelist)}`]);
  const wanted = { whitelist: expect.whitelist ?? [], blacklist: expect.blacklist ?? [] };
  return sorted(found) === sorted(wanted) ? outcome(1) : outcome(0, [`expected ${sorted(wanted)}, got ${sorted(found)}`]);
}

/** `--name value`, `--name=value`, `-n value` and switches, as the command line would read them. */
function flagUses(words: readonly string[]): FlagUse[] {
  const uses: FlagUse[] = [];
  const valued = new Set(filterFlags.map(([name]) => name));
  const switches = new Set(filterSwitches.map(([name]) => name));
  for (let i = 0; i < words.length; i++) {
    const [, name, , value] = /^--?([^=]+)(=(.*))?$/s.exec(words[i]!) ?? [];
    if (name === undefined || !(valued.has(name) || switches.has(name))) throw new Error(`unknown flag: ${words[i]}`);
    if (switches.has(name)) uses.push([name, '']);
    else uses.push([name, value ?? words[++i] ?? '']);
  }
  return uses;
}

/** JSON with the keys of objects in order: theirs has no meaning. */
export function sorted(value: unknown): string {
  return JSON.stringify(value, (_, entry: unknown) =>
    typeof entry === 'object' && entry !== null && !Array.isArray(entry) ? Object.fromEntries(Object.entries(entry).sort(([a], [b]) => (a < b ? -1 : 1))) : entry);
}
