import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { compileFilters, type FlowFilter } from '../../flows/filter.ts';
import { groupDimensions } from '../../model/history.ts';
import { groupsOf } from './groups.ts';
import { byMeasure } from './order.ts';
import { TestHistory, TestWorld } from '../testing.ts';
import { timeNs } from '../time.ts';

const since = timeNs('2026-11-20T00:00:00Z');
const until = timeNs('2026-11-22T12:00:00Z');
const world = new TestWorld({ namespaces: 4, workloads: 12, pods: 40, outside: 60 });
const flows = [...world.flows(1500, since, until)];
const history = await TestHistory.start();
// Three days are three partitions. Those that are over are summed up: the questions below are answered from both.
for (const day of ['2026-11-20', '2026-11-21', '2026-11-22']) await history.record(flows.filter(({ time }) => time.startsWith(day)));
for (let i = 0; i < 2; i++) await history.store.tidy(new AbortController().signal);
assert.deepEqual(history.store.partitions.map(({ summed }) => summed), [true, true, false]);
after(() => history[Symbol.asyncDispose]());

const some = <T>(...values: readonly T[]) => fc.array(fc.constantFrom(...values), { minLength: 1, maxLength: 3 });
const ends = {
  ip: some('10.244.0.1', '10.244.0.7', '203.0.0.3', 'fd00:10:244:1::2', '10.244.0.0/28', '203.0.0.0/16', 'fd00::/16', '0.0.0.0/0', '::/0'),
  pod: some('ns-1/', 'ns-2/app-2', 'app', '/app-1', 'ns-9/', 'ns-0/app-0-0'),
  label: some('app=app-1', 'k8s:tier=api', '!tier', 'tier', 'app in (app-1, app-2)', 'reserved:world', 'app!=app-3', 'app notin (app-1)'),
  fqdn: some('api-1.example.com', '*.example.com', 'api-3*', '*.org'),
  service: some('ns-1/', 'ns-2/app-2', '/app-1', 'app'),
  identity: some(2, 1001, 1005, 16_777_216),
  port: some('80', '443', '53', '8080', '0'),
};
const fields: { [F in keyof FlowFilter]: fc.Arbitrary<unknown> } = {
  ...Object.fromEntries(Object.entries(ends).flatMap(([name, values]) => [[`source_${name}`, values], [`destination_${name}`, values]])),
  verdict: some('FORWARDED', 'DROPPED', 'AUDIT', 'TRACED'),
  drop_reason_desc: some('POLICY_DENIED', 'POLICY_DENY'),
  event_type: some<object>({ type: 1 }, { type: 4 }, { type: 5 }, { type: 129 }, { type: 4, match_sub_type: true, sub_type: 0 }, { type: 1, match_sub_type: true, sub_type: 133 }),
  protocol: some('tcp', 'udp', 'icmp', 'icmpv4', 'icmpv6', 'dns', 'http'),
  reply: some(true, false),
  traffic_direction: some('INGRESS', 'EGRESS', 'TRAFFIC_DIRECTION_UNKNOWN'),
  tcp_flags: some<object>({ SYN: true }, { SYN: true, ACK: true }, { FIN: true }),
  node_name: some('node1', 'node*', 'other'),
  ip_version: some('IPv4', 'IPv6'),
  source_workload: some<object>({ name: 'app-1' }, { kind: 'StatefulSet' }, { kind: 'Deployment', name: 'app-2' }),
  destination_workload: some<object>({ name: 'app-1' }, { kind: 'StatefulSet' }),
  source_cluster_name: some('default', 'other'),
  source_ip_xlated: some('10.0.0.1'),
  dns_query: some('api-1', '^api-[23]'),
  http_status_code: some('200', '5+'),
  uuid: some(flows[3]!.id, flows[1000]!.id, 'nobody'),
};
const anyFilter = fc.uniqueArray(fc.constantFrom(...(Object.keys(fields) as (keyof FlowFilter)[])), { minLength: 0, maxLength: 3 })
  .map(names => (names.includes('event_type') ? names.filter(name => name !== 'http_status_code') : names))
  .chain(names => fc.record(Object.fromEntries(names.map(name => [name, fields[name]!])))) as fc.Arbitrary<FlowFilter>;
const anyFilters = fc.record({ whitelist: fc.array(anyFilter, { maxLength: 2 }), blacklist: fc.array(anyFilter, { maxLength: 2 }) });

const time = fc.option(fc.integer({ min: 0, max: flows.length - 1 }).map(i => flows[i]!.time), { freq: 2, nil: undefined });
const anyWindow = fc.record({ since: time, until: time }).map(({ since: from, until: to }) => ({ ...(from !== undefined && { since: from }), ...(to !== undefined && { until: to }) }));

function passing({ whitelist, blacklist }: { readonly whitelist: readonly FlowFilter[]; readonly blacklist: readonly FlowFilter[] }, { since: from = '', until: to = '~' }: { readonly since?: string; readonly until?: string }) {
  const matches = compileFilters(whitelist, blacklist);
  return flows.filter(flow => flow.time >= from && flow.time <= to && matches(flow));
}

type Filters = { readonly whitelist: Record<string, unknown>[]; readonly blacklist: Record<string, unknown>[] };

test('the history means by a filter what flows/filter.ts means', async () => {
  await fc.assert(fc.asyncProperty(anyFilters, anyWindow, async (filters, window) => {
    const found = await history.flows({ ...(filters as Filters), ...window });
    assert.deepEqual(found.map(({ id }) => id), passing(filters, window).map(({ id }) => id));
  }), { numRuns: 100 });
});

test('groups by SQL are the groups that are counted flow by flow', async () => {
  const anyGroups = fc.record({ by: fc.uniqueArray(fc.constantFrom(...groupDimensions), { minLength: 1, maxLength: 3 }), order: fc.constantFrom('flows', 'connections', 'bytes' as const) });
  await fc.assert(fc.asyncProperty(anyFilters, anyWindow, anyGroups, async (filters, window, { by, order }) => {
    const answers = await history.ask({ kind: 'groups', by, order, bytes: true, top: 5000, ...(filters as Filters), ...window });
    const found = answers.flatMap(answer => (answer.kind === 'groups' ? answer.groups : []));
    assert.deepEqual([...found].sort(byMeasure(order)), groupsOf(passing(filters, window), by, order));
  }), { numRuns: 80 });
});

test('a filter that does not parse is named', async () => {
  await assert.rejects(history.flows({ whitelist: [{ source_port: ['http'] }] }), /source_port: invalid port "http"/);
  await assert.rejects(history.flows({ whitelist: [{ colour: ['red'] }] }), /colour/);
});
