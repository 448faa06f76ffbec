/** Questions of pods against the programs: which pass, which are refused, and what the refusal looks like. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { namePattern, qualifyName } from '../../src/policy/fqdn.ts';
import { parseAddr } from '../../src/std/ip.ts';
import { address as addressRecord, answerTo, buildMessage, dnsType, payloadOf, readQuestion, wireName } from './dns-message.ts';
import { Datapath, type Family, families, hasObject, mac, set } from './harness.ts';
import { allowNames, anyClass, l7Number, loadAutomaton, nameRule, outcome, query, redirectDns, reply } from './names.ts';

const patterns = ['api.example.com', '*.example.org', '**.deep.example.net', 'db-*.svc_1.local', 'other.example.com'];
const allowed = patterns.filter(pattern => pattern !== 'other.example.com');

describe('questions', { skip: !hasObject() && 'make -C bpf first' }, () => {
  let datapath: Datapath;
  before(() => { datapath = new Datapath(); });
  after(() => datapath.close());

  const world = (): void => {
    datapath.reset();
    const automaton = loadAutomaton(datapath.maps, patterns);
    allowNames(datapath.maps, automaton, allowed);
    redirectDns(datapath);
  };
  const ask = (family: Family, name: string, o: Parameters<typeof buildMessage>[0] | object = {}, change = {}) => datapath.send('from_pod', query(family, buildMessage({ name, ...o }), change));

  for (const family of families) describe(family.name, () => {
    test('a name that a rule lets pass goes on, as it was', () => {
      world();
      for (const name of ['api.example.com', 'API.Example.COM.', 'x.example.org', 'a.b.c.deep.example.net', 'db-7.svc_1.local']) {
        const sent = buildMessage({ name });
        const went = datapath.send('from_pod', query(family, sent));
        assert.equal(outcome(went), 'redirect', name);
        assert.deepEqual(payloadOf(went.frame), sent);
        assert.deepEqual([went.packet.source, went.packet.destination, went.packet.checksumsGood], [family.a, family.b, true]);
        assert.deepEqual(went.names.map(told => [told.event.verdict, told.event.rule]), [[1, nameRule]]);
      }
    });

    test('another is refused in the name of whom it was asked of, each time, and the first connection is not the last word', () => {
      world();
      for (const [name, passes] of [['api.example.com', true], ['other.example.com', false], ['x.y.example.org', false], ['api.example.com.evil.net', false], ['api.example.com', true], ['', false]] as const) {
        const question = buildMessage({ name, id: 0xbeef, type: dnsType.aaaa, edns: 4096 });
        const went = datapath.send('from_pod', query(family, question));
        if (passes) {
          assert.deepEqual([outcome(went), went.packet.destination], ['redirect', family.b]);
          continue;
        }
        const { packet, frame } = went;
        assert.deepEqual([went.action, packet.source, packet.destination, packet.sourcePort, packet.destinationPort, packet.sourceMac, packet.destinationMac, packet.checksumsGood],
          ['redirect', family.b, family.a, 53, 40000, mac.host, mac.a, true]);
        const said = payloadOf(frame);
        assert.equal((said[2]! << 8) | said[3]!, 0x8185, 'QR, RD as asked, RA, REFUSED');
        assert.deepEqual([...said.subarray(4, 12)], [0, 1, 0, 0, 0, 0, 0, 0]);
        assert.deepEqual([...said.subarray(0, 2), ...said.subarray(12)], [0xbe, 0xef, ...wireName(name), 0, 28, 0, 1]);
        assert.equal(frame.length, 14 + (family.name === 'IPv4' ? 20 : 40) + 8 + said.length);
        assert.deepEqual(went.names.map(told => [told.event.verdict, told.event.rule, told.event.direction, Buffer.from(told.payload).equals(question)]), [[2, 70, 2, true]]);
        assert.deepEqual([went.drops.length, went.traces.length], [0, 0]);
      }
    });

    test('no datagram sum: the answer has one where it must', () => {
      world();
      if (family.name === 'IPv4') assert.equal(ask(family, 'evil.net', {}, { noChecksum: true }).packet.checksumsGood, true);
    });

    test('under a service the pod hears the address that it has asked', () => {
      world();
      const [service, backend] = [9, 9];
      datapath.maps.services.update({ addr: parseAddr(family.service), port: 53, protocol: 17, scope: 0 }, { id: service, count: 1, affinityTimeout: 0, maglev: 0, flags: 0, type: 0 });
      datapath.maps.serviceSlots.update({ service, slot: 0 }, { backend });
      datapath.maps.backends.update({ id: backend }, { addr: parseAddr(family.b), port: 5353, protocol: 17, state: 0 });
      datapath.maps.serviceAddresses.update({ id: service }, { addr: parseAddr(family.service), port: 53 });
      redirectDns(datapath, { port: 5353 });
      for (const name of ['evil.net', 'evil.net', 'api.example.com', 'evil.net']) {
        const { packet, action } = ask(family, name, {}, { destination: family.service });
        assert.deepEqual([action, packet.source, packet.sourcePort, packet.destination, packet.destinationPort, packet.checksumsGood],
          name === 'evil.net' ? ['redirect', family.service, 53, family.a, 40000, true] : ['redirect', family.a, 40000, family.b, 5353, true]);
      }
    });

    test('what is no whole question is dropped and never passed on', () => {
      world();
      const good = buildMessage({ name: 'api.example.com' });
      const changed = (at: number, ...bytes: number[]): Uint8Array => {
        const copy = good.slice();
        copy.set(bytes, at);
        return copy;
      };
      const long = 'a'.repeat(63);
      const malformed: readonly (readonly [string, Uint8Array])[] = [
        ['no question', buildMessage({ name: 'api.example.com', counts: { questions: 0 } })],
        ['two questions', buildMessage({ name: 'api.example.com', counts: { questions: 2 } })],
        ['an answer in it', buildMessage({ name: 'api.example.com', answers: [addressRecord('192.0.2.1')] })],
        ['an authority in it', buildMessage({ name: 'api.example.com', authorities: [addressRecord('192.0.2.1')] })],
        ['QR', changed(2, 0x81)], ['an update', changed(2, 0x28)], ['a notify', changed(2, 0x20)],
        ['a pointer', changed(12, 0xc0, 12)], ['a label of another kind', changed(12, 0x41)],
        ['cut in the name', good.subarray(0, 20)], ['cut before the class', good.subarray(0, good.length - 1)], ['only a header', good.subarray(0, 12)], ['less', good.subarray(0, 5)], ['nothing', new Uint8Array(0)],
        ['256 bytes of name', buildMessage({ name: `${long}.${long}.${long}.${'b'.repeat(62)}` })],
        ['no end', Uint8Array.from([...good.subarray(0, 12), ...Array.from({ length: 300 }, (_, i) => i % 2 === 0 ? 1 : 97)])],
      ];
      for (const [what, payload] of malformed) assert.equal(outcome(datapath.send('from_pod', query(family, payload))), 'NAME_MALFORMED', what);
      const longest = buildMessage({ name: `${long}.${long}.${long}.${'b'.repeat(61)}` });
      assert.equal(datapath.send('from_pod', query(family, longest)).packet.source, family.b, 'a name of 255 bytes can be read, and is refused');
      const first = datapath.send('from_pod', query(family, good, { fragment: { id: 3, offset: 0, more: true } }));
      assert.equal(outcome(first), 'NAME_MALFORMED', 'a fragment');
      assert.equal(outcome(datapath.send('from_pod', query(family, good, { fragment: { id: 3, offset: 16, more: false } }))), 'NAME_MALFORMED', 'the rest of it');
    });

    test('without rules nothing is refused, and what is denied stays denied', () => {
      world();
      datapath.allowAll(set.aEgress);
      datapath.maps.policyVerdicts.delete({ prefixBits: 96, set: set.aEgress, class: 0, protocol: 17, port: 53 });
      assert.equal(outcome(ask(family, 'evil.net')), 'redirect');
      assert.equal(datapath.send('from_pod', query(family, new Uint8Array(3))).action, 'redirect');
      datapath.denyAll(set.aEgress);
      datapath.commit();
      assert.equal(outcome(ask(family, 'api.example.com')), 'POLICY_DENIED');
    });

    test('rules that come later are asked from the next question on', () => {
      world();
      datapath.maps.policyVerdicts.delete({ prefixBits: 96, set: set.aEgress, class: 0, protocol: 17, port: 53 });
      assert.equal(ask(family, 'evil.net').packet.destination, family.b);
      datapath.send('from_pod', reply(family, answerTo({ name: 'evil.net' })));
      redirectDns(datapath);
      datapath.commit();
      assert.equal(ask(family, 'evil.net').packet.destination, family.a);
      datapath.maps.policyVerdicts.delete({ prefixBits: 96, set: set.aEgress, class: 0, protocol: 17, port: 53 });
      datapath.commit();
      assert.equal(ask(family, 'evil.net').packet.destination, family.b);
    });

    test('any name, where a rule says so', () => {
      world();
      datapath.maps.nameRules.update({ l7: l7Number, class: anyClass }, { rule: 9 });
      const went = ask(family, 'evil.net');
      assert.deepEqual([went.packet.destination, went.names[0]!.event.rule], [family.b, 9]);
    });

    test('a payload size that somebody on the way might have to cut is lowered, wherever it stands', () => {
      world();
      for (const name of ['x.example.org', 'xy.example.org']) for (const noChecksum of family.name === 'IPv4' ? [false, true] : [false]) {
        const sent = buildMessage({ name, edns: 4096 });
        const went = datapath.send('from_pod', query(family, sent, { noChecksum }));
        assert.equal(went.packet.checksumsGood, true, name);
        assert.deepEqual(payloadOf(went.frame), buildMessage({ name, edns: 1232 }));
        assert.deepEqual(payloadOf(datapath.send('from_pod', query(family, buildMessage({ name, edns: 1200 }))).frame), buildMessage({ name, edns: 1200 }));
      }
    });
  });

  test('without an automaton nothing passes: nobody knows any name', () => {
    datapath.reset();
    datapath.maps.nameAutomaton.delete(0);
    redirectDns(datapath);
    datapath.maps.nameRules.update({ l7: l7Number, class: anyClass }, { rule: 9 });
    assert.equal(outcome(datapath.send('from_pod', query(families[0]!, buildMessage({ name: 'api.example.com' })))), 'POLICY_NOT_READY');
  });

  test('the kernel and the policy language mean the same by a pattern', () => {
    datapath.reset();
    const alphabet = ['a', 'b', 'A', '-', '_', '0', '9', '.', 'ab', '.b.', 'z'];
    const random = seeded(20261128);
    const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
    const word = (letters: readonly string[], most: number): string => Array.from({ length: 1 + Math.floor(random() * most) }, () => pick(letters)).join('').replace(/\.+/g, '.').replace(/^\./, '');
    const some = (count: number): string[] => [...new Set(Array.from({ length: count }, () => word([...alphabet, '*', '**', '*.', '.*'], 6).toLowerCase().replace(/\.$/, '')).filter(pattern => pattern !== ''))];
    for (let round = 0; round < 12; round++) {
      const chosen = some(8);
      const automaton = loadAutomaton(datapath.maps, chosen);
      for (const pattern of chosen.filter(pattern => !automaton.leftOut.includes(pattern))) {
        for (const [key] of [...datapath.maps.nameRules.entries()]) datapath.maps.nameRules.delete(key);
        allowNames(datapath.maps, automaton, [pattern]);
        redirectDns(datapath);
        const { test: matches } = namePattern(pattern);
        for (let i = 0; i < 12; i++) {
          const name = random() < 0.5 ? word(alphabet, 7) : pick(chosen).replaceAll('*', () => word(['a', 'b', '0'], 2)).replace(/\.+/g, '.');
          const payload = buildMessage({ name });
          const read = readQuestion(payload)!;
          const passes = datapath.send('from_pod', query(families[0]!, payload)).packet.destination === families[0]!.b;
          assert.equal(passes, matches(qualifyName(read.name)), `${name} under ${pattern}, of ${chosen.join(' ')}`);
        }
      }
    }
  });

  test('bytes that no name of a policy has match nothing but themselves', () => {
    world();
    const dotted = Uint8Array.from([...buildMessage({ name: 'x' }).subarray(0, 12), ...wireName('a\\.b.example.org'), 0, 1, 0, 1]);
    const went = datapath.send('from_pod', query(families[0]!, dotted));
    assert.equal(went.packet.destination, families[0]!.a);
  });
});

/** mulberry32 */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
