import type { KubeClient } from '../kube/client.ts';
import type { ClusterRecord } from '../model/cluster.ts';
import type { Logger } from '../std/log.ts';
import { createContext } from './cluster.ts';
import { runDaemonSets } from './controllers/daemonsets.ts';
import { runDeployments } from './controllers/deployments.ts';
import { runEndpoints } from './controllers/endpoints.ts';
import { runEndpointsMirror } from './controllers/endpoints-mirror.ts';
import { runGarbage } from './controllers/garbage.ts';
import { runHubble, type ProcessAddress } from './controllers/hubble.ts';
import { runHostRoutes } from './controllers/host-routes.ts';
import { runJobs } from './controllers/jobs.ts';
import { runKubernetesService } from './controllers/kubernetes-service.ts';
import { runLocalRedirects } from './controllers/local-redirects.ts';
import { runNamespaces } from './controllers/namespaces.ts';
import { runNodes } from './controllers/nodes.ts';
import { runPodGarbage } from './controllers/pod-garbage.ts';
import { runReplicaSets } from './controllers/replicasets.ts';
import { runScheduler } from './controllers/scheduler.ts';
import { runServiceAddresses } from './controllers/service-addresses.ts';
import type { LocalRoutes } from './host-routes.ts';
import { startPolicyStatus } from './policy-status.ts';
import { runStatefulSets } from './controllers/statefulsets.ts';

export interface ControllerOptions {
  readonly client: KubeClient;
  readonly record: ClusterRecord;
  readonly signal: AbortSignal;
  readonly log: Logger;
  /** PEM of the API's CA, for `kube-root-ca.crt` in every namespace; without it there is none. */
  readonly rootCa?: string;
  readonly now?: () => number;
  /** Where Hubble's processes listen; without it they have no objects. */
  readonly processes?: ProcessAddress;
  /** Makes the host's routes to services with externalTrafficPolicy Local; without it they are another's. */
  readonly routes?: (routes: LocalRoutes) => readonly string[];
}

/**
 * Runs every controller until the signal aborts. Resolves when all of them have seen the first lists and have begun; while the
 * API is away they wait. Each one is level-triggered: it looks at what is, never at what happened.
 */
export async function startControllers(options: ControllerOptions): Promise<void> {
  const context = createContext({ ...options, log: options.log.with({ component: 'controllers' }) });
  await Promise.race([context.cluster.whenSynced(), aborted(options.signal)]);
  if (options.signal.aborted) return;
  // The order says nothing: controllers meet only in the API's objects.
  runKubernetesService(context);
  runNamespaces(context, options.rootCa);
  runNodes(context);
  runDeployments(context);
  runReplicaSets(context);
  runDaemonSets(context);
  runStatefulSets(context);
  runJobs(context);
  runScheduler(context);
  runEndpoints(context);
  runEndpointsMirror(context);
  runServiceAddresses(context);
  runLocalRedirects(context);
  runHostRoutes(context, options.routes);
  if (options.processes) runHubble(context, options.processes);
  runPodGarbage(context);
  runGarbage(context);
  startPolicyStatus({ client: options.client, signal: options.signal, log: options.log, clusterName: options.record.clusterName });
  options.log.info('controllers run', { kinds: context.cluster.all.length });
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
