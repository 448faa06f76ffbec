/**
 * HTTP/1.1 in the kernel between a client and a server of our own, over a network that loses, repeats and reorders as a seed wants: what both
 * see must be what the model of a connection allows. CIRRI_SEED repeats a run; `--long` plays many times as many connections.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { compileHttpRules } from '../../src/policy/l7-match.ts';
import { Random, seedOfRun } from '../differential/random.ts';
import type { Datapath } from './harness.ts';
import { families, hasObject } from './harness.ts';
import type { Family } from './harness.ts';
import { clientWrites } from './http-client-writes.ts';
import { KernelBox, readAtDevice, readHere, restrictedDatapath } from './http-kernel-box.ts';
import { meddler } from './http-meddler.ts';
import { HttpWorld } from './http-world.ts';
import type { WorldOptions } from './http-world.ts';

const rules = [{ rule: 1, path: '/public.*', headers: [] }, { rule: 2, method: 'POST', path: '/post/[0-9]+', headers: [{ name: 'x-token', value: 'a' }] }];
const matcher = compileHttpRules(rules);
const rounds = process.env['CIRRI_LONG'] ? 1_000 : 100;
const seed = seedOfRun();

describe(`random connections through HTTP/1.1 in the kernel, CIRRI_SEED=${seed}`, { skip: !hasObject() && 'make -C bpf first' }, () => {
  let datapath: Datapath;
  let port = 1024;
  before(() => {
    datapath = restrictedDatapath(rules);
  });
  after(() => datapath.close());

  /** A third of the connections are read at the pod's device, a third where they are forwarded, and a third there from some segment on. */
  function boxOf(round: number, random: Random, family: Family): KernelBox {
    const third = Math.floor(3 * round / rounds), turn = random.integer(1, 40);
    if (third !== 1) readAtDevice(datapath);
    else readHere(datapath);
    return new KernelBox(datapath, family, port, third === 2 ? { after: turn, then: () => readHere(datapath) } : undefined);
  }

  function play(title: string, options: (random: Random) => Partial<WorldOptions> & { readonly writes: readonly Buffer[] }, mostResets = 0): void {
    test(title, t => {
      const random = new Random(seed);
      const sum = { packets: 0, requests: 0, denied: 0, resets: 0 };
      const startMs = performance.now();
      for (let round = 0; round < rounds; round++) {
        const family = families[round & 1]!;
        port = port >= 60_000 ? 1024 : port + 1;
        const box = boxOf(round, random, family);
        const world = new HttpWorld({ seed: random.seed(), box, matcher, ...options(random) });
        const faults = world.run();
        assert.deepEqual(faults, [], `CIRRI_SEED=${seed}, round ${round}\n${world.log.slice(process.env["CIRRI_TEST_VERBOSE"] ? 0 : -50).join('\n')}`);
        sum.packets += world.packets;
        sum.requests += world.app.answered;
        sum.denied += box.counts.answered;
        if (world.model.clientReset) sum.resets++;
        if (round % 64 === 0) datapath.told();
      }
      const minutes = (performance.now() - startMs) / 60_000;
      t.diagnostic(`${rounds} connections, ${sum.packets} packets, ${sum.requests} requests answered, ${sum.denied} by the kernel, ${sum.resets} connections reset; ${Math.round((sum.requests + sum.denied) / minutes)} requests a minute`);
      assert.ok(sum.resets <= mostResets * rounds, JSON.stringify(sum));
      assert.ok(sum.requests > rounds / 5 && sum.denied > rounds / 10, JSON.stringify(sum));
    });
  }

  play('honest clients in a quiet network', random => ({ writes: clientWrites(random, { hostile: 0 }), haste: random.pick([0, 0.05, 0.5]) }));
  play('honest clients, every request awaited', random => ({ writes: clientWrites(random, { hostile: 0 }), haste: 0 }));
  play('honest clients where packets are lost on their way to the node, repeated and overtaken', random => ({ writes: clientWrites(random, { hostile: 0 }), haste: random.pick([0, 0.05, 0.5]), loss: 0.1, lossBehind: 0, repeats: 0.1, reorders: 0.2 }));
  play('honest clients where packets are lost before the pod, too', random => ({ writes: clientWrites(random, { hostile: 0 }), haste: random.pick([0, 0.05, 0.5]), loss: 0.1, repeats: 0.1, reorders: 0.2 }));
  play('servers that answer early, in between, close, and change the protocol', random => ({ writes: clientWrites(random, { hostile: 0, upgrades: 0.2 }), haste: random.pick([0, 0.1]), loss: 0.03, reorders: 0.1, habits: { early: 0.3, interim: 0.3, closes: 0.1, upgrades: 0.5 } }), 0.15);
  play('malformed requests at some point', random => ({ writes: clientWrites(random, { hostile: 0.2 }), haste: random.pick([0, 0.05, 0.5]), loss: 0.05, repeats: 0.05, reorders: 0.1 }), 0.05);
  play('somebody puts other packets beside the client\'s', random => ({ writes: clientWrites(random, { hostile: 0.1 }), haste: random.pick([0, 0.1]), loss: 0.05, reorders: 0.1, attack: meddler(random) }), 1);
});
