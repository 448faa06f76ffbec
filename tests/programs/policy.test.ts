import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { EndpointFlag } from '../../src/datapath/generated/enums.ts';
import { Datapath, families, id, identity, isSince, mac, nowS, rule, set } from './harness.ts';
import { buildIp as quote } from './packet.ts';
import type { FrameSpec } from './packet.ts';

const datapath = new Datapath();
after(() => datapath.close());
beforeEach(() => datapath.reset());

for (const family of families) {
  describe(`policy (${family.name})`, () => {
    const hello = { sourceMac: mac.a, destinationMac: mac.host, source: family.a, destination: family.b, protocol: 'tcp', sourcePort: 40000, destinationPort: 80, flags: 'S' } as const;
    const answer = { ...hello, sourceMac: mac.b, source: family.b, destination: family.a, sourcePort: 80, destinationPort: 40000, flags: 'SA' } as const;

    test('a new connection is told once at each end, with its rules', () => {
      const told = datapath.send('from_pod', hello).flows;
      assert.deepEqual(told.map(flow => [flow.type, flow.direction, flow.rule, flow.verdict, flow.match, flow.ctState]), [[5, 2, rule.allow, 1, 4, 0], [5, 1, rule.allow, 1, 4, 0]]);
      assert.deepEqual(told.map(flow => [flow.sourceIdentity, flow.destinationIdentity, flow.sourceEndpoint, flow.destinationEndpoint, flow.sourcePort, flow.destinationPort]), Array(2).fill([identity.a, identity.b, id.a, id.b, 40000, 80]));
      assert.equal(datapath.send('from_pod', hello).flows.length, 0);
    });

    test('denied on the way out', () => {
      datapath.denyAll(set.aEgress);
      const outcome = datapath.send('from_pod', hello);
      assert.equal(outcome.reason, 'POLICY_DENIED');
      assert.deepEqual(outcome.drops.map(drop => [drop.type, drop.reasonOrPoint, drop.direction, drop.rule]), [[1, 133, 2, rule.deny]]);
    });

    test('denied on the way in: the way out is told as allowed, the way in as denied, and the drop has all that the denial has', () => {
      datapath.denyAll(set.bIngress);
      const outcome = datapath.send('from_pod', hello);
      assert.equal(outcome.reason, 'POLICY_DENIED');
      assert.deepEqual(outcome.flows.map(flow => [flow.direction, flow.verdict, flow.rule]), [[2, 1, rule.allow], [1, 2, rule.deny]]);
      assert.deepEqual(outcome.drops.map(drop => [drop.direction, drop.verdict, drop.rule, drop.destinationEndpoint, drop.sourceIdentity, drop.destinationIdentity]), [[1, 2, rule.deny, id.b, identity.a, identity.b]]);
      assert.equal(outcome.traces.length, 0);
    });

    test('a set without rows is not ready, and so is set 0', () => {
      datapath.maps.policyVerdicts.delete({ prefixBits: 64, set: set.bIngress, class: 0, protocol: 0, port: 0 });
      assert.equal(datapath.send('from_pod', hello).reason, 'POLICY_NOT_READY');
      datapath.endpoint(family.a, { egressSet: 0 });
      assert.equal(datapath.send('from_pod', { ...hello, sourcePort: 40001 }).reason, 'POLICY_NOT_READY');
    });

    test('identity → class, then protocol and port, the longest row wins', () => {
      datapath.denyAll(set.bIngress);
      datapath.maps.policyClasses.update({ set: set.bIngress, identity: identity.a }, { class: 5 });
      assert.equal(datapath.send('from_pod', hello).reason, 'POLICY_NOT_READY', 'class 5 has no rows yet');
      datapath.verdict({ set: set.bIngress, class: 5, verdict: 2, rule: 1, match: 1 });
      datapath.verdict({ set: set.bIngress, class: 5, protocol: 6, port: 64, portBits: 10, verdict: 1, rule: 2, match: 2 });
      const outcome = datapath.send('from_pod', hello);
      assert.equal(outcome.action, 'redirect');
      assert.equal(outcome.flows[1]!.rule, 2);
      assert.equal(datapath.send('from_pod', { ...hello, destinationPort: 128 }).drops[0]!.rule, 1);
      assert.equal(datapath.send('from_pod', { ...hello, protocol: 'udp' }).drops[0]!.rule, 1);
    });

    test('the port of ICMP is its type', () => {
      datapath.denyAll(set.bIngress);
      datapath.verdict({ set: set.bIngress, protocol: family.name === 'IPv4' ? 1 : 58, port: family.echo, verdict: 1, rule: 3, match: 6 });
      const ping = { ...hello, protocol: 'icmp', icmp: { type: family.echo, id: 9 } } as const;
      assert.equal(datapath.send('from_pod', ping).flows[1]!.rule, 3);
      assert.equal(datapath.send('from_pod', { ...ping, icmp: { type: family.echoReply, id: 10 } }).reason, 'POLICY_DENIED');
    });

    test('a layer 7 redirect fails closed', () => {
      datapath.verdict({ set: set.bIngress, verdict: 3, rule: 4, match: 4 });
      assert.equal(datapath.send('from_pod', hello).reason, 'PROXY_NOT_SUPPORTED');
    });

    test('every verdict is counted for its rule', () => {
      datapath.denyAll(set.bIngress);
      const count = (): bigint => (datapath.maps.ruleStats.lookupPerCpu(rule.deny) ?? []).reduce((n, row) => n + row.packets, 0n);
      const start = count();
      datapath.send('from_pod', hello);
      datapath.send('from_pod', hello);
      assert.equal(count() - start, 2n);
    });

    test('an endpoint in audit reports and lets pass', () => {
      datapath.denyAll(set.bIngress);
      datapath.endpoint(family.b, { id: id.b, identity: identity.b, egressSet: set.bEgress, ingressSet: set.bIngress, flags: EndpointFlag.Ready | EndpointFlag.Audit });
      const outcome = datapath.send('from_pod', hello);
      assert.equal(outcome.action, 'redirect');
      assert.deepEqual(outcome.flows.map(flow => [flow.direction, flow.verdict, flow.flags & 8, flow.rule]), [[2, 1, 0, rule.allow], [1, 4, 8, rule.deny]]);
    });

    test('answers pass without policy', () => {
      datapath.denyAll(set.bEgress);
      datapath.denyAll(set.aIngress);
      datapath.send('from_pod', hello);
      const outcome = datapath.send('from_pod', answer);
      assert.equal(outcome.action, 'redirect');
      assert.equal(outcome.flows.length, 0);
      assert.equal(datapath.send('from_pod', { ...answer, sourcePort: 81 }).reason, 'POLICY_DENIED');
    });

    test('an address that changes hands inherits no connection', () => {
      datapath.send('from_pod', hello);
      datapath.endpoint(family.b, { id: 999, identity: 7777, mac: new Uint8Array([2, 0, 0, 0, 0, 0xb]), egressSet: set.bEgress, ingressSet: set.bIngress });
      datapath.denyAll(set.bEgress);
      assert.equal(datapath.send('from_pod', answer).reason, 'POLICY_DENIED');
      const told = datapath.send('from_pod', { ...hello, flags: 'A' }).flows;
      assert.deepEqual(told.map(flow => flow.destinationIdentity), [7777, 7777]);
    });

    test('a SYN after the end opens a new connection', () => {
      datapath.send('from_pod', hello);
      datapath.send('from_pod', { ...answer, flags: 'RA' });
      assert.equal(datapath.send('from_pod', { ...hello, flags: 'A' }).flows.length, 0);
      assert.equal(datapath.send('from_pod', hello).flows.length, 2);
    });

    test('an entry past its time is no entry', () => {
      datapath.send('from_pod', hello);
      for (const [key, entry] of [...datapath.maps.conntrack.entries()]) datapath.maps.conntrack.update(key, { ...entry, expiresNs: 1n });
      assert.equal(datapath.send('from_pod', hello).flows.length, 2);
    });

    test('lifetimes: SYN 60 s, established 8000 s, closing 10 s, datagrams 60 s', () => {
      /** From a packet that was sent since the second `began`. */
      const livesFor = (seconds: number, began: number): void => {
        const expiries = [...datapath.maps.conntrack.entries()].map(([, entry]) => Number(entry.expiresNs / 1_000_000_000n));
        assert.equal(expiries.length, 1);
        assert.ok(isSince(began, expiries[0]! - seconds), `${seconds} s, and until ${expiries[0]} of ${nowS()}`);
      };
      const send = (packet: FrameSpec): number => {
        const began = nowS();
        datapath.send('from_pod', packet);
        return began;
      };
      livesFor(60, send(hello));
      send(answer);
      livesFor(8000, send({ ...hello, flags: 'A' }));
      livesFor(8000, send({ ...hello, flags: 'FA' }));
      livesFor(10, send({ ...answer, flags: 'FA' }));
      datapath.reset();
      livesFor(60, send({ ...hello, protocol: 'udp' }));
    });

    test('an ICMP error about a known connection passes; about an unknown one it is judged', () => {
      datapath.send('from_pod', { ...hello, protocol: 'udp' });
      datapath.denyAll(set.bEgress);
      const error = (quotedPort: number) => ({ ...answer, protocol: 'icmp', icmp: { type: family.unreachable, code: 3, body: quote({ ...hello, protocol: 'udp', sourcePort: quotedPort }) } } as const);
      const outcome = datapath.send('from_pod', error(40000));
      assert.equal(outcome.action, 'redirect');
      assert.equal(outcome.packet.checksumsGood, true);
      assert.equal(datapath.send('from_pod', error(40001)).reason, 'POLICY_DENIED');
      assert.equal(datapath.maps.conntrack.count(), 1);
    });

    test('the node reaches its pods, and their answers pass', () => {
      datapath.denyAll(set.bIngress);
      datapath.denyAll(set.bEgress);
      const probe = datapath.send('to_pod', { ...hello, source: family.router });
      assert.equal(probe.action, 'pass');
      assert.deepEqual(probe.flows.map(flow => [flow.direction, flow.sourceIdentity]), [[1, identity.host]]);
      assert.equal(datapath.send('from_pod', { ...answer, destination: family.router }).action, 'pass');
      assert.equal(datapath.send('to_pod', { ...hello, source: family.world }).reason, 'POLICY_DENIED');
      assert.equal(datapath.send('to_pod', { ...hello, source: family.a }).reason, 'INVALID_SOURCE_IP');
    });

    test('the bare network: the world is judged, pods of ours cannot come from there', () => {
      const knock = { ...hello, source: family.world };
      assert.equal(datapath.send('from_network', knock).action, 'redirect');
      datapath.denyAll(set.bIngress);
      assert.equal(datapath.send('from_network', { ...knock, sourcePort: 1 }).reason, 'POLICY_DENIED');
      assert.equal(datapath.send('from_network', hello).reason, 'INVALID_SOURCE_IP');
      assert.equal(datapath.send('from_network', { ...hello, source: family.node }).reason, 'INVALID_SOURCE_IP');
      assert.equal(datapath.send('from_network', { ...knock, destination: family.node, protocol: 'udp', destinationPort: 8472 }).action, 'pass');
      assert.equal(datapath.send('from_network', { ...knock, destination: family.stranger }).action, 'pass');
      assert.equal(datapath.send('from_network', { ...hello, source: family.nobody }).reason, 'UNKNOWN_CLUSTER_ADDRESS');
    });

    test('fragments follow the first one', () => {
      const datagram = { ...hello, protocol: 'udp', payload: new Uint8Array(64) } as const;
      const later = { ...datagram, fragment: { id: 77, offset: 40, more: false } };
      assert.equal(datapath.send('from_pod', later).reason, 'FRAGMENT_NOT_FOUND');
      assert.equal(datapath.send('from_pod', { ...datagram, fragment: { id: 77, offset: 0, more: true } }).action, 'redirect');
      assert.equal(datapath.send('from_pod', later).action, 'redirect');
    });
  });
}

describe('audit for all', () => {
  let audited: Datapath;
  before(() => { audited = new Datapath({ audit: 1 }); });
  after(() => audited.close());
  test('denials pass with verdict 4, an empty set still does not', () => {
    const [v4] = families;
    const hello = { sourceMac: mac.a, source: v4!.a, destination: v4!.b, protocol: 'udp', sourcePort: 1, destinationPort: 2 } as const;
    audited.denyAll(set.aEgress);
    assert.deepEqual(audited.send('from_pod', hello).flows.map(flow => flow.verdict), [4, 1]);
    audited.maps.policyVerdicts.delete({ prefixBits: 64, set: set.aEgress, class: 0, protocol: 0, port: 0 });
    assert.equal(audited.send('from_pod', { ...hello, sourcePort: 3 }).reason, 'POLICY_NOT_READY');
  });
});
