/** A pod's network: its namespace and what the CNI plugins put into it. */
import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { errorText } from '../std/errors.ts';
import { resultIps } from './cni.ts';
import type { CniAttachment } from './cni.ts';
import { shortUid } from './context.ts';
import type { Dependencies } from './context.ts';
import type { PodRecord, SandboxRecord } from './record.ts';
import type { Pod } from './types.ts';

/** Makes it unless it is there. A half-made one of an earlier life is taken down first: plugins promise nothing about a second ADD. */
export async function ensureSandbox(pod: Pod, record: PodRecord, d: Dependencies): Promise<void> {
  if (record.sandbox?.ready) return;
  if (record.sandbox) await removeSandbox(record, d);
  if (pod.spec.hostNetwork) {
    record.sandbox = { id: '', netns: d.node.netns, ipcns: undefined, hostNetwork: true, cniCalled: false, ready: true, ips: [...d.node.hostIPs], cniResult: undefined };
    d.store.save(record);
    return;
  }
  const sandbox: SandboxRecord = {
    id: createHash('sha256').update(`${record.uid}/${record.sandboxAttempts++}`).digest('hex'),
    netns: d.node.podNetnsPrefix + shortUid(record.uid),
    // Containers of one pod share System V IPC and POSIX queues; a pod of one gets its own from runc and saves a mount.
    ipcns: containersOf(pod) > 1 ? `${d.store.dir(record.uid)}/ipc` : undefined,
    hostNetwork: false, cniCalled: false, ready: false, ips: [], cniResult: undefined,
  };
  record.sandbox = sandbox;
  d.store.save(record);
  await d.runtime.makeNamespaces(sandbox.netns, sandbox.ipcns);
  sandbox.cniCalled = true;
  d.store.save(record);
  sandbox.cniResult = await d.cni.add(attachment(pod, record, sandbox));
  sandbox.ips = resultIps(sandbox.cniResult);
  sandbox.ready = true;
  d.store.save(record);
}

/** DEL, then the namespaces. Idempotent; throws when the plugin refuses, so that it is asked again. */
export async function removeSandbox(record: PodRecord, d: Dependencies): Promise<void> {
  const { sandbox } = record;
  if (!sandbox) return;
  if (sandbox.cniCalled) await d.cni.delete(attachment(undefined, record, sandbox), sandbox.cniResult ?? undefined);
  if (!sandbox.hostNetwork) await d.runtime.unmount([sandbox.netns, ...(sandbox.ipcns ? [sandbox.ipcns] : [])]);
  record.sandbox = undefined;
  d.store.save(record);
}

/** False after a reboot: the file is there, the namespace is not. */
export function sandboxExists(sandbox: SandboxRecord): boolean {
  if (sandbox.hostNetwork) return true;
  try {
    return statSync(sandbox.netns).dev !== statSync('/run').dev && statSync(sandbox.netns).ino !== statSync('/proc/self/ns/net').ino;
  } catch {
    return false;
  }
}

/** For the log when a teardown at the end of a pod keeps failing. */
export function sandboxTrouble(record: PodRecord, error: unknown): object {
  return { pod: `${record.namespace}/${record.name}`, netns: record.sandbox?.netns, error: errorText(error) };
}

function attachment(pod: Pod | undefined, record: PodRecord, sandbox: SandboxRecord): CniAttachment {
  const ports = (pod?.spec.containers ?? []).flatMap(c => c.ports ?? []).filter(p => p.hostPort);
  return {
    containerId: sandbox.id,
    netns: sandbox.netns,
    ifname: 'eth0',
    pod: { namespace: record.namespace, name: record.name, uid: record.uid },
    ...(ports.length > 0 ? { portMappings: ports.map(p => ({ hostPort: p.hostPort!, containerPort: p.containerPort, protocol: (p.protocol ?? 'TCP').toLowerCase(), ...(p.hostIP ? { hostIP: p.hostIP } : {}) })) } : {}),
  };
}

function containersOf(pod: Pod): number {
  return pod.spec.containers.length + (pod.spec.initContainers?.length ?? 0);
}
