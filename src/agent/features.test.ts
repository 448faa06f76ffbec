import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeRecord } from '../cluster/record.ts';
import { choose, defaultChoices } from '../cluster/settings.ts';
import { parseSet } from '../cluster/values.ts';
import { externalAddressFeature, kubeProxyReplacement, kubeProxyReplacementFeature, masqueradeFeature, nodeMtu } from './features.ts';

const record = (...settings: string[]) => makeRecord({ instance: 'x', version: '0', nodes: 1, subnet: 1, apiserverPort: 1, ...choose(defaultChoices, defaultChoices, settings.flatMap(parseSet)).choices });
const replacement = (settings: string[], xdp?: 'native' | 'generic') => {
  const made = record(...settings);
  return kubeProxyReplacement(made, made.nodes[0]!, xdp);
};

test("the details say what was chosen, in upstream's words", () => {
  assert.deepEqual(replacement([]), {
    socketLB: 'Enabled', socketLBCoverage: 'Full', devices: [{ name: 'eth0', addresses: ['172.30.1.11', 'fdc1:1::11'], directRouting: true }], mode: 'SNAT', backendSelection: 'Random', noBackends: 'reject', xdpAcceleration: 'Disabled',
    services: { ClusterIP: 'Enabled', NodePort: 'Enabled (Range: 30000-32767)', LoadBalancer: 'Enabled', externalIPs: 'Enabled', HostPort: 'Enabled', LocalRedirect: 'Enabled (addresses: 169.254.0.0/16 fe80::/10)' },
  });
  const other = replacement(['loadBalancer.mode=hybrid,loadBalancer.algorithm=maglev,maglev.tableSize=509,socketLB.hostNamespaceOnly=true,bpf.lbExternalClusterIP=true,nodePort.addresses=172.30.1.0/24']);
  assert.deepEqual([other.mode, other.dsrDispatchMode, other.backendSelection, other.socketLBCoverage], ['Hybrid', 'IP Option/Extension', 'Maglev (Table Size: 509)', 'Hostns-only']);
  assert.match(other.services['NodePort']!, /at 172\.30\.1\.0\/24/);
  assert.match(other.services['ClusterIP']!, /outside/);
});

test('acceleration that was asked for and is not there is degraded by name; what is attached is what counts', () => {
  const missing = replacement(['loadBalancer.acceleration=native']);
  assert.equal(missing.xdpAcceleration, 'Disabled');
  assert.equal(kubeProxyReplacementFeature(missing).state, 'degraded');
  assert.match(kubeProxyReplacementFeature(missing).detail, /native, and no XDP program/);
  const native = replacement(['loadBalancer.acceleration=best-effort'], 'native');
  assert.equal(native.xdpAcceleration, 'Native');
  assert.equal(kubeProxyReplacementFeature(native).state, 'on');
  assert.equal(replacement(['loadBalancer.acceleration=best-effort'], 'generic').xdpAcceleration, 'Generic');
});

test('masquerading names what it leaves alone, and why it does not follow its configuration', () => {
  assert.equal(masqueradeFeature(record(), [], undefined).detail, 'BPF [eth0] 10.244.0.0/16 fd00:10:244::/48 [IPv4: Enabled, IPv6: Enabled], ports 32768 to 65535');
  assert.match(masqueradeFeature(record(), Array.from({ length: 9 }, (_, i) => `10.${i}.0.0/16`), undefined).detail, /10\.3\.0\.0\/16 and 5 more \[/);
  assert.deepEqual(masqueradeFeature(record(), [], 'ConfigMap kube-system/ip-masq-agent: no'), { name: 'Masquerading', state: 'degraded', detail: 'ConfigMap kube-system/ip-masq-agent: no' });
});

test('the MTU is computed from the uplink that the node has', () => {
  assert.deepEqual(nodeMtu(record(), { uplinkIndex: 1, overlayIndex: 2, uplinkMac: '', uplinkKind: 'veth', uplinkMtu: 9000, podMtu: 8950 }).map(row => row.ipv4), [9000, 8950, 8950]);
});

test('external addresses that are refused are named in status, the first three', () => {
  const refused = (address: string) => ({ address, field: '', reason: 'NotInPool', message: '', mend: '' });
  assert.deepEqual(externalAddressFeature([{ key: 'n/a', externalIPs: ['192.0.2.1'], ingress: ['192.0.2.2'], refused: [] }]), { name: 'ExternalAddresses', state: 'on', detail: '2 served' });
  const { state, detail } = externalAddressFeature([{ key: 'n/a', externalIPs: [], ingress: [], refused: ['8.8.8.1', '8.8.8.2', '8.8.8.3', '8.8.8.4'].map(refused) }]);
  assert.equal(state, 'degraded');
  assert.match(detail, /^0 served, 4 refused: n\/a 8.8.8.1 \(NotInPool\), n\/a 8.8.8.2 .*8.8.8.3 \(NotInPool\) and 1 more; kubectl describe service says why$/);
});
