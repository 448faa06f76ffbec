/**
 * Random and broken DNS messages through the programs, against the reader by the book: what passes, what becomes a refusal, and what is
 * learned are the same. CIRRI_SEED repeats a run; `--long` takes forty times as many.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { namePattern, qualifyName } from '../../src/policy/fqdn.ts';
import type { NameAutomaton } from '../../src/policy/name-automaton.ts';
import { seedOfRun } from '../differential/random.ts';
import { buildMessage, readAddresses, readQuery, readQuestion } from './dns-message.ts';
import { answerFor, mutate, pick, seeded } from './dns-random.ts';
import { Datapath, families, hasObject } from './harness.ts';
import { allowNames, learned, loadAutomaton, nameIdentity, namesAreInForce, query, redirectDns, reply } from './names.ts';
import { buildFrame } from './packet.ts';

const seed = seedOfRun();
const rounds = process.env['CIRRI_LONG'] === '1' ? 60_000 : 1_500;
const patterns = ['api.example.com', '*.example.org', '**.net', 'a*b.local', 'x_1.y-2.z'];
/** May be asked; *.refused.org is known, and may not. */
const allowed = patterns;
const known = [...patterns, '*.refused.org'];
const names = ['api.example.com', 'API.Example.COM', 'x.example.org', 'x.y.example.org', 'deep.down.net', 'aXXb.local', 'ab.local', 'x_1.y-2.z', 'w.refused.org', 'evil.test', '', 'net', `${'l'.repeat(63)}.net`, 'a\\.b.net', `${Array.from({ length: 120 }, () => 'n').join('.')}.net`];
const CLIENT_PORT = 40000;

describe('random DNS messages', { skip: !hasObject() && 'make -C bpf first' }, () => {
  let datapath: Datapath;
  let automaton: NameAutomaton;
  before(() => {
    datapath = new Datapath({ dnsMinTtl: 60, dnsRcode: 5 });
    automaton = loadAutomaton(datapath.maps, known);
    allowNames(datapath.maps, automaton, allowed);
    redirectDns(datapath);
    namesAreInForce(datapath.maps);
  });
  after(() => datapath.close());

  /** The set of known patterns that a name matches. */
  const matched = (name: string): string[] => known.filter(pattern => namePattern(pattern).test(qualifyName(name)));

  for (const family of families) test(`questions and answers over ${family.name}, seed ${seed}`, () => {
    const random = seeded(seed + family.name.length * 31 + family.name.charCodeAt(3));
    const program = datapath.program('from_pod');
    const run = (spec: Parameters<typeof buildFrame>[0]) => {
      const { returnValue, data } = program.testRun({ data: buildFrame(spec) });
      return { dropped: returnValue === 2, turned: returnValue !== 2 && data[0] === 2 && data[5] === 0x0a };
    };
    const count = { asked: 0, refused: 0, malformed: 0, passed: 0, unasked: 0, learned: 0 };
    const at = (what: string, bytes: Uint8Array): string => `${what}: ${Buffer.from(bytes).toString('hex')}`;
    for (let round = 0; round < rounds; round++) {
      const asked = mutate(random, buildMessage({ name: pick(random, names), id: round & 0xffff, type: pick(random, [1, 28, 5, 255, 16]), ...(random() < 0.5 && { edns: pick(random, [512, 1232, 1233, 4096, 65535]) }) }), 0.35);
      const read = readQuery(asked);
      const sets = read ? matched(read.name) : [];
      const passes = read !== undefined && sets.some(pattern => allowed.includes(pattern));
      const went = run(query(family, asked, { sourcePort: CLIENT_PORT }));
      assert.equal(went.dropped, read === undefined, at(read ? 'a whole question was dropped' : 'a broken question was not dropped', asked));
      if (read) assert.equal(went.turned, !passes, at(passes ? 'refused' : 'passed', asked));
      count[read === undefined ? 'malformed' : passes ? 'asked' : 'refused']++;

      const answer = mutate(random, answerFor(random, passes ? asked : buildMessage({ name: pick(random, names) })), 0.5);
      const fits = passes && sameQuestion(asked, answer) && (answer[2]! & 0xf8) === 0x80;
      const bare = answer.length >= 12 && (answer[2]! & 0xf8) === 0x80 && answer.subarray(4, 8).every(byte => byte === 0) && (answer[3]! & 15) !== 0;
      // Whose the addresses are, the answer itself says: bytes that fold like letters fit, and are another name.
      const own = fits ? matched(readQuestion(answer)!.name) : [];
      const addresses = !fits ? undefined : own.length === 0 ? [] : readAddresses(answer);
      const expected = addresses === undefined ? [] : [...new Set(addresses.map(one => `${one.address} ${nameIdentity(automaton, own)}`))].sort();
      const told = run(reply(family, answer, { destinationPort: CLIENT_PORT }));
      if (!bare) assert.equal(told.dropped, addresses === undefined, at(`an answer was ${told.dropped ? '' : 'not '}dropped; asked ${Buffer.from(asked).toString('hex')}`, answer));
      assert.deepEqual(learned(datapath.maps), expected, at(`learned; asked ${Buffer.from(asked).toString('hex')}`, answer));
      if (expected.length > 0) for (const [key] of [...datapath.maps.nameAddresses.entries()]) datapath.maps.nameAddresses.delete(key);
      for (const [key] of [...datapath.maps.namePending.entries()]) datapath.maps.namePending.delete(key);
      count[addresses === undefined ? 'unasked' : 'passed']++;
      if (expected.length > 0) count.learned++;
    }
    datapath.told();
    // A fuzzer that reaches nothing finds nothing.
    for (const [what, times] of Object.entries(count)) assert.ok(times > rounds / 50, `${what}: ${times} of ${rounds}`);
  });
});

/** Of the same bytes but for the case of letters, and with the same id. */
function sameQuestion(asked: Uint8Array, answer: Uint8Array): boolean {
  const [one, other] = [readQuestion(asked), readQuestion(answer)];
  if (!one || !other || one.id !== other.id || one.end !== other.end) return false;
  // The letters fold, and with them a few other bytes.
  const fold = (bytes: Uint8Array, end: number): string => [...bytes.subarray(12, end - 4)].map(byte => byte | ((byte & 0x40) >> 1)).join();
  return fold(asked, one.end) === fold(answer, other.end) && one.type === other.type && one.class === other.class;
}
