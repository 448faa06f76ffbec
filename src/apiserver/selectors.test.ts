import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatSelector, matchesFields, matchesLabels, parseFieldSelector, parseLabelSelector, selectorRequirements } from './selectors.ts';
import { ApiError } from './status.ts';

const labels = { app: 'web', tier: 'front', version: '12', 'a.b/c': '' };

const cases: readonly (readonly [selector: string, matches: boolean])[] = [
  ['', true], ['app=web', true], ['app==web', true], ['app = web', true], ['app=api', false], ['missing=', false],
  ['app!=api', true], ['app!=web', false], ['missing!=x', true], ['app', true], ['missing', false], ['!missing', true], ['!app', false], ['! missing', true],
  ['app in (web,api)', true], ['app in (api)', false], ['app notin (api)', true], ['app notin (web)', false], ['missing notin (a)', true], ['missing in (a)', false],
  ['version>11', true], ['version > 12', false], ['version<13', true], ['app>1', false], ['a.b/c=', true], ['a.b/c', true], ['app in (web),tier=front,!x', true], ['app in (web),tier=back', false],
  ['in=x', false], ['app in (,web)', true], ['a.b/c in ()', true],
];

for (const [selector, matches] of cases) {
  test(`label selector "${selector}" ${matches ? 'matches' : 'does not match'}`, () => {
    assert.equal(matchesLabels(parseLabelSelector(selector), labels), matches);
  });
}

for (const bad of ['a b', 'a=b c', 'a in b', 'a in (b', ',a', 'a,', '=a', 'a=b,,c', 'a>x', '-a', 'a in (b c)', 'a=b/c', 'notin (x)', '!']) {
  test(`label selector "${bad}" is refused with 400`, () => {
    assert.throws(() => parseLabelSelector(bad), (error: unknown) => error instanceof ApiError && error.code === 400);
  });
}

test('no text makes the parser do anything but answer or refuse', () => {
  fc.assert(fc.property(fc.string({ unit: fc.constantFrom('a', '=', '!', '(', ')', ',', ' ', 'i', 'n', 'o', 't', '<', '>', '/', '.') }), text => {
    try {
      matchesLabels(parseLabelSelector(text), labels);
    } catch (error) {
      assert.ok(error instanceof ApiError, String(error));
    }
  }), { numRuns: 2000 });
});

test('a LabelSelector object becomes requirements and text', () => {
  const selector = { matchLabels: { app: 'web' }, matchExpressions: [{ key: 'tier', operator: 'In', values: ['b', 'a'] }, { key: 'x', operator: 'DoesNotExist' }, { key: 'y', operator: 'NotIn', values: ['1'] }] };
  assert.equal(matchesLabels(selectorRequirements(selector), { app: 'web', tier: 'a' }), true);
  assert.equal(matchesLabels(selectorRequirements(selector), { app: 'web', tier: 'a', x: '' }), false);
  assert.equal(formatSelector(selector), 'app=web,tier in (a,b),!x,y notin (1)');
  assert.equal(matchesLabels(selectorRequirements({}), {}), true);
});

test('field selectors compare paths, may be negated, and know only what the type offers', () => {
  const object = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'a', namespace: 'n' }, spec: { nodeName: 'node1' }, status: {} };
  const fields = ['metadata.name', 'spec.nodeName', 'status.phase'];
  const matches = (text: string) => matchesFields(parseFieldSelector(text, fields), object);
  assert.equal(matches('spec.nodeName=node1'), true);
  assert.equal(matches('spec.nodeName==node1,metadata.name=a'), true);
  assert.equal(matches('spec.nodeName!=node1'), false);
  assert.equal(matches('status.phase!=Running'), true);
  assert.equal(matches('status.phase='), true);
  assert.throws(() => matches('spec.hostname=x'), /field label not supported: spec.hostname/);
  assert.throws(() => matches('spec.nodeName'), /invalid field selector/);
});
