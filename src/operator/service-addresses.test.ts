import test from 'node:test';
import assert from 'node:assert/strict';
import { resources } from '../kube/resources.ts';
import { TestApi } from '../kube/testapi.ts';
import type { Condition, KubeObject, Service } from '../kube/types.ts';
import type { ClusterRecord, NodeRecord } from '../model/cluster.ts';
import { defaultSettings } from '../model/settings.ts';
import { waitFor } from '../std/async.ts';
import { silentLogger } from '../std/log.ts';
import { startControllers } from './start.ts';

const record = {
  serviceCidr4: '10.96.0.0/16', serviceCidr6: 'fd00:10:96::/112', clusterCidr4: '10.244.0.0/16', clusterCidr6: 'fd00:10:244::/48', nodes: [] as readonly NodeRecord[],
  underlay: { bridge: 't0', prefix4: '172.30.7.0/24', prefix6: 'fdc1:7::/64', host4: '172.30.7.1', host6: 'fdc1:7::1' }, settings: defaultSettings,
} as ClusterRecord;

async function world(): Promise<{ api: TestApi; start: () => Promise<AbortController> } & AsyncDisposable> {
  const api = await TestApi.start();
  const running: AbortController[] = [];
  for (const name of ['default', 'kube-system']) api.put('namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name }, status: { phase: 'Active' } });
  return {
    api,
    start: async () => {
      const abort = new AbortController();
      running.push(abort);
      await startControllers({ client: api.client, record, signal: abort.signal, log: silentLogger });
      return abort;
    },
    [Symbol.asyncDispose]: async () => {
      for (const abort of running) abort.abort();
      await api[Symbol.asyncDispose]();
    },
  };
}

const pool = (name: string, cidr: string, spec: object = {}): KubeObject => ({ apiVersion: 'cilium.io/v2', kind: 'CiliumLoadBalancerIPPool', metadata: { name, creationTimestamp: '2026-01-01T00:00:00Z' }, spec: { blocks: [{ cidr }], ...spec } });
const service = (name: string, spec: object = {}, metadata: object = {}): KubeObject => ({
  apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'default', creationTimestamp: '2026-01-01T00:00:00Z', ...metadata },
  spec: { type: 'LoadBalancer', clusterIP: '10.96.7.7', ipFamilies: ['IPv4'], ports: [{ port: 80, protocol: 'TCP' }], ...spec },
});
const ips = (api: TestApi, name: string) => (api.get<Service>('services', `default/${name}`)?.status?.loadBalancer?.ingress ?? []).map(i => i.ip);
const condition = (object: KubeObject | undefined, type: string) => ((object?.status as { conditions?: Condition[] } | undefined)?.conditions ?? []).find(c => c.type === type);

test('a service of type LoadBalancer gets an address, says so, and gives it back when its type changes or it is deleted', async () => {
  await using w = await world();
  w.api.put('ciliumloadbalancerippools', pool('p', '192.0.2.0/31'));
  w.api.put('services', service('a'));
  await w.start();
  await waitFor('an address', () => ips(w.api, 'a').length === 1);
  assert.equal(condition(w.api.get('services', 'default/a'), 'cilium.io/IPAMRequestSatisfied')!.status, 'True');
  await w.api.client.create(resources.services, service('b') as Service);
  await w.api.client.create(resources.services, service('c') as Service);
  await waitFor('b has the other, or c', () => [...ips(w.api, 'b'), ...ips(w.api, 'c')].length === 1);
  const [has, waits] = ips(w.api, 'b').length === 1 ? ['b', 'c'] : ['c', 'b'];
  await waitFor('the one left over says why', () => condition(w.api.get('services', `default/${waits}`), 'cilium.io/IPAMRequestSatisfied')?.reason === 'out_of_ips');
  await waitFor('counts', () => condition(w.api.get('ciliumloadbalancerippools', 'p'), 'cilium.io/IPsUsed')?.message === '2');
  assert.equal(condition(w.api.get('ciliumloadbalancerippools', 'p'), 'cilium.io/IPsAvailable')?.message, '0');
  await w.api.client.patch(resources.services, 'a', 'default', { spec: { type: 'ClusterIP' } }, { type: 'merge' });
  await waitFor('the freed one goes to who waited', () => ips(w.api, waits).length === 1 && ips(w.api, 'a').length === 0);
  assert.equal(condition(w.api.get('services', 'default/a'), 'cilium.io/IPAMRequestSatisfied'), undefined);
  w.api.remove('services', `default/${has}`);
  await waitFor('counts follow', () => condition(w.api.get('ciliumloadbalancerippools', 'p'), 'cilium.io/IPsUsed')?.message === '1');
});

test('after a restart everybody has what he had, also those that come first in the queue, and a written status of somebody else\'s is put right', async () => {
  await using w = await world();
  w.api.put('ciliumloadbalancerippools', pool('p', '192.0.2.0/28'));
  const first = await w.start();
  for (const name of ['a', 'b', 'c', 'd']) w.api.put('services', service(name));
  const all = () => ['a', 'b', 'c', 'd'].map(name => ips(w.api, name).join());
  await waitFor('addresses', () => all().every(text => text !== ''));
  const before = all();
  assert.equal(new Set(before).size, 4);
  first.abort();
  w.api.put('services', service('0-new', {}, { creationTimestamp: '2020-01-01T00:00:00Z' }));
  const b = w.api.get<Service>('services', 'default/b')!;
  w.api.put('services', { ...b, status: { ...b.status, loadBalancer: { ingress: [{ ip: before[0] }] } } } as KubeObject);
  await w.start();
  await waitFor('the new one', () => ips(w.api, '0-new').length === 1 && ips(w.api, 'b').join() !== before[0]);
  assert.deepEqual([ips(w.api, 'a').join(), ips(w.api, 'c').join(), ips(w.api, 'd').join()], [before[0], before[2], before[3]]);
  assert.equal(new Set(['0-new', 'a', 'b', 'c', 'd'].map(name => ips(w.api, name).join())).size, 5);
});

test('services of other classes are left alone; io.cilium/node is refused in words; pools follow their objects', async () => {
  await using w = await world();
  w.api.put('ciliumloadbalancerippools', pool('p', '192.0.2.0/28', { serviceSelector: { matchLabels: { 'io.kubernetes.service.namespace': 'default' }, matchExpressions: [{ key: 'io.kubernetes.service.name', operator: 'In', values: ['a'] }] } }));
  const other = service('other', { loadBalancerClass: 'example.com/metal' }) as Service;
  w.api.put('services', { ...other, status: { loadBalancer: { ingress: [{ ip: '203.0.113.9' }] } } } as KubeObject);
  w.api.put('services', service('node', { loadBalancerClass: 'io.cilium/node' }));
  w.api.put('services', service('a', { loadBalancerClass: 'io.cilium/l2-announcer' }));
  w.api.put('services', service('b'));
  await w.start();
  await waitFor('a has one', () => ips(w.api, 'a').length === 1);
  await waitFor('b says why not', () => condition(w.api.get('services', 'default/b'), 'cilium.io/IPAMRequestSatisfied')?.reason === 'no_pool');
  await waitFor('the class is refused', () => condition(w.api.get('services', 'default/node'), 'cilium.io/IPAMRequestSatisfied')?.reason === 'class_not_served');
  await waitFor('an address outside of all pools is refused', () => condition(w.api.get('services', 'default/other'), 'cirri.io/ExternalAddressesRefused')?.reason === 'NotInPool');
  assert.deepEqual(ips(w.api, 'other'), ['203.0.113.9']);
  w.api.put('ciliumloadbalancerippools', pool('q', '192.0.2.8/29', { }));
  await waitFor('q conflicts', () => condition(w.api.get('ciliumloadbalancerippools', 'q'), 'cilium.io/PoolConflict')?.status === 'True');
  w.api.remove('ciliumloadbalancerippools', 'p');
  await waitFor('q conflicts no more and serves both', () => condition(w.api.get('ciliumloadbalancerippools', 'q'), 'cilium.io/PoolConflict')?.status === 'False' && ips(w.api, 'b').length === 1 && /^192.0.2.(8|9|10|11|12|13|14|15)$/.test(ips(w.api, 'a').join()));
  const texts = w.api.all('events').map(e => `${String(e['reason'])} ${String(e['message'])}`);
  assert.ok(texts.some(t => t.startsWith('LoadBalancerIPAssigned Assigned 192.0.2.')), texts.join('\n'));
});

test('external IPs that are refused are said on the service, with what to do, and a warning; the condition goes with them', async () => {
  await using w = await world();
  await w.start();
  w.api.put('services', service('a', { type: 'ClusterIP', externalIPs: ['172.30.7.1', '8.8.8.8'] }));
  const refused = () => condition(w.api.get('services', 'default/a'), 'cirri.io/ExternalAddressesRefused');
  await waitFor('the condition', () => refused()?.status === 'True');
  assert.match(refused()!.message!, /spec.externalIPs\[0\]: 172.30.7.1 is an address of the API server; .*\nspec.externalIPs\[1\]: 8.8.8.8 lies in no CiliumLoadBalancerIPPool .*externalIPs.allowed/);
  await waitFor('the event', () => w.api.all('events').some(e => e['reason'] === 'ExternalAddressRefused' && e['type'] === 'Warning'));
  w.api.put('ciliumloadbalancerippools', pool('google', '8.8.8.0/24'));
  await waitFor('one is left', () => refused()?.message?.includes('8.8.8.8') === false);
  await w.api.client.patch(resources.services, 'a', 'default', { spec: { externalIPs: null } }, { type: 'merge' });
  await waitFor('none is left', () => refused() === undefined);
});
