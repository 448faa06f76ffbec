import { execFileSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import type { EndpointSlice, Service } from '../kube/types.ts';
import { makeRecord } from '../cluster/record.ts';
import { createNetns, deleteNetns, openNetns, withNetns } from '../sys/netns.ts';
import { Netlink } from '../sys/netlink.ts';
import { applyLocalRoutes, localRoutes } from './host-routes.ts';

const record = makeRecord({ instance: 'opsrt', version: '0', nodes: 3, subnet: 77, apiserverPort: 1 });
const service = (name: string, ...ips: string[]): Service => ({ apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'n' }, spec: { type: 'LoadBalancer', externalTrafficPolicy: 'Local' }, status: { loadBalancer: { ingress: ips.map(ip => ({ ip })) } } });
const slice = (...endpoints: readonly [node: string, ready: boolean][]): EndpointSlice => ({ apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { name: 's' }, addressType: 'IPv4', endpoints: endpoints.map(([nodeName, ready]) => ({ addresses: ['10.0.0.1'], nodeName, conditions: { ready } })) });

test('a service with policy Local is reached over the nodes that have a ready endpoint of it, and no address of others is routed', () => {
  const of = (slices: EndpointSlice[], ...ips: string[]) => [...localRoutes([service('a', ...ips)], () => slices, record)];
  assert.deepEqual(of([slice(['node1', true], ['node2', false], ['node3', true])], '172.31.77.5', 'fdc1:77:1::5'), [['172.31.77.5/32', ['172.30.77.11', '172.30.77.13']], ['fdc1:77:1::5/128', ['fdc1:77::11', 'fdc1:77::13']]]);
  assert.deepEqual(of([slice(['node2', false])], '172.31.77.5'), []);
  const leaving: EndpointSlice = { ...slice(), endpoints: [{ addresses: ['10.0.0.1'], nodeName: 'node2', conditions: { ready: false, serving: true, terminating: true } }] };
  assert.deepEqual(of([leaving], '172.31.77.5'), [['172.31.77.5/32', ['172.30.77.12']]], 'its connections go on');
  assert.deepEqual(of([slice(['node1', true])], '8.8.8.8', '10.0.0.1'), []);
});

const path = `/run/netns/opsrt-${process.pid}`;
before(() => createNetns(path));
after(() => deleteNetns(path));

test('the kernel has these routes and no others of single addresses; a second look changes nothing', () => {
  using netns = openNetns(path);
  withNetns(netns.fd, () => {
    using netlink = Netlink.open();
    netlink.bridgeCreate({ name: record.underlay.bridge });
    const { index } = netlink.linkGet(record.underlay.bridge)!;
    netlink.linkSet(index, { up: true });
    for (const [address, bits] of [[record.underlay.host4, '24'], [record.underlay.host6, '64']]) execFileSync('ip', ['addr', 'add', `${address}/${bits}`, 'dev', record.underlay.bridge, ...(address!.includes(':') ? ['nodad'] : [])]);
    const shown = (family: string) => execFileSync('ip', [family, 'route', 'show'], { encoding: 'utf8' });
    const wanted = (...nodes: number[]) => new Map([['172.31.77.5/32', nodes.map(n => `172.30.77.1${n}`)], ['fdc1:77:1::5/128', nodes.map(n => `fdc1:77::1${n}`)]]);
    assert.equal(applyLocalRoutes(wanted(1, 2), record).length, 2);
    assert.match(shown('-4'), /172\.31\.77\.5 proto static\s+nexthop via 172\.30\.77\.11 dev opsrt0 weight 1\s+nexthop via 172\.30\.77\.12/);
    assert.deepEqual(applyLocalRoutes(wanted(1, 2), record), []);
    assert.equal(applyLocalRoutes(wanted(3), record).length, 2);
    assert.match(shown('-4'), /172\.31\.77\.5 via 172\.30\.77\.13 dev opsrt0/);
    assert.match(shown('-6'), /fdc1:77:1::5 via fdc1:77::13 dev opsrt0/);
    assert.deepEqual(applyLocalRoutes(wanted(3), record), []);
    assert.deepEqual(applyLocalRoutes(new Map(), record).sort(), ['removed 172.31.77.5/32', 'removed fdc1:77:1::5/128']);
    assert.doesNotMatch(shown('-4') + shown('-6'), /172\.31\.77\.5|fdc1:77:1::5/);
  });
});
