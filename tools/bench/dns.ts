/**
 * What a look-up costs under policy: a pod asks a resolver on its node, one question after the other. In each round twice while there is
 * no policy at all, which must not differ (A/A), and once while it may ask for `*.example.org` only, and its answers are learned.
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
import { folder } from './prepare.ts';

const instance = `b${process.pid.toString(36)}`.slice(0, 8);
const env = { ...process.env, CIRRI_INSTANCE: instance, NO_COLOR: '1' };
const root = join(import.meta.dirname, '..', '..');
const cells = ['none', 'none again', 'policy'] as const;
const questions = 2_000;
/** Microseconds at p50 that policy may add, and by which the pair may differ. */
const limitUs = 2;
const pairUs = 0.5;
const attempts = 3;

type Cell = (typeof cells)[number];

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
  readonly p50: Readonly<Record<Cell, Spread>>;
  readonly pair: Spread;
  readonly added: Spread;
}

export async function measureDns({ rounds, say }: { readonly rounds: number; readonly say: (text: string) => void }): Promise<DnsFigures> {
  say(`starting a cluster of one node (${instance})`);
  cirri('up', '--no-demo', '--nodes', '1');
  try {
    const world = await prepare();
    for (let attempt = 1; ; attempt++) {
      say(`run ${attempt} of at most ${attempts}: ${rounds} rounds of ${questions} questions (${cells.join(', ')})`);
      const figures = judge(measure(world, rounds));
      if (figures.isGood || attempt === attempts) return figures;
      say('the A/A pair is bad, the machine was busy with something else');
    }
  } finally {
    for (const close of closers.splice(0)) close();
    cirri('down');
  }
}

const closers: (() => void)[] = [];

interface World {
  readonly server: string;
  readonly client: Origin;
}

async function prepare(): Promise<World> {
  const paths = statePaths(instance, `/var/lib/cirri/${instance}`);
  const record = JSON.parse(readFileSync(paths.clusterJson, 'utf8')) as ClusterRecord;
  cirri('apply', '-f', manifest('pods', pods));
  const client = new KubeClient({ socketPath: paths.apiserverSocket, userAgent: 'cirri-bench' });
  const context: Context = { instance, paths, record, client };
  const addresses = await podAddresses(client);
  const directory = await Directory.read(context);
  client.close();
  const server = addresses.get('resolver')!;
  const serving = spawn('/bin/sh', inside(directory.origin('default/resolver'), ['serve', server]), { stdio: ['pipe', 'pipe', 'inherit'], env: toolEnv() });
  closers.push(() => serving.kill('SIGKILL'));
  await new Promise<void>((resolve, reject) => {
    serving.stdout.once('data', () => resolve());
    serving.once('close', code => reject(new Error(`the resolver ended (${code})`)));
  });
  return { server, client: directory.origin('default/client') };
}

async function podAddresses(client: KubeClient): Promise<Map<string, string>> {
  for (let i = 0; i < 600; i++) {
    const { items } = await client.list<Pod>(resources.pods, { namespace: 'default' });
    const addresses = new Map(items.flatMap(pod => (pod.status?.podIPs?.[0] ? [[pod.metadata.name, pod.status.podIPs[0].ip] as const] : [])));
    if (addresses.size === 2) return addresses;
    await new Promise(resolve => setTimeout(resolve, 100));
  }
  throw new Error('the pods did not start');
}

/** What changes slowly changes for all cells: they take turns, and every other round goes backwards. */
function measure(world: World, rounds: number): Record<Cell, number[]> {
  const p50: Record<Cell, number[]> = { none: [], 'none again': [], policy: [] };
  burst(world, 'warm.example.org', questions);
  for (let round = 0; round < rounds; round++) {
    for (const cell of round % 2 === 0 ? cells : cells.toReversed()) {
      setPolicy(world, cell === 'policy');
      burst(world, `warm${round}.example.org`, questions / 10);
      const { answered, p50: ns } = burst(world, `r${round}.example.org`, questions);
      if (answered < questions) throw new Error(`${cell}: ${questions - answered} of ${questions} questions had no answer`);
      p50[cell].push(ns / 1000);
    }
  }
  return p50;
}

/** In force once a name that it does not have is refused; gone once that is answered. */
function setPolicy(world: World, wanted: boolean): void {
  const isInForce = () => burst(world, 'www.example.com', 1).answered === 0;
  if (isInForce() === wanted) return;
  cirri(...(wanted ? ['apply'] : ['delete']), '-f', manifest('policy', policy));
  for (let i = 0; isInForce() !== wanted; i++) if (i > 1_000) throw new Error(`the policy is ${wanted ? 'not in force' : 'still in force'}`);
}

function burst({ server, client }: World, name: string, count: number): Burst {
  return JSON.parse(execFileSync('/bin/sh', inside(client, ['ask', server, '53', name, String(count)]), { encoding: 'utf8', env: toolEnv() })) as Burst;
}

function judge(p50: Record<Cell, number[]>): DnsFigures {
  const over = (one: (round: number) => number) => spread(p50.policy.map((_, round) => one(round)));
  const pair = over(round => p50['none again'][round]! - p50.none[round]!);
  const added = over(round => p50.policy[round]! - (p50.none[round]! + p50['none again'][round]!) / 2);
  const spreads = { none: spread(p50.none), 'none again': spread(p50['none again']), policy: spread(p50.policy) };
  const isGood = Math.abs(pair.median) <= pairUs;
  const isMet = isGood && added.median <= limitUs;
  const text = [
    '', `p50 of a look-up, µs (quarter points over the rounds)${isGood ? '' : '   (A/A pair bad: these figures do not count)'}`,
    ...cells.map(cell => `${cell.padEnd(12)} ${spreadText(spreads[cell])}`),
    `A/A          ${spreadText(pair)}`, `policy adds  ${spreadText(added)}; at most ${limitUs}: ${isMet ? 'met' : 'missed'}`,
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
  return ['-c', 'echo 0 >"$1/cgroup.procs" && shift && exec "$@"', 'cirri-bench', origin.cgroup, 'nsenter', `--net=${origin.netns}`, '--', join(root, 'build', 'cirri-dns'), ...args];
}

function cirri(...args: string[]): void {
  execFileSync(join(root, 'cirri'), args, { env, stdio: ['ignore', 'ignore', 'inherit'] });
}

function manifest(name: string, text: string): string {
  const file = join(folder, `dns-${name}.yaml`);
  writeFileSync(file, text);
  return file;
}

const pods = ['resolver', 'client'].map(name => `---
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: default, labels: { app: ${name} } }
spec: { terminationGracePeriodSeconds: 0, containers: [{ name: main, image: cirri/client }] }
`).join('');

const policy = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: names, namespace: default }
spec:
  endpointSelector: { matchLabels: { app: client } }
  egress:
    - toEndpoints: [{ matchLabels: { app: resolver } }]
      toPorts: [{ ports: [{ port: "53", protocol: UDP }], rules: { dns: [{ matchPattern: "*.example.org" }] } }]
    - toFQDNs: [{ matchPattern: "*.example.org" }]
`;
