/**
 * What reading flows costs an agent: `node26 tools/flows-speed.ts [SECONDS]`. A second process has the kernel write records into
 * real rings at a steady rate, of connections between a thousand pods, of drops, or of requests and answers of HTTP; this one reads them as an agent does, first with
 * one consumer, then with the service map, Hubble's default metrics and the feed of the history beside it (which packs its batches,
 * and finds no store to send them to). CPU is user and system time of this process alone.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { compileBpf } from '../src/btf/fixture.ts';
import { BpfObject } from '../src/ebpf/object.ts';
import { programOf } from '../src/ebpf/program.ts';
import { RingBuffer } from '../src/ebpf/ring.ts';
import { EdgeCounter } from '../src/flows/edges.ts';
import { emptyLookups, type FlowLookups, type FlowPod } from '../src/flows/enrich.ts';
import { createFlowPipeline } from '../src/flows/pipeline.ts';
import { HistoryFeed } from '../src/history/feed.ts';
import { FlowMetrics } from '../src/metrics/flow-metrics.ts';
import { parseMetricList } from '../src/metrics/options.ts';
import { defaultSettings } from '../src/model/settings.ts';
import { createLogger } from '../src/std/log.ts';

const [flowRing, dropRing] = [4 << 20, 8 << 20];
const source = `
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, ${flowRing}); } flows SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, ${dropRing}); } drops SEC(".maps");
struct record { __u64 time; __u32 source[4]; __u32 destination[4]; __u16 ports[2]; __u8 protocol, tcp_flags, type, reason; __u32 identity[2], endpoint[2], rule, ifindex, length;
	__u8 direction, verdict, match, flags; __u32 service[4]; __u16 service_port; __u8 state, icmp[2], end, pad[2]; __u32 latency, pad2; };
static __always_inline int fill(void *ring, int type) {
	struct record *record = bpf_ringbuf_reserve(ring, sizeof(*record), 0);
	__u32 random = bpf_get_prandom_u32();
	if (!record) return 1;
	__builtin_memset(record, 0, sizeof(*record));
	record->time = bpf_ktime_get_ns();
	record->source[2] = record->destination[2] = 0xffff0000;
	record->source[3] = 0x0000f40a | (random & 3) << 16 | (random >> 2 & 0xff) << 24;
	record->destination[3] = 0x0000f40a | (random >> 10 & 3) << 16 | (random >> 12 & 0xff) << 24;
	record->ports[0] = random; record->ports[1] = 0x901f;
	record->protocol = 6; record->tcp_flags = 2; record->type = type; record->reason = type == 1 ? 133 : 0;
	record->identity[0] = 256 + (random & 63); record->identity[1] = 256 + (random >> 10 & 63);
	record->endpoint[1] = 1 + (random >> 12 & 0xff); record->rule = 1 + (random & 127);
	record->direction = 1; record->verdict = type == 1 ? 2 : 1; record->match = 2;
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	return 0;
}
/* struct http_event: a request of one of 64 connections, and its answer. */
struct http { struct record record; __u32 connection, exchange; __u16 status; __u8 minor, fault; __u16 lengths[4]; __u32 pad; char text[32]; };
static int exchanges;
SEC("tc") int request(struct __sk_buff *skb) {
	for (int answer = 0; answer < 2; answer++) {
		struct http *http = bpf_ringbuf_reserve(&flows, sizeof(*http), 0);
		__u32 number = answer ? exchanges++ : exchanges;
		if (!http) return 1;
		__builtin_memset(http, 0, sizeof(*http));
		http->record.time = bpf_ktime_get_ns();
		http->record.source[2] = http->record.destination[2] = 0xffff0000;
		http->record.source[3] = answer ? 0x0100f40a : 0x0200f40a;
		http->record.destination[3] = answer ? 0x0200f40a : 0x0100f40a;
		http->record.ports[answer] = 0x409c + (number & 63); http->record.ports[!answer] = 0x901f;
		http->record.protocol = 6; http->record.type = 129;
		http->record.identity[answer] = 256; http->record.identity[!answer] = 257;
		http->record.endpoint[!answer] = 7; http->record.rule = 1;
		http->record.direction = 1; http->record.verdict = 1; http->record.flags = answer;
		http->record.latency = answer ? 200 + (number & 63) : 0;
		http->connection = number & 63; http->exchange = number >> 6; http->minor = 1;
		http->status = answer ? 200 : 0;
		if (!answer) {
			http->lengths[0] = 3; http->lengths[1] = 18; http->lengths[2] = 4;
			__builtin_memcpy(http->text, "GET/api/v1/products/7shop", 25);
			http->text[20] = '0' + (number & 7);
		}
		bpf_ringbuf_submit(http, BPF_RB_NO_WAKEUP);
	}
	return 0;
}
SEC("tc") int connection(struct __sk_buff *skb) { return fill(&flows, 5); }
SEC("tc") int drop(struct __sk_buff *skb) { return fill(&drops, 1); }
`;

const pods = new Map<string, FlowPod>(Array.from({ length: 1024 }, (_, i) => [`10.244.${i >> 8}.${i & 255}`, { namespace: `ns${i % 20}`, name: `pod-${i}`, workloads: [{ kind: 'Deployment', name: `app-${i % 100}` }] }]));
const labels = Array.from({ length: 64 }, (_, i) => [`k8s:app=app-${i}`, 'k8s:io.kubernetes.pod.namespace=ns']);

const lookups: FlowLookups = {
  ...emptyLookups,
  podByAddr: ip => pods.get(ip), identityLabels: identity => labels[identity - 256],
  rule: id => ({ id, kind: 'NetworkPolicy', namespace: 'ns', name: `policy-${id}`, path: 'spec.ingress[0]', effect: 'allow', because: 'it says so' }),
  revision: () => 0, ruleRevision: () => 0, clusterName: 'default',
};

if (process.argv[2] === 'write') await write(Number(process.argv[3]), Number(process.argv[4]));
else await measure(Number(process.argv[2] ?? 5));

/** The other process: the program is its descriptor 3. */
async function write(rate: number, seconds: number): Promise<void> {
  const program = programOf('produce', 3);
  const data = new Uint8Array(64);
  const start = performance.now();
  let written = 0;
  while (performance.now() - start < seconds * 1000) {
    const due = Math.floor((performance.now() - start) / 1000 * rate) - written;
    if (due > 0) program.testRun({ data, repeat: due });
    written += Math.max(0, due);
    await new Promise(resolve => setTimeout(resolve, 1));
  }
  process.stdout.write(String(written));
}

async function measure(seconds: number): Promise<void> {
  const fixture = compileBpf(source);
  using object = BpfObject.load({ path: fixture.path });
  fixture.remove();
  using flows = RingBuffer.open({ fd: object.mapFd('flows')!, maxEntries: flowRing });
  using drops = RingBuffer.open({ fd: object.mapFd('drops')!, maxEntries: dropRing });
  const pipeline = createFlowPipeline({ rings: { flows, drops }, nodeName: 'node1', lookups });
  const map = new EdgeCounter();
  let seen = 0;
  let ports = 0;
  pipeline.consume({
    flow: flow => {
      seen++;
      ports += (flow.destinationPort ?? 0) + flow.seconds + flow.source.labels.length + (flow.verdict === 'DROPPED' ? 1 : 0);
    },
  });
  const stopping = new AbortController();
  pipeline.start(stopping.signal);
  await run('20,000 connections/s, first seconds', 'connection', 20_000, 2);
  await run('20,000 connections/s', 'connection', 20_000, seconds);
  pipeline.consume(map);
  await run('20,000 connections/s, with the map', 'connection', 20_000, seconds);
  pipeline.consume(new FlowMetrics(parseMetricList(defaultSettings.hubble.metrics.enabled)));
  await run('20,000 connections/s, with the map and metrics', 'connection', 20_000, seconds);
  pipeline.consume(new HistoryFeed({ socketPath: '/nonexistent', nodeName: 'node1', backlog: 128 }, createLogger({ component: 'speed' })));
  await run('20,000 connections/s, with the map, metrics and history', 'connection', 20_000, seconds);
  const [plain, told] = [await run('40,000 connections/s, with all of them', 'connection', 40_000, seconds), await run('20,000 requests/s and their answers, with all of them', 'request', 20_000, seconds)];
  console.log(`  a request or answer costs ${(told / plain).toFixed(2)} of a connection`);
  await run('200,000 drops/s', 'drop', 200_000, seconds);
  await run('nothing, after that', undefined, 0, 3);
  await run('nothing', undefined, 0, 2 * seconds);
  stopping.abort();
  if (ports === 0) throw new Error('nothing was read');

  async function run(name: string, program: string | undefined, rate: number, forSeconds: number): Promise<number> {
    const before = seen;
    const child = program === undefined ? undefined
      : spawn(process.execPath, [import.meta.filename, 'write', String(rate), String(forSeconds)], { stdio: ['ignore', 'pipe', 'inherit', object.program(program).fd] });
    let written = '';
    child?.stdout!.on('data', (chunk: Buffer) => { written += chunk.toString(); });
    const [cpu, start] = [process.cpuUsage(), performance.now()];
    if (child) await once(child, 'close');
    else await new Promise(resolve => setTimeout(resolve, forSeconds * 1000));
    pipeline.drain();
    const used = process.cpuUsage(cpu);
    const [cpuUs, elapsedUs] = [used.user + used.system, (performance.now() - start) * 1000];
    map.take();
    const read = seen - before;
    console.log(`${name}: ${(100 * cpuUs / elapsedUs).toFixed(2)} % of a core${read === 0 ? '' : `, ${(cpuUs * 1000 / read).toFixed(0)} ns a flow, ${read} read, ${Number(written) * (program === 'request' ? 2 : 1) - read} lost`}`);
    return cpuUs * 1000 / Math.max(1, read);
  }
}
