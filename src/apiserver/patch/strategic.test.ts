import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Json, JsonObject } from '../object.ts';
import { builtinSchema } from '../schema/builtin.ts';
import { ApiError } from '../status.ts';
import { applyStrategicPatch } from './strategic.ts';

const podSpec = builtinSchema('', 'PodSpec');
const serviceSpec = builtinSchema('', 'ServiceSpec');
const deploymentSpec = builtinSchema('apps', 'DeploymentSpec');
const patched = (original: JsonObject, patch: JsonObject, schema = podSpec): Json => applyStrategicPatch(original, patch, schema);

test('containers merge by name', () => {
  assert.deepEqual(
    patched({ containers: [{ name: 'a', image: '1' }, { name: 'b', image: '1' }] }, { containers: [{ name: 'b', image: '2' }, { name: 'c', image: '3' }] }),
    { containers: [{ name: 'a', image: '1' }, { name: 'b', image: '2' }, { name: 'c', image: '3' }] });
});

test('an item with $patch: delete goes', () => {
  assert.deepEqual(patched({ containers: [{ name: 'a' }, { name: 'b' }] }, { containers: [{ name: 'a', $patch: 'delete' }] }), { containers: [{ name: 'b' }] });
});

test('$patch: replace among the items replaces the list', () => {
  assert.deepEqual(patched({ containers: [{ name: 'a' }, { name: 'b' }] }, { containers: [{ name: 'c' }, { $patch: 'replace' }] }), { containers: [{ name: 'c' }] });
});

test('$patch: replace in an object replaces it', () => {
  assert.deepEqual(patched({ securityContext: { runAsUser: 1, fsGroup: 2 } }, { securityContext: { $patch: 'replace', runAsUser: 3 } }), { securityContext: { runAsUser: 3 } });
});

test('$patch: delete in an object removes it', () => {
  assert.deepEqual(patched({ securityContext: { runAsUser: 1 }, hostNetwork: true }, { securityContext: { $patch: 'delete' } }), { hostNetwork: true });
});

test('ports of a container merge by containerPort, ports of a service by port', () => {
  assert.deepEqual(
    patched({ containers: [{ name: 'a', ports: [{ containerPort: 80, name: 'x' }] }] }, { containers: [{ name: 'a', ports: [{ containerPort: 80, protocol: 'UDP' }, { containerPort: 81 }] }] }),
    { containers: [{ name: 'a', ports: [{ containerPort: 80, name: 'x', protocol: 'UDP' }, { containerPort: 81 }] }] });
  assert.deepEqual(
    patched({ ports: [{ port: 80, nodePort: 30000 }] }, { ports: [{ port: 80, targetPort: 8080 }] }, serviceSpec),
    { ports: [{ port: 80, nodePort: 30000, targetPort: 8080 }] });
});

test('env merges by name, null removes a field', () => {
  assert.deepEqual(
    patched({ containers: [{ name: 'a', env: [{ name: 'X', value: '1' }, { name: 'Y', value: '2' }] }] }, { containers: [{ name: 'a', env: [{ name: 'X', value: null, valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }] }] }),
    { containers: [{ name: 'a', env: [{ name: 'X', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }, { name: 'Y', value: '2' }] }] });
});

test('tolerations and commands are one piece', () => {
  assert.deepEqual(patched({ tolerations: [{ key: 'a' }] }, { tolerations: [{ key: 'b' }] }), { tolerations: [{ key: 'b' }] });
  assert.deepEqual(patched({ containers: [{ name: 'a', command: ['x', 'y'] }] }, { containers: [{ name: 'a', command: ['z'] }] }), { containers: [{ name: 'a', command: ['z'] }] });
});

test('$setElementOrder orders, and what only the server has keeps its place', () => {
  const order = ['c', 'a'].map(name => ({ name }));
  assert.deepEqual(
    patched({ containers: [{ name: 'a' }, { name: 'server' }, { name: 'c' }] }, { '$setElementOrder/containers': order, containers: [{ name: 'c', image: '2' }] }),
    { containers: [{ name: 'server' }, { name: 'c', image: '2' }, { name: 'a' }] });
});

test('$setElementOrder alone orders too', () => {
  assert.deepEqual(patched({ containers: [{ name: 'a' }, { name: 'b' }] }, { '$setElementOrder/containers': [{ name: 'b' }, { name: 'a' }] }), { containers: [{ name: 'b' }, { name: 'a' }] });
});

test('lists of plain values with strategy merge unite, $deleteFromPrimitiveList takes away', () => {
  const metadata = builtinSchema('meta.k8s.io', 'ObjectMeta');
  assert.deepEqual(patched({ finalizers: ['a', 'b'] }, { finalizers: ['b', 'c'] }, metadata), { finalizers: ['a', 'b', 'c'] });
  assert.deepEqual(patched({ finalizers: ['a', 'b'] }, { '$deleteFromPrimitiveList/finalizers': ['a'] }, metadata), { finalizers: ['b'] });
});

test('$retainKeys changes the member of a union', () => {
  assert.deepEqual(
    patched({ strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1 } } }, { strategy: { $retainKeys: ['type'], type: 'Recreate' } }, deploymentSpec),
    { strategy: { type: 'Recreate' } });
  assert.deepEqual(
    patched({ volumes: [{ name: 'v', emptyDir: {} }] }, { volumes: [{ name: 'v', $retainKeys: ['name', 'hostPath'], hostPath: { path: '/x' } }] }),
    { volumes: [{ name: 'v', hostPath: { path: '/x' } }] });
});

test('directives never end up in the object', () => {
  assert.deepEqual(patched({}, { containers: [{ name: 'a', $patch: 'delete' }, { name: 'b', env: [{ name: 'X', $patch: 'delete' }] }], $retainKeys: ['containers'] }), { containers: [{ name: 'b', env: [] }] });
});

const refused: readonly JsonObject[] = [{ containers: [{ image: 'x' }] }, { containers: ['a'] }, { $patch: 'x' }, { $retainKeys: 'a' }, { $retainKeys: ['a'], b: 1 }, { '$setElementOrder/containers': 1, containers: [] }];

for (const patch of refused) {
  test(`refuses ${JSON.stringify(patch)} with 400`, () => {
    assert.throws(() => patched({ containers: [{ name: 'a' }] }, patch), (error: unknown) => error instanceof ApiError && error.code === 400);
  });
}
