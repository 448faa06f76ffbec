import { after, before, describe } from 'node:test';
import { external } from '../outside.ts';
import { insideTests } from './inside.ts';
import { outsideTests } from './outside-tests.ts';
import { World } from './world.ts';

describe('services where TCP of two pods of a node goes from socket to socket: sockmap.enabled', { concurrency: false }, () => {
  const world = new World('m');
  before(() => world.start('--set', 'sockmap.enabled=true', '--set', `externalIPs.allowed={${external.ranges4[1]},${external.ranges6[1]}}`));
  after(() => world.stop());

  insideTests(world, { perPacket: false });
  outsideTests(world, { mode: 'snat' });
});
