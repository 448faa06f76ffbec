import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parsePolicy, policyKinds } from '../../src/policy/parse.ts';
import { languageReference } from './language.ts';

const reference = languageReference();

test('the page of the policy language is what the schemas say', () => {
  assert.equal(readFileSync(join(import.meta.dirname, '../../docs/reference/policy-language.md'), 'utf8'), reference, 'run node tools/language.ts');
});

/** `## KIND` and its tables. */
function sectionOf(kind: string): string {
  return new RegExp(`^## ${kind}\\n[\\s\\S]*?(?=^## )`, 'm').exec(reference)?.[0] ?? '';
}

test('every kind of policy has its section, with every field that the parser knows', () => {
  for (const kind of policyKinds) {
    const section = sectionOf(kind);
    const { errors } = parsePolicy({ kind, metadata: { name: 'default' }, spec: { nonsense: 1 } });
    const known = /known here: (.*)$/.exec(errors!.find(e => e.path === 'spec.nonsense')!.mend)![1]!.split(', ');
    const missing = known.filter(field => !section.includes(`\`${field}\``));
    // What the parser takes in a namespaced policy in order to refuse it with a better word.
    assert.deepEqual(missing.filter(field => !(kind === 'CiliumNetworkPolicy' && field === 'nodeSelector')), [], kind);
  }
});

test('a shape that comes again leads to where it stands', () => {
  assert.match(sectionOf('NetworkPolicy'), /`to` \| list of objects \| .*as \[NetworkPolicy: spec\.ingress\[\]\.from\[\]\]\(#networkpolicy-specingressfrom\)/);
  assert.match(sectionOf('NetworkPolicy'), /### NetworkPolicy: spec\.ingress\[\]\.from\[\]\.ipBlock/);
});
