import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expose } from '../metrics/exposition.ts';
import { asFamily } from '../metrics/flow-metrics.ts';
import { createLogger } from '../std/log.ts';
import { AgentCounters, collectionOf } from './counters.ts';

function samples(counters: AgentCounters): string[] {
  return expose(counters.families.map(asFamily), 'text').split('\n').filter(line => line !== '' && !line.startsWith('#') && !/_sum|le="[\d.]/.test(line));
}

test('objects have no series of their own in the latency of calls', () => {
  for (const [path, expected] of [
    ['/api/v1/pods?limit=500', '/api/v1/pods'],
    ['/api/v1/namespaces', '/api/v1/namespaces'],
    ['/api/v1/namespaces/shop', '/api/v1/namespaces/{name}'],
    ['/api/v1/namespaces/shop/pods/web-1', '/api/v1/namespaces/{namespace}/pods/{name}'],
    ['/api/v1/namespaces/shop/configmaps', '/api/v1/namespaces/{namespace}/configmaps'],
    ['/apis/cilium.io/v2/ciliumidentities/1234', '/apis/cilium.io/v2/ciliumidentities/{name}'],
    ['/apis/cilium.io/v2/namespaces/a/ciliumnetworkpolicies/b/status', '/apis/cilium.io/v2/namespaces/{namespace}/ciliumnetworkpolicies/{name}/status'],
  ] as const) assert.equal(collectionOf(path), expected);
});

test('calls, log lines and loaded sets are counted', () => {
  const counters = new AgentCounters();
  const lines: string[] = [];
  const log = counters.counting(createLogger({}, line => lines.push(line), 'info'));
  log.info('all is well');
  log.warn('not quite');
  log.with({ reflector: 'pods' }).error('lost the API');
  counters.call({ method: 'GET', path: '/api/v1/pods', status: 200, seconds: 0.01 });
  counters.call({ method: 'GET', path: '/api/v1/pods', status: 0, seconds: 30 });
  counters.loaded('success', 0.02);
  counters.loaded('failure', 0.01);
  assert.equal(lines.length, 3);
  assert.deepEqual(samples(counters), [
    'cilium_endpoint_regeneration_time_stats_seconds_bucket{scope="total",status="success",le="+Inf"} 1', 'cilium_endpoint_regeneration_time_stats_seconds_count{scope="total",status="success"} 1',
    'cilium_endpoint_regeneration_time_stats_seconds_bucket{scope="total",status="failure",le="+Inf"} 1', 'cilium_endpoint_regeneration_time_stats_seconds_count{scope="total",status="failure"} 1',
    'cilium_endpoint_regenerations_total{error="",outcome="success",reason="policy"} 1', 'cilium_endpoint_regenerations_total{error="load",outcome="fail",reason="policy"} 1',
    'cilium_errors_warnings_total{level="warning",subsystem="agent"} 1', 'cilium_errors_warnings_total{level="error",subsystem="k8s-watcher"} 1',
    'cilium_k8s_client_api_calls_total{host="kube-apiserver",method="GET",return_code="200"} 1', 'cilium_k8s_client_api_calls_total{host="kube-apiserver",method="GET",return_code="<error>"} 1',
    'cilium_k8s_client_api_latency_time_seconds_bucket{method="GET",path="/api/v1/pods",le="+Inf"} 2', 'cilium_k8s_client_api_latency_time_seconds_count{method="GET",path="/api/v1/pods"} 2',
  ]);
});

test('the delay of policies is that of changes that made a revision', () => {
  const counters = new AgentCounters();
  const delays = () => samples(counters).filter(line => line.includes('delay_count'));
  counters.policyInForce(0);
  counters.policyChanged();
  counters.policyInForce(0);
  assert.deepEqual(delays(), [], 'only a status had changed');
  counters.policyChanged();
  counters.policyChanged();
  counters.policyInForce(2);
  counters.policyInForce(3);
  assert.deepEqual(delays(), ['cilium_policy_implementation_delay_count{source="k8s"} 1']);
});
