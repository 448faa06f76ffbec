import type { FlowPipeline } from '../flows/pipeline.ts';
import { AgentEvents } from '../hubble/agent-events.ts';
import { hubblePort, peerServerName } from '../hubble/names.ts';
import type { PeerNode, PeerSource } from '../hubble/peer.ts';
import { FlowRate } from '../hubble/rate.ts';
import { startHubbleServer } from '../hubble/server.ts';
import type { Node } from '../kube/types.ts';
import type { ClusterRecord, NodeRecord, StatePaths } from '../model/cluster.ts';
import type { FeatureStatus } from '../model/status.ts';
import type { Method } from '../rpc/types.ts';
import { errorText } from '../std/errors.ts';
import type { Logger } from '../std/log.ts';
import type { Table } from '../table/table.ts';

export interface HubbleOptions {
  readonly record: ClusterRecord;
  readonly node: NodeRecord;
  readonly paths: StatePaths;
}

export interface HubbleDependencies {
  readonly flows: FlowPipeline;
  readonly nodes: Table<Node>;
  readonly agentEvents: AgentEvents;
  /** `cirri.Flows`, as far as it is offered. */
  readonly methods: readonly Method[];
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Nanoseconds since 1970. */
export const wallNs = (): number => (performance.timeOrigin + performance.now()) * 1e6;

/** Hubble's API of this node, if it is on. Returns what it says of itself; a failure is said there and fails nothing else. */
export async function startHubble({ record, node, paths }: HubbleOptions, dependencies: HubbleDependencies): Promise<() => FeatureStatus> {
  const { flows, nodes, agentEvents, methods, log, signal } = dependencies;
  const { hubble } = record.settings;
  const name = 'Hubble';
  if (!hubble.enabled) return () => ({ name, state: 'off', detail: 'hubble.enabled is false' });
  const tls = hubble.tls.enabled;
  agentEvents.started();
  try {
    const server = await startHubbleServer({
      nodeName: node.name, clusterName: record.clusterName, version: record.version, startedAtMs: performance.timeOrigin,
      socketPath: paths.node(node.name).hubbleSocket, tcp: { host: node.underlay4, port: hubblePort }, certificates: tls ? paths.hubbleDir : undefined,
    }, {
      pipeline: flows, agentEvents, rate: new FlowRate(() => flows.stats.flows + flows.stats.shadows, wallNs), now: wallNs, peers: peersOf(record, nodes), methods, log,
      node: () => ({ name: node.name, version: record.version, address: `${node.underlay4}:${hubblePort}`, state: 1, tls: { enabled: tls, serverName: tls ? peerServerName(node.name, record.clusterName) : '' } }),
    });
    signal.addEventListener('abort', () => void server.close(), { once: true });
    return () => {
      const { held, capacity } = flows.stats;
      if (server.trouble !== undefined) return { name, state: 'degraded', detail: `on its unix socket only: ${server.trouble}` };
      return { name, state: 'on', detail: `${held}/${capacity} flows, gRPC at ${node.underlay4}:${hubblePort} ${tls ? 'with mutual TLS' : 'in the clear'}` };
    };
  } catch (error) {
    log.error("Hubble's API does not start", { error: errorText(error) });
    return () => ({ name, state: 'degraded', detail: `does not start: ${errorText(error)}` });
  }
}

/** The cluster's nodes as Kubernetes lists them; until it has, as the cluster was made. */
function peersOf(record: ClusterRecord, nodes: Table<Node>): PeerSource {
  const peer = (name: string, ip: string): PeerNode => ({ name, clusterName: record.clusterName, address: `${ip.includes(':') ? `[${ip}]` : ip}:${hubblePort}`, tls: record.settings.hubble.tls.enabled });
  return {
    list: () => {
      if (!nodes.synced) return record.nodes.map(node => peer(node.name, node.underlay4));
      return [...nodes.rows()].flatMap(node => {
        const ip = node.status?.addresses?.find(({ type }) => type === 'InternalIP')?.address;
        return ip === undefined ? [] : [peer(node.metadata.name, ip)];
      });
    },
    watch: onChange => nodes.watch(onChange),
  };
}
