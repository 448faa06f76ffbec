/** Clients outside and services, with real sockets on both sides, through the tunnel and without one. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { addService, balancer, LB_PORT, NODE_PORT } from './external.ts';
import { families } from './harness.ts';
import { addressesOf, BACKEND_PORT, client, pods, Rig } from './rig.ts';


for (const tunnel of [true, false]) {
  describe(`clients outside, ${tunnel ? 'through the tunnel' : 'native routing'}`, () => {
    const rig = new Rig({ ns: `cpx${tunnel ? 't' : 'n'}${process.pid % 10000}`, tunnel });
    before(() => rig.start());
    after(() => rig[Symbol.dispose]());

    families.forEach((family, i) => {
      const [a, , c] = pods.map(pod => addressesOf(pod)[i]!) as [string, string, string];
      const node = (number: 1 | 2): string => (i ? `fdc1::1${number}` : `172.30.0.1${number}`);
      /** As whom node 1 speaks to a backend on node 2. */
      const middle = tunnel ? (i ? 'fd00:10:244:1::1' : '10.244.1.1') : node(1);
      const outside = client[i]!;

      /** The node port of every node, and the load balancer's address, all of one service. */
      const serve = (backends: readonly (string | { addr: string; port: number })[]): void => {
        for (const n of [1, 2] as const) {
          const { maps } = rig.nodes[n - 1]!;
          addService({ maps }, { addr: node(n), port: NODE_PORT, id: 100 + i, backends });
          addService({ maps }, { addr: balancer(family), port: LB_PORT, id: 200 + i, backends });
          for (const [key] of [...maps.conntrack.entries()]) maps.conntrack.delete(key);
        }
      };
      before(() => { rig.inside('u', `ip route add ${balancer(family)} via ${node(1)}`); });

      for (const kind of ['tcp', 'udp'] as const) {
        test(`${kind} ${family.name}: a backend on the node sees the client, one elsewhere the node; the client sees the service`, () => {
          for (const [addr, port] of [[node(1), NODE_PORT], [balancer(family), LB_PORT]] as const) {
            serve([a]);
            assert.equal(rig.ask('client', kind, addr, port), `${outside} 10 ${addr}`);
            serve([c]);
            assert.equal(rig.ask('client', kind, addr, port), `${middle} 10 ${addr}`);
          }
        });
        test(`${kind} ${family.name}: the node itself serves`, () => {
          serve([{ addr: node(1), port: BACKEND_PORT }]);
          assert.equal(rig.ask('client', kind, node(1), NODE_PORT), `${outside} 10 ${node(1)}`);
          assert.equal(rig.ask('client', kind, balancer(family), LB_PORT), `${outside} 10 ${balancer(family)}`);
          assert.match(rig.ask('client', kind, node(2), NODE_PORT), / 10 /, 'and through the other node');
        });
        test(`${kind} ${family.name}: from the underlay, from another node, and from pods on both nodes by the other node's address`, () => {
          for (const backend of [a, c]) {
            serve([backend]);
            for (const from of ['u', 'n2', 'c']) assert.match(rig.ask(from, kind, node(1), NODE_PORT), new RegExp(` 10 ${node(1)}$`), `${from} to ${backend}`);
            for (const from of ['n1', 'a', 'b']) assert.match(rig.ask(from, kind, node(2), NODE_PORT), new RegExp(` 10 ${node(2)}$`), `${from} to ${backend}`);
          }
        });
      }

      test(`${family.name}: a megabyte, and datagrams in fragments`, () => {
        for (const [backend, seen] of [[a, outside], [c, middle]] as const) {
          serve([backend]);
          assert.equal(rig.ask('client', 'tcp', node(1), NODE_PORT, { size: 1 << 20 }).split(' ')[0], seen);
          assert.equal(rig.ask('client', 'udp', node(1), NODE_PORT, { size: 4000 }), `${seen} 4000 ${node(1)}`);
        }
      });

      test(`${family.name}: a closed port of a backend refuses, wherever it is`, () => {
        for (const addr of [a, c]) {
          serve([{ addr, port: 9 }]);
          assert.equal(rig.ask('client', 'tcp', node(1), NODE_PORT), 'failed ConnectionRefusedError');
          assert.equal(rig.ask('client', 'connected-udp', node(1), NODE_PORT), 'failed ConnectionRefusedError', 'an ICMP error comes back');
        }
      });
    });
  });
}
