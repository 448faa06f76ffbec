import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CirriError } from '../std/errors.ts';
import { fieldPath, parseManifest } from './manifest.ts';

const text = `apiVersion: v1
kind: Namespace
metadata:
  name: a
---
# a policy
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata:
  name: p
spec:
  endpointSelector: {}
  ingress:
    - fromEndpoints:
        - matchLabels:
            app: x
      toPorts:
        - ports:
            - port: "80"
              protocol: TPC
`;

test('documents know the lines of their fields, or of the nearest one above', () => {
  const [namespace, policy] = parseManifest('f.yaml', text);
  assert.equal(namespace?.lineOf('metadata.name'), 4);
  assert.equal(policy?.lineOf('spec.ingress[0].toPorts[0].ports[0].protocol'), 20);
  assert.equal(policy?.lineOf('spec.ingress'), 13);
  assert.equal(policy?.lineOf('spec.egress[0].toPorts'), 11);
  assert.equal(policy?.lineOf(''), 7);
});

test('lists are taken apart, empty documents are none', () => {
  const list = parseManifest('-', 'apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata:\n    name: one\n---\n---\n');
  assert.deepEqual(list.map(document => document.object.metadata.name), ['one']);
  assert.equal(list[0]?.lineOf('metadata.name'), 7);
});

test('what does not parse names file and line', () => {
  const where = (bad: string) => {
    try {
      parseManifest('bad.yaml', bad);
    } catch (error) {
      return (error as CirriError).where;
    }
    return undefined;
  };
  assert.equal(where('apiVersion: v1\nkind: Pod\nmetadata:\n  name: x\n  name: y\n'), 'bad.yaml:5');
  assert.equal(where('apiVersion: v1\nmetadata:\n  name: x\n'), 'bad.yaml:1');
  assert.equal(where('apiVersion: v1\nkind: Pod\nmetadata:\n  labels: {}\n'), 'bad.yaml:3');
});

test('paths with keys that hold dots', () => {
  assert.deepEqual(fieldPath('spec.matchLabels[a.b/c].x[3]'), ['spec', 'matchLabels', 'a.b/c', 'x', 3]);
});
