/**
 * Manifests that public projects publish (../shared/conformance/examples, outside this repository): every policy of a kind
 * that we know must be accepted where the source takes it and refused where it does not.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { parsePolicy, policyKinds } from '../../src/policy/parse.ts';
import type { PolicyObject } from '../../src/policy/parse.ts';
import { exampleDeviations } from '../../src/policy/conformance/deviations.ts';

interface Example { readonly path: string; readonly kinds: readonly string[]; readonly valid: boolean; readonly reason?: unknown }

const folder = join(import.meta.dirname, '../../../shared/conformance/examples');
const kinds: readonly string[] = policyKinds;

test('published policies are accepted and refused as their sources do', { skip: existsSync(folder) ? false : '../shared/conformance/examples is not there' }, t => {
  const index = JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8')) as Example[] | { examples: Example[] };
  const examples = (Array.isArray(index) ? index : index.examples).filter(e => e.kinds.some(kind => kinds.includes(kind) || kind === 'List'));
  const failures: string[] = [];
  let policies = 0;
  let deviations = 0;
  for (const example of examples) {
    const objects = policiesIn(readFileSync(join(folder, example.path), 'utf8'));
    policies += objects.length;
    const errors = objects.flatMap(object => parsePolicy(object).errors ?? []);
    if ((errors.length === 0) === example.valid) continue;
    if (exampleDeviations[example.path]) deviations++;
    else failures.push(`${example.path}: ${example.valid ? `refused: ${errors.map(e => `${e.path}: ${e.message}`).join('; ')}` : `accepted, though: ${JSON.stringify(example.reason)}`}`);
  }
  t.diagnostic(`${examples.length} files, ${policies} policies, ${failures.length} fail, ${deviations} known deviations`);
  assert.deepEqual(failures, []);
});

function policiesIn(text: string): PolicyObject[] {
  return parseAllDocuments(text).flatMap(document => {
    const object = document.toJS() as (PolicyObject & { readonly items?: readonly PolicyObject[] }) | null;
    return (object?.kind === 'List' ? object.items ?? [] : object ? [object] : []).filter(o => kinds.includes(String(o.kind)));
  });
}
