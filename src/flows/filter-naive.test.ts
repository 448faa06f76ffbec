import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compileFilter, compileFilters, type FlowFilter } from './filter.ts';
import { compilePatterns } from './regex.ts';
import { flowArb } from './testing-arbitrary.ts';
import { naivePasses } from './testing-naive-filter.ts';

const some = <T>(...values: readonly T[]) => fc.uniqueArray(fc.constantFrom(...values), { minLength: 0, maxLength: 2 });
const pods = some('default/web', 'payments/', '/api', 'web', '/', 'kube-system/db', 'payments/web-7');
const ips = some('10.0.0.1', '10.0.0.0/16', '192.168.0.0/16', '1.1.1.1', 'fd00::1', 'fd00::/16', '2001:db8::/32', '::/0', '0.0.0.0/0');
const labels = some('app=web', 'k8s:app in (web, api)', '!tier', 'reserved:world', 'k8s:app!=web', 'any:tier', 'x notin (y)', 'io.kubernetes.pod.namespace=payments,app', 'empty=', 'k8s:empty');
const names = some('cilium.io', '*.example.com', 'WWW.*', '*', 'a.example.com.');
const ports = some('80', '443', '53', '0', '8080');
const workloads = some({ name: 'web' }, { kind: 'Deployment' }, { name: 'api', kind: 'StatefulSet' }, {});

const fields: { readonly [F in Exclude<keyof FlowFilter, 'experimental'>]-?: fc.Arbitrary<FlowFilter[F]> } = {
  uuid: some('web', 'api', 'x'),
  source_ip: ips, destination_ip: ips, source_ip_xlated: some('172.30.0.1', '10.0.0.0/8'),
  source_pod: pods, destination_pod: pods, source_service: pods, destination_service: pods,
  source_fqdn: names, destination_fqdn: names, source_label: labels, destination_label: labels, node_labels: some('zone=a', 'zone', '!zone', 'zone=b'),
  source_workload: workloads, destination_workload: workloads, source_cluster_name: some('east', 'west'), destination_cluster_name: some('east', 'north'),
  source_identity: some(0, 1, 2, 1234), destination_identity: some(1, 1234), source_port: ports, destination_port: ports,
  verdict: some('FORWARDED', 'DROPPED', 'AUDIT', 'TRACED'), drop_reason_desc: some('POLICY_DENIED', 'POLICY_DENY', 'INVALID_SOURCE_MAC'),
  event_type: some({ type: 129 }, { type: 1 }, { type: 1, match_sub_type: true, sub_type: 133 }, { type: 4, match_sub_type: true, sub_type: 0 }, { type: 4, match_sub_type: true, sub_type: 5 }, { type: 5 }, { type: 7, match_sub_type: true, sub_type: 2 }),
  protocol: some('tcp', 'UDP', 'icmp', 'icmpv6', 'sctp', 'http', 'dns', 'kafka', 'vrrp'), reply: some(true, false), encrypted: some(true, false),
  traffic_direction: some('INGRESS', 'EGRESS', 'TRAFFIC_DIRECTION_UNKNOWN'), tcp_flags: some({ SYN: true }, { SYN: true, ACK: true }, { FIN: true, SYN: false }, {}),
  node_name: some('n1', 'n*', 'east/', '/n3', 'default/n2', 'e*t/n*'), ip_version: some('IPv4', 'IPv6', 'IP_NOT_USED'), interface: some({ name: 'eth0' }, { index: 7 }, { name: 'lxc12', index: 3 }, {}),
  http_status_code: some('200', '4+', '50+'), http_method: some('get', 'POST'), http_path: some('^/cart$', '/v1/', 'x'), http_url: some('shop', '^https', 'id=\\d+'), http_header: some({ key: 'X-Id', value: '1' }, { key: 'Host', value: 'shop' }),
  dns_query: some('\\.io\\.$', '^a\\.', 'kube'), trace_id: some('deadbeef', '4bf92f3577b34da6a3ce929d0e0e4736'), ip_trace_id: some<number | string>(1, '2', 7),
};

const httpFields = ['http_status_code', 'http_method', 'http_path', 'http_url', 'http_header'] as const;

const filterArb: fc.Arbitrary<FlowFilter> = fc.subarray(Object.keys(fields) as (keyof typeof fields)[], { minLength: 0, maxLength: 3 })
  .chain(names => fc.record(Object.fromEntries(names.map(name => [name, fields[name]])) as { [F in keyof typeof fields]: fc.Arbitrary<unknown> }))
  .map(filter => filter as FlowFilter)
  .filter(filter => !(filter.event_type ?? []).every(({ type }) => type !== 129) || (filter.event_type ?? []).length === 0 || httpFields.every(field => (filter[field]?.length ?? 0) === 0));

test('compiled filters say what a naive reading of their description says', () => {
  let passed = 0;
  fc.assert(fc.property(fc.array(flowArb, { minLength: 1, maxLength: 8 }), fc.array(filterArb, { maxLength: 3 }), fc.array(filterArb, { maxLength: 2 }), (flows, whitelist, blacklist) => {
    const passes = compileFilters(whitelist, blacklist);
    // Twice, since answers about ends are kept.
    for (const flow of [...flows, ...flows]) {
      const expected = naivePasses(flow, whitelist, blacklist);
      assert.equal(passes(flow), expected, JSON.stringify({ whitelist, blacklist }));
      passed += expected ? 1 : 0;
    }
  }), { numRuns: 1500 });
  assert.ok(passed > 300, 'enough of them let something pass');
});

test('each field alone: something passes it and something does not', () => {
  for (const field of Object.keys(fields) as (keyof typeof fields)[]) {
    const flows = fc.sample(flowArb, { numRuns: 500, seed: 11 });
    const results = new Set<boolean>();
    for (const values of fc.sample(fields[field] as fc.Arbitrary<readonly unknown[]>, { numRuns: 12, seed: 5 })) {
      if (values.length === 0) continue;
      const filter = { [field]: values } as FlowFilter;
      const passes = compileFilter(filter);
      for (const flow of flows) {
        const expected = naivePasses(flow, [filter], []);
        assert.equal(passes(flow), expected, `${JSON.stringify(filter)} of ${flow.id}`);
        results.add(expected);
      }
    }
    assert.deepEqual([...results].sort(), [false, true], field);
  }
});

test('what does not parse is named with its field', () => {
  const wrong: readonly [object, RegExp][] = [
    [{ source_ip: ['10.0.0.0/33'] }, /source_ip: "10.0.0.0\/33"/], [{ source_ip: '10.0.0.1' }, /source_ip: its values are a list/], [{ source_port: ['65536'] }, /source_port: invalid port/], [{ source_port: [80] }, /source_port: 80 is not a value/],
    [{ verdict: ['DENIED'] }, /verdict: "DENIED" is not one of/], [{ protocol: ['toString'] }, /unknown protocol/], [{ source_pod: [''] }, /source_pod: an empty name/], [{ node_name: ['a/b/c'] }, /too many slashes/],
    [{ dns_query: ['('] }, /dns_query: "\("/], [{ dns_query: ['(?=x)'] }, /dns_query/], [{ dns_query: ['a'.repeat(1025)] }, /1025 characters/], [{ source_label: ['a in b'] }, /not a label selector/], [{ source_label: ['a:b:c'] }, /too many colons/],
    [{ http_status_code: ['99'] }, /http_status_code/], [{ http_method: ['GET'], event_type: [{ type: 1 }] }, /http_method: HTTP is in events of type l7/], [{ experimental: { cel_expression: ['true'] } }, /cel_expression: CEL/],
    [{ reply: ['yes'] }, /reply: "yes" is not a value/], [{ nonsense: [1] }, /nonsense: is not a filter/], [{ constructor: [1] }, /constructor: is not a filter/], [{ source_identity: [-1] }, /source_identity/], [{ tcp_flags: ['SYN'] }, /tcp_flags/],
    [{ source_cluster_name: [''] }, /cluster/], [{ uuid: Array.from({ length: 4097 }, () => 'x') }, /4097 values/], [{ drop_reason_desc: ['policy denied'] }, /drop_reason_desc/], [{ ip_trace_id: ['x'] }, /ip_trace_id/],
  ];
  for (const [filter, message] of wrong) assert.throws(() => compileFilter(filter as FlowFilter), error => (error as { code: string }).code.startsWith('ERR_') && message.test((error as Error).message), JSON.stringify(filter));
});

test('no pattern holds anybody up', () => {
  const text = `${'a'.repeat(250)}!`;
  for (const pattern of ['(a+)+$', '(a|aa)+$', '(.*a){12}$', '^(([a-z])+.)+[A-Z]([a-z])+$']) {
    const matches = compilePatterns('dns_query', [pattern]);
    const startedAt = process.cpuUsage().user;
    assert.equal(matches(text), false, pattern);
    assert.ok(process.cpuUsage().user - startedAt < 2_000_000, `${pattern}: linear, or this takes for ever`);
  }
  const stars = compileFilter({ source_fqdn: [`${'*a'.repeat(40)}*b`] });
  const [flow] = fc.sample(flowArb, 1);
  assert.equal(stars({ ...flow!, source: { ...flow!.source, names: ['a'.repeat(250)] } }), false);
});
