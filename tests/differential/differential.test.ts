/** Random clusters, policies and packets: the naive evaluator, the engine, the tools and the loaded programs agree. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Kernel } from './kernel.ts';
import { Random, seedOfRun } from './random.ts';
import { run } from './run.ts';
import { disagreementText, shrink } from './shrink.ts';

const seed = seedOfRun();
/** `./cirri test --long` takes two millions. */
const runs = process.env['CIRRI_LONG'] === '1' ? 20 : 1;
const decisions = 100_000;

let kernel: Kernel;
before(() => { kernel = new Kernel(); });
after(() => kernel.close());
const seeds = new Random(seed);

for (let i = 0; i < runs; i++) {
  const own = i === 0 ? seed : seeds.seed();
  test(`naive evaluator, engine, tools and loaded programs agree on ${decisions} random decisions from seed ${own}`, async t => {
    const asked = kernel.asked;
    const { disagreement, ...count } = await run({ seed: own, decisions, kernel });
    t.diagnostic(`${count.decisions} decisions in ${count.clusters} clusters, ${count.byKernel} by the programs, which read ${kernel.asked - asked} connections: ${Object.entries(count.verdicts).map(([verdict, n]) => `${n} ${verdict}`).join('; ')}`);
    assert.ok(!disagreement, `CIRRI_SEED=${own}\n${disagreement ? disagreementText(shrink(disagreement, kernel)) : ''}`);
    // A generator that asks for nothing, or programs that answer nothing, would agree too.
    for (const verdict of ['allow', 'deny', 'audit', 'allow, in shadow deny']) assert.ok(count.verdicts[verdict]! > 0, `no ${verdict}`);
    assert.ok(kernel.asked - asked > 0, `no request went through the programs`);
    assert.ok(count.byKernel > decisions / 2, `only ${count.byKernel} by the programs`);
  });
}
