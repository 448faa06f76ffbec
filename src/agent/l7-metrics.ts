import type { L7Listener } from '../features/l7/records.ts';
import { counter, gauge, type MetricFamily } from '../metrics/exposition.ts';
import type { L7Set } from '../model/l7.ts';

export interface L7MetricParts {
  readonly listener: L7Listener;
  readonly inUse: () => ReadonlyMap<number, L7Set>;
}

/** What the layer 7 proxy carries and decides. Upstream's names where it has one. */
export function l7Families({ listener, inUse }: L7MetricParts): MetricFamily[] {
  const byProtocol = new Map<string, number>();
  for (const { protocol } of inUse().values()) byProtocol.set(protocol, (byProtocol.get(protocol) ?? 0) + 1);
  const workers = [...listener.workers.values()];
  return [
    gauge('cilium_proxy_redirects', 'Layer 7 sets that verdicts name', [...byProtocol].map(([protocol, count]) => [{ protocol }, count] as const)),
    counter('cilium_policy_l7_total', 'Requests and answers that the layer 7 proxy has seen', [...listener.counts].flatMap(([protocol, counts]) => (
      [['received', counts.received], ['forwarded', counts.forwarded], ['denied', counts.denied], ['parse_errors', counts.failed]] as const).map(([rule, count]) => [{ rule, proxy_type: protocol }, count] as const))),
    gauge('cilium_proxy_connections', 'Connections that the layer 7 proxy carries', workers.map(status => [{ worker: String(status.worker) }, status.connections] as const)),
    counter('cilium_proxy_refused_total', 'Connections that the layer 7 proxy did not take or cut off', workers.flatMap(status => Object.entries(status.refused).map(([reason, count]) => [{ worker: String(status.worker), reason }, count] as const))),
    gauge('cilium_proxy_resident_memory_bytes', 'Memory of the layer 7 proxy', workers.map(status => [{ worker: String(status.worker) }, status.rssBytes] as const)),
    counter('cilium_proxy_records_lost_total', 'Requests and answers that no flow tells of', [[{}, listener.lost + listener.notUnderstood]]),
  ];
}
