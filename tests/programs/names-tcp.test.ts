/**
 * The same DNS messages over UDP through the programs, and over TCP through the proxy's session: what may be asked, and what is learned, is
 * the same. CIRRI_SEED repeats a run.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { compileDnsRules } from '../../src/proxy/dns/rules.ts';
import type { DnsRules } from '../../src/proxy/dns/rules.ts';
import { DnsSession } from '../../src/proxy/dns/session.ts';
import { FakeWire } from '../../src/proxy/testing.ts';
import { addrFromWire, formatAddr } from '../../src/std/ip.ts';
import type { NameAutomaton } from '../../src/policy/name-automaton.ts';
import { seedOfRun } from '../differential/random.ts';
import { buildMessage } from './dns-message.ts';
import { answerFor, mutate, pick, seeded } from './dns-random.ts';
import { Datapath, families, hasObject, id } from './harness.ts';
import { allowNames, learned, loadAutomaton, namesAreInForce, query, redirectDns, reply } from './names.ts';
import { buildFrame } from './packet.ts';

const seed = seedOfRun();
const rounds = process.env['CIRRI_LONG'] === '1' ? 60_000 : 1_000;
const allowed = ['api.example.com', '*.example.org', '**.net', 'a*b.local'];
const known = [...allowed, '*.refused.org', 'x*.example.org'];
const names = ['api.example.com', 'API.Example.COM', 'x.example.org', 'y.example.org', 'deep.down.net', 'aXXb.local', 'w.refused.org', 'evil.test', '', 'a\\.b.net'];
const clientPort = 40000;

describe('DNS over UDP and over TCP', { skip: !hasObject() && 'make -C bpf first' }, () => {
  let datapath: Datapath;
  let automaton: NameAutomaton;
  let rules: DnsRules;
  before(() => {
    datapath = new Datapath({ dnsMinTtl: 60, dnsRcode: 5 });
    automaton = loadAutomaton(datapath.maps, known);
    allowNames(datapath.maps, automaton, allowed);
    redirectDns(datapath);
    namesAreInForce(datapath.maps);
    rules = compileDnsRules(allowed.map((pattern, i) => ({ rule: i + 1, pattern })), false);
  });
  after(() => datapath.close());

  const identityOf = (name: string): number => {
    const matched = automaton.walk(name).join();
    const set = automaton.sets.findIndex(one => one.join() === matched);
    return set > 0 ? 5000 + set : 0;
  };

  /** What the session does with a question and with what comes as its answer. */
  function overTcp(asked: Uint8Array, answer: Uint8Array): { readonly asked: 'passed' | 'refused' | 'malformed'; readonly learned: string[]; readonly refusal: Buffer } {
    const wire = new FakeWire<DnsRules>({ egress: rules });
    const told = new Set<string>();
    wire.open(new DnsSession(wire, { identityOf, refusal: 5, learn: (endpoint, address, identity) => {
      assert.equal(endpoint, id.a);
      told.add(`${formatAddr(addrFromWire(address))} ${identity}`);
    } }, id.a));
    const framed = (bytes: Uint8Array) => Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]);
    wire.from('client', framed(asked));
    if (wire.closed !== undefined) return { asked: 'malformed', learned: [], refusal: Buffer.alloc(0) };
    const refusal = wire.sent('client');
    const passed = wire.sent('server').length > 0;
    wire.from('server', framed(answer));
    return { asked: passed ? 'passed' : 'refused', learned: [...told].sort(), refusal };
  }

  for (const family of families) test(`random messages over ${family.name}, seed ${seed}`, () => {
    const random = seeded(seed + family.name.length);
    const program = datapath.program('from_pod');
    const count = { passed: 0, refused: 0, malformed: 0, learned: 0 };
    for (let round = 0; round < rounds; round++) {
      const asked = mutate(random, buildMessage({ name: pick(random, names), id: round & 0xffff, type: pick(random, [1, 28, 5, 255]), ...(random() < 0.5 && { edns: 1232 }) }), 0.3);
      const answer = mutate(random, answerFor(random, asked), 0.4);
      const { returnValue, data } = program.testRun({ data: buildFrame(query(family, asked, { sourcePort: clientPort })) });
      const isRefusal = returnValue !== 2 && data[0] === 2 && data[5] === 0x0a;
      const kernel = returnValue === 2 ? 'malformed' : isRefusal ? 'refused' : 'passed';
      const proxy = overTcp(asked, answer);
      const hex = `asked ${Buffer.from(asked).toString('hex')} answer ${Buffer.from(answer).toString('hex')}`;
      assert.equal(proxy.asked, kernel, hex);
      if (isRefusal) {
        const payload = Buffer.from(data.subarray(data.length - (proxy.refusal.length - 2)));
        assert.equal(payload.toString('hex'), proxy.refusal.subarray(2).toString('hex'), hex);
      }
      if (kernel === 'passed') {
        program.testRun({ data: buildFrame(reply(family, answer, { destinationPort: clientPort })) });
        assert.deepEqual(proxy.learned, learned(datapath.maps), hex);
        if (proxy.learned.length > 0) count.learned++;
      }
      for (const [key] of [...datapath.maps.nameAddresses.entries()]) datapath.maps.nameAddresses.delete(key);
      for (const [key] of [...datapath.maps.namePending.entries()]) datapath.maps.namePending.delete(key);
      count[kernel]++;
    }
    datapath.told();
    for (const [what, times] of Object.entries(count)) assert.ok(times > rounds / 50, `${what}: ${times} of ${rounds}`);
  });
});
