import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FlowView } from '../flows/consumer.ts';
import type { Flow, FlowEndpoint, FlowRule, TcpFlag } from '../model/flow.ts';
import type { HistoryAnswer, HistoryQuery } from '../model/history.ts';
import { waitFor } from '../std/async.ts';
import { silentLogger } from '../std/log.ts';
import { queryHistory } from './client.ts';
import { HistoryFeed, type FeedOptions } from './feed.ts';
import { serveHistory, type HistoryServer } from './server.ts';
import { HistoryStore, type StoreOptions } from './store.ts';
import { flowId } from './row.ts';
import { timeNs, timeText } from './time.ts';

export function flowView(flow: Flow): FlowView {
  const ns = timeNs(flow.time);
  return { ...flow, seconds: Number(ns / 1_000_000_000n), nanos: Number(ns % 1_000_000_000n), packetless: false };
}

/** The same numbers for the same seed. */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b_79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

export interface WorldSize {
  readonly namespaces: number;
  readonly workloads: number;
  readonly pods: number;
  readonly outside: number;
}

/** A made-up cluster whose traffic has the shape of a real one: few pairs that talk a lot, many that talk little, some of it denied. */
export class TestWorld {
  readonly node: string;
  readonly #random: () => number;
  readonly #pods: FlowEndpoint[] = [];
  readonly #outside: FlowEndpoint[] = [];
  readonly #workloadOf: number[] = [];
  readonly #rules: FlowRule[] = [];
  readonly #services: NonNullable<Flow['service']>[] = [];
  readonly #members: number[][];
  /** Whom a workload calls, and on which port. */
  readonly #calls: { readonly workload: number; readonly port: number }[][];
  #suffix = 0;

  constructor(size: WorldSize, seed = 1, node = 'node1') {
    this.node = node;
    const random = (this.#random = randomOf(seed));
    const pick = (count: number) => Math.floor(random() * count);
    this.#members = Array.from({ length: size.workloads }, () => []);
    const labels = this.#members.map((_, w) => [`k8s:app=app-${w}`, `k8s:io.kubernetes.pod.namespace=ns-${w % size.namespaces}`, ...(w % 3 === 0 ? ['k8s:tier=api'] : [])]);
    for (let i = 0; i < size.pods; i++) {
      const workload = i % size.workloads;
      this.#members[workload]!.push(i);
      this.#workloadOf.push(workload);
      this.#pods.push({
        ip: i % 5 === 0 ? `fd00:10:244:${(i % 8) + 1}::${(i + 2).toString(16)}` : `10.244.${i >> 8}.${i & 255}`, identity: 1000 + workload, id: i % 2 === 0 ? 100 + i : 0,
        namespace: `ns-${workload % size.namespaces}`, podName: `app-${workload}-${i}`, labels: labels[workload]!, workloads: [{ name: `app-${workload}`, kind: workload % 7 === 0 ? 'StatefulSet' : 'Deployment' }],
      });
    }
    const world = ['reserved:world'];
    for (let i = 0; i < size.outside; i++) {
      this.#outside.push({ ip: `203.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, identity: i % 4 === 0 ? 16_777_216 + i : 2, id: 0, labels: world, ...(i % 3 === 0 && { names: [`api-${i % 50}.example.com.`] }) });
    }
    for (let w = 0; w < size.workloads; w++) {
      const namespace = `ns-${w % size.namespaces}`;
      this.#rules.push({ id: w + 1, kind: 'CiliumNetworkPolicy', namespace, name: `allow-app-${w}`, path: 'spec.ingress[0]', effect: 'allow', because: 'a rule allows it' });
      this.#services.push({ namespace, name: `app-${w}`, ip: `10.96.${w >> 8}.${w & 255}`, port: 80 });
    }
    this.#rules.push({ id: 9999, kind: 'default', name: 'default', path: '', effect: 'default-deny', because: 'nothing allows it' });
    this.#calls = this.#members.map(() => Array.from({ length: 1 + pick(6) }, () => ({ workload: pick(size.workloads), port: [80, 443, 8080, 5432, 6379, 9090, 53][pick(7)]! })));
  }

  /** The next flow: a verdict, a first answer, the end of a connection, a DNS message or a drop. */
  flow(timeNsOf: bigint): Flow {
    const random = this.#random;
    const pick = (count: number) => Math.floor(random() * count);
    const caller = Math.floor(random() * random() * this.#pods.length);
    const source = this.#pods[caller]!;
    const calls = this.#calls[this.#workloadOf[caller]!]!;
    const outwards = random() < 0.15;
    const { workload, port } = calls[Math.floor(random() * random() * calls.length)]!;
    const members = this.#members[workload]!;
    const destination = outwards ? this.#outside[Math.floor(random() * random() * this.#outside.length)]! : this.#pods[members[pick(members.length)]!]!;
    const kind = random();
    const isDrop = kind < 0.04;
    const direction = random() < 0.5 ? 'EGRESS' : 'INGRESS';
    const isIcmp = random() < 0.01;
    const protocol = isIcmp ? 'ICMPv4' : port === 53 ? 'UDP' : 'TCP';
    const suffix = this.#suffix++ % 1296;
    const base: Omit<Flow, 'verdict' | 'type' | 'isReply'> = {
      time: timeText(timeNsOf), nodeName: this.node, direction, ipVersion: source.ip.includes(':') ? 'IPv6' : 'IPv4', protocol, source, destination,
      ...(isIcmp ? { icmpType: 8, icmpCode: 0 } : { sourcePort: 32_768 + pick(28_000), destinationPort: port }),
      ...(!outwards && random() < 0.7 && { service: this.#services[workload]! }),
      summary: isIcmp ? 'ICMPv4 EchoRequest' : protocol === 'UDP' ? 'UDP' : 'TCP Flags: SYN', id: flowId(this.node, timeNsOf, suffix),
      ...(protocol === 'TCP' && { tcpFlags: synFlags }),
    };
    if (isDrop) return { ...base, type: 'drop', verdict: 'DROPPED', isReply: false, dropReason: 'Policy denied', dropReasonCode: 133, policyMatch: 'none', rule: this.#rules.at(-1)! };
    if (kind < 0.45) {
      const verdict = random() < 0.02 ? 'AUDIT' : 'FORWARDED';
      return { ...base, type: 'policy-verdict', verdict, isReply: false, policyMatch: 'L3-L4', rule: this.#rules[workload]!, ...(random() < 0.01 && { shadow: 'deny' as const, verdict: 'TRACED' as const }) };
    }
    const reversed = { ...base, source: destination, destination: source, ...(!isIcmp && { sourcePort: base.destinationPort!, destinationPort: base.sourcePort! }) };
    if (kind < 0.7) {
      return { ...reversed, type: 'trace', verdict: 'FORWARDED', isReply: true, observationPoint: 'to-endpoint', traceReason: 'reply', connectLatencyNs: (50 + pick(20_000)) * 1000, ...(protocol === 'TCP' && { tcpFlags: synAckFlags, summary: 'TCP Flags: SYN, ACK' }) };
    }
    if (kind < 0.95 || protocol !== 'UDP') {
      const connection = { packetsOut: 3 + pick(50), bytesOut: 200 + pick(100_000), packetsBack: 3 + pick(80), bytesBack: 200 + pick(5_000_000), durationNs: 1000 * pick(1e9), end: (['closed', 'closed', 'reset', 'idle'] as const)[pick(4)]! };
      return { ...base, type: 'trace', verdict: 'FORWARDED', isReply: false, observationPoint: 'to-endpoint', traceReason: 'established', connection, ...(protocol === 'TCP' && { tcpFlags: finFlags, summary: 'TCP Flags: ACK, FIN' }) };
    }
    const query = `api-${pick(50)}.example.com.`;
    return { ...base, type: 'l7', verdict: 'FORWARDED', isReply: false, summary: `DNS Query ${query} A`, l7: { type: 'REQUEST', dns: { query, observationSource: 'kernel', qtypes: ['A'] } } };
  }

  /** So many flows, evenly over the time. */
  *flows(count: number, sinceNs: bigint, untilNs: bigint): Generator<Flow> {
    const step = (untilNs - sinceNs) / BigInt(Math.max(1, count));
    for (let i = 0; i < count; i++) yield this.flow(sinceNs + step * BigInt(i));
  }
}

const synFlags: readonly TcpFlag[] = ['SYN'];
const synAckFlags: readonly TcpFlag[] = ['SYN', 'ACK'];
const finFlags: readonly TcpFlag[] = ['ACK', 'FIN'];

/** A store with its socket in a folder of its own, and everything gone at the end. */
export class TestHistory implements AsyncDisposable {
  readonly folder: string;
  readonly socketPath: string;
  store!: HistoryStore;
  #server!: HistoryServer;
  #stop = new AbortController();
  readonly #options: Partial<StoreOptions>;
  readonly #ownsFolder: boolean;

  private constructor(options: Partial<StoreOptions>) {
    this.#options = options;
    this.#ownsFolder = options.folder === undefined;
    this.folder = options.folder ?? mkdtempSync(join(tmpdir(), 'cirri-history-'));
    this.socketPath = join(this.folder, 'history.sock');
  }

  static async start(options: Partial<StoreOptions> = {}): Promise<TestHistory> {
    const history = new TestHistory(options);
    await history.begin();
    return history;
  }

  async begin(): Promise<void> {
    this.#stop = new AbortController();
    this.store = await HistoryStore.open({ node: 'node1', days: 36_500, maxMegabytes: 4096, reserveMegabytes: 0, sumsShare: 1, ...this.#options, folder: this.folder }, silentLogger);
    this.#server = await serveHistory(this.store, this.socketPath, { log: silentLogger, signal: this.#stop.signal });
  }

  async end(): Promise<void> {
    this.#stop.abort(new Error('the test is over'));
    await this.#server.close();
    this.store.close();
  }

  feed(options: Partial<FeedOptions> = {}): HistoryFeed {
    const feed = new HistoryFeed({ socketPath: this.socketPath, nodeName: 'node1', ...options }, silentLogger);
    feed.start(this.#stop.signal);
    return feed;
  }

  /** Records the flows and waits until they are on the disk. */
  async record(flows: Iterable<Flow>): Promise<void> {
    const feed = this.feed({ backlog: 100_000 });
    let count = 0;
    for (const flow of flows) {
      feed.flow(flowView(flow));
      if (++count % 20_000 === 0) await waitFor('the store keeps up', () => feed.status.waiting < 100_000, { timeoutMs: 60_000 });
    }
    await waitFor('the flows are on the disk', () => (feed.settle(), feed.status.committed === count), { timeoutMs: 60_000 });
    await feed.stop();
  }

  async ask(query: HistoryQuery): Promise<Exclude<HistoryAnswer, { readonly kind: 'error' }>[]> {
    const answers = [];
    for await (const answer of queryHistory(this.socketPath, query)) answers.push(answer);
    return answers;
  }

  async flows(query: Omit<HistoryQuery & { readonly kind: 'flows' }, 'kind'> = {}): Promise<Flow[]> {
    return (await this.ask({ kind: 'flows', ...query })).flatMap(answer => (answer.kind === 'flows' ? answer.flows : []));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
    if (this.#ownsFolder) rmSync(this.folder, { recursive: true, force: true });
  }
}
