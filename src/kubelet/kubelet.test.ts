import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { TestNode } from './testing.ts';

describe('a pod on a node', () => {
  let node: TestNode;
  before(async () => {
    node = new TestNode();
    await node.start();
  });
  after(() => node.remove());

  test('cirri/echo runs, is ready, and answers inside its own network namespace', async () => {
    const began = performance.now();
    node.addPod('echo', { containers: [{ name: 'web', image: 'cirri/echo', ports: [{ containerPort: 8080 }] }] });
    const status = await node.untilReady('echo');
    console.log(`ready after ${Math.round(performance.now() - began)} ms`);
    assert.equal(status.phase, 'Running');
    assert.deepEqual(status.podIPs, [{ ip: '10.244.1.9' }, { ip: 'fd00:10:244:1::9' }]);
    const netns = node.kubelet.find('default', 'echo')!.record.sandbox!.netns;
    const answer = JSON.parse(execFileSync('nsenter', [`--net=${netns}`, 'curl', '-s', '--retry', '3', '--retry-connrefused', 'http://127.0.0.1:8080/hi'], { encoding: 'utf8' })) as { pod: string; node: string };
    assert.equal(answer.pod, 'echo');
    assert.equal(answer.node, 'node1');
  });
});
