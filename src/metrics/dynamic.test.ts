import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FlowConsumer } from '../flows/consumer.ts';
import { objectKey } from '../kube/reflector.ts';
import type { ConfigMap, KubeObject } from '../kube/types.ts';
import { waitFor } from '../std/async.ts';
import { silentLogger } from '../std/log.ts';
import { freePort } from '../std/testing-port.ts';
import { Table } from '../table/table.ts';
import { dynamicMetricsPlace, readDynamicMetrics } from './dynamic.ts';
import { watchGonePods } from './gone-pods.ts';
import { startHubbleMetrics } from './start.ts';
import { end, view } from './testing.ts';

const config = `metrics:
- name: flow
  contextOptions:
  - name: sourceContext
    values: [pod, ip]
  - name: labelsContext
    values: ["destination_namespace"]
  includeFilters:
  - source_pod: [shop/web]
  excludeFilters:
  - verdict: [DROPPED]
- name: dns
  contextOptions:
  - { name: query }
`;

test('the dynamic configuration is read', () => {
  const [flow, dns] = readDynamicMetrics(config);
  assert.deepEqual({ ...flow, options: [] }, {
    name: 'flow', options: [], context: { source: ['pod', 'ip'], labels: ['destination_namespace'] }, include: [{ source_pod: ['shop/web'] }], exclude: [{ verdict: ['DROPPED'] }],
  });
  assert.deepEqual([...dns!.options.keys()], ['query']);
  assert.deepEqual(readDynamicMetrics('metrics: []'), []);
});

for (const [text, message] of [
  ['metrics: {}', 'metrics must be a list'],
  ['metrics: [{contextOptions: []}]', 'metrics[0].name is missing'],
  ['metrics: [{name: flow, context: []}]', 'metrics[0] has no field context; known are name, contextOptions, includeFilters, excludeFilters'],
  ['metrics: [{name: flow, includeFilters: [1]}]', 'metrics[0].includeFilters[0] must be a mapping of fields'],
  ['metrics: [{name: flow}, {name: flow}]', 'metrics plugin flow: is there twice'],
  ['a: [', 'is neither YAML nor JSON: Flow sequence in block collection must be sufficiently indented and end with a ] at line 1, column 5:'],
] as const) {
  test(`${text} is refused`, () => assert.throws(() => readDynamicMetrics(text), { message }));
}

function configMap(text: string): ConfigMap {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { namespace: dynamicMetricsPlace.namespace, name: dynamicMetricsPlace.name }, data: { [dynamicMetricsPlace.key]: text } } as ConfigMap;
}

test('the ConfigMap takes the place of the settings while it is there; a wrong one changes nothing and is said', async () => {
  const stop = new AbortController();
  const configMaps = new Table<ConfigMap>('configmaps', objectKey);
  const pods = new Table<KubeObject>('ciliumendpoints', objectKey);
  const consumers: FlowConsumer[] = [];
  const port = await freePort();
  const status = startHubbleMetrics({ enabled: ['tcp'], port }, {
    consume: consumer => {
      consumers.push(consumer);
      return () => {};
    },
    pods, configMaps, more: () => [], log: silentLogger, signal: stop.signal,
  });
  try {
    assert.match(status().detail, /: tcp; 0 series$/);
    configMaps.producer('test').synced();
    configMaps.upsert(configMap(config));
    await waitFor('the new plugins', () => status().detail.includes(': flow, dns;'));
    for (const consumer of consumers) consumer.flow(view({ source: end({ namespace: 'shop', podName: 'web' }) }));
    for (const consumer of consumers) consumer.flow(view());
    const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    assert.match(text, /hubble_flows_processed_total\{destination_namespace="",protocol="TCP",source="shop\/web",subtype="to-endpoint",type="Trace",verdict="FORWARDED"\} 1\n/);
    assert.doesNotMatch(text, /source="10/);
    assert.match(await (await fetch(`http://127.0.0.1:${port}/metrics`)).text(), /^hubble_metrics_http_handler_requests_total\{code="200"\} 1$/m);
    configMaps.upsert(configMap('metrics: [{name: flwo}]'));
    await waitFor('the trouble', () => status().state === 'degraded');
    assert.equal(status().detail, 'ConfigMap kube-system/cilium-dynamic-metrics-config, data.dynamic-metrics.yaml: there is no metrics plugin "flwo"');
    configMaps.delete(objectKey(configMap('')));
    await waitFor('the settings again', () => status().detail.includes(': tcp;'));
  } finally {
    stop.abort();
  }
});

test('a pod that is gone for long enough is told of once, one that came back is not', async () => {
  const stop = new AbortController();
  const pods = new Table<KubeObject>('ciliumendpoints', objectKey);
  const pod = (name: string): KubeObject => ({ apiVersion: 'v1', kind: 'Pod', metadata: { namespace: 'shop', name } });
  pods.upsert(pod('a'), pod('b'), pod('c'));
  const gone: string[] = [];
  watchGonePods({ onGone: (namespace, name) => gone.push(`${namespace}/${name}`), graceMs: 30 }, { pods, signal: stop.signal });
  pods.delete('shop/a', 'shop/b');
  assert.deepEqual(gone, []);
  pods.upsert(pod('b'));
  await waitFor('a', () => gone.length > 0);
  pods.delete('shop/c');
  await waitFor('c', () => gone.length > 1);
  assert.deepEqual(gone, ['shop/a', 'shop/c']);
  stop.abort();
});
