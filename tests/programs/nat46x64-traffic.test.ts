/** Pods as clients of services whose backends are of the other family: real traffic between two nodes (rig.ts has the picture). */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ConntrackFlag, ServiceFlag } from '../../src/datapath/generated/enums.ts';
import { formatAddr, parseAddr } from '../../src/std/ip.ts';
import { addressesOf, BACKEND_PORT, pods, Rig, services, world } from './rig.ts';

const PORT = 8090;
const ID = 60;

for (const tunnel of [true, false]) {
  describe(tunnel ? 'with a tunnel' : 'without a tunnel', () => {
    const rig = new Rig({ ns: `nx${process.pid % 100000}`, tunnel });
    before(() => rig.start());
    after(() => rig[Symbol.dispose]());

    /** The service's row at both nodes. */
    const serve = (service: string, backend: string, port = BACKEND_PORT, flags = ServiceFlag.Nat46x64): void => {
      for (const { maps } of rig.nodes) {
        for (const protocol of [6, 17]) maps.services.update({ addr: parseAddr(service), port: PORT, protocol, scope: 0 }, { id: ID, count: 1, affinityTimeout: 0, maglev: 0, flags, type: 0 });
        maps.serviceSlots.update({ service: ID, slot: 0 }, { backend: ID });
        maps.backends.update({ id: ID }, { addr: parseAddr(backend), port, protocol: 6, state: 0 });
        maps.serviceAddresses.update({ id: ID }, { addr: parseAddr(service), port: PORT });
        for (const [key] of [...maps.conntrack.entries()]) maps.conntrack.delete(key);
      }
    };

    [0, 1].forEach(i => {
      const service = services[i]!, [a, b, c] = pods.map(pod => addressesOf(pod)[1 - i]!) as [string, string, string];
      const router = i ? '10.244.1.1' : 'fd00:10:244:1::1';
      const node = (number: 1 | 2): string => i ? `172.30.0.1${number}` : `fdc1::1${number}`;

      describe(`an ${i ? 'IPv6' : 'IPv4'} service with ${i ? 'IPv4' : 'IPv6'} backends`, () => {
        for (const kind of ['tcp', 'udp', 'connected-udp', 'several-udp'] as const) {
          test(`${kind}: backends on the same node and on the other hear the pod's own address of their family; the world hears the node`, () => {
            for (const backend of [b, c]) {
              serve(service, backend);
              assert.equal(rig.ask('a', kind, service, PORT), `${a} 10 ${service}`, backend);
            }
            serve(service, world[1 - i]!);
            assert.equal(rig.ask('a', kind, service, PORT), `${node(1)} 10 ${service}`);
          });
          test(`${kind}: a pod that is its own backend hears the router`, () => {
            serve(service, a);
            assert.equal(rig.ask('a', kind, service, PORT), `${router} 10 ${service}`);
          });
          test(`${kind}: with the socket hooks, which can do it for connected IPv6 sockets alone`, () => {
            serve(service, c);
            assert.equal(rig.ask('a', kind, service, PORT, { cgroup: rig.nodes[0]!.cgroup }), `${a} 10 ${service}`);
          });
        }

        if (i) test('with the socket hooks, and sockets that are for IPv6 alone', () => {
          serve(service, c);
          for (const kind of ['v6only-tcp', 'v6only-udp'] as const) assert.equal(rig.ask('a', kind, service, PORT, { cgroup: rig.nodes[0]!.cgroup }), `${a} 10 ${service}`);
        });

        test('the nodes themselves serve', () => {
          serve(service, node(1));
          assert.equal(rig.ask('a', 'tcp', service, PORT), `${a} 10 ${service}`);
          serve(service, node(2));
          assert.equal(rig.ask('a', 'tcp', service, PORT), `${tunnel ? node(1) : a} 10 ${service}`, 'as any pod is heard there');
        });

        test('a megabyte each way, on the node and between nodes', () => {
          for (const backend of [b, c]) {
            serve(service, backend);
            assert.equal(rig.ask('a', 'tcp', service, PORT, { size: 1 << 20 }).split(' ')[0], a);
            assert.equal(rig.ask('a', 'fetch', service, PORT, { size: 1 << 20 }), `got ${1 << 20} ${service}`);
          }
        });

        test('policy knows the pod: what its egress or the backend\'s ingress denies is not served', () => {
          for (const [denied, at] of [[pods[0]!.id + 1000, 0], [pods[2]!.id, 1]] as const) {
            serve(service, c);
            rig.nodes[at]!.policy(denied, 2);
            rig.nodes[at]!.told();
            try {
              assert.match(rig.ask('a', 'udp', service, PORT), /^failed /);
            } finally {
              rig.nodes[at]!.policy(denied, 1);
            }
            const drops = rig.nodes[at]!.told().drops.filter(drop => drop.protocol === 17);
            assert.deepEqual(drops.map(drop => [drop.reasonOrPoint, formatAddr(drop.source), drop.sourceIdentity, drop.destinationIdentity]), [[181, a, 1001, 1003]]);
          }
        });

        test('a port that refuses refuses TCP', () => {
          serve(service, c, 9);
          assert.equal(rig.ask('a', 'tcp', service, PORT), 'failed ConnectionRefusedError');
        });

        test('datagrams that are too long for the way in the other family: the pod hears of it', () => {
          const size = 1450 - (i ? 48 : 28);
          serve(service, c);
          const first = rig.ask('a', 'connected-udp', service, PORT, { size });
          assert.equal(first, i || !tunnel ? `${a} ${size} ${service}` : 'failed OSError');
        });

        test('the connection is marked, so that the short way leaves it alone', () => {
          serve(service, c);
          rig.ask('a', 'tcp', service, PORT);
          const flags = [...rig.nodes[0]!.maps.conntrack.entries()].filter(([key, entry]) => entry.service === ID && key.kind === 0).map(([, entry]) => entry.flags & ConntrackFlag.OtherFamily);
          assert.deepEqual(flags, [ConntrackFlag.OtherFamily]);
        });
      });
    });
  });
}
