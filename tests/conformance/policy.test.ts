/**
 * The policy engine against test data of public projects (../shared/conformance, outside this repository; skipped and said
 * so where it is not there) and against our own cases (own/). Prints a line for each source; the runner is that of
 * `cirri conformance`.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { flowRunners } from '../../src/cli/conformance/flow-runners.ts';
import { serviceRunners } from '../../src/cli/conformance/service-runners.ts';
import { casesOf, runCase, skipReasons, tally } from '../../src/policy/conformance/run.ts';

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
    test(`conformance: ${file}`, t => {
      const results = casesOf(JSON.parse(readFileSync(join(folder, file), 'utf8')))!.map(c => runCase(c, { ...serviceRunners, ...flowRunners }));
      const { passed, failed, skipped, deviations, assertions } = tally(results);
      t.diagnostic(`${file}: ${passed} passed (${assertions} assertions), ${failed} failed, ${skipped} skipped, ${deviations} known deviations`);
      for (const [reason, count] of skipReasons(results)) t.diagnostic(`${file}:   skipped ${count}: ${reason}`);
      assert.deepEqual(results.filter(r => r.result === 'fail').map(r => `${r.id} (${r.title}): ${r.failures.slice(0, 3).join('\n    ')}`), []);
    });
  }
}

test('a case that cannot be run fails alone, and what is no case file is told from one', () => {
  const broken = { id: 'x', kind: 'connectivity', cluster: { namespaces: [], pods: [] }, policies: [], probes: [{ from: { pod: 'no/one' }, to: { ip: '10.0.0.1' }, port: 1, protocol: 'TCP', expect: 'allow' as const }] };
  assert.match(runCase(broken).failures[0]!, /cannot be run: no pod no\/one/);
  assert.equal(runCase({ id: 'y', kind: 'maglev-table' }).result, 'skip');
  assert.equal(casesOf({ things: [] }), undefined);
});
