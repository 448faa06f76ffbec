import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { eventually, TestCluster } from './cluster.ts';

interface GroupLine {
  readonly 'source-workload': string;
  readonly 'destination-workload': string;
  readonly verdict: string;
  readonly connections: number;
}

describe('the flow history of a cluster', { concurrency: 1 }, () => {
  const cluster = new TestCluster('h');
  before(async () => {
    await cluster.start();
    await cluster.podsReady('demo');
  });
  after(() => cluster.stop());

  async function groups(): Promise<readonly GroupLine[]> {
    const { stdout } = await cluster.cirri('flows', 'query', '--since', '1h', '--to-namespace', 'demo', '--protocol', 'tcp', '--group-by', 'source-workload,destination-workload,verdict', '-o', 'json');
    return stdout.trim().split('\n').filter(text => text.startsWith('{')).map(text => JSON.parse(text) as GroupLine);
  }

  const connections = (lines: readonly GroupLine[], from: string, verdict: string) =>
    lines.filter(line => line['source-workload'] === from && line['destination-workload'] === 'demo/api' && line.verdict === verdict).reduce((sum, line) => sum + line.connections, 0);

  test('what was let through and what was denied is counted once, whichever nodes saw it', async () => {
    for (let i = 0; i < 3; i++) await cluster.probe({ from: 'demo/frontend', to: 'demo/api', port: 80 });
    await cluster.probe({ from: 'demo/stranger', to: 'demo/api', port: 80 });
    await eventually('the connections are in the history', 20_000, async () => {
      const lines = await groups();
      const passed = connections(lines, 'demo/frontend', 'FORWARDED');
      return passed === 3 && connections(lines, 'demo/stranger', 'DROPPED') > 0 ? undefined : JSON.stringify(lines);
    });
  });

  test('a store that is killed has everything afterwards, and the agent did not notice', async () => {
    const agents = ['agent-node1', 'agent-node2'].map(name => cluster.pidOf(name));
    for (const name of ['history-node1', 'history-node2']) process.kill(cluster.pidOf(name), 'SIGKILL');
    for (let i = 0; i < 2; i++) await cluster.probe({ from: 'demo/frontend', to: 'demo/api', port: 80 });
    await eventually('the connections of before and since are in the history', 30_000, async () => {
      const lines = await groups();
      return connections(lines, 'demo/frontend', 'FORWARDED') === 5 ? undefined : JSON.stringify(lines);
    });
    assert.deepEqual(['agent-node1', 'agent-node2'].map(name => cluster.pidOf(name)), agents);
    // One node's store has all of it, too: the other may not be back yet.
    let stores: { readonly state: string; readonly gaps: readonly unknown[] }[] = [];
    await eventually('both record', 20_000, async () => {
      const { stdout } = await cluster.cirri('flows', 'status', '-o', 'json');
      stores = stdout.startsWith('[') ? JSON.parse(stdout) as typeof stores : [];
      return stores.length === 2 && stores.every(({ state }) => state === 'recording') ? undefined : stdout;
    });
    assert.deepEqual(stores.map(({ gaps }) => gaps), [[], []]);
  });

  test('a report and a question as of a moment name the policy that decided', async () => {
    const file = join(cluster.paths.state, 'report.html');
    assert.equal((await cluster.cirri('flows', 'report', 'demo', '--since', '1h', '-f', file)).code, 0);
    const html = readFileSync(file, 'utf8');
    for (const text of ['demo/frontend', 'demo/stranger', 'allow-frontend-to-api']) assert.ok(html.includes(text), text);
    const { stdout } = await cluster.cirri('flows', 'query', '--at', new Date().toISOString(), '--to-namespace', 'demo');
    assert.match(stdout, /demo\/stranger +demo\/api +8080\/TCP +ingress +DROPPED +default denial: demo\/allow-frontend-to-api/);
  });
});
