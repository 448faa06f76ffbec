import { execFile, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Context } from '../../../src/cli/context.ts';
import type { Origin } from '../../../src/cli/probe/helper.ts';
import { Directory } from '../../../src/cli/probe/target.ts';
import { toolEnv } from '../../../src/cluster/outside.ts';
import { KubeClient } from '../../../src/kube/client.ts';
import type { ClusterRecord } from '../../../src/model/cluster.ts';
import { namespaceYaml, podYaml, TestCluster, type Finished } from '../cluster.ts';
import { ipIn, outside, OutsideNetwork } from '../outside.ts';
import type { LookUps, LookUpWish } from './wish.ts';

const folder = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/** The resolvers of the outside, and whatever its names lead to: any address of these prefixes. */
export const resolver = { v4: '192.0.2.53', v6: '2001:db8:9::53' } as const;
const ranges = { v4: '198.18.0.0/15', v6: '2001:db8:18::/48' } as const;
export const kubeDns = '10.96.0.10';
export const ports = { open: 443, other: 8443 } as const;

/**
 * A cluster whose DNS asks a name server outside of it, and the machines that its names lead to:
 *
 *     payments/payment-service (node1), payments/other (node2) ── kube-dns ──┐
 *           │                                                                router ── outside: 192.0.2.53, 198.18.0.0/15, 2001:db8:18::/48
 *           └── connections ─────────────────────────────────────────────────┘
 */
export class NamesWorld {
  readonly cluster: TestCluster;
  readonly #closers: (() => void)[] = [];
  #context: Context | undefined;

  constructor(tag: string) {
    this.cluster = new TestCluster(tag);
  }

  async start(...flags: string[]): Promise<void> {
    const { cluster } = this;
    await cluster.start('--no-demo', ...flags);
    const { paths, instance } = cluster;
    const record = JSON.parse(readFileSync(paths.clusterJson, 'utf8')) as ClusterRecord;
    this.#context = { instance, paths, record, client: new KubeClient({ socketPath: paths.apiserverSocket, userAgent: 'cirri-e2e' }) };
    const network = new OutsideNetwork(record, paths);
    for (const node of record.nodes) for (const [range, via] of this.#routes(record)) ipIn(paths.node(node.name).netns, 'route', 'replace', range, 'via', via, 'dev', 'eth0');
    for (const [range, via] of [[ranges.v4, outside.wide4], [ranges.v6, outside.wide6]] as const) {
      ipIn(network.router.netns, 'route', 'replace', range, 'via', via);
      ipIn(network.client.netns, 'route', 'replace', 'local', range, 'dev', 'lo');
    }
    ipIn(network.client.netns, 'addr', 'add', `${resolver.v4}/24`, 'dev', 'eth0');
    ipIn(network.client.netns, 'addr', 'add', `${resolver.v6}/64`, 'dev', 'eth0', 'nodad');
    await this.#serve(network.client, [process.execPath, folder('./server.ts'), resolver.v4, resolver.v6]);
    await this.#serve(network.client, [process.execPath, '-e', listener, ...Object.values(ports).map(String)]);
    await cluster.apply(dnsThrough(resolver.v4));
    await cluster.apply(namespaceYaml('payments') + podYaml('payments', 'payment-service', 'node1', { app: 'payment-service' }) + podYaml('payments', 'other', 'node2', { app: 'other' }));
    await cluster.podsReady('payments', 'kube-system');
    // The old pod of the DNS goes when the new one is there; until then it may be asked.
    await this.until('payment-service', { server: kubeDns, names: ['ready.example.com'] }, result => result.lookups === 1);
  }

  async stop(): Promise<void> {
    this.#context?.client.close();
    for (const close of this.#closers) close();
    await this.cluster.stop();
  }

  async origin(pod: string): Promise<Origin> {
    return (await Directory.read(this.#context!)).origin(pod.includes('/') ? pod : `payments/${pod}`);
  }

  async lookUp(pod: string | Origin, wish: LookUpWish): Promise<LookUps> {
    const { code, stdout, stderr } = await this.run(pod, [process.execPath, folder('./client.ts'), JSON.stringify(wish)]);
    if (code !== 0) throw new Error(`the client ended with ${code}: ${stderr}`);
    return JSON.parse(stdout) as LookUps;
  }

  /** Tries until it is so: policies take effect a moment after they are applied. */
  async until(pod: string | Origin, wish: LookUpWish, isSo: (result: LookUps) => boolean, timeoutMs = 20_000): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const result = await this.lookUp(pod, wish);
      if (isSo(result)) return;
      if (performance.now() > deadline) throw new Error(`not so after ${timeoutMs} ms: ${JSON.stringify(result)}`);
    }
  }

  /** A program in a pod's network and group. */
  async run(pod: string | Origin, argv: readonly string[]): Promise<Finished> {
    const args = inside(typeof pod === 'string' ? await this.origin(pod) : pod, argv);
    return new Promise(resolve => {
      execFile('/bin/sh', args, { env: toolEnv(), maxBuffer: 16 << 20 }, (error, stdout, stderr) => resolve({ code: error ? (typeof error.code === 'number' ? error.code : 1) : 0, stdout, stderr }));
    });
  }

  #routes(record: ClusterRecord): (readonly [string, string])[] {
    return [[ranges.v4, record.underlay.host4.replace(/\.1$/, '.9')], [ranges.v6, record.underlay.host6.replace(/::1$/, '::9')]];
  }

  /** Until the test ends; resolves when it says that it is ready. */
  async #serve(origin: Origin, argv: readonly string[]): Promise<void> {
    const child = spawn('/bin/sh', inside(origin, argv), { stdio: ['pipe', 'pipe', 'inherit'], env: toolEnv() });
    this.#closers.push(() => child.kill('SIGKILL'));
    await new Promise<void>((resolve, reject) => {
      child.stdout.on('data', (chunk: Buffer) => { if (chunk.toString('utf8').includes('ready')) resolve(); });
      child.on('close', code => reject(new Error(`${argv.join(' ')} ended (${code})`)));
    });
  }
}

function inside(origin: Origin, argv: readonly string[]): string[] {
  return ['-c', 'echo 0 >"$1/cgroup.procs" && shift && exec "$@"', 'cirri-names', origin.cgroup, 'nsenter', `--net=${origin.netns}`, '--', ...argv];
}

/** Takes connections at every address that is the namespace's. */
const listener = `for (const port of process.argv.slice(1)) require('node:net').createServer(socket => socket.on('error', () => {}).end()).listen({ port: Number(port), host: '::' }, () => console.log('ready'));`;

/** The cluster's DNS as it is, but for where it asks for the names of others. */
function dnsThrough(server: string): string {
  const text = readFileSync(fileURLToPath(new URL('../../../src/cluster/manifests/dns.yaml', import.meta.url)), 'utf8');
  return text.replace('dnsPolicy: Default', `dnsPolicy: None\n      dnsConfig: { nameservers: ['${server}'] }`);
}
