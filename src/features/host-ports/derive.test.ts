import test from 'node:test';
import assert from 'node:assert/strict';
import type { Pod } from '../../kube/types.ts';
import { Table } from '../../table/table.ts';
import { HostPortDerivation } from './derive.ts';

function pod(name: string, ports: object[], more: { phase?: string; hostNetwork?: boolean } = {}): Pod {
  return {
    apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'n' }, spec: { containers: [{ name: 'c', ports }], ...(more.hostNetwork ? { hostNetwork: true } : {}) },
    status: { phase: more.phase ?? 'Running', podIPs: [{ ip: '10.244.1.5' }, { ip: 'fd00:10:244:1::5' }] },
  } as unknown as Pod;
}

test('a running pod\'s host ports are rows, with what they name; they go and come with the pod', () => {
  const pods = new Table<Pod>('pods', p => `${p.metadata.namespace}/${p.metadata.name}`);
  const hostPorts = new HostPortDerivation(pods);
  const seen = () => {
    hostPorts.step();
    return [...hostPorts.table.rows()].map(r => `${r.pod} ${r.hostIP || '*'}:${r.hostPort} -> ${r.containerPort}/${r.protocol}`).sort();
  };
  pods.upsert(pod('a', [{ containerPort: 80, hostPort: 8080 }, { containerPort: 53, hostPort: 5353, protocol: 'UDP', hostIP: '127.0.0.1' }, { containerPort: 81 }]));
  assert.deepEqual(seen(), ['a *:8080 -> 80/TCP', 'a 127.0.0.1:5353 -> 53/UDP']);
  pods.upsert(pod('a', [{ containerPort: 80, hostPort: 8081 }]), pod('host', [{ containerPort: 80, hostPort: 80 }], { hostNetwork: true }), pod('b', [{ containerPort: 80, hostPort: 9 }], { phase: 'Pending' }));
  assert.deepEqual(seen(), ['a *:8081 -> 80/TCP']);
  pods.upsert(pod('b', [{ containerPort: 80, hostPort: 9 }]), pod('a', [], { phase: 'Succeeded' }));
  assert.deepEqual(seen(), ['b *:9 -> 80/TCP']);
  pods.delete('n/b');
  assert.deepEqual(seen(), []);
});
