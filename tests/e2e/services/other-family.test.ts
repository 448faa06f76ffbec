import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { KubeObject } from '../../../src/kube/types.ts';
import { families, namespace, nodePort, port, protocols, World, type Wish } from './world.ts';

for (const [tag, how, flags] of [['x', 'at the socket where that can be, else packet by packet', []], ['y', 'packet by packet, without a tunnel', ['--set', 'socketLB.hostNamespaceOnly=true', '--routing', 'native']]] as const) {
  describe(`services whose endpoints are of the other family (NAT46/64), ${how}`, { concurrency: false }, () => {
    const world = new World(tag);
    before(() => world.start(...flags));
    after(() => world.stop());

    for (const family of families) {
      test(`an IPv${family} service with IPv${family === 4 ? 6 : 4} endpoints: pods, nodes, clients outside; TCP and UDP; policy knows the pods`, async t => {
        const name = `cross-${family}`;
        const backends = await world.backends(t, name, ['node1', 'node2']);
        const isOther = (address: string): boolean => address.includes(':') !== (family === 6);
        const ready = await world.podsReady(...backends, 'client-1', 'client-2');
        const made = await world.service(t, name, { type: 'NodePort', ipFamilyPolicy: 'SingleStack', ipFamilies: [`IPv${family}`] });
        await world.make(t, {
          apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { name, namespace, labels: { 'kubernetes.io/service-name': name } },
          addressType: family === 4 ? 'IPv6' : 'IPv4', endpoints: backends.map(pod => ({ addresses: [ready.get(pod)!.find(isOther)!] })),
          ports: protocols.map(protocol => ({ name: protocol.toLowerCase(), port, protocol })),
        } as KubeObject);

        const inside: Wish[] = protocols.flatMap(protocol => [false, true].map(connected => ({ to: made.spec!.clusterIP!, port: 80, protocol, connected })));
        await world.expectAll(['client-1', 'client-2', ...backends], inside, 'answered');
        for (const client of ['client-1', 'client-2']) for (const wish of inside) {
          await world.expectSpread(client, wish, backends);
          const { served, remote } = await world.ask(client, wish);
          assert.deepEqual([served!.peer, remote], [ready.get(client)!.find(isOther), wish.to], 'the backend hears the pod, the pod the service');
        }
        const outside = ['node1', 'node2'].flatMap(node => protocols.map(protocol => ({ to: world.nodeAddress(node, family), port: nodePort(made, protocol), protocol })));
        await world.expectAll(['outside', 'client-1'], outside, 'answered');
        await world.expectAll(['node1'], protocols.map(protocol => ({ to: made.spec!.clusterIP!, port: 80, protocol, connected: true })), family === 6 ? 'answered' : 'unreachable');

        const [policy] = await world.make(t, {
          apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name, namespace },
          spec: { podSelector: { matchLabels: { app: name } }, policyTypes: ['Ingress'], ingress: [{ from: [{ podSelector: { matchLabels: { role: 'client' } } }] }] },
        } as KubeObject);
        assert.ok(policy);
        await world.expectAll(['outside'], outside, 'silent', 'only pods:');
        await world.expectAll(['client-1', 'client-2'], inside, 'answered', 'only pods:');
      });
    }
  });
}
