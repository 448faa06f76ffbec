import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { asArray, at } from './object.ts';
import type { JsonObject } from './object.ts';
import { TestServer } from './testing.ts';

const services = '/api/v1/namespaces/default/services';
const merge = { 'content-type': 'application/merge-patch+json' };
let names = 0;
const service = (spec: JsonObject, metadata: JsonObject = {}): JsonObject => ({ apiVersion: 'v1', kind: 'Service', metadata: { name: `s${++names}`, ...metadata }, spec: { ports: [{ port: 80 }], ...spec } });

let api: TestServer;
before(async () => {
  api = await TestServer.start();
});
after(() => api[Symbol.asyncDispose]());
const refusal = async (spec: JsonObject, metadata: JsonObject = {}) => {
  const answer = await api.call('POST', services, service(spec, metadata));
  return answer.code < 300 ? 'accepted' : String(answer.body['message']).replace(/^Service "[^"]*" is invalid: /, '');
};

test('what a service may not say is refused, naming the field, in upstream\'s words', async () => {
  const lb = { type: 'LoadBalancer' };
  const cases: readonly (readonly [JsonObject, RegExp, JsonObject?])[] = [
    [{ loadBalancerSourceRanges: ['10.0.0.0/8'] }, /spec.loadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'/],
    [{ ...lb, loadBalancerSourceRanges: ['10.0.0.1'] }, /spec.loadBalancerSourceRanges\[0\]: Invalid value: "10.0.0.1": must be a valid CIDR/],
    [lb, /load-balancer-source-ranges\]: Invalid value: "nonsense"/, { annotations: { 'service.beta.kubernetes.io/load-balancer-source-ranges': '10.0.0.0/8, nonsense' } }],
    [{ loadBalancerClass: 'a/b' }, /spec.loadBalancerClass: Forbidden: may only be used/],
    [{ ...lb, loadBalancerClass: 'a b' }, /spec.loadBalancerClass: Invalid value/],
    [{ externalTrafficPolicy: 'Local' }, /spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services/],
    [{ ...lb, externalTrafficPolicy: 'Near' }, /spec.externalTrafficPolicy: Unsupported value/],
    [{ internalTrafficPolicy: 'Near' }, /spec.internalTrafficPolicy: Unsupported value/],
    [{ ...lb, healthCheckNodePort: 30999 }, /spec.healthCheckNodePort: Invalid value: 30999: may only be set when/],
    [{ trafficDistribution: 'PreferFar' }, /spec.trafficDistribution: Unsupported value: "PreferFar": supported values: "PreferClose"/],
    [{ sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 86401 } } }, /timeoutSeconds: Invalid value: 86401: must be greater than 0/],
    [{ sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 0 } } }, /timeoutSeconds: Invalid value: 0/],
    [{ sessionAffinityConfig: { clientIP: { timeoutSeconds: 1 } } }, /spec.sessionAffinityConfig: Forbidden: must not be set when session affinity is None/],
    [{ allocateLoadBalancerNodePorts: false }, /spec.allocateLoadBalancerNodePorts: Forbidden/],
    [{ ports: [{ port: 80, nodePort: 30080 }] }, /spec.ports\[0\].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'/],
    [{ type: 'NodePort', ports: [{ port: 80, nodePort: 29999 }] }, /spec.ports\[0\].nodePort: Invalid value: 29999: provided port is not in the valid range. The range of valid ports is 30000-32767/],
    [{ ports: [{ name: 'a', port: 80 }, { name: 'b', port: 80 }] }, /spec.ports\[1\]: Duplicate value/],
    [{ type: 'NodePort', ports: [{ name: 'a', port: 80, nodePort: 30081 }, { name: 'b', port: 81, nodePort: 30081 }] }, /spec.ports\[1\].nodePort: Duplicate value: 30081/],
    [{ externalIPs: ['127.0.0.1'] }, /spec.externalIPs\[0\]: Invalid value: "127.0.0.1": may not be in the loopback range/],
    [{ externalIPs: ['fe80::1'] }, /may not be in the link-local range/],
  ];
  for (const [spec, expected, metadata] of cases) assert.match(await refusal(spec, metadata), expected);
});

test('what a service may say is accepted', async () => {
  const cases: readonly JsonObject[] = [
    { type: 'LoadBalancer', loadBalancerSourceRanges: ['10.0.0.0/8', ' 2001:db8::/64 '], loadBalancerClass: 'io.cilium/l2-announcer', allocateLoadBalancerNodePorts: false },
    // What the server chooses by itself begins anywhere in the first seven tenths of the range, and goes on from there.
    { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: 32698 },
    { externalIPs: ['192.0.2.1'], externalTrafficPolicy: 'Local' },
    { trafficDistribution: 'PreferSameNode', internalTrafficPolicy: 'Local' },
    { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 86400 } } },
    { type: 'NodePort', ports: [{ name: 'a', port: 53, protocol: 'UDP', nodePort: 32653 }, { name: 'b', port: 53, protocol: 'TCP', nodePort: 32653 }] },
  ];
  for (const spec of cases) assert.equal(await refusal(spec), 'accepted', JSON.stringify(spec));
});

test('without node ports a load balancer has none; with policy Local it has a health check port, which stays', async () => {
  const plain = await api.ok('POST', services, service({ type: 'LoadBalancer', allocateLoadBalancerNodePorts: false, externalTrafficPolicy: 'Local' }));
  assert.equal(at(asArray(at(plain, 'spec', 'ports'))[0], 'nodePort'), undefined);
  const port = at(plain, 'spec', 'healthCheckNodePort');
  assert.ok(Number(port) >= 30_000 && Number(port) <= 32_767);
  const path = `${services}/${plain.metadata.name}`;
  assert.match(String((await api.call('PATCH', path, { spec: { healthCheckNodePort: 32_697 } }, merge)).body['message']), /healthCheckNodePort: Forbidden: field is immutable/);
  assert.equal(at(await api.ok('PATCH', path, { spec: { externalTrafficPolicy: 'Cluster' } }, merge), 'spec', 'healthCheckNodePort'), undefined);
});

test('the class of a load balancer does not change; another type drops what only the old one had', async () => {
  const made = await api.ok('POST', services, service({ type: 'LoadBalancer', loadBalancerClass: 'a/b', externalTrafficPolicy: 'Local' }));
  const path = `${services}/${made.metadata.name}`;
  assert.match(String((await api.call('PATCH', path, { spec: { loadBalancerClass: 'c/d' } }, merge)).body['message']), /loadBalancerClass: Invalid value: "c\/d": may not change once set/);
  assert.match(String((await api.call('PATCH', path, { spec: { loadBalancerClass: null } }, merge)).body['message']), /may not change once set/);
  const inner = await api.ok('PATCH', path, { spec: { type: 'ClusterIP' } }, merge);
  for (const field of ['loadBalancerClass', 'externalTrafficPolicy', 'healthCheckNodePort', 'allocateLoadBalancerNodePorts']) assert.equal(at(inner, 'spec', field), undefined, field);
  assert.equal(at(asArray(at(inner, 'spec', 'ports'))[0], 'nodePort'), undefined);
});

test('status and spec are written apart', async () => {
  const made = await api.ok('POST', services, { ...service({ type: 'LoadBalancer' }), status: { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] } } });
  const path = `${services}/${made.metadata.name}`;
  assert.equal(at(asArray(at(made, 'status', 'loadBalancer', 'ingress'))[0], 'ip'), undefined, 'a new service has no address yet');
  const told = await api.ok('PATCH', `${path}/status`, { spec: { type: 'ClusterIP' }, status: { loadBalancer: { ingress: [{ ip: '192.0.2.7', ipMode: 'VIP' }] } } }, merge);
  assert.deepEqual([at(told, 'spec', 'type'), at(asArray(at(told, 'status', 'loadBalancer', 'ingress'))[0], 'ip')], ['LoadBalancer', '192.0.2.7']);
  const changed = await api.ok('PATCH', path, { metadata: { labels: { a: 'b' } }, status: { loadBalancer: { ingress: [{ ip: '192.0.2.8' }] } } }, merge);
  assert.equal(at(asArray(at(changed, 'status', 'loadBalancer', 'ingress'))[0], 'ip'), '192.0.2.7');
  assert.match(String((await api.call('PATCH', `${path}/status`, { status: { loadBalancer: { ingress: [{ ip: 'nonsense' }] } } }, merge)).body['message']), /ingress\[0\].ip: Invalid value: "nonsense"/);
});

test('pools and redirect policies are refused with the field that is wrong, and a redirect policy does not change', async () => {
  const pools = '/apis/cilium.io/v2/ciliumloadbalancerippools';
  const bad = await api.call('POST', pools, { apiVersion: 'cilium.io/v2', kind: 'CiliumLoadBalancerIPPool', metadata: { name: 'p' }, spec: { blocks: [{ cidr: '192.0.2.0/24' }, { cidr: 'nonsense' }] } });
  assert.match(String(bad.body['message']), /spec.blocks\[1\]: Invalid value: "nonsense" is not an IP address/);
  const policies = '/apis/cilium.io/v2/namespaces/default/ciliumlocalredirectpolicies';
  const policy = (namespace: string, port = '53'): JsonObject => ({
    apiVersion: 'cilium.io/v2', kind: 'CiliumLocalRedirectPolicy', metadata: { name: 'r' },
    spec: { redirectFrontend: { serviceMatcher: { serviceName: 'kube-dns', namespace } }, redirectBackend: { localEndpointSelector: { matchLabels: { a: 'b' } }, toPorts: [{ port, protocol: 'UDP' }] } },
  });
  assert.match(String((await api.call('POST', policies, policy('kube-system'))).body['message']), /serviceMatcher.namespace: .* cannot redirect a service of namespace kube-system/);
  await api.ok('POST', policies, policy('default'));
  assert.match(String((await api.call('PATCH', `${policies}/r`, { spec: { redirectBackend: { toPorts: [{ port: '54', protocol: 'UDP' }] } } }, merge)).body['message']), /spec.redirectBackend: .*immutable/);
  await api.ok('PATCH', `${policies}/r`, { metadata: { labels: { a: 'b' } } }, merge);
});

test('a pod whose weight cannot be read is accepted with a warning', async () => {
  const pod = (name: string, weight: string): JsonObject => ({ apiVersion: 'v1', kind: 'Pod', metadata: { name, annotations: { 'service.cirri.io/weight': weight } }, spec: { containers: [{ name: 'c', image: 'cirri/echo' }] } });
  const warned = async (name: string, weight: string) => String((await api.call('POST', '/api/v1/namespaces/default/pods', pod(name, weight))).headers['warning'] ?? '');
  assert.match(await warned('w1', 'heavy'), /service.cirri.io\/weight.*heavy/);
  assert.equal(await warned('w2', '0'), '');
});

test('endpoints cannot lead to the node itself: loopback, link-local and unspecified addresses are refused', async () => {
  const slices = '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices';
  const slice = (address: string): JsonObject => ({ apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { name: `e${++names}`, labels: { 'kubernetes.io/service-name': 'x' } }, addressType: address.includes(':') ? 'IPv6' : 'IPv4', endpoints: [{ addresses: [address] }], ports: [{ port: 80 }] });
  const endpoints = (ip: string): JsonObject => ({ apiVersion: 'v1', kind: 'Endpoints', metadata: { name: `e${++names}` }, subsets: [{ addresses: [{ ip }], ports: [{ port: 80 }] }] });
  for (const address of ['127.0.0.1', '127.8.8.8', '169.254.169.254', '0.0.0.0', '::1', 'fe80::1', '::ffff:127.0.0.1']) {
    assert.match(String((await api.call('POST', slices, slice(address))).body['message']), /endpoints\[0\].addresses\[0\]: Invalid value: .*may not be/, address);
    assert.match(String((await api.call('POST', '/api/v1/namespaces/default/endpoints', endpoints(address))).body['message']), /subsets\[0\].addresses\[0\].ip: Invalid value: .*may not be/, address);
  }
  await api.ok('POST', slices, slice('192.0.2.1'));
  await api.ok('POST', '/api/v1/namespaces/default/endpoints', endpoints('2001:db8::1'));
});
