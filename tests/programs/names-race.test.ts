/** Two processors on which one pod asks, and is told, at the same time. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { address, answerTo, buildMessage } from './dns-message.ts';
import { Datapath, families, hasObject } from './harness.ts';
import { allowNames, learned, loadAutomaton, nameIdentity, namesAreInForce, query, redirectDns, reply } from './names.ts';
import { buildFrame } from './packet.ts';
import type { FrameSpec } from './packet.ts';
import { race } from './race.ts';
import type { Lap } from './race.ts';
import type { NameAutomaton } from '../../src/policy/name-automaton.ts';

const patterns = ['*.example.org', '*.example.net'];
const redirected = 7;

/** Both are the pod's, and wait for their answers in the same bucket, of 256 (NAME_PENDING_BUCKETS). */
interface Pair {
  readonly port: number;
  readonly ids: readonly [number, number];
}

/** struct name_pending_key: a bucket by the client's port and the id, as they stand in the packet. */
function bucketOf(port: number, id: number): number {
  const swapped = (word: number): number => (word & 0xff) << 8 | word >> 8;
  return Math.imul(swapped(port) << 16 | swapped(id), 0x9e3779b1) >>> 24;
}

/** Four pairs to a bucket: its eight ways, so that no question need give way to another. */
function pairsToABucket(): Pair[] {
  const port = 40000, found: Pair[] = [], waiting = new Map<number, number[]>(), full = new Map<number, number>();
  for (let id = 0; id < 65536; id++) {
    const bucket = bucketOf(port, id), ids = [...waiting.get(bucket) ?? [], id];
    if ((full.get(bucket) ?? 0) === 4) continue;
    if (ids.length === 2) {
      found.push({ port, ids: ids as [number, number] });
      full.set(bucket, (full.get(bucket) ?? 0) + 1);
    }
    waiting.set(bucket, ids.length === 2 ? [] : ids);
  }
  return found;
}

for (const family of families) describe(`two processors and one pod, ${family.name}`, { skip: !hasObject() && 'make -C bpf first' }, () => {
  let datapath: Datapath;
  let automaton: NameAutomaton;
  before(() => {
    datapath = new Datapath({ dnsMinTtl: 60, dnsRcode: 5 }, {}, ['from_pod']);
    automaton = loadAutomaton(datapath.maps, patterns);
    allowNames(datapath.maps, automaton, patterns);
    redirectDns(datapath);
    namesAreInForce(datapath.maps);
  });
  after(() => datapath.close());

  const lap = (frame: FrameSpec): Lap => ({ fd: datapath.program('from_pod').fd, mark: 0, frame: buildFrame(frame) });
  const verdictOf = (frame: FrameSpec): number => datapath.run('from_pod', buildFrame(frame)).returnValue;
  const pairs = pairsToABucket();

  test('of two questions that come at once neither is forgotten, in free ways and in those of questions that were answered', async () => {
    assert.equal(pairs.length, 1024);
    for (const host of ['first', 'second', 'third']) {
      const spec = (id: number) => ({ name: `${host}.example.org`, id });
      await race(pairs.map(({ port, ids }) => ids.map(id => lap(query(family, buildMessage(spec(id)), { sourcePort: port }))) as [Lap, Lap]));
      const unheard = pairs.flatMap(({ port, ids }) => ids.filter(id => verdictOf(reply(family, answerTo({ ...spec(id), answers: [address('192.0.2.1')] }), { destinationPort: port })) !== redirected));
      assert.deepEqual(unheard, [], `answers that were not handed on, ${host}`);
    }
  });

  for (const { what, of } of [
    { what: 'an address nobody has heard of, in two names', of: (i: number) => [{ name: 'a.example.org', at: `198.18.${i >> 8}.${i & 255}` }, { name: 'a.example.net', at: `198.18.${i >> 8}.${i & 255}` }] },
    { what: 'two addresses of a name', of: (i: number) => [{ name: 'a.example.org', at: `198.19.${i >> 8}.${i & 255}` }, { name: 'a.example.org', at: `198.20.${i >> 8}.${i & 255}` }] },
  ]) test(`of two answers that come at once neither is forgotten: ${what}`, async () => {
    const both = pairs.slice(0, 512).map(({ port, ids }, i) => of(i).map(({ name, at }, which) => ({ question: { name, id: ids[which]! }, port, at })));
    for (const { question, port } of both.flat()) verdictOf(query(family, buildMessage(question), { sourcePort: port }));
    const results = await race(both.map(told => told.map(({ question, port, at }) => lap(reply(family, answerTo({ ...question, answers: [address(at)] }), { destinationPort: port }))) as [Lap, Lap]));
    assert.equal(results.flat().filter(({ verdict }) => verdict !== redirected).length, 0, 'answers that were not handed on');
    const known = new Set(learned(datapath.maps));
    const forgotten = both.flat().map(({ question, at }) => `${at} ${nameIdentity(automaton, [question.name.replace('a.', '*.')])}`).filter(row => !known.has(row));
    assert.deepEqual(forgotten, []);
  });
});
