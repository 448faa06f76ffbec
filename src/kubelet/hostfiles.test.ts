import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostnameOf, hostsFile, parseResolvConf, resolvConf } from './hostfiles.ts';
import type { Pod, PodSpec } from './types.ts';

const pod = (spec: Partial<PodSpec> = {}, name = 'web-0'): Pod => ({ apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'shop' }, spec: { containers: [], ...spec } });
const dns = { servers: ['10.96.0.10'], domain: 'cluster.local' };
const node = 'search corp.example\nnameserver 9.9.9.9 # quad\noptions edns0\n';

test('ClusterFirst asks the cluster and keeps the node\'s search list behind its own', () => {
  assert.equal(resolvConf(pod(), dns, node), 'search shop.svc.cluster.local svc.cluster.local cluster.local corp.example\nnameserver 10.96.0.10\noptions ndots:5\n');
});

test('on the host\'s network ClusterFirst means Default, unless it says WithHostNet', () => {
  assert.match(resolvConf(pod({ hostNetwork: true }), dns, node), /nameserver 9\.9\.9\.9/);
  assert.match(resolvConf(pod({ hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet' }), dns, node), /nameserver 10\.96\.0\.10/);
});

test('dnsConfig is merged, options by name', () => {
  const text = resolvConf(pod({ dnsConfig: { nameservers: ['1.1.1.1'], searches: ['x.y'], options: [{ name: 'ndots', value: '2' }, { name: 'rotate' }] } }), dns, '');
  assert.equal(text, 'search shop.svc.cluster.local svc.cluster.local cluster.local x.y\nnameserver 10.96.0.10\nnameserver 1.1.1.1\noptions ndots:2 rotate\n');
  assert.equal(resolvConf(pod({ dnsPolicy: 'None', dnsConfig: { nameservers: ['1.1.1.1'] } }), dns, node), 'nameserver 1.1.1.1\n');
});

test('comments and unknown words of a resolv.conf are passed over', () => {
  assert.deepEqual(parseResolvConf('; c\ndomain a.b\nnameserver ::1\nsortlist x\noptions timeout:1 rotate'), { servers: ['::1'], searches: ['a.b'], options: ['timeout:1', 'rotate'] });
});

test('a pod of a StatefulSet has its full name in its hosts file', () => {
  const text = hostsFile(pod({ hostname: 'web-0', subdomain: 'web', hostAliases: [{ ip: '1.2.3.4', hostnames: ['a', 'b'] }] }), ['10.0.0.1', 'fd00::1'], 'cluster.local');
  assert.ok(text.includes('10.0.0.1\tweb-0.web.shop.svc.cluster.local\tweb-0\n'));
  assert.ok(text.includes('fd00::1\tweb-0.web'));
  assert.ok(text.includes('1.2.3.4\ta\tb\n'));
});

test('a host name is cut to what a kernel holds', () => {
  assert.equal(hostnameOf(pod({}, `${'x'.repeat(62)}-tail`)), 'x'.repeat(62));
});
