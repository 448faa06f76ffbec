import test from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { EndpointInput, SliceInput } from './endpoints.ts';
import { frontends as framed } from './frontends.ts';
import type { FrontendContext } from './frontends.ts';
import { rowFlag, serving } from './rows.ts';
import type { ServiceRow } from './rows.ts';
import type { ServiceInput } from './service-traits.ts';
import { testContext } from './testing.ts';

const service = (spec: Partial<ServiceInput['spec']> = {}, metadata: Partial<ServiceInput['metadata']> = {}, ingress: readonly { ip?: string; ipMode?: string }[] = []): ServiceInput => ({
  metadata: { name: 'web', namespace: 'shop', ...metadata },
  spec: { clusterIP: '10.96.0.9', clusterIPs: ['10.96.0.9', 'fd00:10:96::9'], ports: [{ name: 'http', port: 80 }, { name: 'dns', port: 53, protocol: 'UDP' }], ...spec },
  status: { loadBalancer: { ingress } },
});
const slice = (endpoints: readonly EndpointInput[], addressType = 'IPv4', annotations: Record<string, string> = {}): SliceInput =>
  ({ metadata: { annotations }, addressType, endpoints, ports: [{ name: 'http', port: 8080, protocol: 'TCP' }, { name: 'dns', port: 5353, protocol: 'UDP' }] });
const endpoint = (ip: string, conditions: EndpointInput['conditions'] = { ready: true }, nodeName = 'n1', more: Partial<EndpointInput> = {}): EndpointInput => ({ addresses: [ip], conditions, nodeName, ...more });
const leaving = { ready: false, serving: true, terminating: true };
const here = testContext();
const frontends = (of: ServiceInput, slices: readonly SliceInput[] = [], context: FrontendContext = here) => framed(of, slices, context).rows;
const rowOf = (rows: readonly ServiceRow[], key: string) => {
  const row = rows.find(r => r.key === key);
  assert.ok(row, `no row ${key} among ${rows.map(r => r.key)}`);
  return row;
};
const flagsOf = (row: ServiceRow) => Object.entries(rowFlag).filter(([, bit]) => (row.flags & bit) !== 0).map(([name]) => name);
const hosts = (row: ServiceRow) => serving(row).map(b => b.key.replace(/:\d+\/.*/, ''));
const backends = (slices: readonly SliceInput[], spec: Partial<ServiceInput['spec']> = {}) => rowOf(frontends(service(spec), slices), '10.96.0.9:80/TCP').backends.map(b => `${b.key} ${b.state}`);
const oneHttp = { clusterIPs: ['10.96.0.9'], ports: [{ name: 'http', port: 80, nodePort: 30080 }] };

test('a frontend for each address and port, with the endpoints of its family', () => {
  const rows = frontends(service(), [slice([endpoint('10.244.1.5')]), slice([endpoint('fd00::5')], 'IPv6')]);
  assert.deepEqual(rows.map(r => `${r.key} ${r.protocol} ← ${r.backends.map(b => b.key)}`), [
    '10.96.0.9:80/TCP 6 ← 10.244.1.5:8080/TCP',
    '[fd00:10:96::9]:80/TCP 6 ← [fd00::5]:8080/TCP',
    '10.96.0.9:53/UDP 17 ← 10.244.1.5:5353/UDP',
    '[fd00:10:96::9]:53/UDP 17 ← [fd00::5]:5353/UDP',
  ]);
  assert.deepEqual(rows.flatMap(flagsOf), [], 'nobody outside reaches a cluster IP');
});

test('a node port answers at each of the node\'s addresses of the service\'s families, and at loopback for the node alone', () => {
  const rows = frontends(service({ ...oneHttp, type: 'NodePort' }), [slice([endpoint('10.244.1.5', {}, 'n2')])]);
  assert.deepEqual(rows.map(r => `${r.key} ${r.type} ${flagsOf(r)}`), ['10.96.0.9:80/TCP ClusterIP ', '192.0.2.1:30080/TCP NodePort routable', '127.0.0.1:30080/TCP NodePort hostOnly']);
  const dual = frontends(service({ ...oneHttp, type: 'NodePort', ipFamilies: ['IPv4', 'IPv6'] }), [slice([endpoint('10.244.1.5')]), slice([], 'IPv6')]);
  assert.deepEqual(dual.map(r => r.key), ['10.96.0.9:80/TCP', '192.0.2.1:30080/TCP', '[2001:db8::1]:30080/TCP', '127.0.0.1:30080/TCP', '[::1]:30080/TCP']);
});

test('load balancer addresses and external IPs are rows, but not those of a balancer that is a proxy, nor those that may not be served', () => {
  const of = service({ ...oneHttp, type: 'LoadBalancer', externalIPs: ['198.51.100.7', '10.96.0.1'] }, {}, [{ ip: '203.0.113.5' }, { ip: '203.0.113.6', ipMode: 'Proxy' }, { ip: '203.0.113.7', ipMode: 'VIP' }]);
  const { rows, refused } = framed(of, [], testContext({ mayServe: address => (address === '10.96.0.1' ? 'it belongs to the cluster' : undefined) }));
  assert.deepEqual(rows.map(r => `${r.key} ${r.type}`), [
    '10.96.0.9:80/TCP ClusterIP', '203.0.113.5:80/TCP LoadBalancer', '203.0.113.7:80/TCP LoadBalancer', '198.51.100.7:80/TCP ExternalIP', '192.0.2.1:30080/TCP NodePort', '127.0.0.1:30080/TCP NodePort',
  ]);
  assert.deepEqual(refused, ['10.96.0.1 is not served: it belongs to the cluster']);
});

test('what others serve, and what has no frontends, has no rows', () => {
  assert.deepEqual(frontends(service({ clusterIP: 'None', clusterIPs: ['None'] })), []);
  assert.deepEqual(frontends(service({ clusterIP: 'None', clusterIPs: ['None'], externalIPs: ['198.51.100.7'] })), [], 'a headless service has names only');
  assert.deepEqual(frontends(service({ type: 'ExternalName', externalIPs: ['198.51.100.7'] })), []);
  for (const label of ['service.kubernetes.io/service-proxy-name', 'service.kubernetes.io/headless']) assert.deepEqual(frontends(service({}, { labels: { [label]: '' } })), []);
});

test('annotations choose nodes and types', () => {
  const rows = (annotations: Record<string, string>, labels: Record<string, string> = {}) =>
    frontends(service({ ...oneHttp, type: 'LoadBalancer' }, { annotations }, [{ ip: '203.0.113.5' }]), [], testContext({ labels })).map(r => r.type);
  assert.deepEqual(rows({ 'service.cilium.io/type': 'LoadBalancer' }), ['LoadBalancer']);
  assert.deepEqual(rows({ 'service.cilium.io/type': 'LoadBalancer,ClusterIP' }), ['ClusterIP', 'LoadBalancer']);
  assert.equal(framed(service({}, { annotations: { 'service.cilium.io/type': 'Cluster' } }), [], here).troubles.length, 1);
  assert.deepEqual(rows({ 'service.cilium.io/node': 'edge' }), []);
  assert.equal(rows({ 'service.cilium.io/node': 'edge' }, { 'service.cilium.io/node': 'edge' }).length, 4);
  const selected = (selector: string) => rows({ 'service.cilium.io/node-selector': selector }, { tier: 'edge', zone: 'a' }).length > 0;
  assert.deepEqual(['tier=edge', 'tier==edge,zone!=b', 'tier in (core, edge)', 'tier', '!gpu', 'gpu notin (x)', ''].map(selected), [true, true, true, true, true, true, true]);
  assert.deepEqual(['tier=core', 'tier!=edge', 'tier in (core)', 'tier notin (edge)', 'gpu', '!tier', 'tier in edge', 'gpu in (x)'].map(selected), [false, false, false, false, false, false, false, false]);
});

test('absent conditions mean ready; what is not ready serves nobody, unless it only terminates', () => {
  const slices = [slice([{ addresses: ['10.0.0.1'] }, endpoint('10.0.0.2', { ready: false }), endpoint('10.0.0.3', leaving), endpoint('10.0.0.4', { ready: false, serving: false, terminating: true })])];
  assert.deepEqual(backends(slices), ['10.0.0.1:8080/TCP active', '10.0.0.3:8080/TCP terminating']);
  assert.deepEqual(hosts(frontends(service(), slices)[0]!), ['10.0.0.1']);
});

test('terminating endpoints take new connections only when nothing else serves', () => {
  assert.deepEqual(hosts(frontends(service(), [slice([endpoint('10.0.0.3', leaving)])])[0]!), ['10.0.0.3']);
});

test('internalTrafficPolicy Local knows only this node, and is silent where this node has nobody but others have', () => {
  const slices = [slice([endpoint('10.0.0.1', { ready: true }, 'n2'), endpoint('10.0.0.2', { ready: true }, 'n1')])];
  const local = { internalTrafficPolicy: 'Local' };
  assert.deepEqual(backends(slices, local), ['10.0.0.2:8080/TCP active']);
  const [elsewhere] = frontends(service(local), [slice([endpoint('10.0.0.1', { ready: true }, 'n2')])]);
  assert.deepEqual([hosts(elsewhere!), flagsOf(elsewhere!)], [[], ['silent']]);
  const [nowhere] = frontends(service(local), [slice([endpoint('10.0.0.1', { ready: false }, 'n2')])]);
  assert.deepEqual([hosts(nowhere!), flagsOf(nowhere!)], [[], []], 'nobody anywhere: that is said aloud');
});

test('externalTrafficPolicy Local: clients outside get this node\'s, those inside all; terminating ones are used a scope at a time', () => {
  const of = service({ ...oneHttp, type: 'NodePort', externalTrafficPolicy: 'Local' });
  const rows = (endpoints: readonly EndpointInput[]) => {
    const all = frontends(of, [slice(endpoints)]);
    return ['192.0.2.1:30080/TCP', '192.0.2.1:30080/TCP/i', '127.0.0.1:30080/TCP'].map(key => `${hosts(rowOf(all, key))} ${flagsOf(rowOf(all, key))}`);
  };
  const remote = endpoint('10.0.0.1', { ready: true }, 'n2');
  assert.deepEqual(rows([remote, endpoint('10.0.0.2')]), ['10.0.0.2 routable,twoScopes', '10.0.0.1,10.0.0.2 routable', '10.0.0.1,10.0.0.2 hostOnly']);
  assert.deepEqual(rows([remote, endpoint('10.0.0.2', leaving)]), ['10.0.0.2 routable,twoScopes', '10.0.0.1 routable', '10.0.0.1 hostOnly']);
  assert.deepEqual(rows([remote])[0], ' routable,twoScopes,silent');
  assert.deepEqual(rows([])[0], ' routable,twoScopes');
  assert.equal(frontends(service({ ...oneHttp, type: 'NodePort' })).some(r => r.key.endsWith('/i')), false, 'one row where both are served alike');
});

test('an endpoint without a node is local when it has the node\'s own address', () => {
  const host: EndpointInput = { addresses: ['192.0.2.1'] };
  assert.deepEqual(backends([slice([host, { addresses: ['192.0.2.2'] }])], { internalTrafficPolicy: 'Local' }), ['192.0.2.1:8080/TCP active']);
});

test('topology: hints are followed when the service asks, all endpoints have them and some are for here', () => {
  const hint = (ip: string, zones: readonly string[], nodes: readonly string[] = []) => endpoint(ip, { ready: true }, 'n2', { hints: { forZones: zones.map(name => ({ name })), forNodes: nodes.map(name => ({ name })) } });
  const chosen = (endpoints: readonly EndpointInput[], spec: Partial<ServiceInput['spec']> = { trafficDistribution: 'PreferClose' }, annotations = {}, zone: string | null = 'z1') =>
    hosts(frontends(service(spec, { annotations }), [slice(endpoints)], testContext({ zone: zone ?? undefined }))[0]!);
  const two = [hint('10.0.0.1', ['z1', 'z9']), hint('10.0.0.2', ['z2'])];
  assert.deepEqual(chosen(two), ['10.0.0.1']);
  assert.deepEqual(chosen(two, { trafficDistribution: 'PreferSameZone' }), ['10.0.0.1']);
  assert.deepEqual(chosen(two, {}, { 'service.kubernetes.io/topology-mode': 'Auto' }), ['10.0.0.1']);
  assert.deepEqual(chosen(two, {}), ['10.0.0.1', '10.0.0.2'], 'nobody asked');
  assert.deepEqual(chosen(two, undefined, {}, null), ['10.0.0.1', '10.0.0.2'], 'a node without a zone');
  assert.deepEqual(chosen(two, undefined, {}, 'z5'), ['10.0.0.1', '10.0.0.2'], 'no hint for this zone');
  assert.deepEqual(chosen([...two, endpoint('10.0.0.3')]), ['10.0.0.1', '10.0.0.2', '10.0.0.3'], 'one without hints');
  assert.deepEqual(chosen([...two, endpoint('10.0.0.3', leaving)]), ['10.0.0.1'], 'one that leaves needs none');
  const three = [hint('10.0.0.1', ['z1'], ['n1']), hint('10.0.0.2', ['z1'], ['n2']), hint('10.0.0.3', ['z2'], ['n3'])];
  assert.deepEqual(chosen(three, { trafficDistribution: 'PreferSameNode' }), ['10.0.0.1']);
  assert.deepEqual(chosen(three.slice(1), { trafficDistribution: 'PreferSameNode' }), ['10.0.0.2'], 'then the zone');
});

test('source ranges: of load balancer addresses, of the frontend\'s family, from field or annotation; what cannot be read opens nothing', () => {
  const rows = (spec: Partial<ServiceInput['spec']>, annotations: Record<string, string> = {}, defaults: Partial<FrontendContext['defaults']> = {}) => {
    const { rows: all, troubles } = framed(service({ ...oneHttp, type: 'LoadBalancer', ...spec }, { annotations }, [{ ip: '203.0.113.5' }]), [], testContext({ defaults }));
    return { asked: all.filter(r => (r.flags & rowFlag.sourceRanges) !== 0).map(r => `${r.key} ${r.sources} ${flagsOf(r).filter(f => f.startsWith('source'))}`), troubles };
  };
  const ranges = { loadBalancerSourceRanges: ['10.1.2.3/8', 'fd00::/8', '192.0.2.7'] };
  assert.deepEqual(rows(ranges).asked, ['203.0.113.5:80/TCP 10.0.0.0/8,192.0.2.7/32 sourceRanges']);
  assert.deepEqual(rows({}, { 'service.beta.kubernetes.io/load-balancer-source-ranges': '10.0.0.0/8, 192.0.2.0/24' }).asked, ['203.0.113.5:80/TCP 10.0.0.0/8,192.0.2.0/24 sourceRanges']);
  assert.deepEqual(rows(ranges, { 'service.cilium.io/src-ranges-policy': 'deny' }).asked, ['203.0.113.5:80/TCP 10.0.0.0/8,192.0.2.7/32 sourceRanges,sourceDeny']);
  assert.equal(rows(ranges, {}, { sourceRangesOfAllTypes: true }).asked.length, 3);
  assert.deepEqual(rows({ loadBalancerSourceRanges: ['fd00::/8'] }).asked, ['203.0.113.5:80/TCP  sourceRanges'], 'nobody of the other family');
  assert.deepEqual(rows({ loadBalancerSourceRanges: ['10.0.0.0/33'] }).asked, ['203.0.113.5:80/TCP  sourceRanges']);
  const denied = rows({ loadBalancerSourceRanges: ['10.0.0.0/8', 'x'] }, { 'service.cilium.io/src-ranges-policy': 'deny' });
  assert.deepEqual(denied.asked, ['203.0.113.5:80/TCP  sourceRanges']);
  assert.match(denied.troubles[0]!, /"x".*nobody outside is served/);
});

test('the way back and the choice of backends: the cluster\'s settings, or the service\'s word', () => {
  const rows = (defaults: Partial<FrontendContext['defaults']>, annotations: Record<string, string> = {}) =>
    frontends(service({ clusterIPs: ['10.96.0.9'], type: 'NodePort', ports: [{ name: 'http', port: 80, nodePort: 30080 }, { name: 'dns', port: 53, protocol: 'UDP', nodePort: 30053 }] }, { annotations }), [], testContext({ defaults }));
  const dsr = (...of: Parameters<typeof rows>) => rows(...of).filter(r => (r.flags & rowFlag.dsr) !== 0).map(r => r.key);
  assert.deepEqual(dsr({}), []);
  assert.deepEqual(dsr({ mode: 'hybrid' }), ['192.0.2.1:30080/TCP']);
  assert.deepEqual(dsr({ mode: 'dsr' }), ['192.0.2.1:30080/TCP', '192.0.2.1:30053/UDP']);
  assert.deepEqual(dsr({}, { 'service.cilium.io/forwarding-mode': 'dsr' }), dsr({ mode: 'dsr' }));
  assert.deepEqual(dsr({ mode: 'dsr' }, { 'service.cilium.io/forwarding-mode': 'snat' }), []);
  const maglev = (...of: Parameters<typeof rows>) => rows(...of).filter(r => r.maglev === 251 && r.protocol === 6).map(r => r.key);
  assert.deepEqual(maglev({ algorithm: 'maglev' }), ['192.0.2.1:30080/TCP']);
  assert.deepEqual(maglev({ algorithm: 'maglev', externalClusterIP: true }), ['10.96.0.9:80/TCP', '192.0.2.1:30080/TCP']);
  assert.deepEqual(maglev({}, { 'service.cilium.io/lb-algorithm': 'maglev' }).length, 3);
  assert.deepEqual(maglev({ algorithm: 'maglev' }, { 'service.cilium.io/lb-algorithm': 'random' }), []);
  assert.deepEqual(flagsOf(rowOf(rows({ externalClusterIP: true }), '10.96.0.9:80/TCP')), ['routable']);
});

test('a frontend of a family that has no slices is served by the other family', () => {
  const [v4, v6] = frontends(service(), [slice([endpoint('10.0.0.1')])], testContext({ defaults: { externalClusterIP: true, mode: 'dsr' } }));
  assert.deepEqual([flagsOf(v4!), hosts(v4!)], [['routable', 'dsr'], ['10.0.0.1']]);
  assert.deepEqual([flagsOf(v6!), hosts(v6!)], [['routable', 'nat46x64'], ['10.0.0.1']], 'and such a backend cannot answer the client itself');
  assert.deepEqual(flagsOf(frontends(service(), [slice([endpoint('10.0.0.1')]), slice([], 'IPv6')])[1]!), [], 'an empty slice says that the family is the service\'s own');
});

test('weights come from the slice; 0 keeps connections and gets no new ones', () => {
  const [row] = frontends(service(), [slice([endpoint('10.0.0.1'), endpoint('10.0.0.2'), endpoint('10.0.0.3')], 'IPv4', { 'service.cirri.io/weights': '{"10.0.0.1": 5, "10.0.0.2": 0}' })]);
  assert.deepEqual(row!.backends.map(b => `${b.key} ${b.state} ${b.weight}`), ['10.0.0.1:8080/TCP active 5', '10.0.0.2:8080/TCP maintenance undefined', '10.0.0.3:8080/TCP active undefined']);
  assert.deepEqual(hosts(row!), ['10.0.0.1', '10.0.0.3']);
  const [bad] = frontends(service(), [slice([endpoint('10.0.0.1')], 'IPv4', { 'service.cirri.io/weights': '{"10.0.0.1": -1.5' })]);
  assert.deepEqual(hosts(bad!), ['10.0.0.1']);
});

test('affinity lasts three hours unless told otherwise', () => {
  const of = (spec: Partial<ServiceInput['spec']>) => frontends(service(spec))[0]!.affinityTimeout;
  assert.deepEqual([of({}), of({ sessionAffinity: 'ClientIP' }), of({ sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } } })], [0, 10_800, 60]);
});

test('the order of slices and endpoints does not matter, nor an endpoint that stands in two slices', () => {
  const pool = [1, 2, 3, 4].flatMap(n => [endpoint(`10.0.0.${n}`, {}, `n${n % 3}`), endpoint(`10.0.0.${n}`, leaving, `n${n % 3}`)]);
  const of = service({ ...oneHttp, type: 'NodePort', externalTrafficPolicy: 'Local', internalTrafficPolicy: 'Local', trafficDistribution: 'PreferClose' });
  fc.assert(fc.property(fc.array(fc.subarray(pool), { maxLength: 3 }), fc.infiniteStream(fc.nat()), (groups, random) => {
    const shuffled = <T>(list: readonly T[]) => list.map(x => ({ x, at: random.next().value as number })).sort((a, b) => a.at - b.at).map(e => e.x);
    assert.deepEqual(frontends(of, shuffled(groups.map(g => slice(shuffled(g))))), frontends(of, groups.map(g => slice(g))));
  }));
});

test('what is no port is no frontend, and no backend', () => {
  assert.deepEqual(frontends(service({ clusterIPs: ['10.96.0.9'], ports: [{ name: 'a', port: 0 }, { name: 'b', port: 65_536 }, { name: 'c', port: 1.5 }] })), []);
  const [row] = frontends(service(), [{ addressType: 'IPv4', endpoints: [endpoint('10.0.0.1')], ports: [{ name: 'http', port: 70_000 }] }]);
  assert.deepEqual(row!.backends, []);
});
