/**
 * The layer 7 proxy beside HAProxy and nginx with the same two rules, in one run: origin in pod b, wrk or curl in pod a (processor 0),
 * the proxies in the node's namespace (processor 1), measured in turns. Ours stands in front of one server without a datapath, tells
 * its records to this process, and with `cirri-200` has 200 sets loaded.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import { proxyEnv, proxyNodeArgs } from '../../src/cluster/children.ts';
import { frameVersion } from '../../src/model/l7-frame.ts';
import type { KeptListeners } from '../../src/model/l7-proxy.ts';
import type { L7Set } from '../../src/model/l7.ts';
import { waitFor } from '../../src/std/async.ts';
import { UnixServer } from '../../src/sys/unix.ts';
import { folder, prepareL7, root, run } from './prepare.ts';
import { isGoodPair, pooledRatio, ratio, type Burst, type HarnessResult, type Ratio, type Verdict } from './ratios.ts';
import { tableText, verdictText } from './report.ts';
import { type Histogram, latenciesOf, tailRatio, tellLatencies } from './tails.ts';

const exec = promisify(execFile);
const tag = 'l7';
const gateway = '169.254.1.1';
const origin = '10.244.2.2:9000';
const bulkBytes = 512 << 20;
const sets = 200;
const uncounted = 2;
/** What ours does when nobody has asked it for a while, as collecting, it does not do in another one's burst. */
const restMs = 2_500;
/** What is measured: connections of wrk, or one long transfer. */
const modes = { '1 connection': ['http', 1], '32 connections': ['http', 32], '128 connections': ['http', 128], 'MiB of one transfer': ['bulk', 1] } as const;
type Mode = keyof typeof modes;

interface Cell {
  readonly name: string;
  readonly port: number;
  readonly kind: 'http' | 'bulk';
  start(): ChildProcess;
}

export interface L7Figures {
  readonly text: string;
  readonly isMet: boolean;
  readonly isGood: boolean;
  readonly verdicts: readonly Verdict[];
  readonly result: HarnessResult;
  readonly rssMb: Readonly<Record<string, number>>;
}

export async function measureL7(options: { readonly rounds: number; readonly secs: number; readonly say: (text: string) => void }): Promise<L7Figures> {
  const { rounds, secs, say } = options;
  prepareL7();
  const work = join(folder, 'l7');
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  writeFiles(work);
  const topology = (what: 'up' | 'down') => run(join(folder, 'topo.sh'), [what, tag]);
  const children = new Map<string, ChildProcess>();
  let records = 0;
  // As the agent does: whoever makes garbage of what it reads takes a processor for milliseconds.
  const sink = new UnixServer(join(work, 'records.sock'), 64 << 10, greet => {
    greet(`${JSON.stringify({ pid: process.pid, listeners: {}, frames: frameVersion } satisfies KeptListeners)}\n`);
    return { take: bytes => ((records += bytes.length), bytes.length), gone: () => {} };
  });
  topology('down');
  try {
    topology('up');
    children.set('origin', inNode('pbb', '0', 'nginx', '-c', join(work, 'origin.conf')));
    const cells = cellsOf(work);
    for (const cell of cells) children.set(cell.name, cell.start());
    for (const cell of cells) await waitFor(`${cell.name} to answer`, async () => (await status(cell.port, '/api/v1/products/7')) === '200', { timeoutMs: 20_000, everyMs: 200 });
    for (const cell of cells.filter(each => each.kind === 'http')) await checkRules(cell);
    const result = emptyResult(cells);
    const tails: Tails = new Map();
    // The first ones are not counted: compiled code and connections that stand by are what runs for long.
    for (let round = -uncounted; round < rounds; round++) {
      say(round < 0 ? 'a round that is not counted' : `round ${round + 1} of ${rounds}`);
      for (const cell of shuffled(cells)) {
        for (const [mode, [kind, connections]] of Object.entries(modes)) {
          if (kind !== cell.kind) continue;
          const pid = children.get(cell.name)!.pid!;
          const before = processorUs(pid);
          const { latencies, ...burst } = kind === 'http' ? await requests(cell.port, connections, secs, work) : { ...await transfer(cell.port), latencies: undefined };
          if (round < 0) continue;
          (result.res[cell.name]![mode] as Burst[]).push({ ...burst, round, cpu_us: (processorUs(pid) - before) / burst.count });
          if (latencies) tailsOf(tails, cell.name, mode as Mode).push(latencies);
        }
        if (cell.name.startsWith('cirri')) await setTimeout(restMs);
      }
    }
    const rssMb = Object.fromEntries(cells.map(cell => [cell.name, Math.round(residentMb(children.get(cell.name)!.pid!))]));
    return figures(result, tails, { rssMb, recordBytes: records });
  } finally {
    sink.close();
    await Promise.all([...children.values()].map(ended));
    topology('down');
  }
}

function cellsOf(work: string): Cell[] {
  const haproxy = (name: string, port: number, kind: Cell['kind']): Cell => ({ name, port, kind, start: () => inNode('pbn', '1', 'haproxy', '-f', join(work, `${name}.cfg`)) });
  const cirri = (name: string, port: number, kind: Cell['kind'], files: readonly string[]): Cell => ({
    name, port, kind,
    start: () => inNode('pbn', '1', process.execPath, '--import', join(root, 'src/cluster/preload.ts'), ...proxyNodeArgs, join(root, 'src/proxy/main.ts'),
      '--listen', `${gateway}:${port}`, '--upstream', origin, '--socket', join(work, `${name}.sock`), '--records', join(work, 'records.sock'), ...files.flatMap(file => ['--set', file])),
  });
  const all = Array.from({ length: sets }, (_, i) => join(work, `set-${i}.json`));
  return [
    haproxy('haproxy', 9002, 'http'), haproxy('haproxy-again', 9003, 'http'), haproxy('haproxy-own', 9008, 'http'),
    { name: 'nginx', port: 9001, kind: 'http', start: () => inNode('pbn', '1', 'nginx', '-c', join(work, 'nginx.conf')) },
    cirri('cirri', 9004, 'http', all.slice(0, 1)), cirri(`cirri-${sets}`, 9005, 'http', all),
    haproxy('haproxy-splice', 9006, 'bulk'), cirri('cirri-pass', 9007, 'bulk', []),
  ];
}

function inNode(namespace: string, processor: string, file: string, ...args: readonly string[]): ChildProcess {
  // taskset, nice and nsenter replace themselves: the child is the proxy.
  return spawn('nsenter', [`--net=/run/netns/${namespace}-${tag}`, 'taskset', '-c', processor, 'nice', '-n', '-10', file, ...args], { stdio: 'ignore', env: { ...process.env, ...proxyEnv, NODE_COMPILE_CACHE: join(folder, 'compile') } });
}

const inClient = (...args: readonly string[]) => exec('nsenter', [`--net=/run/netns/pba-${tag}`, 'taskset', '-c', '0', 'nice', '-n', '-10', ...args], { maxBuffer: 1 << 22 });

async function status(port: number, path: string, method = 'GET'): Promise<string> {
  return (await inClient('curl', '-s', '-m', '2', '-o', '/dev/null', '-w', '%{http_code}', '-X', method, `http://${gateway}:${port}${path}`).catch(() => ({ stdout: '' }))).stdout;
}

/** They decide alike, or are not compared. */
async function checkRules({ name, port }: Cell): Promise<void> {
  for (const [method, path, expected] of [['GET', '/api/v1/products/7', '200'], ['POST', '/api/v1/orders', '200'], ['DELETE', '/api/v1/orders', '403'], ['GET', '/admin', '403'], ['POST', '/api/v1/orders/1', '403']] as const) {
    const found = await status(port, path, method);
    if (found !== expected) throw new Error(`${name} answers ${method} ${path} with ${found}, not ${expected}`);
  }
}

/** One burst of wrk, without what it took. */
export type Measured = Omit<Burst, 'round' | 'cpu_us'> & { readonly count: number };

async function requests(port: number, connections: number, secs: number, work: string): Promise<Measured & { readonly latencies: Histogram }> {
  const { stdout } = await inClient('wrk', '-t1', `-c${connections}`, `-d${secs}s`, '--latency', '-s', join(work, 'latencies.lua'), `http://${gateway}:${port}/api/v1/products/7`);
  return { ...wrkFigures(stdout), latencies: latenciesOf(stdout) };
}

export function wrkFigures(stdout: string): Measured {
  const count = Number(/(\d+) requests in/.exec(stdout)?.[1]);
  const latency = (percent: number) => {
    const found = new RegExp(`${percent}%\\s+([\\d.]+)(us|ms|s)`).exec(stdout);
    return Number(found?.[1]) * { us: 1, ms: 1e3, s: 1e6 }[found?.[2] as 'us' | 'ms' | 's'];
  };
  return { count, rate: Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1]), p50: latency(50), p99: latency(99), err: Number(/Non-2xx.*: (\d+)/.exec(stdout)?.[1] ?? 0) };
}

async function transfer(port: number): Promise<Measured> {
  const { stdout } = await inClient('curl', '-s', '-m', '60', '-o', '/dev/null', '-w', '%{size_download} %{time_total}', `http://${gateway}:${port}/bulk`);
  const [bytes, seconds] = stdout.split(' ').map(Number) as [number, number];
  const count = bytes / (1 << 20);
  return { count, rate: count / seconds, p50: (seconds / count) * 1e6, p99: (seconds / count) * 1e6, err: bytes === bulkBytes ? 0 : 1 };
}

/** With its own children: a master that is killed leaves its workers behind. */
export async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const all = processes(child.pid);
  child.kill('SIGTERM');
  const gone = () => all.every(pid => !existsSync(`/proc/${pid}`));
  await waitFor('the proxies to end', gone, { timeoutMs: 3_000 }).catch(() => all.filter(pid => existsSync(`/proc/${pid}`)).forEach(pid => process.kill(pid, 'SIGKILL')));
}

/** Of all threads of the process and its children, microseconds. */
export function processorUs(pid: number): number {
  return processes(pid).reduce((sum, each) => sum + readdirSync(`/proc/${each}/task`).reduce((of, task) => of + Number(readFileSync(`/proc/${each}/task/${task}/schedstat`, 'utf8').split(' ')[0]) / 1e3, 0), 0);
}

function processes(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  return [pid, ...children.flatMap(processes)];
}

function residentMb(pid: number): number {
  return Math.max(...processes(pid).map(each => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${each}/status`, 'utf8'))?.[1]) / 1024));
}

/** Cell and mode → the latencies of each round's burst. */
type Tails = Map<string, Histogram[]>;

function tailsOf(tails: Tails, cell: string, mode: Mode): Histogram[] {
  const key = `${cell}, ${mode}`;
  return tails.get(key) ?? tails.set(key, []).get(key)!;
}

function figures(result: HarnessResult, tails: Tails, about: { readonly rssMb: Readonly<Record<string, number>>; readonly recordBytes: number }): L7Figures {
  const { rssMb, recordBytes } = about;
  const verdict = (mode: Mode, over: string, under: string, limit: number): Verdict[] => {
    const found = ratio(result, mode, over, under);
    return found ? [{ mode, what: `processor time of ${over} to ${under}`, ratio: found, limit, isUpper: true, isMet: found.median <= limit }] : [];
  };
  const ofBoth = (mode: Mode): Verdict[] => {
    const found = pooledRatio(result, mode, [['cirri', 'haproxy'], [`cirri-${sets}`, 'haproxy-again']]);
    return found ? [{ mode, what: 'processor time of both of ours to both of HAProxy', ratio: found, limit: 1, isUpper: true, isMet: found.median <= 1 }] : [];
  };
  const p99 = (mode: Mode, over: readonly string[], under: readonly string[]): Ratio | undefined => {
    const rounds = (names: readonly string[]) => tailsOf(tails, names[0]!, mode).map((_, round) => names.map(name => tailsOf(tails, name, mode)[round]!));
    return tailRatio(0.99, rounds(over), rounds(under));
  };
  const ours = ['cirri', `cirri-${sets}`];
  const tailVerdict = (mode: Mode): Verdict[] => {
    const found = p99(mode, ours, ['haproxy', 'haproxy-again']);
    return found ? [{ mode, what: 'p99 of all requests of both of ours to both of HAProxy', ratio: found, limit: 1, isUpper: true, isMet: found.median <= 1 }] : [];
  };
  const tailText = (what: string, mode: Mode, over: readonly string[], under: readonly string[]) => {
    const found = p99(mode, over, under);
    return found ? [`${what}, ${mode}: ${found.median.toFixed(2)} (${found.low.toFixed(2)}–${found.high.toFixed(2)})`] : [];
  };
  const names = Object.keys(modes) as Mode[];
  const ofHttp = names.filter(mode => modes[mode][0] === 'http');
  const verdicts = [
    ...ofHttp.flatMap(ofBoth),
    ...ofHttp.flatMap(tailVerdict),
    ...verdict('32 connections', `cirri-${sets}`, 'cirri', 1.05),
    ...verdict('MiB of one transfer', 'cirri-pass', 'haproxy-splice', 1),
  ];
  const isGood = isGoodPair(ratio(result, '32 connections', 'haproxy-again', 'haproxy'));
  const failed = Object.values(result.res).flatMap(of => Object.values(of).flat()).reduce((sum, burst) => sum + (burst.err ?? 0), 0);
  const text = [
    ...names.map(mode => `\n## ${mode}\n\n${tableText(result, mode, modes[mode][0] === 'bulk' ? 'haproxy-splice' : 'haproxy')}`),
    '', ...verdicts.map(verdictText),
    // Closer than the same thing twice nothing can be told.
    ...ofHttp.flatMap(mode => tailText('A/A of p99', mode, ['haproxy-again'], ['haproxy'])),
    ...ofHttp.flatMap(mode => tailText('p99 to that of HAProxy with a server connection for each client\'s, as ours', mode, ours, ['haproxy-own'])),
    `A/A pair ${isGood ? 'good' : 'bad: these figures do not count'}; resident MB: ${Object.entries(rssMb).map(([name, mb]) => `${name} ${mb}`).join(', ')}; ${Math.round(recordBytes / 1e6)} MB of records told; ${failed} failed`,
  ].join('\n');
  return { text, isGood, isMet: isGood && failed === 0 && verdicts.every(each => each.isMet), verdicts, result, rssMb };
}

function emptyResult(cells: readonly Cell[]): HarnessResult {
  const of = (cell: Cell) => Object.fromEntries(Object.entries(modes).filter(([, [kind]]) => kind === cell.kind).map(([mode]) => [mode, [] as Burst[]]));
  return { cells: cells.map(cell => cell.name), res: Object.fromEntries(cells.map(cell => [cell.name, of(cell)])), prog: {}, load: [] };
}

function shuffled<T>(values: readonly T[]): T[] {
  return values.map(value => [Math.random(), value] as const).sort(([a], [b]) => a - b).map(([, value]) => value);
}

function writeFiles(work: string): void {
  const write = (name: string, text: string) => writeFileSync(join(work, name), text);
  const haproxy = (mode: 'http' | 'tcp', port: number, rules: string) => `global\n  nbthread 1\n  maxconn 4096\ndefaults\n  mode ${mode}\n  timeout client 30s\n  timeout server 30s\n  timeout connect 2s\n${rules}backend b\n  server s ${origin}\n`
    .replace('@PORT@', String(port));
  const http = (reuse: 'always' | 'never') => `  option http-keep-alive\n  http-reuse ${reuse}\nfrontend f\n  bind :@PORT@\n  acl get method GET\n  acl post method POST\n  acl p path_reg ^/api/v1/products.*\n  acl o path_reg ^/api/v1/orders$\n  http-request deny unless get p or post o\n  default_backend b\n`;
  write('haproxy.cfg', haproxy('http', 9002, http('always')));
  write('haproxy-again.cfg', haproxy('http', 9003, http('always')));
  // Who keeps the client's address cannot send requests of one client over a connection that was made for another.
  write('haproxy-own.cfg', haproxy('http', 9008, http('never')));
  write('haproxy-splice.cfg', haproxy('tcp', 9006, '  option splice-auto\nfrontend f\n  bind :@PORT@\n  default_backend b\n'));
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(kind => `${kind}_temp_path ${work};`).join(' ');
  const nginx = (name: string, body: string) => write(name, `worker_processes 1; daemon off; pid ${work}/${name}.pid; error_log /dev/null crit;\nevents { worker_connections 4096; }\nhttp { access_log off; ${temporary} keepalive_requests 1000000000; sendfile on;\n${body} }\n`);
  nginx('origin.conf', ` server { listen 9000; location / { return 200 '{"id":1,"name":"widget","price":9.99,"stock":42,"tags":["a","b","c"],"desc":"0123456789012345678901234567890"}'; } location = /bulk { alias ${work}/bulk; } }`);
  nginx('nginx.conf', ` upstream o { server ${origin}; keepalive 256; keepalive_requests 1000000000; }\n map "$request_method:$uri" $ok { default 0; "~^GET:/api/v1/products.*" 1; "~^POST:/api/v1/orders$" 1; }\n server { listen 9001; if ($ok = 0) { return 403; } location / { proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://o; } }`);
  write('latencies.lua', tellLatencies);
  write('bulk', '');
  truncateSync(join(work, 'bulk'), bulkBytes);
  for (let i = 0; i < sets; i++) {
    const prefix = i === 0 ? '' : `/service-${i}`;
    const set: L7Set = { protocol: 'http', rules: [{ rule: 1, method: 'GET', path: `${prefix}/api/v1/products.*`, headers: [] }, { rule: 2, method: 'POST', path: `${prefix}/api/v1/orders`, headers: [] }] };
    write(`set-${i}.json`, JSON.stringify(set));
  }
}
