import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync, utimesSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parseRecord } from '../../src/model/cluster.ts';
import { TestCluster } from './cluster.ts';

/** Opens a connection to a service again and again; a line for each: `ok`, or what went wrong. */
const caller = `
import socket, sys, time
while True:
    try:
        s = socket.create_connection((sys.argv[1], 80), 2); s.sendall(b'GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')
        print('ok' if s.recv(1) else 'empty', flush=True); s.close()
    except Exception as e: print(repr(e), flush=True)
    time.sleep(0.01)
`;

class Caller {
  readonly #child: ChildProcess;
  readonly lines: string[] = [];
  #heard = Promise.withResolvers<void>();

  constructor(cluster: TestCluster, address: string) {
    this.#child = spawn(fileURLToPath(new URL('../../cirri', import.meta.url)), ['exec', 'demo/frontend', '--', 'python3', '-c', caller, address], { env: cluster.env, stdio: ['ignore', 'pipe', 'inherit'] });
    createInterface({ input: this.#child.stdout! }).on('line', line => {
      this.lines.push(line);
      this.#heard.resolve();
      this.#heard = Promise.withResolvers<void>();
    });
  }

  /** So many more. */
  async more(count: number): Promise<void> {
    const wanted = this.lines.length + count;
    while (this.lines.length < wanted) await this.#heard.promise;
  }

  stop(): void {
    this.#child.kill('SIGKILL');
  }
}

describe('settings of a cluster that is up', () => {
  const cluster = new TestCluster('g');
  const record = () => parseRecord(readFileSync(cluster.paths.clusterJson, 'utf8'));
  const set = async (...settings: string[]) => {
    const done = await cluster.cirri('config', 'set', ...settings);
    assert.equal(done.code, 0, done.stderr);
    return done.stdout;
  };
  before(() => cluster.start('--set', 'maglev.tableSize=509,ipMasqAgent.enabled=true', '--set', 'serviceNoBackendResponse=drop'));
  after(() => cluster.stop());

  test('what up was given is what config view shows, in a form that up takes again', async () => {
    const shown = JSON.parse((await cluster.cirri('config', 'view', '-o', 'json')).stdout) as { maglev: { tableSize: number }; loadBalancer: { serviceNoBackendResponse: string } };
    assert.equal(shown.maglev.tableSize, 509);
    assert.equal(shown.loadBalancer.serviceNoBackendResponse, 'drop');
    const agent = cluster.pidOf('agent-node1');
    const again = await cluster.cirri('up', '--set', 'maglev.tableSize=509');
    assert.match(again.stdout, /nothing changed/);
    assert.equal(cluster.pidOf('agent-node1'), agent);
  });

  test('a change reaches every agent and no connection fails meanwhile', { timeout: 240_000 }, async () => {
    const service = (JSON.parse((await cluster.cirri('get', 'svc', 'api', '-n', 'demo', '-o', 'json')).stdout) as { spec: { clusterIP: string } }).spec.clusterIP;
    const denied = { from: 'demo/stranger', to: 'demo/api', port: 80, expect: 'denied' } as const;
    await cluster.expectAll([denied]);
    const calls = new Caller(cluster, service);
    try {
      await calls.more(20);
      const before = ['agent-node1', 'agent-node2'].map(name => cluster.pidOf(name));
      const told = await set('policyAuditMode=true', 'loadBalancer.algorithm=maglev');
      assert.match(told, /policyAuditMode is now true/);
      assert.match(told, /loadBalancer.algorithm is now maglev/);
      ['agent-node1', 'agent-node2'].forEach((name, i) => assert.notEqual(cluster.pidOf(name), before[i]));
      await cluster.expectAll([{ ...denied, expect: 'allowed' }]);
      await calls.more(20);
      await set('policyAuditMode', 'null');
      await cluster.expectAll([denied]);
      await calls.more(20);
    } finally {
      calls.stop();
    }
    assert.deepEqual([...new Set(calls.lines)], ['ok'], `of ${calls.lines.length} connections`);
    assert.ok(calls.lines.length > 100, `${calls.lines.length} connections`);
    assert.match((await cluster.cirri('config', 'set', 'loadBalancer.algorithm=maglev')).stdout, /nothing changed/);
  });

  test('what cannot change is refused before anything is changed', async () => {
    const was = readFileSync(cluster.paths.clusterJson, 'utf8');
    const refused = await cluster.cirri('config', 'set', 'maglev.tableSize=251', 'routingMode=native');
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /routingMode tunnel, not native/);
    assert.equal(readFileSync(cluster.paths.clusterJson, 'utf8'), was);
    assert.match((await cluster.cirri('up', '--routing', 'native')).stderr, /routingMode tunnel, not native/);
  });

  test('an agent that missed a change, because the command was interrupted, is found by the next up', async () => {
    const later = new Date(Date.now() + 1);
    utimesSync(cluster.paths.clusterJson, later, later);
    const before = cluster.pidOf('agent-node2');
    const up = await cluster.cirri('up');
    assert.equal(up.code, 0, up.stderr);
    assert.notEqual(cluster.pidOf('agent-node2'), before);
    assert.equal(record().settings.maglev.tableSize, 509);
  });

  test('tables take another size while the cluster is up, and the command that reads them finds them', async () => {
    const told = await cluster.cirri('config', 'set', 'bpf.ctMax=4096', 'bpf.lbMapMax=2048');
    assert.equal(told.code, 0, told.stderr);
    assert.match(told.stderr, /bpf.ctMax: connections are tracked anew/);
    await cluster.expectAll([{ from: 'demo/frontend', to: 'demo/api', port: 80, expect: 'allowed' }]);
    const maps = (JSON.parse((await cluster.cirri('status', '-o', 'json')).stdout) as { agents: { maps: { name: string; max: number }[] }[] }).agents[0]!.maps;
    for (const [name, max] of [['conntrack', 4096], ['services', 2048], ['service_slots', 16384]] as const) assert.equal(maps.find(map => map.name === name)?.max, max, name);
    assert.notDeepEqual(JSON.parse((await cluster.cirri('bpf', 'ct', 'list', '-o', 'json')).stdout), []);
    assert.match((await cluster.cirri('bpf', 'lb', 'list')).stdout, /10\.96\.0\.10:53\/UDP/);
  });

  test("ip-masq-agent's ConfigMap reaches the kernel and is followed", async () => {
    const prefixes = async () => (await cluster.cirri('bpf', 'ipmasq', 'list')).stdout.trim().split('\n').slice(1).sort();
    assert.ok((await prefixes()).includes('10.0.0.0/8'), 'the usual list, when there is no object');
    await cluster.with('apiVersion: v1\nkind: ConfigMap\nmetadata: { name: ip-masq-agent, namespace: kube-system }\ndata:\n  config: |\n    nonMasqueradeCIDRs: [198.51.100.0/24]\n    masqLinkLocalIPv6: true\n', [], async () => {
      for (let left = 100; (await prefixes()).length !== 2 && left > 0; left--);
      assert.deepEqual(await prefixes(), ['169.254.0.0/16', '198.51.100.0/24']);
    });
  });
});
