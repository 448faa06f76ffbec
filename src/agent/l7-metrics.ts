import type { HttpKernel } from '../features/http-kernel/start.ts';
import type { L7Listener } from '../features/l7/records.ts';
import { counter, gauge, type MetricFamily } from '../metrics/exposition.ts';
import type { L7Set } from '../model/l7.ts';

export interface L7MetricParts {
  readonly listener: L7Listener;
  readonly inUse: () => ReadonlyMap<number, L7Set>;
  readonly kernel: Pick<HttpKernel, 'counts' | 'report'>;
}

/** What the layer 7 proxy carries and decides, and of HTTP the kernel (`http-kernel`). Upstream's names where it has one. */
export function l7Families({ listener, inUse, kernel }: L7MetricParts): MetricFamily[] {
  const byProtocol = new Map<string, number>();
  for (const { protocol } of inUse().values()) byProtocol.set(protocol, (byProtocol.get(protocol) ?? 0) + 1);
  const workers = [...listener.workers.values()];
  const { requests, denied, faults, answers, taken } = kernel.counts();
  const byKernel = [['received', requests + answers + faults], ['forwarded', requests - denied + answers], ['denied', denied], ['parse_errors', faults]] as const;
  return [
    gauge('cilium_proxy_redirects', 'Layer 7 sets that verdicts name', [...byProtocol].map(([protocol, count]) => [{ protocol }, count] as const)),
    counter('cilium_policy_l7_total', 'Requests and answers that the layer 7 proxy, or the kernel in its place, has seen', [
      ...[...listener.counts].flatMap(([protocol, counts]) => (
        [['received', counts.received], ['forwarded', counts.forwarded], ['denied', counts.denied], ['parse_errors', counts.failed]] as const).map(([rule, count]) => [{ rule, proxy_type: protocol }, count] as const)),
      ...byKernel.map(([rule, count]) => [{ rule, proxy_type: 'http-kernel' }, count] as const),
    ]),
    counter('cilium_proxy_kernel_connections_total', 'Connections whose HTTP the kernel carried out', [[{}, taken]]),
    gauge('cilium_proxy_connections', 'Connections that the layer 7 proxy carries', workers.map(status => [{ worker: String(status.worker) }, status.connections] as const)),
    counter('cilium_proxy_refused_total', 'Connections that the layer 7 proxy did not take or cut off', workers.flatMap(status => Object.entries(status.refused).map(([reason, count]) => [{ worker: String(status.worker), reason }, count] as const))),
    gauge('cilium_proxy_resident_memory_bytes', 'Memory of the layer 7 proxy', workers.map(status => [{ worker: String(status.worker) }, status.rssBytes] as const)),
    counter('cilium_proxy_records_lost_total', 'Requests and answers that no flow tells of', [[{}, listener.lost + listener.notUnderstood]]),
  ];
}
