/**
 * CNI ADD and DEL beside the standard plugins. Ours needs an agent with an API server: those of a throw-away cluster of one node
 * without a kubelet, whose pods exist in the API only.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { childSpecs, commandOf } from '../../src/cluster/children.ts';
import { bringDown } from '../../src/cluster/down.ts';
import { ensureNetwork, hostPrefixes } from '../../src/cluster/network.ts';
import { createProgress } from '../../src/cluster/progress.ts';
import { freeSubnet, makeRecord } from '../../src/cluster/record.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { resources } from '../../src/kube/resources.ts';
import { instanceFromEnv } from '../../src/model/cluster.ts';
import { waitFor } from '../../src/std/async.ts';
import { cgroupRoot, createCgroup } from '../../src/sys/cgroup.ts';
import { ensureBpffs } from '../../src/sys/mount.ts';
import { createNetns, deleteNetns } from '../../src/sys/netns.ts';
import { folder, prepareCni, root, run } from './prepare.ts';
import { median, quantile } from './ratios.ts';

const instance = 'pbcni';
const pods = 25;
const repetitions = 4;
const target = 0.6;

export interface CniFigures {
  readonly text: string;
  readonly isMet: boolean;
  readonly ratioP50: number;
  readonly ratioP95: number;
  readonly times: Readonly<Record<'bridge' | 'cirri', Readonly<Record<'ADD' | 'DEL', readonly number[]>>>>;
}

export async function measureCni({ say }: { readonly say: (text: string) => void }): Promise<CniFigures> {
  prepareCni();
  const state = join(folder, 'cni');
  const { paths } = instanceFromEnv({ CIRRI_INSTANCE: instance, CIRRI_STATE: state });
  const down = () => bringDown({ instance, paths, keepState: false }, createProgress(process.stderr, { quiet: true }));
  await down();
  const bridgeNetns = '/run/netns/pbcnib';
  deleteNetns(bridgeNetns);
  try {
    say('starting a throw-away cluster of one node');
    await start(state);
    createNetns(bridgeNetns);
    say(`${repetitions} × ${pods} pods with either plugin, in turn`);
    const { stdout } = run('nsenter', [`--net=${bridgeNetns}`, '--', 'python3', join(root, 'tools', 'bench', 'cni_pair.py'), String(pods), String(repetitions), join(root, 'build', 'cirri-cni'), paths.node('node1').cniSocket]);
    return figures(JSON.parse(stdout) as CniFigures['times']);
  } finally {
    deleteNetns(bridgeNetns);
    await down();
  }
}

async function start(state: string): Promise<void> {
  const env = { ...process.env, CIRRI_INSTANCE: instance, CIRRI_STATE: state };
  const { paths } = instanceFromEnv(env);
  const subnet = freeSubnet(hostPrefixes());
  if (subnet === undefined) throw new Error('no network 172.30.X.0/24 is free');
  const record = makeRecord({ instance, version: 'bench', nodes: 1, subnet, routing: 'tunnel', apiserverPort: await freePort() });
  for (const directory of [paths.state, paths.run, paths.logs, `${paths.run}/node1`]) mkdirSync(directory, { recursive: true, mode: 0o700 });
  writeFileSync(paths.clusterJson, JSON.stringify(record));
  ensureBpffs(paths.bpffs);
  ensureNetwork(record, paths);
  createCgroup(`${instance}/node1/system`);
  for (const spec of childSpecs(record, paths, root, cgroupRoot()).filter(child => !child.name.startsWith('kubelet'))) {
    const [file, args] = commandOf(spec, process.execPath, ['--disable-warning=ExperimentalWarning']);
    const log = openSync(join(paths.logs, `${spec.name}.log`), 'a', 0o600);
    spawn(file, args, { detached: true, stdio: ['ignore', log, log], env: { ...env, CIRRI_PROCESS: spec.name } }).unref();
  }
  const client = new KubeClient({ socketPath: paths.apiserverSocket });
  const ready = await waitFor('the API server', () => client.raw('GET', '/readyz').then(() => true, () => undefined), { timeoutMs: 20_000 });
  if (!ready) throw new Error('the API server does not answer');
  await waitFor('the default namespace', () => client.get(resources.namespaces, 'default').then(found => found !== undefined || undefined, () => undefined), { timeoutMs: 20_000 });
  // A pod of a node that nobody has heard of would be collected.
  await client.create(resources.nodes, { apiVersion: 'v1', kind: 'Node', metadata: { name: 'node1' } });
  for (let i = 0; i < pods; i++) {
    await client.create(resources.pods, {
      apiVersion: 'v1', kind: 'Pod', metadata: { name: `pod-${i}`, namespace: 'default', labels: { app: `app-${i % 5}` } },
      spec: { nodeName: 'node1', containers: [{ name: 'main', image: 'none', ports: [{ name: 'http', containerPort: 8080 }] }] },
    });
  }
  client.close();
  await waitFor('the agent', () => existsSync(paths.node('node1').cniSocket), { timeoutMs: 20_000 });
}

function figures(times: CniFigures['times']): CniFigures {
  const row = (kind: 'bridge' | 'cirri', command: 'ADD' | 'DEL') => {
    const all = times[kind][command];
    return `| ${kind === 'bridge' ? 'bridge + host-local' : 'cirri'} | ${command} | ${median(all).toFixed(2)} | ${quantile(all, 0.95).toFixed(2)} | ${Math.min(...all).toFixed(2)} | ${all.length} |`;
  };
  const ratioP50 = median(times.cirri.ADD) / median(times.bridge.ADD);
  const ratioP95 = quantile(times.cirri.ADD, 0.95) / quantile(times.bridge.ADD, 0.95);
  const isMet = ratioP50 <= target;
  return {
    times, ratioP50, ratioP95, isMet,
    text: [
      '| plugin | command | p50 ms | p95 ms | least | calls |', '|---|---|---|---|---|---|',
      row('bridge', 'ADD'), row('cirri', 'ADD'), row('bridge', 'DEL'), row('cirri', 'DEL'), '',
      `${isMet ? '✓' : '✗'} CNI ADD p50: cirri / bridge = ${ratioP50.toFixed(3)} (target ≤ ${target}); p95: ${ratioP95.toFixed(3)}`,
    ].join('\n'),
  };
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().on('error', reject).listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => (typeof address === 'object' && address ? resolve(address.port) : reject(new Error('no port'))));
    });
  });
}
