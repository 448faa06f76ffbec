import { after, before, describe } from 'node:test';
import { kernelTests } from './kernel-tests.ts';
import { insideTests } from './inside.ts';
import { outsideTests } from './outside-tests.ts';
import { external } from '../outside.ts';
import { World } from './world.ts';

describe('services as a cluster comes up: tunnel, socket hooks everywhere, SNAT', { concurrency: false }, () => {
  const world = new World('s');
  before(() => world.start('--set', `externalIPs.allowed={${external.ranges4[1]},${external.ranges6[1]}}`));
  after(() => world.stop());

  kernelTests(world);
  insideTests(world, { perPacket: false });
  outsideTests(world, { mode: 'snat' });
});
