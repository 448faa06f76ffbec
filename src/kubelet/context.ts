/** What every pod of a node shares: where things are, what the node offers, and the parts that do the work. */
import type { Logger } from '../std/log.ts';
import type { HiddenPath } from './bundle.ts';
import type { Cni } from './cni.ts';
import type { EventTarget, Recorder } from './events.ts';
import type { Gate } from './gate.ts';
import type { ClusterDns } from './hostfiles.ts';
import type { ObjectSource } from './objects.ts';
import type { RecordStore } from './record.ts';
import type { Runtime } from './runtime.ts';
import type { Traffic } from './traffic.ts';
import type { Pod, PodStatus, StringMap } from './types.ts';

export interface NodeFacts {
  readonly name: string;
  readonly instance: string;
  readonly hostIPs: readonly string[];
  /** The node's own network namespace, for pods on the host's network. */
  readonly netns: string;
  /** A pod's namespace is this and the short uid. */
  readonly podNetnsPrefix: string;
  /** `/INSTANCE/NODE/pods` in every cgroup tree. */
  readonly cgroupBase: string;
  readonly dns: ClusterDns;
  readonly resolvConf: () => string;
  readonly capacity: { readonly cpus: number; readonly memoryBytes: number };
  /** Host paths that no container may read. */
  readonly hidden: readonly HiddenPath[];
  readonly userOf: (uid: number) => { readonly gid: number; readonly home: string } | undefined;
  /** Environment of every container: where the API is. */
  readonly env: StringMap;
  /** The built-in program and what cirri/dns needs. */
  readonly echoBinary: string;
  readonly sources: { readonly node: string; readonly dnsMain: string; readonly mounts: readonly string[]; readonly zoneDir: string };
  /** The node's tmpfs for secrets. */
  readonly volumesDir: string;
}

/** The part of the API that a pod's worker writes to. */
export interface PodApi {
  patchStatus(pod: Pod, status: PodStatus): Promise<void>;
  /** Grace 0, only this very pod. */
  remove(pod: Pod): Promise<void>;
}

export interface Dependencies {
  readonly node: NodeFacts;
  readonly runtime: Runtime;
  readonly cni: Cni;
  readonly store: RecordStore;
  readonly objects: ObjectSource;
  readonly api: PodApi;
  readonly recorder: Recorder;
  readonly starts: Gate;
  readonly traffic: Traffic;
  readonly log: Logger;
}

export function aboutPod(pod: Pod, container?: string): EventTarget {
  const { name, namespace = 'default', uid = '' } = pod.metadata;
  return { kind: 'Pod', name, namespace, uid, ...(container === undefined ? {} : { fieldPath: `spec.containers{${container}}` }) };
}

/** Short enough for file and cgroup names, long enough to be one pod's among all. */
export function shortUid(uid: string): string {
  return uid.replaceAll('-', '').slice(0, 10);
}
