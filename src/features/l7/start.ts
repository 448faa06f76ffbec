import type { NodeMaps } from '../../datapath/maps.ts';
import type { NodePaths } from '../../model/cluster.ts';
import type { L7Set } from '../../model/l7.ts';
import type { FeatureStatus } from '../../model/status.ts';
import type { FlowPipeline } from '../../flows/pipeline.ts';
import { counted } from '../../std/counted.ts';
import { formatAddr } from '../../std/ip.ts';
import type { Logger } from '../../std/log.ts';
import { L7Listener } from './records.ts';
import { L7SetFiles } from './sets.ts';

export interface Layer7 {
  readonly sets: L7SetFiles;
  readonly listener: L7Listener;
  /** Told of what the proxy's workers see, from now on. */
  start(flows: Pick<FlowPipeline, 'l7' | 'http'>): void;
  status(inUse: ReadonlyMap<number, L7Set>): FeatureStatus;
}

const mostServices = 4096;

/**
 * The agent's side of the node's layer 7 proxy:
 *
 *     engine ─► numberOf ─► l7Sets/NUMBER.json ─► proxy
 *     pipeline ◄─ records ◄─ l7Socket ◄────────────┘
 *
 * The proxy is a process of its own, kept running by the supervisor; neither needs the other to be there.
 */
export function startLayer7(options: { readonly paths: NodePaths; readonly workers: number }, dependencies: { readonly maps: Pick<NodeMaps, 'serviceAddresses'>; readonly log: Logger; readonly signal: AbortSignal }): Layer7 {
  const { paths, workers } = options;
  const { maps, log, signal } = dependencies;
  const sets = new L7SetFiles(paths.l7Sets, { log });
  const services = new Map<number, { readonly ip: string; readonly port: number } | undefined>();
  const service = (id: number) => {
    if (services.has(id)) return services.get(id);
    const found = maps.serviceAddresses.lookup({ id });
    const known = found && { ip: formatAddr(found.addr), port: found.port };
    // Keys are given to others in time: what was asked for long ago is asked again.
    if (services.size >= mostServices) services.clear();
    services.set(id, known);
    return known;
  };
  const forget = setInterval(() => services.clear(), 5_000);
  // Nobody is listened to before `start`.
  let pipeline: Pick<FlowPipeline, 'l7' | 'http'>;
  const listener = new L7Listener({ take: record => pipeline.l7(record), http: () => pipeline.http, service, log });
  signal.addEventListener('abort', () => {
    clearInterval(forget);
    listener.close();
  }, { once: true });
  return {
    sets, listener,
    start: flows => {
      pipeline = flows;
      listener.listen(paths.l7Socket);
    },
    status: inUse => proxyStatus(listener, { workers, inUse: inUse.size, files: sets.size }),
  };
}

/** The processes that `l7.workers` comes to. */
export function proxyWorkers(setting: number, processors: number): number {
  if (setting > 0) return setting;
  return processors <= 2 ? 1 : Math.min(4, processors);
}

function proxyStatus(listener: L7Listener, options: { readonly workers: number; readonly inUse: number; readonly files: number }): FeatureStatus {
  const workers = [...listener.workers.values()];
  const sum = (of: (status: (typeof workers)[number]) => number) => workers.reduce((total, status) => total + of(status), 0);
  const name = 'L7Proxy';
  const faults = workers.flatMap(status => status.faults);
  const detail = [
    `${workers.length} of ${counted(options.workers, 'worker')} (${workers.map(status => `pid ${status.pid}`).join(', ') || 'none is here'})`,
    `${counted(sum(status => status.connections), 'connection')}, ${counted(sum(status => status.requests), 'request')}, ${sum(status => status.denied)} denied`,
    `${counted(options.inUse, 'set')} in use`,
    `${megabytes(sum(status => status.rssBytes))}${workers.some(status => status.spare) ? `, and ${megabytes(sum(status => status.spare?.rssBytes ?? 0))} that stand by` : ''}`,
    ...(listener.lost > 0 ? [`${counted(listener.lost, 'record')} lost`] : []),
    ...faults.slice(0, 3),
  ].join('; ');
  return { name, state: workers.length < options.workers || faults.length > 0 ? 'degraded' : 'on', detail };
}

function megabytes(count: number): string {
  return `${Math.round(count / 1e6)} MB`;
}
