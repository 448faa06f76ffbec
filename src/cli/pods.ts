import { readFileSync } from 'node:fs';
import type { PodRecord } from '../kubelet/record.ts';
import { resources } from '../kube/resources.ts';
import type { KubeObject } from '../kube/types.ts';
import { CirriError } from '../std/errors.ts';
import { cgroupRoot } from '../sys/cgroup.ts';
import type { Context } from './context.ts';
import { nearest } from './resource-name.ts';

/** A pod as this machine runs it. */
export interface LocalPod {
  readonly namespace: string;
  readonly name: string;
  readonly node: string;
  readonly uid: string;
  readonly netns: string;
  /** Absolute, in the v2 hierarchy: socket programs of the node see what lives there. */
  readonly cgroup: string;
  readonly ips: readonly string[];
  readonly containers: readonly { readonly name: string; readonly id: string; readonly pid: number; readonly running: boolean }[];
}

export interface PodObject extends KubeObject {
  readonly spec: { readonly nodeName?: string; readonly containers: readonly { readonly name: string }[] };
  readonly status?: { readonly phase?: string; readonly podIPs?: readonly { readonly ip: string }[] };
}

/** `NS/POD`, `POD` (namespace default); the name may be the workload's (`demo/frontend` → its first running pod). */
export async function findPod(context: Context, text: string): Promise<LocalPod> {
  const { namespace, name } = splitName(text);
  const { items } = await context.client.list<PodObject>(resources.pods, { namespace });
  return localPod(context, choosePod(items, namespace, name));
}

export function splitName(text: string): { readonly namespace: string; readonly name: string } {
  const slash = text.indexOf('/');
  return slash < 0 ? { namespace: 'default', name: text } : { namespace: text.slice(0, slash), name: text.slice(slash + 1) };
}

/** The pod of that name, else the first running one whose name the workload's name begins. */
export function choosePod(pods: readonly PodObject[], namespace: string, name: string): PodObject {
  const own = pods.filter(pod => pod.metadata.namespace === namespace);
  const found = own.find(pod => pod.metadata.name === name)
    ?? own.filter(pod => pod.metadata.name.startsWith(`${name}-`) && pod.status?.phase === 'Running').sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))[0];
  if (found) return found;
  const near = nearest(name, own.map(pod => pod.metadata.name.replace(/-[a-z0-9]+(-[a-z0-9]{5})?$/, '')));
  throw new CirriError('ERR_NO_POD', `there is no pod ${namespace}/${name}`, {
    mend: near !== undefined ? `did you mean ${namespace}/${near}?` : own.length === 0 ? `namespace ${namespace} has no pods: cirri get pods -A` : `cirri get pods -n ${namespace}`,
  });
}

/** What the kubelet keeps on disk of a pod that runs here. */
export function localPod(context: Context, pod: PodObject): LocalPod {
  const namespace = pod.metadata.namespace ?? 'default';
  const { name, uid = '' } = pod.metadata;
  const node = pod.spec.nodeName;
  if (node === undefined) throw new CirriError('ERR_POD_PENDING', `pod ${namespace}/${name} is not on a node yet`, { mend: `see why: kubectl describe pod ${name} -n ${namespace}` });
  const file = `${context.paths.node(node).pods}/${uid}/state.json`;
  let record: PodRecord;
  try {
    record = JSON.parse(readFileSync(file, 'utf8')) as PodRecord;
  } catch (error) {
    throw new CirriError('ERR_POD_PENDING', `pod ${namespace}/${name} does not run on ${node} yet`, { cause: error, mend: `kubectl describe pod ${name} -n ${namespace}` });
  }
  const containers = Object.values(record.containers).map(({ name: container, id, pid, state }) => ({ name: container, id, pid, running: state === 'running' }));
  const running = containers.find(container => container.running && container.pid > 0);
  if (!record.sandbox || !running) {
    throw new CirriError('ERR_POD_NOT_RUNNING', `pod ${namespace}/${name} has no running container`, { mend: `kubectl describe pod ${name} -n ${namespace}; cirri logs ${namespace}/${name}` });
  }
  return {
    namespace, name, node, uid, netns: record.sandbox.netns, cgroup: cgroupOf(running.pid), containers,
    ips: record.sandbox.ips.length > 0 ? record.sandbox.ips : (pod.status?.podIPs ?? []).map(entry => entry.ip),
  };
}

/** The v2 group of a process. */
function cgroupOf(pid: number): string {
  const line = /^0::(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'utf8'));
  return cgroupRoot() + (line?.[1] ?? '/');
}
