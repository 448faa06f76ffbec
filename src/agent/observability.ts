import type { NodeMaps } from '../datapath/maps.ts';
import { RingBuffer } from '../ebpf/ring.ts';
import type { FlowLookups } from '../flows/enrich.ts';
import { createFlowPipeline, type FlowPipeline } from '../flows/pipeline.ts';
import { startHistoryFeed } from './history.ts';
import type { ClusterRecord, NodeRecord, StatePaths } from '../model/cluster.ts';
import type { FeatureStatus } from '../model/status.ts';
import type { Logger } from '../std/log.ts';
import { startMetrics, type MetricsParts } from './metrics.ts';

export interface Observability {
  readonly flows: FlowPipeline;
  readonly features: readonly (() => FeatureStatus)[];
}

/**
 * What watches the datapath, wired. All of it hangs on one pipeline; nothing here may hold up or fail the agent.
 *
 *     rings ─► pipeline ─► Hubble's API, metrics, service map, history, exporters
 */
export async function startObservability(
  options: { readonly record: ClusterRecord; readonly node: NodeRecord; readonly paths: StatePaths; readonly maps: NodeMaps; readonly lookups: FlowLookups; readonly metrics: MetricsParts },
  dependencies: { readonly log: Logger; readonly signal: AbortSignal },
): Promise<Observability> {
  const { node, maps, lookups } = options;
  const { signal } = dependencies;
  const flows = createFlowPipeline({
    rings: { drops: openRing(maps.dropEvents), flows: openRing(maps.flowEvents) },
    lookups, nodeName: node.name,
    lost: () => ({ flows: sumPerCpu(maps.lostEvents.lookupPerCpu(0)), drops: sumPerCpu(maps.lostEvents.lookupPerCpu(1)), names: sumPerCpu(maps.lostEvents.lookupPerCpu(2)) }),
  });
  const features: (() => FeatureStatus)[] = [];
  features.push(...startMetrics(options, { ...dependencies, flows }));
  features.push(...startHistoryFeed(options, { ...dependencies, flows }));
  flows.start(signal);
  return { flows, features };
}

function openRing(map: { readonly fd: number; readonly spec: { readonly maxEntries: number } }): RingBuffer {
  return RingBuffer.open({ fd: map.fd, maxEntries: map.spec.maxEntries });
}

function sumPerCpu(values: readonly bigint[] | undefined): number {
  return Number((values ?? []).reduce((sum, value) => sum + value, 0n));
}
