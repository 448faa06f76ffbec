import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cidrIdentityLabels, createLabelFilter, defaultLabelFilter, fnv1a, identityCandidates, identityLabels, identityPrefix, identityScope, reservedIdentities, reservedName } from './identity.ts';
import { LabelSet } from './labels.ts';
import { formatPrefix } from '../std/ip.ts';

test('a pod\'s identity has its labels, its namespace with labels, its cluster and its service account', () => {
  const labels = identityLabels({ namespace: 'shop', labels: { app: 'web', 'pod-template-hash': '5d4' }, serviceAccount: 'till' }, { team: 'a' }, 'one');
  assert.deepEqual(labels.array, [
    'k8s:app=web', 'k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=shop', 'k8s:io.cilium.k8s.namespace.labels.team=a',
    'k8s:io.cilium.k8s.policy.cluster=one', 'k8s:io.cilium.k8s.policy.serviceaccount=till', 'k8s:io.kubernetes.pod.namespace=shop',
  ]);
});

test('the default filter leaves out what changes from pod to pod; the longest match wins', () => {
  const included = (key: string) => defaultLabelFilter({ source: 'k8s', key, value: '' });
  for (const key of ['app', 'app.kubernetes.io/name', 'io.kubernetes.pod.namespace', 'io.cilium.k8s.policy.cluster', 'team']) assert.equal(included(key), true, key);
  for (const key of [
    'io.kubernetes.other', 'kubernetes.io/arch', 'k8s.io/x', 'topology.kubernetes.io/zone', 'foo.beta.kubernetes.io/x', 'statefulset.kubernetes.io/pod-name',
    'apps.kubernetes.io/pod-index', 'batch.kubernetes.io/job-completion-index', 'batch.kubernetes.io/controller-uid', 'pod-template-generation',
    'controller-revision-hash', 'controller-uid', 'annotation.x', 'etcd_node',
  ]) assert.equal(included(key), false, key);
});

test('a filter that names labels leaves out the others, but not what the cluster says', () => {
  const filter = createLabelFilter(['k8s:app', '!k8s:app-version']);
  const included = (key: string) => filter({ source: 'k8s', key, value: '' });
  assert.deepEqual(['app', 'app-version', 'team', 'io.kubernetes.pod.namespace'].map(included), [true, false, false, true]);
  assert.equal(createLabelFilter(['!team'])({ source: 'k8s', key: 'app', value: '' }), true);
});

test('identity numbers follow from labels: 256 to 65535, each once, always in the same order', () => {
  const candidates = identityCandidates(LabelSet.of(['k8s:app=web']));
  const first = [candidates.next().value, candidates.next().value];
  assert.equal(first[0], 256 + (fnv1a('k8s:app=web') % 65280));
  assert.equal(first[1], first[0] === 65535 ? 256 : first[0]! + 1);
  const all = new Set(identityCandidates(LabelSet.of(['k8s:a'])));
  assert.equal(all.size, 65280);
  assert.deepEqual([Math.min(...all), Math.max(...all)], [256, 65535]);
});

test('reserved identities have upstream\'s numbers', () => {
  assert.deepEqual(reservedIdentities.map(r => [r.id, r.name]), [
    [1, 'host'], [2, 'world'], [3, 'unmanaged'], [4, 'health'], [5, 'init'], [6, 'remote-node'], [7, 'kube-apiserver'], [8, 'ingress'], [9, 'world-ipv4'], [10, 'world-ipv6'],
  ]);
  assert.equal(reservedName(7), 'kube-apiserver');
  assert.deepEqual([1, 300, 16777216, 33554432].map(identityScope), ['reserved', 'cluster', 'prefix', 'remote-node']);
});

test('a prefix bears the labels of every prefix that contains it and of the world', () => {
  assert.deepEqual(cidrIdentityLabels('10.1.0.0/16', ['10.0.0.0/8', '10.2.0.0/16', '::/0', '10.1.0.0/24']).array, ['cidr:10.0.0.0/8', 'cidr:10.1.0.0/16', 'reserved:world', 'reserved:world-ipv4']);
  assert.deepEqual(cidrIdentityLabels('fd00:1::/32', ['fd00::/8', '10.0.0.0/8']).array, ['cidr:fd00--0/8', 'cidr:fd00-1--0/32', 'reserved:world', 'reserved:world-ipv6']);
});

test('the prefix of an identity is the longest of its labels', () => {
  for (const prefix of ['10.1.0.0/16', 'fd00:1::/32', '::1/128', '2001:db8::5/128']) {
    assert.equal(formatPrefix(identityPrefix(cidrIdentityLabels(prefix, ['10.0.0.0/8', 'fd00::/8']))!), prefix);
  }
  assert.equal(identityPrefix(LabelSet.of(['reserved:world'])), undefined);
});
