import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { mtuBudget } from '../../model/mtu.ts';
import type { AgentStatus } from '../../model/status.ts';
import { TestCluster } from './testing.ts';

const status: AgentStatus = {
  node: 'node1', version: '0', pid: 1, startedAt: '2026-01-01T00:00:00Z', ready: true, notReady: [], kernel: '6.18', memoryRssBytes: 1,
  features: [{ name: 'Encryption', state: 'off', detail: 'in the clear' }, { name: 'KubeProxyReplacement', state: 'degraded', detail: 'no XDP program is attached' }],
  kubeProxyReplacement: {
    socketLB: 'Enabled', socketLBCoverage: 'Full', devices: [{ name: 'eth0', addresses: ['192.0.2.11', '2001:db8::11'], directRouting: true }], mode: 'DSR', dsrDispatchMode: 'IP Option/Extension',
    backendSelection: 'Maglev (Table Size: 16381)', noBackends: 'reject', xdpAcceleration: 'Disabled', services: { ClusterIP: 'Enabled', NodePort: 'Enabled (Range: 30000-32767)' },
  },
  mtu: mtuBudget({ uplink: 1500, routing: 'tunnel', mode: 'dsr' }),
  maps: [], programs: [], endpoints: { total: 0, ready: 0 }, identities: 0, services: 0, policies: { total: 0, invalid: 0, degraded: 0, sets: 0, notEnforced: [] }, audit: { cluster: false, namespaces: [], pods: [] },
  kubernetes: { connected: true }, tables: [], errors: [], events: { flows: 0, drops: 0, lostFlows: 0, lostDrops: 0 },
  addresses: { ipv4: { cidr: '10.244.1.0/24', allocated: 0, capacity: 253 }, ipv6: { cidr: 'fd00::/64', allocated: 0, capacity: 253 } }, policyAudit: { rounds: 0, compared: 0, differences: 0, last: [] },
};

let cluster: TestCluster;
before(async () => {
  cluster = await TestCluster.start([], { node1: { '/v1/status': status } });
});
after(() => cluster[Symbol.asyncDispose]());

test('KubeProxyReplacement is a line that can be looked for, and what is degraded is named', async () => {
  const { stdout } = await cluster.cirri('status');
  assert.match(stdout, /^ +KubeProxyReplacement: True \[eth0 192\.0\.2\.11 2001:db8::11 \(Direct Routing\)\]$/m);
  assert.match(stdout, /^ +degraded KubeProxyReplacement: no XDP program is attached$/m);
  assert.doesNotMatch(stdout, /Encryption|MTU/);
});

test("the details are upstream's block, and the MTU has a line a path", async () => {
  const { stdout } = await cluster.cirri('status', '--verbose');
  const block = stdout.slice(stdout.indexOf('KubeProxyReplacement Details:')).split('\n').map(text => text.trim().replace(/ {2,}/g, ' '));
  assert.deepEqual(block.slice(0, 21), [
    'KubeProxyReplacement Details:', 'Status: True', 'Socket LB: Enabled', 'Socket LB Coverage: Full', 'Devices: eth0 192.0.2.11 2001:db8::11 (Direct Routing)', 'Mode: DSR', 'DSR Dispatch Mode: IP Option/Extension',
    'Backend Selection: Maglev (Table Size: 16381)', 'Session Affinity: Enabled', 'Graceful Termination: Enabled', 'Without Backends: reject', 'NAT46/64 Support: Services: TCP, UDP; Gateway: Disabled', 'XDP Acceleration: Disabled',
    'Services:', '- ClusterIP: Enabled', '- NodePort: Enabled (Range: 30000-32767)',
    'MTU by path:', '1500 uplink', '1450 pods (all they send and receive) (less VXLAN 50)', '1450 client outside → backend on another node, TCP (dsr) (less VXLAN 50)',
    '1442 IPv4, 1426 IPv6 client outside → backend on another node, UDP and SCTP (dsr) (less VXLAN 50, DSR option 8 (IPv4), 24 (IPv6))',
  ]);
});
