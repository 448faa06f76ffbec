import assert from 'node:assert/strict';
import { test } from 'node:test';
import { endpointKey, type Endpoint } from '../features/endpoints/endpoint.ts';
import type { CiliumEndpoint } from '../features/endpoints/objects.ts';
import { objectKey } from '../kube/reflector.ts';
import type { Pod } from '../kube/types.ts';
import { workloadAnnotation } from '../kube/workload.ts';
import { Table } from '../table/table.ts';
import { PodNames } from './pod-names.ts';

function setUp() {
  const endpoints = new Table<Endpoint>('endpoints', endpointKey);
  const ciliumEndpoints = new Table<CiliumEndpoint>('ciliumendpoints', objectKey);
  const pods = new Table<Pod>('pods', objectKey);
  return { endpoints, ciliumEndpoints, pods, names: new PodNames({ endpoints, ciliumEndpoints, pods }) };
}

function endpoint(id: number, podName: string, ipv4: string, identity: number): Endpoint {
  return {
    id, containerId: `c${id}`, interfaceName: 'eth0', netns: '', namespace: 'shop', podName, podUid: `uid-${podName}`, hostInterface: `lxc${id}`, ifindex: id, mac: '', hostMac: '', ipv4,
    labels: [], identity, namedPorts: [], createdAt: '',
  };
}

function remote(name: string, ipv4: string, identity: number, workload?: string): CiliumEndpoint {
  return {
    apiVersion: 'cilium.io/v2', kind: 'CiliumEndpoint', metadata: { name, namespace: 'shop', ...(workload && { annotations: { [workloadAnnotation]: workload } }) },
    status: { id: 1, identity: { id: identity, labels: [] }, networking: { addressing: [{ ipv4 }], node: '192.0.2.2' }, state: 'ready' },
  };
}

test('a pod keeps its name after it has gone, and after another has its address', () => {
  const { endpoints, names } = setUp();
  endpoints.upsert(endpoint(1, 'old', '10.0.0.1', 300));
  assert.equal(names.pod('10.0.0.1', 300, 1)?.name, 'old');
  endpoints.delete(endpointKey(endpoint(1, 'old', '10.0.0.1', 300)));
  assert.equal(names.pod('10.0.0.1', 300, 1)?.name, 'old');
  endpoints.upsert(endpoint(2, 'new', '10.0.0.1', 300));
  assert.deepEqual([names.pod('10.0.0.1', 300, 1)?.name, names.pod('10.0.0.1', 300, 2)?.name, names.pod('10.0.0.1')?.name], ['old', 'new', 'new']);
});

test('of other nodes\' pods the identity tells who sent it', () => {
  const { ciliumEndpoints, names } = setUp();
  ciliumEndpoints.upsert(remote('old', '10.0.1.1', 300));
  assert.equal(names.pod('10.0.1.1', 300)?.name, 'old');
  ciliumEndpoints.delete('shop/old');
  assert.equal(names.pod('10.0.1.1', 300)?.name, 'old');
  assert.equal(names.pod('10.0.1.1', 301), undefined, 'another pod, of which nothing is known yet');
  ciliumEndpoints.upsert(remote('new', '10.0.1.1', 301));
  assert.deepEqual([names.pod('10.0.1.1', 300)?.name, names.pod('10.0.1.1', 301)?.name, names.pod('10.0.1.1')?.name], ['old', 'new', 'new']);
});

test('workloads: from the pod on this node, from its CiliumEndpoint on others', () => {
  const { endpoints, ciliumEndpoints, pods, names } = setUp();
  ciliumEndpoints.upsert(remote('far', '10.0.1.1', 300, 'StatefulSet/db'));
  assert.deepEqual(names.pod('10.0.1.1')?.workloads, [{ kind: 'StatefulSet', name: 'db' }]);
  endpoints.upsert(endpoint(1, 'web-5d4-x', '10.0.0.1', 300));
  assert.equal(names.pod('10.0.0.1')?.workloads, undefined);
  const revision = names.revision;
  pods.upsert({
    apiVersion: 'v1', kind: 'Pod', spec: { containers: [] },
    metadata: { name: 'web-5d4-x', namespace: 'shop', uid: 'uid-web-5d4-x', labels: { 'pod-template-hash': '5d4' }, ownerReferences: [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web-5d4', uid: 'r', controller: true }] },
  } as unknown as Pod);
  assert.notEqual(names.revision, revision);
  assert.deepEqual(names.pod('10.0.0.1')?.workloads, [{ kind: 'Deployment', name: 'web' }]);
  ciliumEndpoints.upsert(remote('web-5d4-x', '10.0.0.1', 300));
  pods.delete('shop/web-5d4-x');
  assert.deepEqual(names.pod('10.0.0.1', 300, 1)?.workloads, [{ kind: 'Deployment', name: 'web' }], 'its own object on the way back says less');
  assert.deepEqual(names.pod('10.0.0.1')?.workloads, [{ kind: 'Deployment', name: 'web' }]);
});

test('what is remembered of pods that have gone is bounded', () => {
  const { endpoints, names } = setUp();
  for (let i = 1; i <= 5000; i++) {
    const row = endpoint(i, `p${i}`, `10.0.${i >> 8}.${i & 255}`, 300);
    endpoints.upsert(row);
    names.pod('10.0.0.1');
    endpoints.delete(endpointKey(row));
    names.pod('10.0.0.1');
  }
  assert.equal(names.pod('10.0.0.1', 300, 1), undefined);
  assert.equal(names.pod('10.0.19.136', 300, 5000)?.name, 'p5000');
});
