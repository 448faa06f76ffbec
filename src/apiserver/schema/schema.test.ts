import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JsonObject } from '../object.ts';
import { builtinSchema, undeclaredTypes } from './builtin.ts';
import { TypeLibrary } from './idl.ts';
import { dnsLabel, dnsSubdomain, labelValue, qualifiedName } from './names.ts';
import type { Schema } from './schema.ts';
import { validateSchema } from './validate.ts';
import { applyDefaults, prune } from './walk.ts';

test('every type that a table names is declared', () => {
  assert.deepEqual(undeclaredTypes(), []);
});

test('the tables say what the notation means', () => {
  const schema = new TypeLibrary().define('p', `
A: An a.
  name! string : Its name.
  items [B] key(name,kind) merge(name) : Its parts.
  mode string =Auto enum(Auto,Off) : How.
  ratio int min(0) max(9) : How much.

B atomic: A part.
  name string
  kind string =x
`).get('p', 'A');
  assert.deepEqual(schema.required, ['name']);
  const items = schema.properties!['items']!;
  assert.deepEqual([items['x-kubernetes-list-type'], items['x-kubernetes-list-map-keys'], items['x-kubernetes-patch-merge-key']], ['map', ['name', 'kind'], 'name']);
  assert.equal(items.items!['x-kubernetes-map-type'], 'atomic');
  assert.deepEqual([schema.properties!['mode']!.default, schema.properties!['mode']!.enum, schema.properties!['ratio']!.maximum], ['Auto', ['Auto', 'Off'], 9]);
  assert.throws(() => new TypeLibrary().define('p', 'A: x\n  f string nonsense(1)'), /unknown marker/);
});

const pod = (spec: JsonObject): JsonObject => ({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'a' }, spec });

test('defaults are filled in at every depth, and only where something is', () => {
  const object = pod({ containers: [{ name: 'c', ports: [{ containerPort: 80 }], readinessProbe: { httpGet: { port: 80 } } }] });
  applyDefaults(object, builtinSchema('', 'Pod'));
  const spec = object['spec'] as JsonObject;
  assert.deepEqual([spec['restartPolicy'], spec['dnsPolicy'], spec['terminationGracePeriodSeconds'], spec['enableServiceLinks']], ['Always', 'ClusterFirst', 30, true]);
  const [container] = spec['containers'] as JsonObject[];
  assert.deepEqual(container!['ports'], [{ containerPort: 80, protocol: 'TCP' }]);
  assert.deepEqual(container!['readinessProbe'], { httpGet: { port: 80, path: '/', scheme: 'HTTP' }, timeoutSeconds: 1, periodSeconds: 10, successThreshold: 1, failureThreshold: 3 });
  assert.equal(container!['livenessProbe'], undefined);
});

test('unknown fields are named with their path and dropped, nulls are dropped', () => {
  const object = pod({ containers: [{ name: 'c', imagee: 'x' }], replicas: 2, nodeName: null, volumes: [{ name: 'v', csi: { driver: 'any', deep: { x: 1 } } }] });
  assert.deepEqual(prune(object, builtinSchema('', 'Pod')), ['spec.containers[0].imagee', 'spec.replicas']);
  assert.deepEqual(object['spec'], { containers: [{ name: 'c' }], volumes: [{ name: 'v', csi: { driver: 'any', deep: { x: 1 } } }] });
});

const custom: Schema = {
  type: 'object', required: ['spec'],
  properties: { spec: {
    type: 'object',
    properties: {
      size: { type: 'integer', minimum: 1, maximum: 5 }, name: { type: 'string', pattern: '^[a-z]+$', maxLength: 4 }, port: { 'x-kubernetes-int-or-string': true },
      mode: { type: 'string', enum: ['a', 'b'] }, tags: { type: 'array', items: { type: 'string' }, 'x-kubernetes-list-type': 'set', maxItems: 2 },
      rules: { type: 'array', 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['id'], items: { type: 'object', properties: { id: { type: 'string' } } } },
      one: { oneOf: [{ required: ['x'] }, { required: ['y'] }], type: 'object', properties: { x: { type: 'string' }, y: { type: 'string' } } },
      free: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true }, maybe: { type: 'string', nullable: true }, text: { type: 'string', pattern: '^\\PC*$' },
    },
  } },
};

const problems: readonly (readonly [spec: JsonObject, message: RegExp])[] = [
  [{ size: 'x' }, /^spec\.size: Invalid value: "x": spec\.size in body must be of type integer: "string"$/],
  [{ size: 1.5 }, /must be of type integer: "number"/], [{ size: 0 }, /should be greater than or equal to 1/], [{ size: 9 }, /should be less than or equal to 5/],
  [{ name: 'ABC' }, /should match '\^\[a-z\]\+\$'/], [{ name: 'abcde' }, /Too long: may not be more than 4 bytes/], [{ port: true }, /must be of type integer or string/],
  [{ mode: 'c' }, /Unsupported value: "c": supported values: "a", "b"/], [{ tags: ['a', 'a'] }, /spec\.tags\[1\]: Duplicate value: "a"/], [{ tags: ['a', 'b', 'c'] }, /must have at most 2 items/],
  [{ rules: [{ id: '1' }, { id: '1' }] }, /spec\.rules\[1\]: Duplicate value: \{"id":"1"\}/], [{ one: { x: '', y: '' } }, /one and only one schema/], [{ one: {} }, /Found none valid/],
  [{ tags: 'a' }, /must be of type array: "string"/], [{ text: 'a\u0000' }, /should match/],
];

for (const [spec, message] of problems) {
  test(`${JSON.stringify(spec)} is refused`, () => {
    const errors = validateSchema({ spec }, custom).map(e => `${e.field}: ${e.message}`);
    assert.equal(errors.length > 0, true);
    assert.match(errors[0]!, message);
  });
}

test('what fits is accepted', () => {
  assert.deepEqual(validateSchema({ spec: { size: 3, name: 'abc', port: 80, mode: 'a', tags: ['a', 'b'], rules: [{ id: '1' }, { id: '2' }], one: { x: '' }, free: { any: [1] }, maybe: null, text: 'ä' } }, custom), []);
  assert.deepEqual(validateSchema({}, custom).map(e => e.field), ['spec']);
});

test('names', () => {
  for (const good of ['a', 'a-1', '0a']) assert.equal(dnsLabel(good), undefined, good);
  for (const bad of ['', 'A', '-a', 'a-', 'a.b', 'x'.repeat(64), 'ä']) assert.ok(dnsLabel(bad), bad);
  for (const good of ['a.b', 'a-1.b']) assert.equal(dnsSubdomain(good), undefined, good);
  for (const bad of ['.a', 'a..b', 'a_b']) assert.ok(dnsSubdomain(bad), bad);
  for (const good of ['a', 'A_b.c', 'x.y/Z', 'k8s.io/a-b']) assert.equal(qualifiedName(good), undefined, good);
  for (const bad of ['', '/a', 'a/', 'a/b/c', '-a', 'X.Y/a', 'a b']) assert.ok(qualifiedName(bad), bad);
  for (const good of ['', 'a', 'A.b_c-1']) assert.equal(labelValue(good), undefined, good);
  for (const bad of ['-', 'a b', 'a/b', 'x'.repeat(64)]) assert.ok(labelValue(bad), bad);
});
