/** `node src/kubelet/main.ts --node NODE`, in the node's network namespace and system group. Ends at once on SIGTERM; pods go on. */
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { instanceFromEnv, parseRecord } from '../model/cluster.ts';
import type { ClusterRecord } from '../model/cluster.ts';
import { KubeClient } from '../kube/client.ts';
import { reflect } from '../kube/reflector.ts';
import { resources } from '../kube/resources.ts';
import type { EndpointSlice } from '../kube/types.ts';
import { CirriError, renderError } from '../std/errors.ts';
import { createLogger } from '../std/log.ts';
import { isNotFound, isConflict } from '../kube/errors.ts';
import { keepMemorySmall } from '../sys/footprint.ts';
import { assemble, layoutOf } from './assemble.ts';
import type { Place } from './assemble.ts';
import { ensureNetwork } from './cni.ts';
import type { PodApi } from './context.ts';
import { EventRecorder } from './events.ts';
import { Kubelet } from './kubelet.ts';
import { NodeReporter } from './node.ts';
import { ApiObjects } from './objects.ts';
import { serveKubelet } from './server.ts';
import type { Pod, PodStatus } from './types.ts';
import { watchTraffic } from './traffic.ts';
import { keepZone } from './zone-keeper.ts';

function placeFromArguments(): Place {
  const { values } = parseArgs({ options: { node: { type: 'string' } } });
  const { paths } = instanceFromEnv(process.env);
  if (!existsSync(paths.clusterJson)) throw new CirriError('ERR_NO_CLUSTER', `${paths.clusterJson} is missing`, { mend: 'cirri up' });
  const cluster = parseRecord(readFileSync(paths.clusterJson, 'utf8'));
  const node = cluster.nodes.find(n => n.name === values.node);
  if (!node) throw new CirriError('ERR_NO_NODE', `--node ${values.node ?? '(missing)'}: the nodes are ${cluster.nodes.map(n => n.name).join(', ')}`);
  return { cluster, node, paths, root: join(import.meta.dirname, '../..') };
}

/** The API as a worker needs it. A pod that is gone, or another by now, needs no words. */
function podApi(client: KubeClient): PodApi {
  return {
    async patchStatus(pod: Pod, status: PodStatus): Promise<void> {
      const { name, namespace } = pod.metadata;
      await client.patch(resources.pods, name, namespace, { metadata: { uid: pod.metadata.uid }, status }, { type: 'merge', subresource: 'status' }).catch((error: unknown) => {
        if (!isNotFound(error) && !isConflict(error)) throw error;
      });
    },
    async remove(pod: Pod): Promise<void> {
      const { name, namespace, uid } = pod.metadata;
      await client.delete(resources.pods, name, namespace, { gracePeriodSeconds: 0, ...(uid ? { preconditions: { uid } } : {}) }).catch((error: unknown) => {
        if (!isConflict(error)) throw error;
      });
    },
  };
}

/** Where a runtime looks for plugins; replaced by rename, a pod may be calling it. */
function installPlugin(binDir: string, built: string): void {
  const target = join(binDir, 'cirri-cni');
  if (!existsSync(built) || (existsSync(target) && statSync(target).mtimeMs >= statSync(built).mtimeMs)) return;
  mkdirSync(binDir, { recursive: true });
  copyFileSync(built, `${target}.new`);
  renameSync(`${target}.new`, target);
}

async function main(): Promise<void> {
  const place = placeFromArguments();
  const { cluster, node, paths, root } = place;
  const log = createLogger({ component: 'kubelet', node: node.name });
  const stop = new AbortController();
  keepMemorySmall({ signal: stop.signal });
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, () => stop.abort());

  const client = new KubeClient({ socketPath: paths.apiserverSocket, userAgent: `cirri-kubelet/${node.name}` });
  const recorder = new EventRecorder(client, node.name, log);
  const layout = layoutOf(paths, cluster.instance, node.name);
  installPlugin(paths.cniBinDir, join(root, 'build/cirri-cni'));
  ensureNetwork(layout.node.cniConfDir, layout.node.cniSocket);
  const slices = reflect<EndpointSlice>({ client, resource: resources.endpointSlices, signal: stop.signal, log });
  const parts = assemble(place, { pods: podApi(client), objects: new ApiObjects(client), recorder, traffic: watchTraffic(slices.table) }, log);
  await parts.runtime.mountTmpfs(layout.volumesDir, 256 << 20);

  const pods = reflect<Pod>({ client, resource: resources.pods, fieldSelector: `spec.nodeName=${node.name}`, signal: stop.signal, log });
  const kubelet = new Kubelet({ pods: pods.table, signal: stop.signal }, parts);
  const reporter = new NodeReporter({ cluster, node, signal: stop.signal, networkTrouble: () => parts.cni.notReady() }, client, log);
  kubelet.start();
  keepZone({ client, cluster, file: layout.zoneFile, slices, signal: stop.signal, log });
  await serveKubelet(layout.node.kubeletSocket, { kubelet, parts, log }, stop.signal);
  log.info('kubelet started', { pid: process.pid, version: cluster.version });
  await reporter.run();
  process.exit(0);
}

main().catch((error: unknown) => {
  process.stderr.write(renderError(error) + '\n');
  process.exit(1);
});
