/**
 * What carrying out two HTTP rules costs in a cluster's datapath: wrk in one pod, nginx in another, and between them nothing, HAProxy or
 * nginx in a pod of theirs, the node's proxy, or the kernel. All in one run, in turns; "direct" twice (A/A). Processor time is the whole
 * machine's: what all processors did while a burst ran, by request. What a way costs is that less what "direct" took in the same round.
 * Ours also tell of each request and answer, to metrics and the history on disk, which the others do not: what the agent and the history
 * take for that is measured by itself and not part of the cost, as where the proxy is measured alone (l7.ts).
 */
import { execFile, execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Context } from '../../src/cli/context.ts';
import type { Origin } from '../../src/cli/probe/helper.ts';
import { Directory } from '../../src/cli/probe/target.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { resources } from '../../src/kube/resources.ts';
import type { Pod } from '../../src/kube/types.ts';
import { statePaths, type ClusterRecord } from '../../src/model/cluster.ts';
import type { ProxyStatus } from '../../src/model/l7-proxy.ts';
import type { HttpSetPlace } from '../../src/model/l7-kernel.ts';
import { waitFor } from '../../src/std/async.ts';
import { ended, processorUs, wrkFigures, type Measured } from './l7.ts';
import { folder, prepareL7, root } from './prepare.ts';
import { isGoodPair, quantile, ratio, type Burst, type HarnessResult, type Ratio, type Verdict } from './ratios.ts';
import { tableText, verdictText } from './report.ts';

const exec = promisify(execFile);
const instance = `k${process.pid.toString(36)}`.slice(0, 8);
const env = { ...process.env, CIRRI_INSTANCE: instance, NO_COLOR: '1' };
const ways = [
  { name: 'direct', pod: 'origin', port: 9000 }, { name: 'direct-again', pod: 'origin', port: 9008 },
  { name: 'haproxy', pod: 'haproxy', port: 9002 }, { name: 'nginx', pod: 'nginx', port: 9001 },
  { name: 'proxy', pod: 'origin', port: 9004 }, { name: 'kernel', pod: 'origin', port: 9005 },
] as const;
const modes = { '1 connection': 1, '32 connections': 32 } as const;
const warmUpSeconds = 2;

type Way = (typeof ways)[number];

/** `cpu_us` is without `aux_us`: what the agent and the history, which tell of requests, took. */
interface KernelBurst extends Burst {
  readonly aux_us: number;
}

export interface L7KernelFigures {
  readonly text: string;
  readonly isMet: boolean;
  readonly isGood: boolean;
  readonly verdicts: readonly Verdict[];
  readonly result: HarnessResult;
}

interface World {
  readonly client: Origin;
  readonly addresses: ReadonlyMap<string, string>;
  /** Processes of the agent and the history. */
  readonly tellers: readonly number[];
}

export async function measureL7Kernel(options: { readonly rounds: number; readonly secs: number; readonly say: (text: string) => void }): Promise<L7KernelFigures> {
  const { rounds, secs, say } = options;
  prepareL7();
  const work = join(folder, 'l7-kernel');
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  const children: ChildProcess[] = [];
  say(`starting a cluster of one node (${instance})`);
  cirri('up', '--no-demo', '--nodes', '1');
  try {
    const world = await prepare(work, children);
    for (const way of ways) await checkRules(world, way);
    for (const way of ways) await wrk(world, way, 32, warmUpSeconds);
    const result: HarnessResult = { cells: ways.map(({ name }) => name), res: Object.fromEntries(ways.map(({ name }) => [name, Object.fromEntries(Object.keys(modes).map(mode => [mode, []]))])), prog: {}, load: [] };
    for (let round = 0; round < rounds; round++) {
      say(`round ${round + 1} of ${rounds}`);
      for (const way of round % 2 === 0 ? ways : ways.toReversed()) {
        for (const [mode, connections] of Object.entries(modes)) {
          (result.res[way.name]![mode] as KernelBurst[]).push({ round, ...await burst(world, way, connections, secs) });
        }
      }
    }
    checkCarried();
    return figures(result);
  } finally {
    await Promise.all(children.map(ended));
    cirri('down');
  }
}

async function burst(world: World, way: Way, connections: number, secs: number): Promise<Omit<KernelBurst, 'round'>> {
  const told = () => world.tellers.reduce((sum, pid) => sum + processorUs(pid), 0);
  const [busy, before] = [busyUs(), told()];
  const { count, ...measured } = await wrk(world, way, connections, secs);
  const aux = (told() - before) / count;
  return { ...measured, cpu_us: (busyUs() - busy) / count - aux, aux_us: aux };
}

/** Of all processors since the machine started: what was not idle. The kernel counts idle time exactly, and tells it in hundredths. */
function busyUs(): number {
  const [, , , , idle = 0, waiting = 0] = readFileSync('/proc/stat', 'utf8').split('\n')[0]!.split(/\s+/).map(Number);
  return performance.now() * 1e3 * availableParallelism() - (idle + waiting) * 1e4;
}

async function prepare(work: string, children: ChildProcess[]): Promise<World> {
  const paths = statePaths(instance, `/var/lib/cirri/${instance}`);
  const record = JSON.parse(readFileSync(paths.clusterJson, 'utf8')) as ClusterRecord;
  const write = (name: string, text: string) => {
    writeFileSync(join(work, name), text);
    return join(work, name);
  };
  cirri('apply', '-f', write('pods.yaml', pods));
  const client = new KubeClient({ socketPath: paths.apiserverSocket, userAgent: 'cirri-bench' });
  const context: Context = { instance, paths, record, client };
  const addresses = await waitFor('the pods to start', async () => {
    const { items } = await client.list<Pod>(resources.pods, { namespace: 'default' });
    const found = new Map(items.flatMap(pod => (pod.status?.podIPs?.[0] ? [[pod.metadata.name, pod.status.podIPs[0].ip] as const] : [])));
    return found.size === 4 ? found : undefined;
  }, { timeoutMs: 60_000 });
  const directory = await Directory.read(context);
  client.close();
  const origin = addresses.get('origin')!;
  const start = (pod: string, processor: number, file: string, ...args: readonly string[]) =>
    children.push(spawn('/bin/sh', inside(directory.origin(`default/${pod}`), processor, file, ...args), { stdio: 'ignore' }));
  start('origin', 0, 'nginx', '-c', write('origin.conf', nginxText(work, 'origin', `${[9000, 9008, 9004, 9005].map(port => `server { listen ${port}; location / { return 200 '${body}'; } }`).join('\n')}`)));
  start('haproxy', 1, 'haproxy', '-f', write('haproxy.cfg', haproxyText(origin)));
  start('nginx', 1, 'nginx', '-c', write('nginx.conf', nginxText(work, 'nginx', nginxRules(origin))));
  cirri('apply', '-f', write('policy.yaml', policies));
  const node = record.nodes[0]!.name;
  for (const { pid } of json<ProxyStatus[]>('proxy', 'status', '-o', 'json')) execFileSync('taskset', ['-acp', '1', String(pid)], { stdio: 'ignore' });
  const tellers = ['agent', 'history'].map(name => Number(readFileSync(join(paths.run, `${name}-${node}.pid`), 'utf8').split(' ')[0]));
  return { client: directory.origin('default/client'), addresses, tellers };
}

/** They decide alike, or are not compared. */
async function checkRules(world: World, way: Way): Promise<void> {
  const rules = way.name.startsWith('direct') ? [['GET', '/api/v1/products/7', '200']] as const
    : [['GET', '/api/v1/products/7', '200'], ['POST', '/api/v1/orders', '200'], ['DELETE', '/api/v1/orders', '403'], ['GET', '/admin', '403'], ['POST', '/api/v1/orders/1', '403']] as const;
  for (const [method, path, expected] of rules) {
    let found = '';
    await waitFor(`${way.name} to answer ${method} ${path} with ${expected}`, async () => {
      found = (await inClient(world, 'curl', '-s', '-m', '2', '-o', '/dev/null', '-w', '%{http_code}', '-X', method, urlOf(world, way, path)).catch(() => ({ stdout: '' }))).stdout;
      return found === expected;
    }, { timeoutMs: 20_000, everyMs: 200 }).catch((error: unknown) => { throw new Error(`${way.name} answers ${method} ${path} with ${found}`, { cause: error }); });
  }
}

/** What was measured as the kernel's was carried out there, and what was measured as the proxy's was not. */
function checkCarried(): void {
  const sets = json<{ sets: HttpSetPlace[] }[]>('proxy', 'sets', '-o', 'json').flatMap(node => node.sets);
  const wrong = sets.filter(set => set.place !== set.wanted);
  if (wrong.length > 0 || !sets.some(set => set.place === 'kernel')) throw new Error(`not carried out where it was wanted: ${JSON.stringify(sets)}`);
}

async function wrk(world: World, way: Way, connections: number, secs: number): Promise<Measured> {
  return wrkFigures((await inClient(world, 'wrk', '-t1', `-c${connections}`, `-d${Math.ceil(secs)}s`, '--latency', urlOf(world, way, '/api/v1/products/7'))).stdout);
}

const urlOf = ({ addresses }: World, { pod, port }: Way, path: string) => `http://${addresses.get(pod)}:${port}${path}`;
const inClient = (world: World, file: string, ...args: readonly string[]) => exec('/bin/sh', inside(world.client, 0, file, ...args), { maxBuffer: 1 << 22 });

/** In the pod's network, and counted as the pod. taskset and nsenter replace themselves. */
function inside({ cgroup, netns }: Origin, processor: number, file: string, ...args: readonly string[]): string[] {
  return ['-c', 'echo 0 >"$1/cgroup.procs" && shift && exec "$@"', 'cirri-bench', cgroup, 'nsenter', `--net=${netns}`, '--', 'taskset', '-c', String(processor), 'nice', '-n', '-10', file, ...args];
}

function figures(result: HarnessResult): L7KernelFigures {
  const mode = '32 connections';
  const pair = ratio(result, mode, 'direct-again', 'direct');
  const cost = costRatio(result, mode, 'kernel', 'haproxy');
  const kept = rateRatio(result, mode, 'kernel', 'direct');
  const verdict = (what: string, found: Ratio, limit: number, isUpper: boolean): Verdict => ({ mode, what, ratio: found, limit, isUpper, isMet: isUpper ? found.median <= limit : found.median >= limit });
  const verdicts = [verdict('what the kernel costs to what HAProxy does', cost, 0.35, true), verdict('requests a second in the kernel to direct', kept, 0.85, false)];
  const isGood = isGoodPair(pair);
  const failed = Object.values(result.res).flatMap(of => Object.values(of).flat()).reduce((sum, each) => sum + (each.err ?? 0), 0);
  const text = [
    ...Object.keys(modes).map(each => `\n## ${each}, behind the datapath (processor time of the whole machine; "agent": agent and history, which tell, beside it)\n\n${tableText(result, each, 'direct')}\n\nover direct, µs a request: ${costsText(result, each)}`),
    '', ...verdicts.map(verdictText), `A/A pair ${isGood ? 'good' : 'bad: these figures do not count'} (${pair?.low.toFixed(3)}–${pair?.high.toFixed(3)}); ${failed} failed`,
  ].join('\n');
  return { text, isGood, isMet: isGood && failed === 0 && verdicts.every(each => each.isMet), verdicts, result };
}

/** Over what both direct ones took on average in the round, microseconds a request. */
function costs(result: HarnessResult, mode: string, way: string): number[] {
  const of = (name: string) => result.res[name]![mode]!;
  return of(way).map(({ cpu_us: took }, i) => took - (of('direct')[i]!.cpu_us + of('direct-again')[i]!.cpu_us) / 2);
}

function costRatio(result: HarnessResult, mode: string, over: string, under: string): Ratio {
  const below = costs(result, mode, under);
  return spread(costs(result, mode, over).map((cost, i) => cost / below[i]!));
}

function rateRatio(result: HarnessResult, mode: string, over: string, under: string): Ratio {
  return spread(result.res[over]![mode]!.map(({ rate }, i) => rate / result.res[under]![mode]![i]!.rate));
}

function spread(values: readonly number[]): Ratio {
  return { median: quantile(values, 0.5), low: quantile(values, 0.25), high: quantile(values, 0.75), rounds: values.length };
}

function costsText(result: HarnessResult, mode: string): string {
  return ways.slice(2).map(({ name }) => {
    const { median, low, high } = spread(costs(result, mode, name));
    return `${name} ${median.toFixed(1)} (${low.toFixed(1)}–${high.toFixed(1)})`;
  }).join(', ');
}

function cirri(...args: string[]): void {
  execFileSync(join(root, 'cirri'), args, { env, stdio: ['ignore', 'ignore', 'inherit'] });
}

function json<T>(...args: string[]): T {
  return JSON.parse(execFileSync(join(root, 'cirri'), args, { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })) as T;
}

const body = '{"id":1,"name":"widget","price":9.99,"stock":42,"tags":["a","b","c"],"desc":"0123456789012345678901234567890"}';

function haproxyText(origin: string): string {
  return `global\n  nbthread 1\n  maxconn 4096\ndefaults\n  mode http\n  timeout client 30s\n  timeout server 30s\n  timeout connect 2s\n  option http-keep-alive\n  http-reuse always
frontend f\n  bind :9002\n  acl get method GET\n  acl post method POST\n  acl p path_reg ^/api/v1/products.*\n  acl o path_reg ^/api/v1/orders$\n  http-request deny unless get p or post o\n  default_backend b
backend b\n  server s ${origin}:9000\n`;
}

function nginxText(work: string, name: string, servers: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(kind => `${kind}_temp_path ${work};`).join(' ');
  return `worker_processes 1; daemon off; pid ${work}/${name}.pid; error_log /dev/null crit;\nevents { worker_connections 4096; }\nhttp { access_log off; ${temporary} keepalive_requests 1000000000;\n${servers}\n}\n`;
}

function nginxRules(origin: string): string {
  return `upstream o { server ${origin}:9000; keepalive 64; keepalive_requests 1000000000; }\nmap "$request_method:$uri" $ok { default 0; "~^GET:/api/v1/products.*" 1; "~^POST:/api/v1/orders$" 1; }
server { listen 9001; if ($ok = 0) { return 403; } location / { proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://o; } }`;
}

const pods = ['client', 'origin', 'haproxy', 'nginx'].map(name => `---
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: default, labels: { app: ${name} } }
spec: { terminationGracePeriodSeconds: 0, containers: [{ name: main, image: cirri/client }] }
`).join('');

const rules = '[{ method: GET, path: "/api/v1/products.*" }, { method: POST, path: "/api/v1/orders" }]';
const ingress = (ports: readonly number[], more: string) => `
  endpointSelector: { matchLabels: { app: origin } }
  ingress:
    - fromEndpoints: [{}]
      toPorts: [{ ports: [${ports.map(port => `{ port: "${port}", protocol: TCP }`).join(', ')}]${more} }]`;

const policies = `---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: direct, namespace: default }
spec:${ingress([9000, 9008], '')}
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: proxy, namespace: default, annotations: { policy.cirri.io/l7-http: proxy } }
spec:${ingress([9004], `, rules: { http: ${rules} }`)}
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: kernel, namespace: default, annotations: { policy.cirri.io/l7-http: kernel } }
spec:${ingress([9005], `, rules: { http: ${rules} }`)}
`;
