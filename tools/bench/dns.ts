/**
 * What a look-up costs under policy: three pods of one node ask a resolver on the same node, one question after the other. Two of them
 * are in no policy and must not differ (A/A); the third may ask for `*.example.org` only, and its answers are learned.
 */
import { execFileSync, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Context } from '../../src/cli/context.ts';
import type { Origin } from '../../src/cli/probe/helper.ts';
import { Directory } from '../../src/cli/probe/target.ts';
import { toolEnv } from '../../src/cluster/outside.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { resources } from '../../src/kube/resources.ts';
import type { Pod } from '../../src/kube/types.ts';
import { statePaths, type ClusterRecord } from '../../src/model/cluster.ts';
import { build, folder } from './prepare.ts';

const instance = `b${process.pid.toString(36)}`.slice(0, 8);
const env = { ...process.env, CIRRI_INSTANCE: instance, NO_COLOR: '1' };
const root = join(import.meta.dirname, '..', '..');
const clients = ['plain-1', 'plain-2', 'named'] as const;
const questions = 2_000;
/** Microseconds at p50 that policy may add, and by which the pair may differ. */
const limitUs = 2;
const pairUs = 0.5;
const attempts = 3;

type Client = (typeof clients)[number];

interface Burst {
  readonly answered: number;
  readonly p50: number;
}

interface Spread {
  readonly low: number;
  readonly median: number;
  readonly high: number;
}

export interface DnsFigures {
  readonly text: string;
  readonly isMet: boolean;
  readonly isGood: boolean;
  /** Microseconds. */
  readonly p50: Readonly<Record<Client, Spread>>;
  readonly pair: Spread;
  readonly added: Spread;
}

export async function measureDns({ rounds, say }: { readonly rounds: number; readonly say: (text: string) => void }): Promise<DnsFigures> {
  say(`starting a cluster of one node (${instance})`);
  cirri('up', '--no-demo', '--nodes', '1');
  try {
    const world = await prepare();
    for (let attempt = 1; ; attempt++) {
      say(`run ${attempt} of at most ${attempts}: ${rounds} rounds of ${questions} questions from ${clients.join(', ')}`);
      const figures = judge(measure(world, rounds));
      if (figures.isGood || attempt === attempts) return figures;
      say('the A/A pair is bad, the machine was busy with something else');
    }
  } finally {
    cirri('down');
  }
}

interface World {
  readonly server: string;
  readonly origins: Readonly<Record<Client, Origin>>;
}

async function prepare(): Promise<World> {
  const paths = statePaths(instance, `/var/lib/cirri/${instance}`);
  const record = JSON.parse(readFileSync(paths.clusterJson, 'utf8')) as ClusterRecord;
  const file = join(folder, 'dns.yaml');
  writeFileSync(file, manifest());
  cirri('apply', '-f', file);
  const client = new KubeClient({ socketPath: paths.apiserverSocket, userAgent: 'cirri-bench' });
  const context: Context = { instance, paths, record, client };
  const addresses = await podAddresses(client);
  const directory = await Directory.read(context);
  const originOf = (pod: string) => directory.origin(`default/${pod}`);
  client.close();
  const server = addresses.get('resolver')!;
  const serving = spawn('/bin/sh', inside(originOf('resolver'), ['serve', server]), { stdio: ['pipe', 'pipe', 'inherit'], env: toolEnv() });
  serving.unref();
  process.once('exit', () => serving.kill('SIGKILL'));
  await new Promise(resolve => serving.stdout.once('data', resolve));
  const world = { server, origins: { 'plain-1': originOf('plain-1'), 'plain-2': originOf('plain-2'), named: originOf('named') } };
  // Policy is in force once the one pod is refused, and the others never are.
  for (let i = 0; burst(world, 'named', 'www.example.com', 1).answered > 0; i++) if (i > 200) throw new Error('the policy did not come into force');
  return world;
}

async function podAddresses(client: KubeClient): Promise<Map<string, string>> {
  for (let i = 0; i < 600; i++) {
    const { items } = await client.list<Pod>(resources.pods, { namespace: 'default' });
    const addresses = new Map(items.flatMap(pod => (pod.status?.podIPs?.[0] ? [[pod.metadata.name, pod.status.podIPs[0].ip] as const] : [])));
    if (addresses.size === clients.length + 1) return addresses;
    await new Promise(resolve => setTimeout(resolve, 100));
  }
  throw new Error('the pods did not start');
}

/** Each round has every client once, each time in another order: what changes slowly changes for all. */
function measure(world: World, rounds: number): Record<Client, number[]> {
  const p50: Record<Client, number[]> = { 'plain-1': [], 'plain-2': [], named: [] };
  for (const client of clients) burst(world, client, 'warm.example.org', questions);
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < clients.length; i++) {
      const client = clients[(round + i) % clients.length]!;
      const { answered, p50: ns } = burst(world, client, `r${round}.example.org`, questions);
      if (answered < questions) throw new Error(`${client}: ${questions - answered} of ${questions} questions had no answer`);
      p50[client].push(ns / 1000);
    }
  }
  return p50;
}

function burst({ server, origins }: World, client: Client, name: string, count: number): Burst {
  return JSON.parse(execFileSync('/bin/sh', inside(origins[client], ['ask', server, '53', name, String(count)]), { encoding: 'utf8', env: toolEnv() })) as Burst;
}

function judge(p50: Record<Client, number[]>): DnsFigures {
  const differences = (one: (round: number) => number) => spread(p50.named.map((_, round) => one(round)));
  const pair = differences(round => p50['plain-2'][round]! - p50['plain-1'][round]!);
  const added = differences(round => p50.named[round]! - (p50['plain-1'][round]! + p50['plain-2'][round]!) / 2);
  const spreads = { 'plain-1': spread(p50['plain-1']), 'plain-2': spread(p50['plain-2']), named: spread(p50.named) };
  const isGood = Math.abs(pair.median) <= pairUs;
  const isMet = isGood && added.median <= limitUs;
  const text = [
    '', `p50 of a look-up, µs (quarter points over the rounds)${isGood ? '' : '   (A/A pair bad: these figures do not count)'}`,
    ...clients.map(client => `${client.padEnd(8)} ${spreadText(spreads[client])}`),
    `A/A      ${spreadText(pair)}`, `policy adds ${spreadText(added)}; at most ${limitUs}: ${isMet ? 'met' : 'missed'}`,
  ].join('\n');
  return { text, isMet, isGood, p50: spreads, pair, added };
}

function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]!;
  return { low: at(0.25), median: at(0.5), high: at(0.75) };
}

function spreadText({ low, median, high }: Spread): string {
  return `${median.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`;
}

function inside(origin: Origin, args: readonly string[]): string[] {
  return ['-c', 'echo 0 >"$1/cgroup.procs" && shift && exec "$@"', 'cirri-bench', origin.cgroup, 'nsenter', `--net=${origin.netns}`, '--', join(build, 'cirri-dns'), ...args];
}

function cirri(...args: string[]): void {
  execFileSync(join(root, 'cirri'), args, { env, stdio: ['ignore', 'ignore', 'inherit'] });
}

function manifest(): string {
  const pods = ['resolver', ...clients].map(name => `---
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: default, labels: { app: ${name} } }
spec: { terminationGracePeriodSeconds: 0, containers: [{ name: main, image: cirri/client }] }
`);
  return `${pods.join('')}---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: names, namespace: default }
spec:
  endpointSelector: { matchLabels: { app: named } }
  egress:
    - toEndpoints: [{ matchLabels: { app: resolver } }]
      toPorts: [{ ports: [{ port: "53", protocol: UDP }], rules: { dns: [{ matchPattern: "*.example.org" }] } }]
    - toFQDNs: [{ matchPattern: "*.example.org" }]
`;
}
