import type { FlowConsumer } from '../flows/consumer.ts';
import type { ConfigMap, KubeObject } from '../kube/types.ts';
import type { FeatureStatus } from '../model/status.ts';
import { errorText } from '../std/errors.ts';
import type { Logger } from '../std/log.ts';
import type { Table } from '../table/table.ts';
import { plainNode } from './context.ts';
import { dynamicMetricsPlace, readDynamicMetrics } from './dynamic.ts';
import type { MetricFamily } from './exposition.ts';
import { asFamily, FlowMetrics, type FilteredMetric } from './flow-metrics.ts';
import { followConfigMap } from './followed.ts';
import { watchGonePods } from './gone-pods.ts';
import { parseMetricList } from './options.ts';
import { CounterFamily, HistogramFamily } from './series.ts';
import { keepServing } from './serving.ts';

/** Upstream's. */
export const hubbleMetricsPort = 9965;

export interface HubbleMetricsDependencies {
  readonly consume: (consumer: FlowConsumer) => () => void;
  /** All pods of the cluster: their CiliumEndpoints. */
  readonly pods: Table<KubeObject>;
  readonly configMaps: Table<ConfigMap>;
  /** What others tell on the same port. */
  readonly more: () => readonly MetricFamily[];
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/**
 * Hubble's metrics on port 9965, of the plugins in `hubble.metrics.enabled`. While there is a ConfigMap
 * cilium-dynamic-metrics-config its plugins take their place, changed without a restart. Lost events are told always.
 */
export function startHubbleMetrics(options: { readonly enabled: readonly string[]; readonly port?: number }, dependencies: HubbleMetricsDependencies): () => FeatureStatus {
  const { log, signal } = dependencies;
  const port = options.port ?? hubbleMetricsPort;
  let trouble: string | undefined;
  let fixed: readonly FilteredMetric[] = [];
  try {
    fixed = parseMetricList(options.enabled);
  } catch (error) {
    trouble = `hubble.metrics.enabled: ${errorText(error)}`;
    log.error('hubble.metrics.enabled cannot be read: no metrics are counted', { error: errorText(error) });
  }
  const metrics = new FlowMetrics(fixed);
  const stop = dependencies.consume(metrics);
  signal.addEventListener('abort', stop, { once: true });
  const dynamic = followConfigMap({ place: dynamicMetricsPlace, take: text => metrics.configure(text === undefined ? fixed : readDynamicMetrics(text)) }, dependencies);
  watchGonePods({ onGone: (namespace, name) => void metrics.forgetPod(namespace, name) }, dependencies);
  const requests = new CounterFamily({ name: 'hubble_metrics_http_handler_requests_total', help: 'A counter for requests to Hubble metrics handler.', labels: ['code'], contextNames: [], limit: 20 });
  const durations = new HistogramFamily({ name: 'hubble_metrics_http_handler_request_duration_seconds', help: 'A histogram of latencies of Hubble metrics handler.', labels: ['code'], contextNames: [], limit: 20 });
  const serving = keepServing({
    port,
    families: () => [...metrics.families(), ...[requests, durations].map(asFamily), ...dependencies.more()],
    onAnswer: (code, seconds) => {
      requests.at1(plainNode, String(code)).value++;
      durations.at1(plainNode, String(code)).observe(seconds);
    },
  }, dependencies);
  return () => {
    const wrong = trouble ?? dynamic.trouble ?? serving.trouble;
    if (wrong !== undefined) return { name: 'HubbleMetrics', state: 'degraded', detail: wrong };
    const overflow = metrics.overflowed > 0 ? `, ${metrics.overflowed} events in overflow series` : '';
    return { name: 'HubbleMetrics', state: 'on', detail: `port ${port}: ${metrics.names.join(', ') || 'lost events only'}; ${metrics.series} series${overflow}` };
  };
}
