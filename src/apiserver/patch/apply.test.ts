import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asObjects, at, cloneJson } from '../object.ts';
import type { JsonObject, KubeObject } from '../object.ts';
import type { ResourceType } from '../registry/resource.ts';
import { builtinTypes } from '../registry/builtin.ts';
import { ApiError } from '../status.ts';
import { applyConfiguration } from './apply.ts';
import { fromFieldsV1, memberPaths, toFieldsV1 } from './fieldset.ts';
import { readEntries, trackUpdate } from './managed.ts';

const deployments: ResourceType = builtinTypes({}, {}).find(t => t.kind === 'Deployment')!;

const deployment = (spec: JsonObject, metadata: JsonObject = {}): KubeObject => ({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web', ...metadata }, spec });
const web = (more: JsonObject = {}): JsonObject => ({ template: { spec: { containers: [{ name: 'web', image: '1', ...more }] } } });

let clock = 0;
const as = (manager: string, force = false) => ({ manager, apiVersion: 'apps/v1', subresource: '', time: `2026-01-01T00:00:${String(clock++ % 60).padStart(2, '0')}Z`, force });
const apply = (old: KubeObject | undefined, config: KubeObject, manager: string, force = false) => applyConfiguration(deployments, old, cloneJson(config), as(manager, force));
const owned = (object: KubeObject, manager: string) => readEntries(object.metadata['managedFields'] as never).filter(e => e.manager === manager).flatMap(e => memberPaths(e.fields)).sort();

test('the first apply owns exactly what it states', () => {
  const object = apply(undefined, deployment({ replicas: 2, ...web() }, { labels: { a: '1' } }), 'one');
  assert.deepEqual(owned(object, 'one'), [
    '.metadata.labels.a', '.spec.replicas', '.spec.template.spec.containers[name="web"]', '.spec.template.spec.containers[name="web"].image', '.spec.template.spec.containers[name="web"].name',
  ]);
});

test('what is no longer stated goes, what others own stays', () => {
  const first = apply(undefined, deployment({ replicas: 2, ...web({ env: [{ name: 'A', value: '1' }, { name: 'B', value: '2' }] }) }, { labels: { a: '1', b: '2' } }), 'one');
  const shared = apply(first, deployment({}, { labels: { b: '2' } }), 'two');
  const second = apply(shared, deployment({ ...web({ env: [{ name: 'B', value: '2' }] }) }), 'one');
  assert.deepEqual(second.metadata.labels, { b: '2' });
  assert.equal(at(second, 'spec', 'replicas'), undefined);
  assert.deepEqual(at(asObjects(at(second, 'spec', 'template', 'spec', 'containers'))[0], 'env'), [{ name: 'B', value: '2' }]);
});

test('items and fields that nobody applied are left alone', () => {
  const first = apply(undefined, deployment(web()), 'one');
  const live = cloneJson(first);
  asObjects(at(live, 'spec', 'template', 'spec', 'containers')).push({ name: 'sidecar', image: 's' });
  (at(live, 'spec', 'template', 'spec', 'containers') as JsonObject[]).push({ name: 'sidecar', image: 's' });
  const second = apply(live, deployment(web({ image: '2' })), 'one');
  assert.deepEqual(at(second, 'spec', 'template', 'spec', 'containers'), [{ name: 'web', image: '2' }, { name: 'sidecar', image: 's' }]);
});

test('to change what another owns is a conflict that names the field; force takes it over', () => {
  const first = apply(undefined, deployment({ replicas: 2, ...web() }), 'one');
  assert.throws(() => apply(first, deployment({ replicas: 3 }), 'two'), (error: unknown) => {
    assert.ok(error instanceof ApiError && error.code === 409);
    assert.equal(error.message, 'Apply failed with 1 conflict: conflict with "one" using apps/v1: .spec.replicas');
    assert.deepEqual(error.details?.causes, [{ reason: 'FieldManagerConflict', message: 'conflict with "one" using apps/v1', field: '.spec.replicas' }]);
    return true;
  });
  const forced = apply(first, deployment({ replicas: 3 }), 'two', true);
  assert.equal(at(forced, 'spec', 'replicas'), 3);
  assert.ok(!owned(forced, 'one').includes('.spec.replicas'));
  assert.deepEqual(owned(forced, 'two'), ['.spec.replicas']);
});

test('the same value by two managers is shared, not a conflict', () => {
  const shared = apply(apply(undefined, deployment({ replicas: 2 }), 'one'), deployment({ replicas: 2 }), 'two');
  assert.ok(owned(shared, 'one').includes('.spec.replicas') && owned(shared, 'two').includes('.spec.replicas'));
  const left = apply(shared, deployment({}), 'one');
  assert.equal(at(left, 'spec', 'replicas'), 2, 'the other manager still wants it');
});

test('a plain update takes over what it changes and conflicts with a later apply', () => {
  const first = apply(undefined, deployment({ replicas: 2, ...web() }), 'one');
  const updated = cloneJson(first);
  (updated['spec'] as JsonObject)['replicas'] = 5;
  trackUpdate(deployments, first, updated, { manager: 'hand', apiVersion: 'apps/v1', subresource: '', time: '2026-01-02T00:00:00Z' });
  assert.deepEqual(owned(updated, 'hand'), ['.spec.replicas']);
  assert.ok(!owned(updated, 'one').includes('.spec.replicas'));
  assert.throws(() => apply(updated, deployment({ replicas: 2, ...web() }), 'one'), /conflict with "hand" using apps\/v1 at 2026-01-02T00:00:00Z: \.spec\.replicas/);
});

test('list keys take their defaults: containerPort 80 is TCP', () => {
  const first = apply(undefined, deployment(web({ ports: [{ containerPort: 80, protocol: 'TCP', name: 'x' }] })), 'one');
  const second = apply(first, deployment(web({ ports: [{ containerPort: 80, name: 'y' }] })), 'one');
  assert.deepEqual(at(asObjects(at(second, 'spec', 'template', 'spec', 'containers'))[0], 'ports'), [{ containerPort: 80, name: 'y' }], 'one item; the default comes again when the object is completed');
});

test('a selector is one piece', () => {
  const first = apply(undefined, deployment({ selector: { matchLabels: { a: '1' } } }), 'one');
  assert.deepEqual(owned(first, 'one'), ['.spec.selector']);
  const second = apply(first, deployment({ selector: { matchLabels: { b: '1' } } }), 'one');
  assert.deepEqual(at(second, 'spec', 'selector'), { matchLabels: { b: '1' } });
});

test('applied items stand in the order of the configuration', () => {
  const container = (name: string) => ({ name, image: '1' });
  const first = apply(undefined, deployment({ template: { spec: { containers: ['a', 'b', 'c'].map(container) } } }), 'one');
  const second = apply(first, deployment({ template: { spec: { containers: ['c', 'a'].map(container) } } }), 'one');
  assert.deepEqual(asObjects(at(second, 'spec', 'template', 'spec', 'containers')).map(c => c['name']), ['c', 'a']);
});

test('the wire form of field sets keeps everything', () => {
  const fields = { 'f:metadata': { 'f:labels': { '.': {}, 'f:a': {} }, 'f:finalizers': { 'v:"x"': {} } }, 'f:spec': { 'f:containers': { 'k:{"name":"c"}': { '.': {}, 'f:image': {} } }, 'f:replicas': {} } };
  assert.deepEqual(toFieldsV1(fromFieldsV1(fields)), fields);
});

test('an apply without a manager is refused', () => {
  assert.throws(() => apply(undefined, deployment({}), ''), /fieldManager: Required value/);
});
