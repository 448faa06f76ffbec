import type { FlowConsumer } from '../flows/consumer.ts';
import type { FlowPipeline } from '../flows/pipeline.ts';
import type { KubeClient } from '../kube/client.ts';
import { reflect } from '../kube/reflector.ts';
import { resources } from '../kube/resources.ts';
import type { ConfigMap, KubeObject } from '../kube/types.ts';
import { dynamicMetricsPlace } from '../metrics/dynamic.ts';
import { flowLogPlace } from '../metrics/export/config.ts';
import { startFlowExport } from '../metrics/export/start.ts';
import { startHubbleMetrics } from '../metrics/start.ts';
import type { ClusterRecord, NodeRecord } from '../model/cluster.ts';
import type { FeatureStatus } from '../model/status.ts';
import type { Logger } from '../std/log.ts';
import type { Table } from '../table/table.ts';
import { publishMetricsObjects } from './metrics-objects.ts';

/** What metrics and exporters read beside flows. */
export interface MetricsParts {
  readonly client: KubeClient;
  /** All pods of the cluster: their CiliumEndpoints. */
  readonly pods: Table<KubeObject>;
}

/** Hubble's metrics and the exporters of flows, if it is on. Returns what they say of themselves. */
export function startMetrics(
  options: { readonly record: ClusterRecord; readonly node: NodeRecord; readonly metrics: MetricsParts },
  dependencies: { readonly flows: Pick<FlowPipeline, 'consume'>; readonly log: Logger; readonly signal: AbortSignal },
): (() => FeatureStatus)[] {
  const { record, node, metrics: { client, pods } } = options;
  const { flows, log, signal } = dependencies;
  const { hubble } = record.settings;
  void publishMetricsObjects({ node, hubble: hubble.enabled, serviceMonitor: hubble.metrics.serviceMonitor.enabled }, { client, log, signal });
  if (!hubble.enabled) return [];
  const configMap = (place: { readonly namespace: string; readonly name: string }) =>
    reflect<ConfigMap>({ client, resource: resources.configMaps, signal, log, namespace: place.namespace, fieldSelector: `metadata.name=${place.name}` }).table;
  const consume = (consumer: FlowConsumer) => flows.consume(consumer);
  const exported = startFlowExport(
    { settings: hubble.export, nodeName: node.name, clusterName: record.clusterName, version: record.version, sharesFiles: record.nodes.length > 1 },
    { consume, configMaps: configMap(flowLogPlace), log, signal },
  );
  return [
    startHubbleMetrics({ enabled: hubble.metrics.enabled }, { consume, pods, configMaps: configMap(dynamicMetricsPlace), more: exported.families, log, signal }),
    ...exported.features,
  ];
}
