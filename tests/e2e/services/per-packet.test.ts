import { after, before, describe } from 'node:test';
import { insideTests } from './inside.ts';
import { outsideTests } from './outside-tests.ts';
import { external } from '../outside.ts';
import { World } from './world.ts';

describe('services of pods translated packet by packet: socketLB.hostNamespaceOnly', { concurrency: false }, () => {
  const world = new World('q');
  before(() => world.start('--set', 'socketLB.hostNamespaceOnly=true', '--set', `externalIPs.allowed={${external.ranges4[1]},${external.ranges6[1]}}`));
  after(() => world.stop());

  insideTests(world, { perPacket: true });
  outsideTests(world, { mode: 'snat' });
});
