import type { NodeMaps } from '../datapath/maps.ts';
import type { FlowLookups } from '../flows/enrich.ts';
import type { NameCache } from '../flows/name-cache.ts';
import type { FlowPipeline } from '../flows/pipeline.ts';
import type { ServiceMap } from '../flows/watch-map.ts';
import { queryBytes } from '../history/client.ts';
import { AgentEvents } from '../hubble/agent-events.ts';
import { jsonBytesMethod, jsonMethod } from '../hubble/json-method.ts';
import type { Node } from '../kube/types.ts';
import type { ClusterRecord, NodeRecord, StatePaths } from '../model/cluster.ts';
import type { FeatureStatus } from '../model/status.ts';
import type { Logger } from '../std/log.ts';
import type { Table } from '../table/table.ts';
import { startAccessLog } from './access-log.ts';
import { openFlowPipeline, openServiceMap } from './flow-pipeline.ts';
import { startHistoryFeed } from './history.ts';
import { startHubble, wallNs } from './hubble.ts';
import { startMetrics, type MetricsParts } from './metrics.ts';

export interface Observability {
  readonly flows: FlowPipeline;
  readonly map: ServiceMap;
  readonly features: readonly (() => FeatureStatus)[];
  /** What the agent did, for those who ask Hubble. */
  readonly agentEvents: AgentEvents;
}

/**
 * What watches the datapath, wired. All of it hangs on one pipeline; nothing here may hold up or fail the agent.
 *
 *     rings ─► pipeline ─► Hubble's API, metrics, service map, history, exporters
 */
export async function startObservability(
  options: {
    readonly record: ClusterRecord; readonly node: NodeRecord; readonly paths: StatePaths; readonly maps: NodeMaps;
    readonly lookups: FlowLookups; readonly names: NameCache; readonly metrics: MetricsParts; readonly nodes: Table<Node>;
    readonly isReady: () => boolean;
  },
  dependencies: { readonly log: Logger; readonly signal: AbortSignal },
): Promise<Observability> {
  const { record, node, paths, nodes } = options;
  const { signal } = dependencies;
  const flows = openFlowPipeline(options, dependencies);
  const map = openServiceMap(flows, record);
  const features: (() => FeatureStatus)[] = [];
  features.push(...startMetrics(options, { ...dependencies, flows }));
  const agentEvents = new AgentEvents(wallNs);
  const ofHistory = paths.node(node.name).historySocket;
  features.push(await startHubble(options, {
    ...dependencies, flows, nodes, agentEvents,
    methods: [jsonMethod('WatchMap', (_, leaving) => map.watch(leaving)), jsonBytesMethod('QueryHistory', (query, leaving) => queryBytes(ofHistory, query, leaving))],
  }));
  features.push(...startHistoryFeed(options, { ...dependencies, flows }));
  startAccessLog({ path: record.settings.l7.accessLog, nodeName: node.name, sharesFiles: record.nodes.length > 1 }, { consume: consumer => flows.consume(consumer), signal });
  flows.start(signal);
  return { flows, map, features, agentEvents };
}
