import net from 'node:net';
import type { KubeObject } from '../../kube/types.ts';
import { isAlreadyExists } from '../../kube/errors.ts';
import { enqueueOnChange, type Context } from '../cluster.ts';
import type { Collection, NewObject } from '../collection.ts';
import { hostProcesses, hubbleNamespace, peerService, peerSlice, processPod, processService, processStatus, type HostProcess } from '../hubble-objects.ts';
import { timeText } from '../nodes.ts';
import { isTerminating } from '../pods.ts';
import { WorkQueue } from '../queue.ts';

/** Where a process of this machine listens; undefined while it does not say. */
export type ProcessAddress = (process: HostProcess['process']) => { readonly host: string; readonly port: number } | undefined;

/** Between two looks whether a process listens. */
const lookMs = 2_000;

/** Hubble's Services, and pods that mirror the relay and the web UI: what `kubectl port-forward svc/hubble-ui` goes through. */
export function runHubble(context: Context, addressOf: ProcessAddress): void {
  const { cluster, record, log, signal } = context;
  const queue = new WorkQueue({ name: 'hubble', handle, paceMs: 50, log, signal });
  const mine = new Set([...hostProcesses.map(({ name }) => name as string), 'hubble-peer']);
  const whenMine = (object: KubeObject) => (object.metadata.namespace === hubbleNamespace && mine.has(object.metadata.name) ? [object.metadata.name] : []);
  enqueueOnChange(cluster.services.table, whenMine, queue, signal);
  enqueueOnChange(cluster.pods.table, whenMine, queue, signal);
  enqueueOnChange(cluster.namespaces.table, namespace => (namespace.metadata.name === hubbleNamespace ? [...mine] : []), queue, signal);
  for (const name of mine) queue.add(name);

  async function handle(name: string): Promise<number | void> {
    if (!cluster.namespaces.get(hubbleNamespace)) return;
    const found = hostProcesses.find(each => each.name === name);
    if (!found) return handlePeer();
    const key = `${hubbleNamespace}/${name}`;
    if (!found.isOn(record)) return remove(key);
    await ensure(cluster.services, key, processService(found));
    await ensure(cluster.pods, key, processPod(found));
    const pod = cluster.pods.get(key);
    if (pod && !isTerminating(pod)) {
      const address = addressOf(found.process);
      const listens = address !== undefined && await isListening(address);
      const status = processStatus(pod, { listens, hostIP: record.underlay.host4, now: timeText(context.now()) });
      if (status) await cluster.pods.patch(pod, { status }, { subresource: 'status' });
    }
    return lookMs;
  }

  async function handlePeer(): Promise<void> {
    const key = `${hubbleNamespace}/hubble-peer`;
    if (!record.settings.hubble.enabled) return remove(key);
    await ensure(cluster.services, key, peerService());
    await ensure(cluster.endpointSlices, key, peerSlice(record));
  }

  async function remove(key: string): Promise<void> {
    for (const collection of [cluster.pods, cluster.services, cluster.endpointSlices] as readonly Collection<KubeObject>[]) {
      const object = collection.get(key);
      if (object?.metadata.labels?.['app.kubernetes.io/managed-by'] === 'cirri') await collection.delete(object, { gracePeriodSeconds: 0 });
    }
  }
}

/** What is there is a user's to change. */
async function ensure<T extends KubeObject>(collection: Collection<T>, key: string, wanted: NewObject): Promise<void> {
  if (collection.get(key)) return;
  try {
    await collection.create(wanted);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
  }
}

function isListening({ host, port }: { readonly host: string; readonly port: number }): Promise<boolean> {
  return new Promise(resolve => {
    const socket = net.connect({ host, port, timeout: 1_000 });
    const done = (listens: boolean) => {
      socket.destroy();
      resolve(listens);
    };
    socket.on('connect', () => done(true)).on('timeout', () => done(false)).on('error', () => done(false));
  });
}
