/**
 * The policy engine against test data of public projects (../shared/conformance, outside this repository; skipped and said
 * so where it is not there) and against our own cases (own/). Prints a line for each source.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { CaseFile, ConformanceCase, Outcome } from './case.ts';
import { componentKinds, runComponent } from './components.ts';
import { runConnectivity } from './connectivity.ts';
import { deviations } from './deviations.ts';

const root = join(import.meta.dirname, '../..');
const sources = [
  { folder: join(root, '../shared/conformance/cases'), name: '../shared/conformance/cases' },
  { folder: join(import.meta.dirname, 'own'), name: 'tests/conformance/own' },
];

for (const { folder, name } of sources) {
  if (!existsSync(folder)) {
    test(`conformance cases of ${name}`, { skip: `${name} is not there` }, () => {});
    continue;
  }
  for (const file of readdirSync(folder).filter(f => f.endsWith('.json')).sort()) {
    const { cases } = JSON.parse(readFileSync(join(folder, file), 'utf8')) as CaseFile;
    test(`conformance: ${file}`, t => runFile(cases, line => t.diagnostic(`${file}: ${line}`)));
  }
}

function runFile(cases: readonly ConformanceCase[], print: (line: string) => void): void {
  const counts = { pass: 0, skip: 0, fail: 0, deviation: 0, probes: 0 };
  const reasons = new Map<string, number>();
  const failures: string[] = [];
  for (const testCase of cases) {
    const result = run(testCase);
    counts.probes += result.passed;
    for (const reason of result.skipped) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    const known = deviations[testCase.id];
    if (result.failures.length > 0 && known !== undefined) counts.deviation++;
    else if (result.failures.length > 0) {
      counts.fail++;
      failures.push(`${testCase.id} (${testCase.title ?? ''}): ${result.failures.slice(0, 3).join('\n    ')}${result.failures.length > 3 ? `\n    … ${result.failures.length - 3} more` : ''}`);
    } else if (known !== undefined) {
      counts.fail++;
      failures.push(`${testCase.id}: is listed as a deviation and holds; remove it from deviations.ts`);
    } else if (result.passed > 0) counts.pass++;
    else counts.skip++;
  }
  print(`${counts.pass} pass (${counts.probes} assertions), ${counts.skip} skip, ${counts.fail} fail, ${counts.deviation} known deviations`);
  for (const [reason, count] of [...reasons].sort(([, a], [, b]) => b - a)) print(`  skipped ${count}: ${reason}`);
  assert.deepEqual(failures, []);
}

function run(testCase: ConformanceCase): Outcome {
  if (testCase.kind === 'connectivity') return runConnectivity(testCase);
  if (componentKinds.includes(testCase.kind)) return runComponent(testCase);
  return { passed: 0, failures: [], skipped: [`kind ${testCase.kind} is not about this engine or not built yet`] };
}
