import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Flow } from '../model/flow.ts';
import { compileFilters } from './filter.ts';
import { filtersFromFlags, type FlagUse } from './flags.ts';
import { flowToJson } from './jsonpb.ts';
import { flowFromJson } from './jsonpb-read.ts';
import { parseDuration, parseTime, queryFromParams, queryToParams } from './query.ts';

const flow = flowFromJson({
  time: '2026-11-20T10:00:00.000000001Z',
  verdict: 'DROPPED',
  drop_reason: 133,
  IP: { source: '10.244.1.5', destination: '10.244.2.9', ipVersion: 'IPv4' },
  l4: { TCP: { source_port: 41000, destination_port: 8080, flags: { SYN: true } } },
  source: { identity: 1234, namespace: 'checkout', pod_name: 'client-1', labels: ['k8s:app=checkout-service'] },
  destination: { identity: 5678, namespace: 'payments', pod_name: 'server-1', labels: ['k8s:app=payment-service', 'k8s:tier=api'] },
  Type: 'L3_L4',
  node_name: 'node1',
  event_type: { type: 1, sub_type: 133 },
  destination_service: { namespace: 'payments', name: 'payment-service' },
  traffic_direction: 'INGRESS',
  is_reply: false,
});

function passes(...uses: FlagUse[]): boolean {
  const { whitelist, blacklist } = filtersFromFlags(uses);
  return compileFilters(whitelist, blacklist)(flow);
}

test('undirected flags match either end, directed ones their own', () => {
  assert.ok(passes(['namespace', 'payments']));
  assert.ok(passes(['pod', 'checkout/client']));
  assert.ok(passes(['to-pod', 'payments/server'], ['from-pod', 'checkout/']));
  assert.ok(!passes(['from-pod', 'payments/server']));
  assert.ok(!passes(['pod', 'client']), 'a bare name is of namespace default');
  assert.ok(passes(['namespace', 'checkout'], ['pod', 'client']));
  assert.ok(passes(['all-namespaces', ''], ['pod', 'client']));
});

test('two undirected flags are joined end by end, as Hubble does', () => {
  assert.ok(passes(['ip', '10.244.1.5'], ['port', '41000']));
  assert.ok(!passes(['ip', '10.244.1.5'], ['port', '8080']));
});

test('addresses, prefixes, ports, protocols, verdict lists', () => {
  assert.ok(passes(['to-ip', '10.244.2.0/24']));
  assert.ok(!passes(['to-ip', '10.244.1.0/24']));
  assert.ok(passes(['to-port', '8080'], ['protocol', 'tcp']));
  assert.ok(!passes(['protocol', 'udp']));
  assert.ok(passes(['verdict', 'FORWARDED,DROPPED']));
  assert.throws(() => passes(['verdict', 'DENIED']), /invalid --verdict value: DENIED/);
  assert.throws(() => passes(['protocol', 'kafka2']), /unknown protocol/);
});

test('labels, identities, types, reasons, services, nodes, flags', () => {
  assert.ok(passes(['to-label', 'app=payment-service,tier in (api, web)']));
  assert.ok(passes(['to-label', 'k8s:app=payment-service']));
  assert.ok(!passes(['to-label', 'reserved:app=payment-service']));
  assert.ok(passes(['from-label', '!tier']));
  assert.ok(passes(['identity', '5678']));
  assert.ok(!passes(['identity', 'world']));
  assert.ok(passes(['type', 'drop:133']));
  assert.ok(!passes(['type', 'policy-verdict']));
  assert.ok(passes(['drop-reason-desc', 'policy_denied']));
  assert.ok(passes(['service', 'payments/payment']));
  assert.ok(passes(['node-name', 'node*']));
  assert.ok(!passes(['node-name', 'other']));
  assert.ok(passes(['tcp-flags', 'SYN']));
  assert.ok(!passes(['tcp-flags', 'SYN,ACK']));
});

test('--not turns the next flag round and no more', () => {
  assert.ok(!passes(['not', ''], ['namespace', 'payments']));
  assert.ok(passes(['not', ''], ['namespace', 'kube-system'], ['verdict', 'DROPPED']));
  assert.throws(() => passes(['not', '']), /stands at the end/);
});

test('times: durations before now, dates, RFC 3339', () => {
  const now = new Date('2026-11-20T12:00:00Z');
  assert.equal(parseDuration('1h43m'), 6_180_000);
  assert.equal(parseDuration('soon'), undefined);
  assert.equal(parseTime('90s', now), '2026-11-20T11:58:30.000000000Z');
  assert.equal(parseTime('2026-11-20', now), '2026-11-20T00:00:00.000000000Z');
  assert.equal(parseTime('2026-11-20T10:00:00.5+02:00', now), '2026-11-20T08:00:00.500000000Z');
  assert.equal(parseTime('Nov 19 10:00:00.250', now), '2026-11-19T10:00:00.250000000Z');
  assert.throws(() => parseTime('yesterday-ish', now), /neither a duration nor a time/);
});

test('a query survives the way through a URL', () => {
  const query = { last: 20, since: '2026-11-20T10:00:00.000000000Z', ...filtersFromFlags([['verdict', 'DROPPED'], ['pod', 'a/b']]) };
  const { follow, ...back } = queryFromParams(new URLSearchParams(queryToParams({ ...query, follow: true }).toString()));
  assert.equal(follow, true);
  assert.deepEqual(back, { last: 20, since: query.since, whitelist: query.whitelist });
});

test('flow → JSON → flow changes nothing that filters see', () => {
  const again: Flow = flowFromJson(flowToJson(flow));
  assert.deepEqual({ ...again, service: undefined, time: '' }, { ...flow, service: undefined, time: '' });
});
