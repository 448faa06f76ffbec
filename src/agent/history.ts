import type { FlowPipeline } from '../flows/pipeline.ts';
import { HistoryFeed } from '../history/feed.ts';
import type { ClusterRecord, NodeRecord, StatePaths } from '../model/cluster.ts';
import type { FeatureStatus } from '../model/status.ts';
import type { Logger } from '../std/log.ts';

/** Hands all flows to the node's history, if there is one. Returns what it says of itself. */
export function startHistoryFeed(
  { record, node, paths }: { readonly record: ClusterRecord; readonly node: NodeRecord; readonly paths: StatePaths },
  { flows, log, signal }: { readonly flows: Pick<FlowPipeline, 'consume'>; readonly log: Logger; readonly signal: AbortSignal },
): (() => FeatureStatus)[] {
  const { hubble } = record.settings;
  if (!hubble.enabled || !hubble.history.enabled) return [];
  const feed = new HistoryFeed({ socketPath: paths.node(node.name).historySocket, nodeName: node.name }, log);
  flows.consume(feed);
  feed.start(signal);
  return [() => {
    const { connected, committed, waiting, lost } = feed.status;
    return {
      name: 'flow history', state: connected && lost === 0 ? 'on' : 'degraded',
      detail: `${connected ? '' : 'the store is away; '}${committed} flows on the disk, ${waiting} waiting${lost > 0 ? `, ${lost} lost` : ''}`,
    };
  }];
}
