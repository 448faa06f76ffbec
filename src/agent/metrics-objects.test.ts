import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { TestServer } from '../apiserver/testing.ts';
import { KubeClient } from '../kube/client.ts';
import { resources, type Resource } from '../kube/resources.ts';
import type { EndpointSlice, KubeObject, Service } from '../kube/types.ts';
import { silentLogger } from '../std/log.ts';
import { publishMetricsObjects, type MetricsObjectsOptions } from './metrics-objects.ts';

let api: TestServer;
let client: KubeClient;
before(async () => {
  api = await TestServer.start();
  client = new KubeClient({ socketPath: api.paths.apiserverSocket });
});
after(async () => {
  client.close();
  await api[Symbol.asyncDispose]();
});

const node1 = { name: 'node1', underlay4: '192.0.2.11' };
const publish = (more: Partial<MetricsObjectsOptions>) => publishMetricsObjects({ node: node1, hubble: true, serviceMonitor: true, ...more }, { client, log: silentLogger, signal: new AbortController().signal });
const names = async (resource: Resource) => (await client.list<KubeObject>(resource, { namespace: 'kube-system' })).items.map(({ metadata }) => metadata.name).sort();

test('two nodes: the services, an endpoint of each node, and the monitors that select the services', async () => {
  await publish({});
  await publish({ node: { name: 'node2', underlay4: '192.0.2.12' } });
  assert.deepEqual(await names(resources.services), ['cilium-agent', 'hubble-metrics']);
  const slices = (await client.list<EndpointSlice & KubeObject>(resources.endpointSlices, { namespace: 'kube-system', labelSelector: 'kubernetes.io/service-name=hubble-metrics' })).items;
  assert.deepEqual(slices.map(slice => [slice.endpoints![0]!.nodeName, slice.endpoints![0]!.addresses, slice.ports?.[0]?.port]), [['node1', ['192.0.2.11'], 9965], ['node2', ['192.0.2.12'], 9965]]);
  for (const monitor of (await client.list<KubeObject>(resources.serviceMonitors, { namespace: 'kube-system' })).items) {
    const { selector, endpoints } = monitor.spec as { selector: { matchLabels: Record<string, string> }; endpoints: { port: string }[] };
    const selected = (await client.list<Service & KubeObject>(resources.services, { namespace: 'kube-system', labelSelector: Object.entries(selector.matchLabels).map(pair => pair.join('=')).join(',') })).items;
    assert.equal(selected.length, 1, monitor.metadata.name);
    assert.deepEqual(selected[0]!.spec.ports!.map(port => port.name), endpoints.map(({ port }) => port));
    assert.equal(selected[0]!.spec.clusterIP, 'None');
  }
  assert.deepEqual(await names(resources.serviceMonitors), ['cilium-agent', 'hubble']);
});

test('what is turned off is taken away', async () => {
  await publish({});
  await publish({ serviceMonitor: false });
  assert.deepEqual(await names(resources.serviceMonitors), []);
  await publish({ hubble: false });
  assert.deepEqual(await names(resources.services), ['cilium-agent']);
  assert.deepEqual(await names(resources.serviceMonitors), ['cilium-agent']);
});

test("people's ServiceMonitors are taken with all of their fields; one without a selector is not", async () => {
  const path = '/apis/monitoring.coreos.com/v1/namespaces/default/servicemonitors';
  const spec = { endpoints: [{ port: 'web', interval: '1m30s', basicAuth: { username: { name: 'a', key: 'b' } }, relabelings: [{ action: 'labeldrop', regex: 'x' }] }], selector: {}, attachMetadata: { node: true } };
  const made = await api.call('POST', path, { apiVersion: 'monitoring.coreos.com/v1', kind: 'ServiceMonitor', metadata: { name: 'mine' }, spec });
  assert.equal(made.code, 201, made.text);
  assert.deepEqual(made.body['spec'], spec);
  const refused = await api.call('POST', path, { apiVersion: 'monitoring.coreos.com/v1', kind: 'ServiceMonitor', metadata: { name: 'other' }, spec: { endpoints: [{ interval: 'soon' }] } });
  assert.equal(refused.code, 422);
  assert.match(refused.text, /spec\.selector.*Required|spec\.endpoints\[0\]\.interval/);
});
