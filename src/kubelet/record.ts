/**
 * What the kubelet knows of a pod, on disk: `S/pods/NODE/UID/state.json`, written whole and renamed at each step, so that a
 * kubelet killed at any point finds out what it was doing. `pod.json` beside it is the last object seen, for when the API is
 * away.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import type { Pod, Terminated } from './types.ts';

export interface PodRecord {
  readonly version: 1;
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  startTime: string;
  sandbox: SandboxRecord | undefined;
  containers: Record<string, ContainerRecord>;
  /** The last word on the pod: its containers will not run again. */
  terminal: { phase: 'Succeeded' | 'Failed'; reason?: string; message?: string } | undefined;
  /** Milliseconds since the epoch after which a stopping pod is killed. */
  stopDeadline: number | undefined;
  /** Times that the sandbox was made, so that its id is new each time. */
  sandboxAttempts: number;
}

export interface SandboxRecord {
  /** CNI container id. */
  readonly id: string;
  readonly netns: string;
  readonly ipcns: string | undefined;
  readonly hostNetwork: boolean;
  /** Written before ADD is called: from then on DEL is owed. */
  cniCalled: boolean;
  ready: boolean;
  ips: string[];
  cniResult: unknown;
}

export interface ContainerRecord {
  readonly name: string;
  /** 0 for the first run. */
  attempt: number;
  id: string;
  state: 'starting' | 'running' | 'exited';
  /** Process id of the container's init and the kernel's start time of it (guards against reuse); 0 when unknown. */
  pid: number;
  pidStart: number;
  shimPid: number;
  shimStart: number;
  startedAt: string;
  end: Terminated | undefined;
  last: Terminated | undefined;
  restartCount: number;
  /** The pause that the next crash brings, and when this one is over (ms since the epoch). */
  backoffMs: number;
  restartAt: number;
  /** Probe results, kept so that a new kubelet does not take a ready pod out of its services. */
  ready: boolean;
  started: boolean;
  /** Why the pod's stop killed it, or a probe did. */
  killReason: string | undefined;
}

export function newRecord(pod: Pod, now: Date): PodRecord {
  return {
    version: 1, uid: pod.metadata.uid ?? '', namespace: pod.metadata.namespace ?? 'default', name: pod.metadata.name, startTime: now.toISOString().replace(/\.\d+Z$/, 'Z'),
    sandbox: undefined, containers: {}, terminal: undefined, stopDeadline: undefined, sandboxAttempts: 0,
  };
}

export class RecordStore {
  readonly #pods: string;

  constructor(podsDir: string) {
    this.#pods = podsDir;
    mkdirSync(podsDir, { recursive: true, mode: 0o711 });
  }

  dir(uid: string): string {
    return `${this.#pods}/${uid}`;
  }

  save(record: PodRecord): void {
    writeWhole(this.dir(record.uid), 'state.json', JSON.stringify(record));
  }

  savePod(pod: Pod): void {
    writeWhole(this.dir(pod.metadata.uid!), 'pod.json', JSON.stringify(pod));
  }

  /** Every pod of an earlier life. A folder without a readable state is returned as broken: only what it may hold is removed. */
  load(): { records: { record: PodRecord; pod: Pod | undefined }[]; broken: string[] } {
    const records: { record: PodRecord; pod: Pod | undefined }[] = [];
    const broken: string[] = [];
    for (const uid of readdirSync(this.#pods)) {
      const record = readJson<PodRecord>(`${this.dir(uid)}/state.json`);
      if (record?.version === 1 && record.uid === uid) records.push({ record, pod: readJson<Pod>(`${this.dir(uid)}/pod.json`) });
      else broken.push(uid);
    }
    return { records, broken };
  }

  remove(uid: string): void {
    rmSync(this.dir(uid), { recursive: true, force: true });
  }
}

function writeWhole(dir: string, name: string, text: string): void {
  mkdirSync(dir, { recursive: true, mode: 0o711 });
  writeFileSync(`${dir}/.${name}`, text, { mode: 0o600 });
  renameSync(`${dir}/.${name}`, `${dir}/${name}`);
}

function readJson<T>(path: string): T | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as T;
  } catch {
    return undefined;
  }
}
