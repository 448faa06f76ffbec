/** What shadow policies would have said, who a destination is for egress policy, and what rules are credited with. */
import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import { ruleStats } from '../../src/agent/kernel-reports.ts';
import { EventFlag, IpcacheFlag } from '../../src/datapath/generated/enums.ts';
import { Datapath, families, id, identity, mac, rule, set } from './harness.ts';
import { buildFrame } from './packet.ts';

const datapath = new Datapath();
after(() => datapath.close());
beforeEach(() => datapath.reset());

const shadowRule = 91;

for (const family of families) {
  const hello = { sourceMac: mac.a, destinationMac: mac.host, source: family.a, destination: family.b, protocol: 'tcp', sourcePort: 40000, destinationPort: 80, flags: 'S' } as const;
  const answer = { ...hello, sourceMac: mac.b, source: family.b, destination: family.a, sourcePort: 80, destinationPort: 40000, flags: 'SA' } as const;
  const more = { ...hello, flags: 'A' } as const;

  describe(`shadow (${family.name})`, () => {
    test('a shadow denial of what is allowed: the packet passes, the difference is told and counted', () => {
      datapath.verdict({ set: set.bIngress, verdict: 1, rule: rule.allow, match: 4, shadowVerdict: 2, shadowRule });
      const outcome = datapath.send('from_pod', hello);
      assert.equal(outcome.action, 'redirect');
      assert.deepEqual(outcome.flows.map(flow => [flow.direction, flow.verdict, flow.rule, flow.flags & EventFlag.Shadow]), [
        [2, 1, rule.allow, 0], [1, 2, shadowRule, EventFlag.Shadow], [1, 1, rule.allow, 0],
      ]);
      assert.equal(outcome.drops.length, 0);
      assert.deepEqual(datapath.shadows(), [{
        key: { rule: shadowRule, endpoint: id.b, identity: identity.a, port: 80, protocol: 6, direction: 1, verdict: 2 }, packets: 1n, connections: 1n,
      }]);
    });

    test('a shadow allowance of what is denied: the packet is dropped, the difference is told and counted', () => {
      datapath.verdict({ set: set.aEgress, verdict: 2, rule: rule.deny, match: 0, shadowVerdict: 1, shadowRule });
      const outcome = datapath.send('from_pod', hello);
      assert.equal(outcome.reason, 'POLICY_DENIED');
      assert.deepEqual(outcome.drops.map(drop => [drop.rule, drop.verdict, drop.flags & EventFlag.Shadow]), [[rule.deny, 2, 0]]);
      assert.deepEqual(outcome.flows.map(flow => [flow.direction, flow.verdict, flow.rule, flow.flags & EventFlag.Shadow]), [[2, 1, shadowRule, EventFlag.Shadow], [2, 2, rule.deny, 0]]);
      assert.deepEqual(datapath.shadows().map(({ key }) => [key.endpoint, key.identity, key.direction, key.verdict]), [[id.a, identity.b, 2, 1]]);
      datapath.send('from_pod', hello);
      assert.deepEqual(datapath.shadows().map(row => [row.packets, row.connections]), [[2n, 2n]]);
    });

    test('an audit row with a shadow: AUDIT is not told of the shadow event', () => {
      datapath.verdict({ set: set.bIngress, verdict: 4, rule: 33, match: 1, shadowVerdict: 2, shadowRule });
      const told = datapath.send('from_pod', hello).flows.filter(flow => flow.direction === 1);
      assert.deepEqual(told.map(flow => [flow.verdict, flow.flags & (EventFlag.Audit | EventFlag.Shadow)]), [[2, EventFlag.Shadow], [4, EventFlag.Audit]]);
    });

    test('rows without a difference tell and count nothing', () => {
      datapath.send('from_pod', hello);
      assert.equal(datapath.shadows().length, 0);
    });

    test('established connections are asked when a shadow policy comes, told once, and told again after it was gone', () => {
      datapath.send('from_pod', hello);
      datapath.send('from_pod', answer);
      const shadow = () => datapath.verdict({ set: set.bIngress, verdict: 1, rule: rule.allow, match: 4, shadowVerdict: 2, shadowRule });
      const told = () => {
        datapath.commit();
        return datapath.send('from_pod', more).flows.map(flow => [flow.rule, flow.ctState]);
      };
      shadow();
      assert.deepEqual(told(), [[shadowRule, 1]]);
      assert.deepEqual(told(), []);
      datapath.allowAll(set.bIngress);
      assert.deepEqual(told(), []);
      shadow();
      assert.deepEqual(told(), [[shadowRule, 1]]);
      assert.equal(datapath.send('from_pod', { ...answer, flags: 'A' }).flows.length, 0, 'answers are not asked');
    });
  });

  describe(`policy identity (${family.name})`, () => {
    const refined = 16_777_999;
    const refuse = (identityRefused: number) => {
      datapath.maps.policyClasses.update({ set: set.aEgress, identity: identityRefused }, { class: 5 });
      datapath.verdict({ set: set.aEgress, class: 5, verdict: 2, rule: rule.deny, match: 1 });
    };

    test('egress asks for the policy identity of a pod here; events, conntrack and ingress keep the real one', () => {
      datapath.endpoint(family.b, { id: id.b, identity: identity.b, policyIdentity: refined, egressSet: set.bEgress, ingressSet: set.bIngress });
      assert.deepEqual(datapath.send('from_pod', hello).flows.map(flow => flow.destinationIdentity), [identity.b, identity.b]);
      assert.deepEqual([...datapath.maps.conntrack.entries()].map(([, entry]) => entry.destinationIdentity), [identity.b]);
      refuse(identity.b);
      assert.equal(datapath.send('from_pod', { ...hello, sourcePort: 2 }).action, 'redirect', 'the real identity is not asked for');
      refuse(refined);
      assert.deepEqual(datapath.send('from_pod', { ...hello, sourcePort: 3 }).drops.map(drop => [drop.rule, drop.destinationIdentity]), [[rule.deny, identity.b]]);
      datapath.commit();
      assert.equal(datapath.send('from_pod', more).reason, 'POLICY_DENY', 'judged again, too');
    });

    test('and of a pod elsewhere', () => {
      const far = { ...hello, destination: family.remote } as const;
      datapath.address(family.remote, { identity: identity.remote, policyIdentity: refined, flags: IpcacheFlag.Cluster });
      refuse(identity.remote);
      assert.equal(datapath.send('from_pod', far).action, 'redirect');
      refuse(refined);
      assert.deepEqual(datapath.send('from_pod', { ...far, sourcePort: 2 }).drops.map(drop => drop.destinationIdentity), [identity.remote]);
    });

    test('ingress sees the sender\'s real identity', () => {
      datapath.endpoint(family.a, { policyIdentity: refined });
      datapath.maps.policyClasses.update({ set: set.bIngress, identity: refined }, { class: 5 });
      datapath.verdict({ set: set.bIngress, class: 5, verdict: 2, rule: rule.deny, match: 1 });
      assert.equal(datapath.send('from_pod', hello).action, 'redirect');
    });
  });

  describe(`what rules are credited with (${family.name})`, () => {
    const ingress = 81, egress = 82;
    const length = BigInt(buildFrame(hello).length);
    beforeEach(() => {
      datapath.verdict({ set: set.aEgress, verdict: 1, rule: egress, match: 4 });
      datapath.verdict({ set: set.bIngress, verdict: 1, rule: ingress, match: 4 });
    });
    const uncredited = (): number[] => [...datapath.maps.conntrack.entries()].map(([, entry]) => Number(entry.forwardPackets + entry.replyPackets) - entry.creditedPackets);

    test('both rules of a connection get its packets of both directions, and one connection', () => {
      datapath.send('from_pod', hello);
      datapath.send('from_pod', answer);
      for (const number of [ingress, egress]) assert.deepEqual(datapath.ruleStat(number), [2n, 2n * length, 1n]);
    });

    test('credits come when packets have doubled; the rest stands in the entry', () => {
      datapath.send('from_pod', hello);
      for (let i = 0; i < 6; i++) datapath.send('from_pod', more);
      assert.equal(datapath.ruleStat(ingress)[0] + BigInt(uncredited()[0]!), 7n);
      assert.deepEqual([datapath.ruleStat(ingress)[0], uncredited()], [4n, [3]]);
    });

    test('the agent tells all of a living connection', async () => {
      datapath.send('from_pod', hello);
      for (let i = 0; i < 6; i++) datapath.send('from_pod', more);
      datapath.send('from_pod', answer);
      const rows = await ruleStats({ maps: datapath.maps, rule: () => undefined, labels: () => undefined, endpointName: () => undefined });
      assert.deepEqual(rows.map(row => [row.rule, row.packets, row.bytes, row.connections]).sort(), [[ingress, 8, 8 * Number(length), 1], [egress, 8, 8 * Number(length), 1]]);
    });

    test('never more than 1023 packets stand open', () => {
      const knock = { ...hello, source: family.world } as const;
      datapath.send('to_pod', knock);
      datapath.nanoseconds('to_pod', buildFrame({ ...knock, flags: 'A' }), 5000);
      const [open] = uncredited();
      assert.ok(open! < 1024, `${open} open`);
      assert.equal(datapath.ruleStat(ingress)[0] + BigInt(open!), 5001n);
    });

    test('at the end everything is credited, and a connection that takes the place of a dead one leaves nothing behind', () => {
      datapath.send('from_pod', hello);
      for (let i = 0; i < 5; i++) datapath.send('from_pod', more);
      datapath.send('from_pod', { ...answer, flags: 'RA' });
      assert.deepEqual(uncredited(), [0]);
      assert.equal(datapath.ruleStat(ingress)[0], 7n);
      datapath.reset();
      datapath.verdict({ set: set.bIngress, verdict: 1, rule: ingress, match: 4 });
      datapath.send('from_pod', hello);
      for (let i = 0; i < 6; i++) datapath.send('from_pod', more);
      for (const [key, entry] of [...datapath.maps.conntrack.entries()]) datapath.maps.conntrack.update(key, { ...entry, expiresNs: 1n });
      datapath.send('from_pod', hello);
      assert.deepEqual([datapath.ruleStat(ingress)[0], datapath.ruleStat(ingress)[2], uncredited()], [8n, 2n, [0]]);
    });

    test('a change passes a connection on: the old rule keeps what was its own', () => {
      datapath.send('from_pod', hello);
      for (let i = 0; i < 6; i++) datapath.send('from_pod', more);
      datapath.verdict({ set: set.bIngress, verdict: 1, rule: 83, match: 4 });
      datapath.commit();
      datapath.send('from_pod', more);
      assert.deepEqual([datapath.ruleStat(ingress)[0], datapath.ruleStat(ingress)[2]], [7n, 1n]);
      assert.deepEqual([datapath.ruleStat(83)[0] + BigInt(uncredited()[0]!), datapath.ruleStat(83)[2]], [1n, 1n]);
    });

    test('a denial counts each packet, also the answers of what it has revoked', () => {
      datapath.send('from_pod', hello);
      datapath.denyAll(set.bIngress);
      datapath.commit();
      datapath.send('from_pod', more);
      datapath.send('from_pod', answer);
      assert.deepEqual(datapath.ruleStat(rule.deny), [2n, 2n * length, 0n]);
      datapath.send('from_pod', { ...hello, sourcePort: 9 });
      assert.deepEqual(datapath.ruleStat(rule.deny), [3n, 3n * length, 1n]);
    });
  });
}
