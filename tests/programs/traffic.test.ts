/** Real traffic through the programs on real devices: rig.ts has the picture. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ConntrackFlag, IpcacheFlag } from '../../src/datapath/generated/enums.ts';
import type { FlowEvent } from '../../src/datapath/generated/structs.ts';
import { formatAddr, parseAddr } from '../../src/std/ip.ts';
import type { Told } from './harness.ts';
import { buildFrame, buildIp } from './packet.ts';
import { addressesOf, BACKEND_PORT, pods, Rig, SERVICE_PORT, services, world } from './rig.ts';

const rig = new Rig({ ns: `cpt${process.pid % 100000}` });
const { nodes } = rig;
const ask: Rig['ask'] = (...o) => rig.ask(...o);
const ping: Rig['ping'] = (...o) => rig.ping(...o);

/** A VXLAN packet of our own making, from a namespace's own address to node 1, and what that told of it within `ms`. */
async function tunnelFrame(from: string, vni: number, frame: Uint8Array, o: { readonly isOwn?: (event: FlowEvent) => boolean; readonly ms?: number } = {}): Promise<Pick<Told, 'flows' | 'drops'>> {
  const { isOwn = () => true, ms = 300 } = o;
  const packet = Buffer.concat([Uint8Array.of(8, 0, 0, 0, vni >>> 16, vni >>> 8 & 255, vni & 255, 0), frame]).toString('hex');
  nodes[0]!.told();
  rig.inside(from, `python3 -c "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(bytes.fromhex('${packet}'), ('172.30.0.11', 8472))"`);
  // The programs have run when the sender returns, unless its processor was taken away in between.
  for (let waited = 0; ; waited += 10) {
    const { flows, drops } = nodes[0]!.told(), own = { flows: flows.filter(isOwn), drops: drops.filter(isOwn) };
    if (own.flows.length + own.drops.length > 0 || waited >= ms) return own;
    await sleep(10);
  }
}

/** What node 1 told about a datagram in the tunnel. */
async function tunnel(from: string, vni: number, inner: { source: string; destination: string; sourcePort: number }): Promise<Pick<Told, 'flows' | 'drops'>> {
  return tunnelFrame(from, vni, buildFrame({ ...inner, protocol: 'udp', destinationPort: 9999 }), { isOwn: event => event.sourcePort === inner.sourcePort, ms: 10_000 });
}

before(() => rig.start());
after(() => rig[Symbol.dispose]());

[0, 1].forEach(i => {
  describe(`traffic over ${i ? 'IPv6' : 'IPv4'}`, () => {
    const [a, b, c] = pods.map(pod => addressesOf(pod)[i]!) as [string, string, string];

    for (const kind of ['tcp', 'udp'] as const) {
      test(`${kind}: pod to pod on one node`, () => assert.equal(ask('a', kind, b), `${a} 10 ${b}`));
      test(`${kind}: pod to pod on another node, through the tunnel`, () => assert.equal(ask('a', kind, c), `${a} 10 ${c}`));
      test(`${kind}: pod to the world takes the node's address`, () => assert.equal(ask('a', kind, world[i]!), `${i ? 'fdc1::11' : '172.30.0.11'} 10 ${world[i]}`));
      test(`${kind}: pod to its node`, () => assert.match(ask('a', kind, i ? 'fdc1::11' : '172.30.0.11'), new RegExp(`^${a} 10 `)));
      test(`${kind}: pod to another node takes its own node's address`, () => assert.match(ask('a', kind, i ? 'fdc1::12' : '172.30.0.12'), new RegExp(`^${i ? 'fdc1::11' : '172.30.0.11'} 10 `)));
      test(`${kind}: node to its pod`, () => assert.match(ask('n1', kind, a), / 10 /));
      test(`${kind}: node to another node's pod`, () => assert.equal(ask('n1', kind, c), `${i ? 'fd00:10:244:1::1' : '10.244.1.1'} 10 ${c}`));
      test(`${kind}: pod to a service, packet by packet`, () => assert.equal(ask('a', kind, services[i]!, SERVICE_PORT), `${a} 10 ${services[i]}`));
      test(`${kind}: pod to itself by way of a service`, () => assert.equal(ask('c', kind, services[i]!, SERVICE_PORT), `${services[i]} 10 ${services[i]}`));
      test(`${kind}: pod to a service, at the socket`, () => assert.equal(ask('a', kind, services[i]!, SERVICE_PORT, { cgroup: nodes[0]!.cgroup }), `${a} 10 ${services[i]}`));
    }
    test('a megabyte through the tunnel', () => assert.match(ask('a', 'tcp', c, BACKEND_PORT, { size: 1 << 20 }), new RegExp(`^${a} `)));
    test('datagrams in fragments: neighbour, tunnel, world', () => {
      assert.equal(ask('a', 'udp', b, BACKEND_PORT, { size: 4000 }), `${a} 4000 ${b}`);
      assert.equal(ask('a', 'udp', c, BACKEND_PORT, { size: 4000 }), `${a} 4000 ${c}`);
      assert.equal(ask('a', 'udp', world[i]!, BACKEND_PORT, { size: 4000 }), `${i ? 'fdc1::11' : '172.30.0.11'} 4000 ${world[i]}`);
    });
    test('ping: neighbour, tunnel, world, node', () => {
      for (const to of [b, c, world[i]!, i ? 'fdc1::11' : '172.30.0.11']) assert.equal(ping('a', to), 'answered', to);
    });
    test('a closed port answers: neighbour and service', () => {
      assert.equal(ask('a', 'tcp', b, 9), 'failed ConnectionRefusedError');
      assert.equal(ask('a', 'tcp', c, 9), 'failed ConnectionRefusedError');
    });
    test('a service without backends refuses at the socket', () => {
      nodes[0]!.maps.services.update({ addr: parseAddr(services[i]!), port: 81, protocol: 6, scope: 0 }, { id: 99, count: 0, affinityTimeout: 0, maglev: 0, flags: 0, type: 0 });
      assert.equal(ask('a', 'tcp', services[i]!, 81, { cgroup: nodes[0]!.cgroup }), 'failed ConnectionRefusedError');
    });
    test('a service without backends refuses packet by packet: TCP by a reset, datagrams by an ICMP error', () => {
      for (const protocol of [6, 17]) nodes[0]!.maps.services.update({ addr: parseAddr(services[i]!), port: 82, protocol, scope: 0 }, { id: 98, count: 0, affinityTimeout: 0, maglev: 0, flags: 0, type: 0 });
      assert.equal(ask('a', 'tcp', services[i]!, 82), 'failed ConnectionRefusedError');
      assert.equal(ask('a', 'connected-udp', services[i]!, 82), 'failed ConnectionRefusedError');
    });
    test('the tunnel: the identity is the sender\'s, and nobody else can use it', async () => {
      const told = async (from: string, vni: number, source: string, sourcePort: number): Promise<unknown[]> => {
        const { flows, drops } = await tunnel(from, vni, { source, destination: a, sourcePort });
        return [...flows.map(flow => `identity ${flow.sourceIdentity}`), ...drops.map(drop => drop.reasonOrPoint)];
      };
      const remoteRouter = i ? 'fd00:10:244:2::1' : '10.244.2.1';
      assert.deepEqual(await told('n2', 1003, c, 101), ['identity 1003']);
      assert.deepEqual(await told('n2', 6, remoteRouter, 102), ['identity 6']);
      assert.deepEqual(await told('n2', 6, c, 103), [132], 'a pod is no remote node');
      assert.deepEqual(await told('n2', 1003, b, 104), [132], "this node's own pod does not come through the tunnel");
      assert.deepEqual(await told('n2', 1, c, 105), [171], 'the host is here');
      assert.deepEqual(await told('n2', 0, c, 106), [171]);
      assert.deepEqual(await told('u', 1003, c, 107), [224], 'the underlay is no node');
    });
    test('a node that has a number by its labels is judged by it, though the tunnel says only that it is a node', () => {
      const router = i ? 'fd00:10:244:1::1' : '10.244.1.1';
      const row = (identity: number) => nodes[1]!.address(router, { identity, flags: IpcacheFlag.Cluster | IpcacheFlag.Node | IpcacheFlag.HasTunnel, tunnel: parseAddr('172.30.0.11') });
      const labelled = (2 << 24) + 5;
      row(labelled);
      nodes[1]!.maps.policyClasses.update({ set: 103, identity: labelled }, { class: 7 });
      nodes[1]!.maps.policyVerdicts.update({ prefixBits: 64, set: 103, class: 7, protocol: 0, port: 0 }, { rule: 777, shadowRule: 0, l7: 0, verdict: 2, match: 4, shadowVerdict: 0, flags: 0 });
      nodes[1]!.commit();
      assert.equal(ask('n1', 'tcp', c), 'failed TimeoutError');
      assert.equal(ask('a', 'tcp', c), `${a} 10 ${c}`, 'a pod of that node is not the node');
      row(6);
      nodes[1]!.commit();
      assert.equal(ask('n1', 'tcp', c), `${router} 10 ${c}`);
    });
    test('V6 through the tunnel: nobody is this node, whatever the identity says, and nobody comes from nowhere', async () => {
      const reasons = async (vni: number, source: string, sourcePort: number) => (await tunnel('n2', vni, { source, destination: a, sourcePort })).drops.map(drop => drop.reasonOrPoint);
      const own = i ? ['fdc1::11', 'fd00:10:244:1::1'] : ['172.30.0.11', '10.244.1.1'];
      const nowhere = i ? ['::1', 'ff02::1'] : ['127.0.0.1', '0.0.0.0', '224.0.0.1'];
      let port = 200;
      for (const source of [...own, ...nowhere]) for (const vni of [1, 6, 1003]) assert.deepEqual(await reasons(vni, source, port++), [132], `${source} ${vni}`);
    });
    test('an ICMP error through the tunnel is part of the connection, not of whoever reports it: it revokes nothing', async () => {
      assert.equal(ask('c', 'udp', a), `${c} 10 ${a}`);
      const entryOf = () => [...nodes[0]!.maps.conntrack.entries()].find(([key, entry]) => key.protocol === 17 && entry.sourceIdentity === 1003 && (formatAddr(key.low) === a ? key.lowPort : formatAddr(key.high) === a ? key.highPort : 0) === BACKEND_PORT);
      const [key] = entryOf()!;
      const clientPort = formatAddr(key.low) === c ? key.lowPort : key.highPort;
      const remoteRouter = i ? 'fd00:10:244:2::1' : '10.244.2.1';
      // A remote node itself may not talk to a.
      nodes[0]!.maps.policyClasses.update({ set: pods[0]!.id, identity: 6 }, { class: 9 });
      nodes[0]!.maps.policyVerdicts.update({ prefixBits: 64, set: pods[0]!.id, class: 9, protocol: 0, port: 0 }, { rule: 888, shadowRule: 0, l7: 0, verdict: 2, match: 4, shadowVerdict: 0, flags: 0 });
      nodes[0]!.commit();
      const body = buildIp({ source: a, destination: c, protocol: 'udp', sourcePort: BACKEND_PORT, destinationPort: clientPort });
      const { drops } = await tunnelFrame('n2', 6, buildFrame({ source: remoteRouter, destination: a, protocol: 'icmp', icmp: { type: i ? 2 : 3, code: i ? 0 : 4, body } }));
      assert.deepEqual(drops.map(drop => [drop.reasonOrPoint, drop.rule]), []);
      assert.equal(entryOf()![1].flags & ConntrackFlag.Revoked, 0);
      assert.equal(entryOf()![1].sourceIdentity, 1003);
      nodes[0]!.maps.policyClasses.delete({ set: pods[0]!.id, identity: 6 });
    });
    test('host policy: the node with pods elsewhere, other nodes and the world, each way; its own pods always answer it', () => {
      const [node, router, otherNode] = i ? ['fdc1::11', 'fd00:10:244:1::1', 'fdc1::12'] : ['172.30.0.11', '10.244.1.1', '172.30.0.12'];
      const heard = (from: string, to: string): boolean => / 10 /.test(ask(from, 'tcp', to));
      const out = (): boolean[] => [c, otherNode, world[i]!].map(to => heard('n1', to));
      const into = (): boolean[] => ([['c', router], ['n2', node], ['u', node], ['b', node]] as const).map(([from, to]) => heard(from, to));
      const none = (answers: boolean[]): boolean => !answers.includes(true), all = (answers: boolean[]): boolean => !answers.includes(false);
      nodes[0]!.hostPolicy({ ingress: 2, egress: 1 });
      assert.ok(all(out()), 'what it may open is answered');
      assert.ok(none(into()));
      for (const to of [c, world[i]!]) assert.match(ask('n1', 'udp', to, BACKEND_PORT, { size: 4000 }), / 4000 /, 'fragments follow their first');
      nodes[0]!.hostPolicy({ ingress: 1, egress: 2 });
      assert.ok(none(out()));
      assert.ok(all(into()), 'what it may answer goes out');
      nodes[0]!.hostPolicy({ ingress: 2, egress: 2 });
      assert.ok(heard('n1', a), 'its own pods');
      assert.match(ask('n1', 'udp', a, BACKEND_PORT, { size: 4000 }), / 4000 /, 'in fragments, too');
      assert.equal(ask('a', 'tcp', c), `${a} 10 ${c}`, 'the tunnel goes on');
      assert.equal(ask('a', 'tcp', world[i]!), `${node} 10 ${world[i]}`, 'and so do masqueraded pods');
      nodes[0]!.hostPolicy(undefined);
      assert.ok(all([...out(), ...into()]));
    });
    test("the receiver's policy holds across nodes", () => {
      nodes[1]!.policy(103, 2);
      nodes[1]!.commit();
      assert.equal(ask('a', 'tcp', c), 'failed TimeoutError');
      nodes[1]!.policy(103, 1);
      nodes[1]!.commit();
      assert.equal(ask('a', 'tcp', c), `${a} 10 ${c}`);
    });
  });
});
