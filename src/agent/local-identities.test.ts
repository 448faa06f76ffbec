import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AddressRow } from '../features/addresses/book.ts';
import { NetworkIdentities } from '../features/addresses/network-identities.ts';
import { NodeIdentities } from '../features/addresses/node-identities.ts';
import { PrefixIdentities } from '../features/addresses/prefix-identities.ts';
import { AddressSources } from '../features/addresses/sources.ts';
import { endpointAddresses, endpointKey, type Endpoint } from '../features/endpoints/endpoint.ts';
import { remotePod, type CiliumEndpoint } from '../features/endpoints/objects.ts';
import type { Identity } from '../features/identities/allocate.ts';
import type { KubeObject, Node } from '../kube/types.ts';
import { identityScope, reserved } from '../model/identity.ts';
import { LabelSet } from '../model/labels.ts';
import { PolicyEngine } from '../policy/compile.ts';
import { lookup } from '../policy/evaluate.ts';
import { Table } from '../table/table.ts';
import { EngineChanges } from './engine-changes.ts';
import { LocalIdentities } from './local-identities.ts';
import { PolicyInputs } from './policy-inputs.ts';
import { tableInputs } from './testing.ts';

/* Policies that name nodes and networks, from the objects to the rows of the ipcache and what the sets say of them. */

const labels = (app: string) => LabelSet.of([`k8s:app=${app}`, 'k8s:io.kubernetes.pod.namespace=shop', 'k8s:io.cilium.k8s.policy.cluster=default']);
const subject = { labels: labels('client'), namedPorts: new Map() };
const nodeRecords = [1, 2, 3].map(n => ({ name: `n${n}`, local: n === 1, addresses: [`172.30.0.1${n}`, `10.244.${n}.1`] }));

function world() {
  const inputs = tableInputs();
  const endpoints = new Table<Endpoint>('endpoints', endpointKey);
  const identities = new Table<Identity>('identities', i => String(i.id));
  const [engine, prefixes, nodeIdentities, networkIdentities] = [new PolicyEngine(), new PrefixIdentities(), new NodeIdentities(), new NetworkIdentities()];
  const changes = new EngineChanges(engine);
  const ciliumEndpoints = inputs.ciliumEndpoints.table as Table<CiliumEndpoint>;
  let allFlipped = true;
  const policies: PolicyInputs = new PolicyInputs({
    inputs, engine: changes, identities, prefixes, isSynced: () => true, clusterName: 'default',
    local: namedPorts => new LocalIdentities({ nodes: nodeRecords, ownNodeAddress: '172.30.0.11', clusterName: 'default' },
      { nodes: inputs.nodes.table, endpoints, ciliumEndpoints, identities, engine: changes, nodeIdentities, networkIdentities, namedPorts, allFlipped: () => allFlipped }),
  });
  const sources = new AddressSources({
    clusterPrefixes: ['10.244.0.0/16'], apiServers: ['172.30.0.1'], dualStack: true,
    nodes: nodeRecords.map(({ name, local, addresses: [underlay, router] }) => ({ name, local, underlay: [underlay!], routers: [router!] })),
  }, {
    local: endpoints, localPod: e => ({ addresses: endpointAddresses(e), identity: e.identity, since: '' }),
    remote: ciliumEndpoints, remotePod: object => remotePod(object, { ownNodeAddress: '172.30.0.11', tunnel: false }),
    isKnown: id => identityScope(id) !== 'cluster' || identities.has(String(id)), identities, prefixes, nodeIdentities, networkIdentities,
  });
  const rows = new Map<string, AddressRow>();
  const onePass = () => {
    policies.refresh();
    const { rows: changed, gone } = sources.take();
    for (const row of changed) {
      // The order of safety: whatever a row says, the engine knows.
      for (const id of [row.identity, row.policyIdentity ?? row.identity]) assert.ok(id === reserved.unknown || engine.identities.has(id), `${row.prefix}: ${id}`);
      rows.set(row.prefix, row);
    }
    for (const prefix of gone) rows.delete(prefix);
  };
  const pass = () => {
    onePass();
    while (policies.settling && allFlipped) onePass();
  };
  const row = (address: string) => rows.get(`${address}/32`)!;
  return {
    inputs, endpoints, identities, pass, onePass, row,
    setFlipped: (value: boolean) => { allFlipped = value; },
    networkOf: (address: string) => [...(engine.identities.get(row(address).policyIdentity ?? 0)?.labels.keysOf('network') ?? [])],
    /** What the kernel would say of a connection of the subject's to an address. */
    egress: (address: string, port = 80) => lookup(engine.compile(subject, 'egress'), row(address).policyIdentity ?? row(address).identity, 6, port)!.verdict,
    ingress: (address: string) => lookup(engine.compile(subject, 'ingress'), row(address).identity, 6, 80)!.verdict,
  };
}

const node = (name: string, more: Record<string, string>): Node => ({ apiVersion: 'v1', kind: 'Node', metadata: { name, labels: { 'kubernetes.io/hostname': name, ...more } }, spec: {} });
const pod = (name: string, identity: number, address: string, host: string): CiliumEndpoint => ({
  apiVersion: 'cilium.io/v2', kind: 'CiliumEndpoint', metadata: { name, namespace: 'shop' },
  status: { id: 1, identity: { id: identity, labels: [] }, networking: { addressing: [{ ipv4: address }], node: host }, state: 'ready', 'named-ports': [{ name: 'web', port: 8080, protocol: 'TCP' }] },
});
const anp = (egress: object): KubeObject => ({ apiVersion: 'policy.networking.k8s.io/v1alpha1', kind: 'AdminNetworkPolicy', metadata: { name: 'p', uid: 'u', generation: 1 }, spec: { priority: 1, subject: { namespaces: {} }, egress: [egress] } });
const ccnp = (spec: object): KubeObject => ({ apiVersion: 'cilium.io/v2', kind: 'CiliumClusterwideNetworkPolicy', metadata: { name: 'c', uid: 'u', generation: 1 }, spec: { endpointSelector: {}, ...spec } });

test('networks select pods by their addresses, of this node and of others, and nothing else changes for them', () => {
  const w = world();
  w.identities.upsert({ id: 300, labels: labels('db') });
  w.inputs.ciliumEndpoints.table.upsert(pod('a', 300, '10.244.2.5', '172.30.0.12'), pod('b', 300, '10.244.3.5', '172.30.0.13'));
  w.endpoints.upsert({ containerId: 'c', interfaceName: 'eth0', identity: 300, ipv4: '10.244.2.77', labels: [], namedPorts: [] } as unknown as Endpoint);
  w.pass();
  assert.equal(w.row('10.244.2.5').policyIdentity, undefined);
  w.inputs.adminNetworkPolicies.table.upsert(anp({ action: 'Deny', to: [{ networks: ['10.244.2.0/24'] }] }));
  w.pass();
  assert.deepEqual(['10.244.2.5', '10.244.2.77', '10.244.3.5'].map(address => w.egress(address)), ['deny', 'deny', 'allow']);
  assert.deepEqual([w.row('10.244.2.5').identity, w.row('10.244.3.5').policyIdentity], [300, undefined]);
  w.inputs.ciliumEndpoints.table.upsert(pod('late', 301, '10.244.2.6', '172.30.0.12'));
  w.pass();
  w.identities.upsert({ id: 301, labels: labels('late') });
  w.pass();
  assert.equal(w.egress('10.244.2.6'), 'deny');
  w.inputs.adminNetworkPolicies.table.delete('p');
  w.pass();
  assert.deepEqual([w.row('10.244.2.5').policyIdentity, w.egress('10.244.2.5')], [undefined, 'allow']);
});

test('while old sets and new ones stand beside each other a number says what both ask for', () => {
  const w = world();
  const networks = (...prefixes: string[]) => w.inputs.adminNetworkPolicies.table.upsert({ ...anp({ action: 'Deny', to: [{ networks: prefixes }] }), metadata: { name: 'p', uid: 'u', generation: prefixes.length + prefixes[0]!.length } });
  w.identities.upsert({ id: 300, labels: labels('db') });
  w.inputs.ciliumEndpoints.table.upsert(pod('a', 300, '10.244.2.5', '172.30.0.12'));
  networks('10.244.2.0/24');
  w.pass();
  networks('10.0.0.0/8');
  w.onePass();
  assert.deepEqual([w.networkOf('10.244.2.5'), w.egress('10.244.2.5')], [['10.244.2.0/24'], 'deny'], 'the rows change before the endpoints flip: the old sets must still find the pod');
  w.setFlipped(false);
  w.onePass();
  assert.deepEqual(w.networkOf('10.244.2.5'), ['10.244.2.0/24'], 'an endpoint that could not flip still has them');
  w.setFlipped(true);
  w.onePass();
  assert.deepEqual([w.networkOf('10.244.2.5'), w.egress('10.244.2.5')], [['10.0.0.0/8'], 'deny']);
});

test('a pod as a destination keeps its labels and the names of its ports', () => {
  const w = world();
  w.identities.upsert({ id: 300, labels: labels('db') });
  w.inputs.ciliumEndpoints.table.upsert(pod('a', 300, '10.244.2.5', '172.30.0.12'));
  w.inputs.adminNetworkPolicies.table.upsert(anp({ action: 'Pass', to: [{ networks: ['10.0.0.0/8'] }] }));
  w.inputs.ciliumClusterwideNetworkPolicies.table.upsert(ccnp({ egress: [{ toEndpoints: [{ matchLabels: { app: 'db' } }], toPorts: [{ ports: [{ port: 'web', protocol: 'TCP' }] }] }] }));
  w.pass();
  assert.notEqual(w.row('10.244.2.5').policyIdentity, undefined);
  assert.deepEqual([w.egress('10.244.2.5', 8080), w.egress('10.244.2.5', 80)], ['allow', 'deny']);
});

test('fromNodes and toNodes select by the nodes\' present labels; entities mean what they meant', () => {
  const w = world();
  w.inputs.nodes.table.upsert(node('n1', { zone: 'a' }), node('n2', { zone: 'b' }), node('n3', { zone: 'c' }));
  w.pass();
  assert.deepEqual(['172.30.0.11', '172.30.0.12', '172.30.0.13', '172.30.0.1'].map(a => w.row(a).identity), [reserved.host, reserved.remoteNode, reserved.remoteNode, reserved.kubeApiserver]);
  w.inputs.ciliumClusterwideNetworkPolicies.table.upsert(ccnp({ ingress: [{ fromNodes: [{ matchLabels: { zone: 'b' } }] }], egress: [{ toEntities: ['remote-node'] }], egressDeny: [{ toNodes: [{ matchLabels: { zone: 'c' } }] }] }));
  w.pass();
  assert.deepEqual(['172.30.0.12', '172.30.0.13', '10.244.2.1', '172.30.0.1'].map(a => w.ingress(a)), ['allow', 'deny', 'allow', 'deny']);
  assert.deepEqual(['172.30.0.12', '172.30.0.13', '172.30.0.1'].map(a => w.egress(a)), ['allow', 'deny', 'allow']);
  assert.equal(w.ingress('172.30.0.11'), 'allow', 'the node itself reaches its pods');
  w.inputs.nodes.table.upsert(node('n3', { zone: 'b' }));
  w.pass();
  assert.deepEqual([w.ingress('172.30.0.13'), w.egress('172.30.0.13')], ['allow', 'allow']);
  w.inputs.ciliumClusterwideNetworkPolicies.table.upsert({ ...ccnp({ ingressDeny: [{ fromEntities: ['remote-node'] }, { fromNodes: [{ matchLabels: { disk: 'x' } }] }], enableDefaultDeny: { ingress: false } }), metadata: { name: 'c', uid: 'u', generation: 2 } });
  w.pass();
  assert.deepEqual(['172.30.0.12', '172.30.0.13'].map(a => w.ingress(a)), ['deny', 'deny'], 'a rule on remote-node holds for nodes with numbers of their own');
});

test('nodes of an AdminNetworkPolicy are the others and this one, by labels', () => {
  const w = world();
  w.inputs.nodes.table.upsert(node('n1', { zone: 'a' }), node('n2', { zone: 'a' }), node('n3', { zone: 'c' }));
  w.inputs.adminNetworkPolicies.table.upsert(anp({ action: 'Deny', to: [{ nodes: { matchLabels: { zone: 'a' } } }] }));
  w.pass();
  assert.deepEqual(['172.30.0.11', '172.30.0.12', '172.30.0.13'].map(a => w.egress(a)), ['deny', 'deny', 'allow']);
});
