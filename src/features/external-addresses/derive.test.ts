import test from 'node:test';
import assert from 'node:assert/strict';
import type { KubeObject, Node, Service } from '../../kube/types.ts';
import { parsePrefix } from '../../std/ip.ts';
import { Table } from '../../table/table.ts';
import { nodeOwners } from './claims.ts';
import { ExternalAddressDerivation } from './derive.ts';

const key = (o: KubeObject) => (o.metadata.namespace ? `${o.metadata.namespace}/${o.metadata.name}` : o.metadata.name);
const record = { nodes: [], underlay: { bridge: 'b0', prefix4: '172.30.1.0/24', prefix6: 'fdc1:1::/64', host4: '172.30.1.1', host6: 'fdc1:1::1' } };

function world() {
  const services = new Table<Service>('services', key);
  const pools = new Table<KubeObject>('pools', key);
  const nodes = new Table<Node>('nodes', key);
  const producers = [services, pools, nodes].map(table => table.producer('test'));
  const external = new ExternalAddressDerivation({ clusterRanges: [{ what: 'the service range', prefix: parsePrefix('10.96.0.0/16') }], allowed: [] }, objects => nodeOwners(record, objects), { services, pools, nodes });
  return { services, pools, nodes, external, listed: () => producers.forEach(producer => producer.synced()) };
}
const pool = (cidr: string, status?: object): KubeObject => ({ apiVersion: 'cilium.io/v2', kind: 'CiliumLoadBalancerIPPool', metadata: { name: 'p' }, spec: { blocks: [{ cidr }] }, ...(status ? { status } : {}) });
const service = (name: string, externalIPs: string[]): Service => ({ apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'n' }, spec: { type: 'ClusterIP', externalIPs, ports: [{ port: 80 }] } });
const node = (name: string, address: string): Node => ({ apiVersion: 'v1', kind: 'Node', metadata: { name }, spec: {}, status: { addresses: [{ type: 'InternalIP', address }] } });

test('what is served follows services, pools and nodes; a service without claims has no row', () => {
  const { services, pools, nodes, external } = world();
  const refusal = () => {
    external.step();
    return external.refusalOf('n/a', '192.0.2.7');
  };
  services.upsert(service('a', ['192.0.2.7']), service('plain', []));
  assert.match(refusal()!, /lies in no CiliumLoadBalancerIPPool/);
  pools.upsert(pool('192.0.2.0/24'));
  assert.equal(refusal(), undefined);
  nodes.upsert(node('n1', '192.0.2.7'));
  assert.match(refusal()!, /an address of node n1/);
  nodes.delete('n1');
  assert.equal(refusal(), undefined);
  pools.delete('p');
  assert.match(refusal()!, /lies in no/);
  services.delete('n/a');
  assert.match(refusal()!, /not known yet/);
  assert.equal(external.table.size, 0);
  assert.match(external.refusalOf('n/other', '192.0.2.8')!, /not known yet/, 'nothing is served that nobody has decided');
});

test('an address that the first one leaves goes to the next, whose row changes', () => {
  const { services, pools, external } = world();
  pools.upsert(pool('192.0.2.0/24'));
  services.upsert(service('a', ['192.0.2.7']), service('b', ['192.0.2.7']));
  external.step();
  assert.deepEqual([...external.table.rows()].map(row => `${row.key} ${row.externalIPs.length}`).sort(), ['n/a 1', 'n/b 0']);
  const changes = external.table.changes();
  changes.take();
  services.upsert(service('a', []));
  external.step();
  assert.deepEqual([changes.take()].map(({ changed, deleted }) => [changed.map(row => row.key), deleted]), [[['n/b'], ['n/a']]]);
  assert.equal(external.refusalOf('n/b', '192.0.2.7'), undefined);
});

test('the counts in a pool\'s status change no row, and rows are complete when all three kinds have been listed', () => {
  const { services, pools, external, listed } = world();
  pools.upsert(pool('192.0.2.0/24'));
  services.upsert(service('a', ['192.0.2.7']));
  external.step();
  assert.equal(external.table.synced, false);
  listed();
  external.step();
  assert.equal(external.table.synced, true);
  const { revision } = external.table;
  pools.upsert(pool('192.0.2.0/24', { conditions: [{ type: 'cilium.io/IPsUsed', status: 'Unknown', message: '1' }] }));
  external.step();
  assert.equal(external.table.revision, revision);
});
