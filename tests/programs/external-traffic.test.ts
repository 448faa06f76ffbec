/** Clients outside and services, with real sockets on both sides, through the tunnel and without one. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ServiceFlag } from '../../src/datapath/generated/enums.ts';
import { addService, balancer, LB_PORT, NODE_PORT } from './external.ts';
import { families } from './harness.ts';
import { addressesOf, BACKEND_PORT, client, pods, Rig, world } from './rig.ts';


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
      const serve = (backends: readonly (string | { addr: string; port: number })[], flags: number = ServiceFlag.Routable): void => {
        for (const n of [1, 2] as const) {
          const { maps } = rig.nodes[n - 1]!;
          addService({ maps }, { addr: node(n), port: NODE_PORT, id: 100 + i, flags, backends });
          addService({ maps }, { addr: balancer(family), port: LB_PORT, id: 200 + i, flags, backends });
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

      for (const kind of ['tcp', 'udp'] as const) {
        test(`${kind} ${family.name}: DSR keeps the client's address, whoever serves; clients inside are served as well`, () => {
          for (const [addr, port] of [[node(1), NODE_PORT], [balancer(family), LB_PORT]] as const) {
            for (const backend of [a, c, { addr: node(2), port: BACKEND_PORT }]) {
              serve([backend], ServiceFlag.Routable | ServiceFlag.Dsr);
              assert.equal(rig.ask('client', kind, addr, port), `${outside} 10 ${addr}`);
              assert.equal(rig.ask('u', kind, addr, port), `${world[i]} 10 ${addr}`);
            }
            serve([c], ServiceFlag.Routable | ServiceFlag.Dsr);
            for (const from of ['n2', 'c']) assert.match(rig.ask(from, kind, node(1), NODE_PORT), new RegExp(` 10 ${node(1)}$`));
          }
        });
      }

      test(`${family.name}: DSR with a megabyte, with datagrams in fragments, and with a port that refuses`, () => {
        serve([c], ServiceFlag.Routable | ServiceFlag.Dsr);
        assert.equal(rig.ask('client', 'tcp', node(1), NODE_PORT, { size: 1 << 20 }).split(' ')[0], outside);
        rig.ask('client', 'udp', node(1), NODE_PORT, { size: 4000 });
        assert.equal(rig.ask('client', 'udp', node(1), NODE_PORT, { size: 4000 }), `${outside} 4000 ${node(1)}`, 'after having heard how long a fragment may be');
        serve([{ addr: c, port: 9 }], ServiceFlag.Routable | ServiceFlag.Dsr);
        for (const kind of ['tcp', 'connected-udp'] as const) assert.equal(rig.ask('client', kind, node(1), NODE_PORT), 'failed ConnectionRefusedError');
      });

      const forget = (): void => {
        for (const where of ['client', 'c', 'a']) for (const version of ['-4', '-6']) rig.inside(where, `ip ${version} route flush cache`);
      };

      for (const [mode, flags] of [['SNAT', ServiceFlag.Routable], ['DSR', ServiceFlag.Routable | ServiceFlag.Dsr]] as const) {
        test(`${family.name}: who sends datagrams that are too long for the way between the nodes hears of it (${mode})`, () => {
          serve([c], flags);
          forget();
          const size = 1500 - (i ? 48 : 28);
          const fits = !tunnel && mode === 'SNAT';
          assert.equal(rig.ask('client', 'udp', node(1), NODE_PORT, { size }).startsWith('failed'), !fits);
          assert.equal(rig.ask('client', 'udp', node(1), NODE_PORT, { size }), `${mode === 'DSR' ? outside : middle} ${size} ${node(1)}`);
        });
        test(`${family.name}: a narrow way to the client, MTU 1300: its router's report reaches the backend (${mode})`, () => {
          const route = i ? `ip -6 route replace ${outside}/128 dev outside` : `ip route replace ${outside}/32 dev outside`;
          rig.inside('u', `${route} mtu lock 1300`);
          for (const backend of [a, c]) {
            serve([backend], flags);
            forget();
            assert.equal(rig.ask('client', 'fetch', node(1), NODE_PORT, { size: 300_000 }), `got 300000 ${node(1)}`);
          }
          rig.inside('u', route.replace('replace', 'del'));
        });
      }

      test(`${family.name}: backends of the other family hear the node in theirs, with a megabyte each way`, () => {
        const [hereOther, elsewhereOther] = [pods[0]!, pods[2]!].map(pod => addressesOf(pod)[1 - i]!) as [string, string];
        const router = i ? '10.244.1.1' : 'fd00:10:244:1::1', nodeOther = i ? '172.30.0.11' : 'fdc1::11';
        for (const [backend, seen] of [[hereOther, router], [elsewhereOther, tunnel ? router : nodeOther]] as const) {
          serve([backend], ServiceFlag.Routable | ServiceFlag.Nat46x64);
          for (const kind of ['tcp', 'udp'] as const) assert.equal(rig.ask('client', kind, node(1), NODE_PORT), `${seen} 10 ${node(1)}`);
          assert.equal(rig.ask('client', 'tcp', node(1), NODE_PORT, { size: 1 << 20 }).split(' ')[0], seen);
          assert.equal(rig.ask('client', 'fetch', node(1), NODE_PORT, { size: 1 << 20 }), `got ${1 << 20} ${node(1)}`);
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
