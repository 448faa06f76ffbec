/** Answers to pods against the programs: what is learned of them, and what policy makes of it. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ConntrackFlag } from '../../src/datapath/generated/enums.ts';
import { formatAddr, parseAddr } from '../../src/std/ip.ts';
import { address, answerTo, buildMessage, dnsType, rcode, type MessageSpec } from './dns-message.ts';
import { Datapath, type Family, families, hasObject, id, identity, isSince, mac, nowS, rule, set } from './harness.ts';
import { allowNames, learned, loadAutomaton, nameIdentity, namesAreInForce, outcome, putName, query, redirectDns, reply } from './names.ts';
import { buildFrame, type FrameSpec } from './packet.ts';
import type { NameAutomaton } from '../../src/policy/name-automaton.ts';

const patterns = ['api.example.com', '*.example.org', 'plain.example.com'];
/** This one may be asked, and no toFQDNs names it. */
const withoutIdentity = 'plain.example.com';
const answered = 0x8180;

describe('answers', { skip: !hasObject() && 'make -C bpf first' }, () => {
  let datapath: Datapath;
  let automaton: NameAutomaton;
  before(() => { datapath = new Datapath({ dnsMinTtl: 60, dnsRcode: 5 }); });
  after(() => datapath.close());

  const world = (o: { readonly rules?: boolean } = {}): void => {
    datapath.reset();
    automaton = loadAutomaton(datapath.maps, patterns, { identityOf: number => automatonHas(number) ? 5000 + number : 0 });
    if (o.rules !== false) {
      allowNames(datapath.maps, automaton, patterns);
      redirectDns(datapath);
    }
    namesAreInForce(datapath.maps);
  };
  const automatonHas = (number: number): boolean => number !== plainSet;
  let plainSet = -1;
  before(() => {
    datapath.reset();
    plainSet = loadAutomaton(datapath.maps, patterns).sets.findIndex(one => one.join() === withoutIdentity);
  });
  const ask = (family: Family, spec: MessageSpec, change: Partial<FrameSpec> = {}) => datapath.send('from_pod', query(family, buildMessage(spec), change));
  const tell = (family: Family, payload: Uint8Array, change: Partial<FrameSpec> = {}) => outcome(datapath.send('from_pod', reply(family, payload, change)));
  const identityOf = (...of: string[]): number => nameIdentity(automaton, of);

  for (const family of families) describe(family.name, () => {
    test('the addresses of an answer are the name\'s, for who asked, before he has them', () => {
      world();
      const spec = { name: 'API.example.com', id: 7 } as const;
      ask(family, spec);
      const began = nowS();
      assert.equal(tell(family, answerTo({ ...spec, answers: [
        { owner: 12, type: dnsType.cname, data: Uint8Array.from([3, 119, 119, 119, 0xc0, 12]) }, address('192.0.2.1', { owner: 'www.elsewhere.net', ttl: 300 }), address('192.0.2.2', { ttl: 1 }), address('2001:db8::7'),
        { ...address('192.0.2.3'), class: 3 }, { ...address('192.0.2.4'), type: dnsType.txt },
      ] })), 'redirect');
      const who = identityOf('api.example.com');
      assert.deepEqual(learned(datapath.maps), [`192.0.2.1 ${who}`, `192.0.2.2 ${who}`, `2001:db8::7 ${who}`]);
      assert.deepEqual(learned(datapath.maps, id.b), []);
      const livesFor = (text: string, seconds: number): boolean => isSince(began, datapath.maps.nameAddresses.lookup({ endpoint: id.a, addr: parseAddr(text) })!.slots[0]!.expiresS - seconds);
      assert.ok(livesFor('192.0.2.1', 330), 'its own time, and some grace');
      assert.ok(livesFor('192.0.2.2', 90), 'at least a minute');
    });

    test('an answer to nobody\'s question goes nowhere, and teaches nothing', () => {
      world();
      ask(family, { name: 'api.example.com', id: 7 });
      const answers = [address('192.0.2.1')];
      assert.equal(tell(family, answerTo({ name: 'api.example.com', id: 8, answers })), 'NAME_UNASKED', 'another id');
      assert.equal(tell(family, answerTo({ name: 'x.example.org', id: 7, answers })), 'NAME_UNASKED', 'another name');
      assert.equal(tell(family, answerTo({ name: 'api.example.com', id: 7, type: dnsType.aaaa, answers })), 'NAME_UNASKED', 'another type');
      assert.equal(tell(family, answerTo({ name: 'api.example.com', id: 7, counts: { questions: 0 } })), 'NAME_UNASKED', 'no question');
      assert.equal(tell(family, buildMessage({ name: 'api.example.com', id: 7 })), 'NAME_UNREADABLE', 'a question');
      assert.deepEqual(learned(datapath.maps), []);
      assert.equal(tell(family, answerTo({ name: 'api.example.com', id: 7, answers })), 'redirect');
      assert.equal(tell(family, answerTo({ name: 'api.example.com', id: 7, answers })), 'redirect', 'a second server, or the same twice');
      ask(family, { name: 'api.example.com', id: 9 });
      assert.equal(tell(family, answerTo({ name: 'evil.net', id: 9, flags: answered | 1 | rcode.serverFailure, counts: { questions: 0 } }).subarray(0, 12)), 'redirect', 'an old server\'s error');
      datapath.send('from_pod', query(family, buildMessage({ name: 'evil.net', id: 10 })));
      assert.equal(tell(family, answerTo({ name: 'evil.net', id: 10, answers })), 'NAME_UNASKED', 'what was refused was not asked');
    });

    test('a name without an identity teaches nothing, and nothing of its answer need be readable', () => {
      world();
      ask(family, { name: withoutIdentity });
      assert.equal(tell(family, answerTo({ name: withoutIdentity, answers: [address('192.0.2.1')] })), 'redirect');
      assert.equal(tell(family, answerTo({ name: withoutIdentity, counts: { answers: 9 } })), 'redirect');
      assert.deepEqual(learned(datapath.maps), []);
    });

    test('of an answer that cannot be read whole nothing is learned, and it does not pass; a truncated one is read as far as it goes', () => {
      world();
      const spec = { name: 'x.example.org' } as const;
      const whole = answerTo({ ...spec, answers: [address('192.0.2.1'), address('192.0.2.2')] });
      for (const [what, payload] of [
        ['one record too few', answerTo({ ...spec, answers: [address('192.0.2.1')], counts: { answers: 2 } })], ['cut', whole.subarray(0, whole.length - 1)],
        ['an address of five bytes', answerTo({ ...spec, answers: [{ owner: 12, type: dnsType.a, data: new Uint8Array(5) }] })],
        ['257 records', answerTo({ ...spec, answers: [address('192.0.2.1')], counts: { answers: 257 } })],
        ['a label of no kind', answerTo({ ...spec, answers: [{ ...address('192.0.2.1'), owner: 12 }] }).map((byte, i) => i === 12 + 15 + 4 ? 0x80 : byte)],
      ] as const) {
        ask(family, spec);
        assert.equal(tell(family, payload), 'NAME_UNREADABLE', what);
      }
      assert.deepEqual(learned(datapath.maps), []);
      ask(family, spec);
      assert.equal(tell(family, Uint8Array.from(whole.subarray(0, whole.length - 1), (byte, i) => i === 2 ? byte | 2 : byte)), 'redirect');
      assert.deepEqual(learned(datapath.maps), [`192.0.2.1 ${identityOf('*.example.org')}`]);
    });

    test('two hundred addresses, as long as a packet of these tests can be', () => {
      world();
      const spec = { name: 'many.example.org' } as const;
      ask(family, spec);
      assert.equal(tell(family, answerTo({ ...spec, answers: Array.from({ length: 200 }, (_, i) => address(`198.18.0.${i}`)) })), 'redirect');
      assert.equal(learned(datapath.maps).length, 200);
    });

    test('where policy has no rules for names, names are learned and all the rest passes', () => {
      world({ rules: false });
      const spec = { name: 'x.example.org' } as const;
      for (const payload of [buildMessage(spec), new Uint8Array(2), buildMessage({ name: 'evil.net', id: 3 })]) assert.equal(datapath.send('from_pod', query(family, payload)).packet.destination, family.b);
      assert.equal(tell(family, answerTo({ name: 'evil.net', id: 3, answers: [address('192.0.2.9')] })), 'redirect');
      assert.equal(tell(family, new Uint8Array(30)), 'redirect');
      assert.equal(tell(family, answerTo({ ...spec, counts: { answers: 1 } })), 'NAME_UNREADABLE', 'but not what should have been learned');
      assert.equal(tell(family, answerTo({ ...spec, answers: [address('192.0.2.1')] })), 'redirect');
      assert.deepEqual(learned(datapath.maps), [`192.0.2.1 ${identityOf('*.example.org')}`]);
    });

    test('answers from outside, and under a service', () => {
      world();
      const spec = { name: 'x.example.org' } as const;
      ask(family, spec, { destination: family.remote });
      const from = { source: family.remote, sourceMac: mac.host } as const;
      assert.equal(outcome(datapath.send('from_network', reply(family, answerTo({ ...spec, answers: [address('192.0.2.1')] }), from))), 'redirect');
      assert.equal(outcome(datapath.send('from_network', reply(family, answerTo({ ...spec, id: 99 }), from))), 'NAME_UNASKED');
      assert.deepEqual(learned(datapath.maps), [`192.0.2.1 ${identityOf('*.example.org')}`]);
    });

    test('policy: a destination is what its names are, where its address is nothing', () => {
      world();
      const who = identityOf('*.example.org');
      const connect = (port: number, change: Partial<FrameSpec> = {}) => datapath.send('from_pod', { sourceMac: mac.a, destinationMac: mac.host, source: family.a, destination: family.world, protocol: 'tcp', sourcePort: port, destinationPort: 443, flags: 'S', ...change });
      const told = (went: ReturnType<typeof connect>) => went.flows.map(flow => [flow.verdict, flow.rule, flow.destinationIdentity]);
      datapath.denyAll(set.aEgress);
      datapath.maps.policyClasses.update({ set: set.aEgress, identity: who }, { class: 5 });
      datapath.verdict({ set: set.aEgress, class: 5, verdict: 2, rule: rule.deny, match: 0 });
      datapath.verdict({ set: set.aEgress, class: 5, protocol: 6, port: 443, verdict: 1, rule: 55, match: 2 });
      assert.deepEqual([outcome(connect(1)), told(connect(1))], ['POLICY_DENIED', [[2, rule.deny, identity.worldV4]]]);
      ask(family, { name: 'x.example.org', type: dnsType.aaaa });
      tell(family, answerTo({ name: 'x.example.org', type: dnsType.aaaa, answers: [address(family.world)] }));
      const opened = connect(2);
      assert.deepEqual([outcome(opened), told(opened)], ['redirect', [[1, 55, who]]]);
      assert.equal(outcome(connect(3, { destinationPort: 80 })), 'POLICY_DENIED', 'another port');
      assert.deepEqual(told(connect(3, { destinationPort: 80 })), [[2, rule.deny, identity.worldV4]], 'which the address\'s own identity answers for');
      assert.equal(outcome(connect(4, { destination: family.remote })), 'POLICY_DENIED', 'inside the cluster names are nothing');
      const entry = [...datapath.maps.conntrack.entries()].find(([key, row]) => row.flags & ConntrackFlag.ByName && (key.highPort === 443 || key.lowPort === 443))![1];
      assert.equal(entry.destinationIdentity, who);
      // The name's time is over: what runs goes on, what comes new does not.
      assert.equal(putName(datapath, family.world, { identity: 1, expiresS: 1, replaces: [who] }), true);
      datapath.commit();
      assert.equal(outcome(connect(2, { flags: 'A' })), 'redirect');
      assert.equal(outcome(connect(5)), 'POLICY_DENIED');
      datapath.maps.policyClasses.delete({ set: set.aEgress, identity: who });
      datapath.commit();
      assert.equal(outcome(connect(2, { flags: 'A' })), 'POLICY_DENIED', 'policy does not allow the name any more');
    });

    test('policy: a rule that denies is the last word, and audit is only of what no name allows', () => {
      world();
      const who = identityOf('*.example.org');
      const connect = (port: number) => datapath.send('from_pod', { sourceMac: mac.a, destinationMac: mac.host, source: family.a, destination: family.world, protocol: 'tcp', sourcePort: port, destinationPort: 443, flags: 'S' });
      assert.equal(putName(datapath, family.world, { identity: who, expiresS: nowS() + 60 }), true);
      datapath.maps.policyClasses.update({ set: set.aEgress, identity: who }, { class: 5 });
      datapath.verdict({ set: set.aEgress, class: 5, verdict: 1, rule: 55, match: 1 });
      datapath.verdict({ set: set.aEgress, verdict: 2, rule: 66, match: 1 });
      assert.equal(outcome(connect(1)), 'POLICY_DENY');
      datapath.verdict({ set: set.aEgress, verdict: 2, rule: 66, match: 1, askNames: true });
      assert.deepEqual(connect(5).flows.map(flow => [flow.verdict, flow.rule]), [[1, 55]], 'unless it says that names may be asked');
      datapath.verdict({ set: set.aEgress, verdict: 2, rule: 66, match: 0 });
      assert.deepEqual(connect(2).flows.map(flow => [flow.verdict, flow.rule]), [[1, 55]]);
      datapath.endpoint(family.a, { flags: 1 | 4 });
      assert.deepEqual(connect(3).flows.map(flow => [flow.verdict, flow.rule]), [[1, 55]]);
      datapath.maps.policyClasses.delete({ set: set.aEgress, identity: who });
      assert.deepEqual(connect(4).flows.map(flow => [flow.verdict, flow.rule, flow.destinationIdentity]), [[4, 66, identity.worldV4]]);
    });
  });

  test('an address has eight identities; one more takes the place of the one that is over first', () => {
    world();
    const slots = () => datapath.maps.nameAddresses.lookup({ endpoint: id.a, addr: parseAddr('192.0.2.1') })!.slots.map(slot => slot.identity).sort((a, b) => a - b);
    const now = nowS();
    for (let i = 1; i <= 8; i++) putName(datapath, '192.0.2.1', { identity: i, expiresS: now + 1000 - i });
    putName(datapath, '192.0.2.1', { identity: 3, expiresS: now + 10 });
    assert.deepEqual(slots(), [1, 2, 3, 4, 5, 6, 7, 8]);
    putName(datapath, '192.0.2.1', { identity: 9, expiresS: now + 2000 });
    assert.deepEqual(slots(), [1, 2, 3, 4, 5, 6, 7, 9], 'a shorter time does not shorten');
    putName(datapath, '192.0.2.1', { identity: 10, expiresS: now + 2000, replaces: [1, 2, 9] });
    assert.deepEqual(slots(), [0, 0, 0, 3, 4, 5, 6, 10]);
  });

  test('a pod that is told very much pushes out what it was told before, and nothing of another\'s', () => {
    world();
    putName(datapath, '203.0.113.1', { endpoint: id.b, identity: 5001, expiresS: nowS() + 1000 });
    const [family] = families as [Family];
    for (let i = 0; i < 20; i++) {
      const spec = { name: `n${i}.example.org`, id: i } as const;
      ask(family, spec);
      assert.equal(tell(family, answerTo({ ...spec, answers: Array.from({ length: 200 }, (_, j) => address(`198.18.${i}.${j}`)) })), 'redirect');
    }
    const addresses = [...datapath.maps.nameAddresses.entries()].map(([key]) => key);
    assert.equal(addresses.filter(key => key.endpoint === id.b).length, 1);
    const own = addresses.filter(key => key.endpoint === id.a).map(key => formatAddr(key.addr));
    assert.equal(own.length, 2048);
    for (let i = 12; i < 20; i++) assert.ok(own.includes(`198.18.${i}.199`), 'the latest are there');
  });

  test('an address that was forgotten and told again is as young as any', () => {
    world();
    const [family] = families as [Family];
    const tellAll = (octet: number, addresses: number): void => {
      const spec = { name: `n${octet}.example.org`, id: octet } as const;
      ask(family, spec);
      assert.equal(tell(family, answerTo({ ...spec, answers: Array.from({ length: addresses }, (_, j) => address(`198.18.${octet}.${j}`)) })), 'redirect');
    };
    const row = { endpoint: id.a, addr: parseAddr('198.18.0.0') };
    tellAll(0, 1);
    for (let i = 1; i < 11; i++) tellAll(i, 200);
    // As the agent does when its time is over.
    assert.equal(datapath.maps.nameAddresses.delete(row), true);
    tellAll(0, 1);
    tellAll(11, 200);
    assert.notEqual(datapath.maps.nameAddresses.lookup(row), undefined, 'its old place has been taken, and that is not its own any more');
  });

  test('questions without answers push out the pod\'s own alone, the eldest of those near them', () => {
    world();
    const [family] = families as [Family];
    const other = { source: family.b, sourceMac: mac.b, destination: family.a } as const;
    datapath.verdict({ set: set.bEgress, protocol: 17, port: 53, verdict: 3, rule: 70, match: 2, l7: 77 });
    ask(family, { name: 'x.example.org', id: 500 }, other);
    for (let i = 0; i < 4000; i++) datapath.run('from_pod', buildFrame(query(family, buildMessage({ name: 'x.example.org', id: i }))));
    assert.ok([...datapath.maps.namePending.entries()].map(([key]) => key).filter(key => key.endpoint === id.a).length <= 256);
    assert.equal(outcome(datapath.send('from_pod', reply(family, answerTo({ name: 'x.example.org', id: 500, answers: [address('192.0.2.1')] }), { source: family.a, sourceMac: mac.a, destination: family.b }))), 'redirect');
    assert.equal(tell(family, answerTo({ name: 'x.example.org', id: 3999 })), 'redirect', 'the last one asked');
  });

  test('a question asked by a later tick of the clock than a processor has read is the youngest, and is one that was asked', () => {
    world();
    const [family] = families as [Family];
    const port = 40000, first = { name: 'x.example.org', id: 0 } as const, pending = datapath.maps.namePending;
    const frameOf = (id: number): Uint8Array => buildFrame(query(family, buildMessage({ ...first, id }), { sourcePort: port }));
    const rows = () => [...pending.entries()].filter(([key]) => key.endpoint === id.a);
    datapath.run('from_pod', frameOf(first.id));
    const [[bucket]] = rows() as [ReturnType<typeof rows>[number]];
    const tags = (): bigint[] => pending.lookup(bucket)!.ways.map(way => way.tag);
    let next = 1;
    for (; tags().includes(0n); next++) datapath.run('from_pod', frameOf(next));
    // All but one as if other processors had asked since; a tick is what they can be ahead; longer here, for a busy machine.
    const [one, two, ...rest] = pending.lookup(bucket)!.ways, later = (way: typeof one) => ({ ...way!, askedMs: way!.askedMs + 20_000 });
    pending.update(bucket, { ways: [later(one), { ...two!, askedMs: two!.askedMs - 1000 }, ...rest.map(later)] });
    for (; tags()[1] === two!.tag; next++) datapath.run('from_pod', frameOf(next));
    assert.deepEqual(tags().filter((_, way) => way !== 1), [one!.tag, ...rest.map(way => way.tag)], 'only the eldest has gone');
    assert.equal(tell(family, answerTo({ ...first, answers: [address('192.0.2.1')] }), { destinationPort: port }), 'redirect');
  });
});
