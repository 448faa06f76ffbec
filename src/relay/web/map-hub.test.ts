import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MapEdge, MapInterval, MapNode } from '../../model/service-map.ts';
import { silentLogger } from '../../std/log.ts';
import { MapHub } from './map-hub.ts';
import type { PastQuery, WebHistory } from './sources.ts';

const began = Date.parse('2026-11-29T12:00:00.000Z');
const time = (seconds: number) => new Date(began + 1000 * seconds).toISOString();
const seconds = (text: string) => (Date.parse(text) - began) / 1000;
const node = (id: string, services: readonly string[] = []) => ({ id, labels: [], services }) as unknown as MapNode;
const edge = (source: string, forwarded: number) => ({ source, destination: 'api', protocol: 'TCP', port: 80, forwarded, dropped: 0, audited: 0, errors: 0, requests: 0, bytesOut: 0, bytesBack: 0, packetsOut: 0, packetsBack: 0 }) as MapEdge;

/** A cluster whose intervals come when the test says so. */
function lookedAt(history?: (query: PastQuery) => Promise<MapInterval>) {
  let next = Promise.withResolvers<MapInterval>();
  const hub = new MapHub({
    async* watchMap(signal) {
      while (!signal.aborted) yield await next.promise;
    },
    ...(history && { history: { map: history } as WebHistory }),
  }, { log: silentLogger });
  const told: string[] = [];
  hub.listen({ interval: ({ since }) => told.push(`${seconds(since)}`), recalled: () => told.push('recalled') });
  return {
    hub, told,
    async comes(interval: MapInterval): Promise<void> {
      const now = next;
      next = Promise.withResolvers();
      now.resolve(interval);
      while (!told.includes(`${seconds(interval.since)}`)) await new Promise(setImmediate);
    },
    async hears(what: string, times: number): Promise<void> {
      while (told.filter(one => one === what).length < times) await new Promise(setImmediate);
    },
  };
}

const live = (at: number): MapInterval => ({ since: time(at), until: time(at + 1), nodes: [node('web', ['web:80'])], edges: [edge('web', 1)] });

test('who begins to look is told of the quarter of an hour before, by the history, without a gap and nothing twice', async () => {
  let asked = 0;
  const { hub, comes, hears, told } = lookedAt(async ({ since, until, whitelist }) => {
    assert.deepEqual(whitelist, []);
    asked++;
    return { since, until, nodes: [node('web'), node('past')], edges: [edge('past', (Date.parse(until) - Date.parse(since)) / 1000)] };
  });
  await comes(live(0));
  await hears('recalled', 1);
  await comes(live(1));
  await hears('recalled', 2);
  const { intervals } = hub;
  assert.deepEqual([seconds(intervals[0]!.since), seconds(intervals.at(-1)!.until)], [-900, 2]);
  for (const [i, interval] of intervals.entries()) if (i > 0) assert.equal(interval.since, intervals[i - 1]!.until);
  assert.deepEqual(intervals.map(({ since, until }) => seconds(until) - seconds(since)), [...new Array<number>(14).fill(60), 15, 15, 15, 15, 1, 1]);
  const counted = intervals.flatMap(({ edges }) => edges).filter(({ source }) => source === 'past').reduce((sum, { forwarded }) => sum + forwarded, 0);
  assert.equal(counted, 900);
  assert.deepEqual([hub.nodes.get('past'), hub.nodes.get('web')], [node('past'), node('web', ['web:80'])], 'what is said now of a node is newer');
  assert.equal(asked, 18);
  // A second one who looks finds it there.
  hub.listen({ interval: () => {}, recalled: () => assert.fail('nothing new') });
  assert.equal(hub.intervals.length, 20);
  assert.equal(told.filter(one => one === 'recalled').length, 2);
  hub.close();
});

test('what was recalled leaves with the time: never more than a quarter of an hour is kept', async () => {
  const { hub, comes, hears } = lookedAt(async ({ since, until }) => ({ since, until, nodes: [node('past')], edges: [edge('past', 1)] }));
  await comes(live(0));
  await hears('recalled', 2);
  for (let at = 1; at < 1200; at++) await comes(live(at));
  const { intervals } = hub;
  assert.ok(intervals.length <= 60 + 75 && seconds(intervals[0]!.since) >= 0, `${intervals.length} since ${intervals[0]!.since}`);
  assert.deepEqual([...hub.nodes.keys()], ['web'], 'and the nodes of which nothing is said any more');
  hub.close();
});

test('a history that does not answer, or none: the map begins now', async () => {
  const failed = Promise.withResolvers<void>();
  for (const history of [undefined, async (): Promise<MapInterval> => {
    failed.resolve();
    throw new Error('the flow history does not answer');
  }]) {
    const { hub, comes, told } = lookedAt(history);
    await comes(live(0));
    if (history) await failed.promise;
    await comes(live(1));
    assert.deepEqual([told, hub.intervals.length], [['0', '1'], 2]);
    hub.close();
  }
});

test('who left before the history had answered is told nothing, and nothing stays', async () => {
  const answer = Promise.withResolvers<MapInterval>();
  const { hub, comes, told } = lookedAt(() => answer.promise);
  await comes(live(0));
  hub.close();
  answer.resolve({ since: time(-15), until: time(0), nodes: [node('past')], edges: [] });
  await new Promise(setImmediate);
  assert.deepEqual([told, hub.intervals.length, hub.nodes.size], [['0'], 0, 0]);
});
