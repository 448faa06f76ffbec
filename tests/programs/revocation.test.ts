/** What happens to a connection that is there when policies change. */
import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import { ConntrackFlag, EndpointFlag } from '../../src/datapath/generated/enums.ts';
import { Datapath, families, id, identity, mac, rule, set } from './harness.ts';
import { buildIp as quote, macBytes } from './packet.ts';

const datapath = new Datapath();
after(() => datapath.close());
beforeEach(() => datapath.reset());

const flags = (): number => [...datapath.maps.conntrack.entries()].map(([, entry]) => entry.flags)[0] ?? 0;
const keep = (number: number) => datapath.verdict({ set: number, verdict: 2, rule: rule.deny, match: 0, keepEstablished: true });

for (const family of families) {
  describe(`policy changes under a connection (${family.name})`, () => {
    const hello = { sourceMac: mac.a, destinationMac: mac.host, source: family.a, destination: family.b, protocol: 'tcp', sourcePort: 40000, destinationPort: 80, flags: 'S' } as const;
    const answer = { ...hello, sourceMac: mac.b, source: family.b, destination: family.a, sourcePort: 80, destinationPort: 40000, flags: 'SA' } as const;
    const more = { ...hello, flags: 'A' } as const;
    const moreBack = { ...answer, flags: 'A' } as const;
    const open = () => {
      datapath.send('from_pod', hello);
      datapath.send('from_pod', answer);
    };

    test('packets forward are judged again, answers are not', () => {
      open();
      datapath.denyAll(set.bIngress);
      assert.equal(datapath.send('from_pod', more).action, 'redirect', 'no commit yet');
      datapath.commit();
      assert.equal(datapath.send('from_pod', moreBack).action, 'redirect', 'an answer asks nobody');
      const outcome = datapath.send('from_pod', more);
      assert.equal(outcome.reason, 'POLICY_DENIED');
      assert.deepEqual(outcome.drops.map(drop => [drop.rule, drop.direction, drop.ctState, drop.verdict]), [[rule.deny, 1, 1, 2]]);
    });

    test('answers do not bring a revoked connection back; they are dropped with the rule that revoked it', () => {
      open();
      datapath.denyAll(set.bIngress);
      datapath.commit();
      datapath.send('from_pod', more);
      for (const packet of [moreBack, { ...moreBack, flags: 'FA' }, moreBack] as const) {
        const back = datapath.send('from_pod', packet);
        assert.equal(back.reason, 'POLICY_DENIED');
        assert.deepEqual(back.drops.map(drop => [drop.rule, drop.direction, drop.ctState, drop.sourceIdentity]), [[rule.deny, 1, 2, identity.b]]);
      }
      assert.equal(datapath.send('from_pod', more).reason, 'POLICY_DENIED', 'and forward it stays dead without another commit');
    });

    test('revoked at egress: the answer bears the egress rule', () => {
      open();
      datapath.denyAll(set.aEgress);
      datapath.commit();
      datapath.send('from_pod', more);
      assert.deepEqual(datapath.send('from_pod', moreBack).drops.map(drop => [drop.rule, drop.direction]), [[rule.deny, 2]]);
    });

    test('what a revoked connection still sends keeps its entry, or an answer would open it from the other end', () => {
      open();
      datapath.send('from_pod', more);
      datapath.denyAll(set.bIngress);
      datapath.commit();
      datapath.send('from_pod', more);
      for (const [key, entry] of [...datapath.maps.conntrack.entries()]) datapath.maps.conntrack.update(key, { ...entry, expiresNs: process.hrtime.bigint() + 1_000_000_000n });
      datapath.send('from_pod', moreBack);
      const [left] = [...datapath.maps.conntrack.entries()].map(([, entry]) => Number(entry.expiresNs - process.hrtime.bigint()) / 1e9);
      assert.ok(left! > 7000, `${left} s left`);
    });

    test('allowed again, its next packet forward revives it in both directions, without a new verdict', () => {
      open();
      datapath.denyAll(set.bIngress);
      datapath.commit();
      datapath.send('from_pod', more);
      datapath.allowAll(set.bIngress);
      datapath.commit();
      assert.equal(datapath.send('from_pod', moreBack).reason, 'POLICY_DENIED');
      const outcome = datapath.send('from_pod', more);
      assert.equal(outcome.action, 'redirect');
      assert.equal(outcome.flows.length, 0);
      assert.equal(datapath.send('from_pod', moreBack).action, 'redirect');
    });

    test('a revoked connection that is opened again is a new one', () => {
      open();
      datapath.denyAll(set.bIngress);
      datapath.commit();
      datapath.send('from_pod', more);
      assert.equal(datapath.send('from_pod', hello).reason, 'POLICY_DENIED');
      assert.equal(datapath.send('from_pod', moreBack).reason, 'POLICY_DENIED');
      datapath.allowAll(set.bIngress);
      assert.equal(datapath.send('from_pod', hello).flows.length, 2);
      assert.equal(datapath.send('from_pod', answer).action, 'redirect');
    });

    test('masqueraded connections die in both directions, too; errors about them with them', () => {
      const out = { ...hello, destination: family.world } as const;
      const sent = datapath.send('from_pod', out);
      const back = { ...answer, source: family.world, destination: family.node, destinationPort: sent.packet.sourcePort!, sourceMac: mac.host } as const;
      assert.equal(datapath.send('from_network', back).action, 'redirect');
      datapath.denyAll(set.aEgress);
      datapath.commit();
      datapath.send('from_pod', { ...out, flags: 'A' });
      assert.deepEqual(datapath.send('from_network', { ...back, flags: 'A' }).drops.map(drop => [drop.reasonOrPoint, drop.rule]), [[133, rule.deny]]);
      const error = { sourceMac: mac.host, source: family.world, destination: family.node, protocol: 'icmp', icmp: { type: family.unreachable, code: 1, body: quote({ ...out, source: family.node, sourcePort: sent.packet.sourcePort! }) } } as const;
      assert.equal(datapath.send('from_network', error).reason, 'POLICY_DENIED');
      datapath.allowAll(set.aEgress);
      datapath.commit();
      assert.equal(datapath.send('from_pod', { ...out, flags: 'A' }).action, 'redirect');
      assert.equal(datapath.send('from_network', error).action, 'redirect');
    });

    test('a row that redirects to a proxy revokes too', () => {
      open();
      datapath.verdict({ set: set.bIngress, verdict: 3, rule: 9, match: 4 });
      datapath.commit();
      assert.equal(datapath.send('from_pod', more).reason, 'PROXY_NOT_SUPPORTED');
      assert.equal(datapath.send('from_pod', moreBack).reason, 'POLICY_DENIED');
    });

    test('a set that is not ready drops, and revokes nothing', () => {
      open();
      datapath.maps.policyVerdicts.delete({ prefixBits: 64, set: set.bIngress, class: 0, protocol: 0, port: 0 });
      datapath.commit();
      assert.equal(datapath.send('from_pod', more).reason, 'POLICY_NOT_READY');
      assert.equal(datapath.send('from_pod', moreBack).action, 'redirect');
    });

    test('a denial that keeps what was established: the old connection goes on, a new one is denied', () => {
      open();
      keep(set.bIngress);
      datapath.commit();
      assert.equal(datapath.send('from_pod', more).action, 'redirect');
      assert.equal(flags() & ConntrackFlag.Kept, ConntrackFlag.Kept);
      assert.equal(datapath.send('from_pod', moreBack).action, 'redirect');
      assert.equal(datapath.send('from_pod', { ...hello, sourcePort: 40001 }).reason, 'POLICY_DENIED');
      assert.equal(datapath.send('from_pod', hello).reason, 'POLICY_DENIED', 'also under the same ports');
      assert.equal(datapath.send('from_pod', more).action, 'redirect');
    });

    test('a kept connection ends when a later change denies it outright, and does not return by keeping', () => {
      open();
      keep(set.bIngress);
      datapath.commit();
      datapath.send('from_pod', more);
      datapath.denyAll(set.bIngress);
      datapath.commit();
      assert.equal(datapath.send('from_pod', more).reason, 'POLICY_DENIED');
      keep(set.bIngress);
      datapath.commit();
      assert.equal(datapath.send('from_pod', more).reason, 'POLICY_DENIED');
    });

    test('nothing is kept for somebody else: another identity at the same address is denied', () => {
      open();
      keep(set.bIngress);
      datapath.endpoint(family.a, { identity: 4711 });
      datapath.commit();
      assert.equal(datapath.send('from_pod', more).reason, 'POLICY_DENIED');
    });

    test('keeping at one end does not help against a denial at the other', () => {
      open();
      keep(set.aEgress);
      datapath.denyAll(set.bIngress);
      datapath.commit();
      assert.equal(datapath.send('from_pod', more).reason, 'POLICY_DENIED');
    });

    test('datagrams are kept and revoked like streams', () => {
      const datagram = { ...hello, protocol: 'udp' } as const, back = { ...answer, protocol: 'udp' } as const;
      datapath.send('from_pod', datagram);
      keep(set.bIngress);
      datapath.commit();
      assert.equal(datapath.send('from_pod', datagram).action, 'redirect');
      datapath.denyAll(set.bIngress);
      datapath.commit();
      assert.equal(datapath.send('from_pod', datagram).reason, 'POLICY_DENIED');
      assert.equal(datapath.send('from_pod', back).reason, 'POLICY_DENIED');
    });

    test('an audit row passes, is told as AUDIT with its rule, and marks the connection until it is allowed', () => {
      datapath.verdict({ set: set.bIngress, verdict: 4, rule: 33, match: 1 });
      const outcome = datapath.send('from_pod', hello);
      assert.equal(outcome.action, 'redirect');
      assert.deepEqual(outcome.flows.map(flow => [flow.direction, flow.verdict, flow.flags & 8, flow.rule, flow.match]), [[2, 1, 0, rule.allow, 4], [1, 4, 8, 33, 1]]);
      assert.equal(flags() & ConntrackFlag.Audited, ConntrackFlag.Audited);
      datapath.allowAll(set.bIngress);
      datapath.commit();
      datapath.send('from_pod', more);
      assert.equal(flags() & ConntrackFlag.Audited, 0);
    });

    test('audit of an endpoint lets an established connection go on, marked', () => {
      open();
      datapath.denyAll(set.bIngress);
      datapath.endpoint(family.b, { id: id.b, identity: identity.b, mac: macBytes(mac.b), hostMac: macBytes(mac.hostB), egressSet: set.bEgress, ingressSet: set.bIngress, flags: EndpointFlag.Ready | EndpointFlag.Audit });
      datapath.commit();
      assert.equal(datapath.send('from_pod', more).action, 'redirect');
      assert.equal(flags() & ConntrackFlag.Audited, ConntrackFlag.Audited);
    });
  });
}
