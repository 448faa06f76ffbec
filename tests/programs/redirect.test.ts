/** Connections through a proxy on the node: who each end sees, and that nothing passes beside it. rig.ts has the picture. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { RigProxy } from './proxy-rig.ts';
import { addressesOf, BACKEND_PORT, pods, Rig } from './rig.ts';

const rig = new Rig({ ns: `cpr${process.pid % 100000}` });
const node = (): Rig['nodes'][number] => rig.nodes[0]!;
const [a, b] = [pods[0]!, pods[1]!];
let proxy: RigProxy;

before(async () => {
  await rig.start();
  RigProxy.prepare(rig, 1);
  proxy = await RigProxy.start(rig, node());
});
after(async () => {
  await proxy.kill();
  rig[Symbol.dispose]();
});

for (const i of [0, 1]) {
  describe(`a neighbour over ${i ? 'IPv6' : 'IPv4'}`, () => {
    test('layer 7 rules at the server', { timeout: 20_000 }, async () => {
      node().redirect(b.id, 7);
      assert.equal(rig.ask('a', 'tcp', addressesOf(b)[i]!), `${addressesOf(a)[i]} 10 ${addressesOf(b)[i]}`);
      assert.deepEqual(await proxy.says(2), [`accepted ${addressesOf(a)[i]} ${addressesOf(b)[i]}`, `carried ${addressesOf(a)[i]} ${addressesOf(b)[i]} 10`]);
    });
  });
}
