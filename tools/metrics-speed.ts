/**
 * What Hubble's metrics and the exporters cost, in nanoseconds per flow: `node tools/metrics-speed.ts`. Flows of a hundred pods,
 * each to each, as the pipeline hands them on; the least of five measurements, on a processor that nobody else uses.
 */
import type { FlowView } from '../src/flows/consumer.ts';
import { FlowMetrics } from '../src/metrics/flow-metrics.ts';
import { parseMetricList } from '../src/metrics/options.ts';
import { flowLine } from '../src/metrics/export/flow-line.ts';
import { logLine } from '../src/metrics/otlp/log-record.ts';
import { end, view } from '../src/metrics/testing.ts';

const pods = Array.from({ length: 100 }, (_, i) => end({ ip: `10.0.0.${i}`, namespace: `ns${i % 5}`, podName: `pod-${i}`, labels: [`k8s:app=app${i % 20}`, 'k8s:tier=x'], workloads: [{ name: `app${i % 20}`, kind: 'Deployment' }] }));
const kinds = [
  view({ type: 'policy-verdict', policyMatch: 'L3-L4' }), view({ tcpFlags: ['SYN'] }), view({ tcpFlags: ['SYN', 'ACK'], isReply: true }), view({ tcpFlags: ['FIN', 'ACK'] }),
  view({ type: 'drop', verdict: 'DROPPED', dropReasonCode: 133 }),
  view({ type: 'l7', protocol: 'UDP', destinationPort: 53, tcpFlags: [], l7: { type: 'REQUEST', dns: { query: 'db.shop.svc.cluster.local.', observationSource: 'kernel', qtypes: ['A'] } } }),
  view({ protocol: 'ICMPv4', icmpType: 8, icmpCode: 0, tcpFlags: [] }),
];
const flows = Array.from({ length: 4096 }, (_, i) => ({ ...kinds[i % kinds.length]!, source: pods[(i * 7) % 100]!, destination: pods[(i * 13 + 5) % 100]! }));

function nsPerFlow(take: (flow: FlowView) => void, times = 200): number {
  let least = Infinity;
  for (let round = 0; round < 6; round++) {
    const start = process.hrtime.bigint();
    for (let i = 0; i < times; i++) for (const flow of flows) take(flow);
    if (round > 0) least = Math.min(least, Number(process.hrtime.bigint() - start) / (times * flows.length));
  }
  return least;
}

function tell(ns: number, what: string): void {
  process.stdout.write(`${ns.toFixed(0).padStart(6)} ns  ${(ns * 20_000 / 1e7).toFixed(2).padStart(6)} % of a core at 20,000/s  ${what}\n`);
}

const defaults = ['dns', 'drop', 'tcp', 'flow', 'icmp', 'http', 'policy', 'connection'];
const contexts = ';sourceContext=workload-name|reserved-identity;destinationContext=workload-name|reserved-identity|dns';
for (const list of [...[...defaults, 'port-distribution', 'flows-to-world'].map(name => [name]), defaults, defaults.map(name => `${name}:${contexts.slice(1)}`), defaults.map(name => `${name}:labelsContext=source_pod,source_namespace,destination_pod,destination_namespace,traffic_direction`)]) {
  const metrics = new FlowMetrics(parseMetricList(list));
  const ns = nsPerFlow(flow => metrics.flow(flow));
  tell(ns, `${String(metrics.series).padStart(6)} series  ${list.join(' ').slice(0, 110)}`);
}
// The writing of a line or a record; the disk and the network are other threads' work.
tell(nsPerFlow(flow => void flowLine(flow), 10), 'a line of an exporter');
tell(nsPerFlow(flow => void logLine(flow, 1), 10), 'a record of OTLP');
