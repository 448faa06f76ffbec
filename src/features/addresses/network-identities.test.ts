import assert from 'node:assert/strict';
import { test } from 'node:test';
import { firstPrefixIdentity } from '../../model/identity.ts';
import { LabelSet } from '../../model/labels.ts';
import { parsePrefix } from '../../std/ip.ts';
import { NetworkIdentities, type NetworkPod } from './network-identities.ts';

const first = firstPrefixIdentity + (1 << 23);
const web: NetworkPod = { key: 'web', identity: 300, addresses: ['10.244.1.2', 'fd00::2'] };
const web2: NetworkPod = { key: 'web2', identity: 300, addresses: ['10.244.1.3', 'fd00::3'] };
const db: NetworkPod = { key: 'db', identity: 301, addresses: ['10.244.2.9'] };
const labelSets = new Map([[300, LabelSet.of(['k8s:app=web'])], [301, LabelSet.of(['k8s:app=db'])]]);
const labelsOf = (id: number) => labelSets.get(id);
const all = (...pods: NetworkPod[]) => ({ all: () => pods, changed: pods, gone: [] });
const changes = (changed: NetworkPod[], gone: string[] = []) => ({ all: (): NetworkPod[] => assert.fail('all pods are asked for only when the networks change'), changed, gone });

test('without networks there are no such identities', () => {
  const ids = new NetworkIdentities();
  assert.deepEqual(ids.refresh([], all(web, db), labelsOf), { added: [], removed: [] });
  assert.equal(ids.of(300, '10.244.1.2'), undefined);
});

test('one number for a pod identity and the longest network that holds the address; equal pods share it', () => {
  const ids = new NetworkIdentities();
  const { added } = ids.refresh(['10.0.0.0/8', '10.244.1.0/24', '192.0.2.0/24'], all(web, web2, db), labelsOf);
  assert.deepEqual(added.map(([id, labels, identity]) => [id, labels.array, identity]), [
    [first, ['k8s:app=web', 'network:10.244.1.0/24'], 300],
    [first + 1, ['k8s:app=db', 'network:10.0.0.0/8'], 301],
  ]);
  assert.deepEqual([ids.of(300, '10.244.1.2'), ids.of(300, '10.244.1.3'), ids.of(301, '10.244.2.9'), ids.of(300, 'fd00::2')], [first, first, first + 1, undefined]);
});

test('pods come and go without the others being looked at; a number goes with its last pod', () => {
  const ids = new NetworkIdentities();
  ids.refresh(['10.0.0.0/8'], all(web), labelsOf);
  assert.deepEqual(ids.refresh(['10.0.0.0/8'], changes([web2, db]), labelsOf).added.map(([id]) => id), [first + 1]);
  assert.deepEqual(ids.refresh(['10.0.0.0/8'], changes([], ['web']), labelsOf), { added: [], removed: [] });
  assert.deepEqual(ids.refresh(['10.0.0.0/8'], changes([], ['web2']), labelsOf), { added: [], removed: [first] });
  const revision = ids.revision;
  assert.deepEqual(ids.refresh([], all(db), labelsOf).removed, [first + 1]);
  assert.notEqual(ids.revision, revision);
});

test('a pod whose identity is not known yet has no number until it is', () => {
  const ids = new NetworkIdentities();
  const known = new Map<number, LabelSet>();
  ids.refresh(['10.0.0.0/8'], all(web), id => known.get(id));
  assert.equal(ids.of(300, '10.244.1.2'), undefined);
  known.set(300, labelSets.get(300)!);
  assert.deepEqual(ids.refresh(['10.0.0.0/8'], changes([]), id => known.get(id)).added.map(([id]) => id), [first]);
  assert.equal(ids.of(300, '10.244.1.2'), first);
});

test('after a restart the numbers of the kernel hold until the networks are known, and stay with their pairs', () => {
  const ids = new NetworkIdentities();
  const row = (address: string, identity: number, policyIdentity: number) => { const { addr, bits } = parsePrefix(address); return [{ prefixBits: bits, addr }, { identity, policyIdentity }] as const; };
  ids.adopt([row('10.244.1.2', 300, first + 5), row('10.244.2.9', 301, 0)]);
  assert.deepEqual([ids.of(300, '10.244.1.2'), ids.of(299, '10.244.1.2'), ids.of(301, '10.244.2.9')], [first + 5, undefined, undefined]);
  ids.refresh(['10.0.0.0/8'], all(web, db), labelsOf);
  assert.deepEqual([ids.of(300, '10.244.1.3'), ids.of(301, '10.244.2.9')], [first + 5, first + 6]);
});
