import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { buildEnv, ConfigError, expand, fieldValue, parseQuantity, resourceValue } from './env.ts';
import type { Container, Pod } from './types.ts';

const container: Container = { name: 'c', resources: { limits: { cpu: '1500m' }, requests: { memory: '64Mi' } } };
const pod: Pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p', namespace: 'ns', uid: 'u', labels: { b: '2', a: 'x"y' } }, spec: { containers: [container], serviceAccountName: 'sa' } };
const facts = { pod, podIPs: ['10.0.0.1', 'fd00::1'], hostIPs: ['172.30.1.11'], nodeName: 'node1', capacity: { cpus: 2, memoryBytes: 8 * 2 ** 30 } };
const nothing = { configMap: () => undefined, secret: () => undefined };

test('fields of the downward API', () => {
  assert.equal(fieldValue('metadata.labels[\'b\']', facts), '2');
  assert.equal(fieldValue('metadata.labels', facts), 'a="x\\"y"\nb="2"');
  assert.equal(fieldValue('status.podIPs', facts), '10.0.0.1,fd00::1');
  assert.equal(fieldValue('spec.serviceAccountName', facts), 'sa');
  assert.throws(() => fieldValue('spec.secrets', facts), ConfigError);
});

test('resources are rounded up to the divisor, a missing limit is the node', () => {
  assert.equal(resourceValue({ resource: 'limits.cpu' }, container, facts), '2');
  assert.equal(resourceValue({ resource: 'limits.cpu', divisor: '1m' }, container, facts), '1500');
  assert.equal(resourceValue({ resource: 'requests.memory', divisor: '1Mi' }, container, facts), '64');
  assert.equal(resourceValue({ resource: 'limits.memory', divisor: '1Gi' }, container, facts), '8');
});

test('quantities', () => {
  assert.deepEqual(['500m', '2', '64Mi', '1e3', '1.5G', '.5'].map(parseQuantity), [0.5, 2, 64 * 2 ** 20, 1000, 1.5e9, 0.5]);
  for (const bad of ['', 'x', '1Zi', '1 2']) assert.throws(() => parseQuantity(bad), ConfigError);
});

test('references are expanded with what stands before, unknown ones stay, doubled dollars are literal', () => {
  const env = buildEnv({ name: 'c', env: [{ name: 'A', value: '1' }, { name: 'B', value: '$(A)$(C)$$(A)' }, { name: 'C', value: 'x' }] }, facts, nothing, { D: 'd' });
  assert.deepEqual([...env], [['D', 'd'], ['A', '1'], ['B', '1$(C)$(A)'], ['C', 'x']]);
});

test('text without references is never changed', () => {
  fc.assert(fc.property(fc.string().filter(s => !s.includes('$')), text => assert.equal(expand(text, new Map()), text)));
});

test('a whole ConfigMap with a prefix, entries override, names that are no variable names are left out', () => {
  const sources = { configMap: () => ({ one: '1', two: '2', '1bad': 'x' }), secret: () => undefined };
  const env = buildEnv({ name: 'c', envFrom: [{ prefix: 'P_', configMapRef: { name: 'm' } }], env: [{ name: 'P_two', value: 'own' }] }, facts, sources, {});
  assert.deepEqual(Object.fromEntries(env), { P_one: '1', P_two: 'own' });
});

test('what is missing and not optional is an error that names it', () => {
  const ref = (optional: boolean) => ({ name: 'c', env: [{ name: 'A', valueFrom: { secretKeyRef: { name: 's', key: 'k', optional } } }] });
  assert.throws(() => buildEnv(ref(false), facts, nothing, {}), /secret "s" not found/);
  assert.equal(buildEnv(ref(true), facts, nothing, {}).size, 0);
  assert.throws(() => buildEnv(ref(false), facts, { ...nothing, secret: () => ({}) }, {}), /couldn't find key k/);
});
