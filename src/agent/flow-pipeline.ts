import type { NodeMaps } from '../datapath/maps.ts';
import { RingBuffer } from '../ebpf/ring.ts';
import type { FlowLookups } from '../flows/enrich.ts';
import type { NameCache } from '../flows/name-cache.ts';
import { createFlowPipeline, type FlowPipeline } from '../flows/pipeline.ts';
import { createServiceMap, type ServiceMap } from '../flows/watch-map.ts';
import type { ClusterRecord, NodeRecord } from '../model/cluster.ts';
import { errorText } from '../std/errors.ts';
import type { Logger } from '../std/log.ts';

export interface FlowPipelineParts {
  readonly record: ClusterRecord;
  readonly node: NodeRecord;
  readonly maps: NodeMaps;
  readonly lookups: FlowLookups;
  /** Where the look-ups find names. */
  readonly names: NameCache;
  /** The first lists have been read: until then the rings keep what comes. */
  readonly isReady: () => boolean;
}

/** The pipeline on the node's rings, with the cluster's settings. */
export function openFlowPipeline({ record, node, maps, lookups, names, isReady }: FlowPipelineParts, { log }: { readonly log: Logger }): FlowPipeline {
  const { eventBufferCapacity, redact } = record.settings.hubble;
  const lost = (row: number) => sumPerCpu(maps.lostEvents.lookupPerCpu(row));
  return createFlowPipeline({
    rings: { drops: openRing(maps.dropEvents), flows: openRing(maps.flowEvents), names: openRing(maps.nameEvents) },
    lookups, names, isReady, redact, nodeName: node.name, capacity: eventBufferCapacity,
    lost: () => ({ flows: lost(0), drops: lost(1), names: lost(2) }),
    onFailed: error => log.error('one that reads flows failed and gets no more of them', { error: errorText(error), stack: error instanceof Error ? error.stack : undefined }),
  });
}

export function openServiceMap(flows: FlowPipeline, record: ClusterRecord): ServiceMap {
  const names = new Map(record.nodes.flatMap(node => [node.underlay4, node.underlay6, node.routerIp4, node.routerIp6].map(address => [address, node.name] as const)));
  return createServiceMap(flows, { nodeName: ip => names.get(ip) });
}

function openRing(map: { readonly fd: number; readonly spec: { readonly maxEntries: number } }): RingBuffer {
  return RingBuffer.open({ fd: map.fd, maxEntries: map.spec.maxEntries });
}

function sumPerCpu(values: readonly bigint[] | undefined): number {
  return Number((values ?? []).reduce((sum, value) => sum + value, 0n));
}
