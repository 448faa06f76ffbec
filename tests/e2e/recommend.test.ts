import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { ObservedPair } from '../../src/model/observed.ts';
import { eventually, TestCluster } from './cluster.ts';

const cluster = new TestCluster('y');

before(() => cluster.start());
after(() => cluster.stop());

interface ReplayJson { readonly connections: number; readonly wouldDeny: readonly ObservedPair[]; readonly wouldAllow: readonly ObservedPair[] }
interface RecommendJson { readonly policies: readonly { readonly metadata: { readonly name: string } }[]; readonly left: readonly { readonly reason: string }[]; readonly replay: ReplayJson }

async function recommendation(): Promise<RecommendJson> {
  const found = await cluster.cirri('policy', 'recommend', 'demo', '--since', '10m', '-o', 'json');
  assert.equal(found.code, 0, found.stderr);
  return JSON.parse(found.stdout) as RecommendJson;
}

test('policies are proposed from what was recorded, tried on it, and in force let the same pass and nothing else', async () => {
  await cluster.probes([
    { from: 'demo/frontend', to: 'demo/api', port: 80, expect: 'allowed' },
    { from: 'demo/stranger', to: 'demo/api', port: 80, expect: 'denied' },
  ]);
  const found = await eventually('both connections are in the history', 20_000, async () => {
    const listed = await cluster.cirri('policy', 'recommend', 'demo', '--since', '10m', '-o', 'json');
    const json = listed.code === 0 ? JSON.parse(listed.stdout) as RecommendJson : undefined;
    return json?.policies.length === 2 && json.left.length >= 2 ? undefined : listed.stdout + listed.stderr;
  }).then(recommendation);
  assert.deepEqual(found.policies.map(policy => policy.metadata.name), ['api', 'frontend']);
  assert.deepEqual(found.replay.wouldDeny, [], 'a proposal denies nothing that it was made from');
  assert.equal((await cluster.cirri('policy', 'recommend', 'nobody')).code, 1);

  const yaml = await cluster.cirri('policy', 'recommend', 'demo', '--since', '10m');
  assert.match(yaml.stderr, /nothing would have been different/);
  await cluster.with(yaml.stdout, [], async () => {
    await cluster.expectAll([
      { from: 'demo/frontend', to: 'demo/api', port: 80, expect: 'allowed' },
      { from: 'demo/stranger', to: 'demo/api', port: 80, expect: 'denied' },
      { from: 'demo/api', to: 'demo/frontend', port: 80, expect: 'denied' },
    ]);
  });
});

test('a policy is tried on the history before anybody applies it', async () => {
  const strict = 'apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: { name: shut, namespace: demo }\nspec: { endpointSelector: { matchLabels: { app: frontend } }, egressDeny: [{ toEntities: [all] }] }\n';
  const file = cluster.file(strict);
  const tried = await cluster.cirri('policy', 'replay', '-f', file, '--since', '10m', '-o', 'json', '--exit-code');
  assert.equal(tried.code, 1, tried.stderr);
  const { wouldDeny, wouldAllow } = JSON.parse(tried.stdout) as ReplayJson;
  assert.ok(wouldDeny.some(pair => pair.direction === 'EGRESS' && pair.source.workload?.name === 'frontend' && pair.port === 8080));
  // The proposals of the first test are gone again, and what they denied would pass.
  assert.ok(wouldAllow.every(pair => pair.destination.workload?.name === 'frontend'), JSON.stringify(wouldAllow));
  const shown = await cluster.cirri('policy', 'replay', '-f', file, '--since', '10m');
  assert.match(shown.stdout, /demo\/frontend → demo\/api 8080\/TCP/);
  assert.match(shown.stdout, /shut/);
  const now = await cluster.cirri('policy', 'replay', '--since', '10m', '--exit-code');
  assert.equal(now.code, 0, now.stdout);
});
