import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MapUse, type Countable } from './map-use.ts';

/** A map of so many pieces of 10 entries, each of which costs time on the test's clock. */
class SlowMap implements Countable {
  readonly spec = { name: 'slow', maxEntries: 1000 };
  pieces = 3;
  walks = 0;
  readonly #spend: () => void;
  constructor(spend: () => void) { this.#spend = spend; }
  *counts(): Generator<number> {
    this.walks++;
    for (let i = 0; i < this.pieces; i++) {
      this.#spend();
      yield 10;
    }
  }
}

const turn = () => new Promise(resolve => setImmediate(resolve));

test('many who ask at once get one count, and counting takes at most a twentieth of the time', async () => {
  let now = 0;
  const map = new SlowMap(() => { now += 100; });
  const use = new MapUse([map], () => now);
  const answers = await Promise.all(Array.from({ length: 50 }, () => use.read()));
  for (const answer of answers) assert.deepEqual(answer, [{ name: 'slow', used: 30, max: 1000 }]);
  assert.equal(map.walks, 1);
  map.pieces = 4;
  const counted = now;
  for (; now < counted + 300 / 0.05; now += 100) assert.deepEqual(await use.read(), [{ name: 'slow', used: 30, max: 1000 }]);
  assert.equal(map.walks, 1);
  await use.read();
  for (let i = 0; i < 10; i++) await turn();
  assert.equal(map.walks, 2);
  assert.equal((await use.read())[0]!.used, 40);
});

test('the event loop has its turn between two pieces', async () => {
  const map = new SlowMap(() => {});
  map.pieces = 100;
  let turns = 0;
  let over = false;
  const count = async () => {
    while (!over) {
      turns++;
      await turn();
    }
  };
  const counting = count();
  await new MapUse([map]).read();
  over = true;
  await counting;
  assert.ok(turns >= 90, String(turns));
});

test('a map that cannot be read fails the question, and the next one tries again', async () => {
  let broken = true;
  let now = 0;
  const map: Countable = { spec: { name: 'm', maxEntries: 1 }, *counts() { if (broken) throw new Error('no'); yield 1; } };
  const use = new MapUse([map], () => now);
  await assert.rejects(use.read(), /no/);
  broken = false;
  assert.equal((await use.read())[0]!.used, 1);
  broken = true;
  now += 1000;
  assert.equal((await use.read())[0]!.used, 1, 'what is known, while the next count begins');
  for (let i = 0; i < 3; i++) await turn();
  await assert.rejects(use.read(), /no/);
});
