/**
 * All pods of one node: a worker each, from the first list on. Until the API has been heard, the pods of an earlier life go on
 * by their own records, and none of them is taken as deleted.
 */
import { readdirSync, rmSync, watch } from 'node:fs';
import type { FSWatcher } from 'node:fs';
import { errorText } from '../std/errors.ts';
import type { Table } from '../table/table.ts';
import type { Dependencies } from './context.ts';
import type { Pod } from './types.ts';
import { PodWorker } from './worker.ts';

export interface KubeletOptions {
  /** The pods of this node, keyed `namespace/name`. */
  readonly pods: Table<Pod>;
  readonly signal: AbortSignal;
  /** How often mounted ConfigMaps, Secrets and tokens are looked at again. */
  readonly refreshMs?: number;
}

export class Kubelet {
  readonly #options: KubeletOptions;
  readonly #d: Dependencies;
  readonly #workers = new Map<string, PodWorker>();
  readonly #running = new Set<Promise<void>>();

  constructor(options: KubeletOptions, dependencies: Dependencies) {
    this.#options = options;
    this.#d = dependencies;
  }

  /** Every pod that this node knows, also those on their way out. */
  workers(): Iterable<PodWorker> {
    return this.#workers.values();
  }

  find(namespace: string, name: string): PodWorker | undefined {
    const all = [...this.#workers.values()].filter(w => w.record.namespace === namespace && w.record.name === name);
    return all.find(w => w.pod?.metadata.deletionTimestamp === undefined) ?? all[0];
  }

  /** Adopts what runs, then follows the table. Returns at once; everything ends with the signal, and the pods go on. */
  start(): void {
    const { pods, signal, refreshMs = 60_000 } = this.#options;
    this.#adopt();
    const watcher = this.#watchExits();
    const stop = pods.watch(() => this.#sync());
    const refresh = setInterval(() => {
      for (const worker of this.#workers.values()) if (usesApiVolumes(worker.pod)) worker.refreshVolumes();
    }, refreshMs);
    signal.addEventListener('abort', () => {
      watcher.close();
      stop();
      clearInterval(refresh);
    }, { once: true });
    void pods.whenSynced().then(() => this.#sync());
  }

  /** After the signal: the steps that were under way are done, nothing new is begun. */
  async stopped(): Promise<void> {
    await Promise.all(this.#running);
  }

  #adopt(): void {
    const { records, broken } = this.#d.store.load();
    for (const { record, pod } of records) {
      if (!pod) {
        this.#removeBroken(record.uid);
        continue;
      }
      this.#run(new PodWorker(this.#d, pod, record));
    }
    for (const uid of broken) this.#removeBroken(uid);
    this.#killStrangers();
    this.#d.log.info('pods of an earlier life adopted', { pods: records.length, broken: broken.length });
  }

  #sync(): void {
    const { pods, signal } = this.#options;
    if (!pods.synced || signal.aborted) return;
    const wanted = new Map([...pods.rows()].map(pod => [pod.metadata.uid ?? '', pod]));
    for (const [uid, pod] of wanted) {
      const worker = this.#workers.get(uid);
      if (worker) {
        if (worker.pod !== pod) worker.setPod(pod);
      } else if (isOver(pod)) {
        if (pod.metadata.deletionTimestamp !== undefined) void this.#removeLeftover(pod);
      } else {
        this.#run(new PodWorker(this.#d, pod));
      }
    }
    for (const worker of this.#workers.values()) if (!wanted.has(worker.uid)) worker.setPod(undefined);
  }

  #run(worker: PodWorker): void {
    this.#workers.set(worker.uid, worker);
    const running = worker.run(this.#options.signal).finally(() => {
      this.#running.delete(running);
      if (worker.finished) this.#workers.delete(worker.uid);
    });
    this.#running.add(running);
  }

  /** A pod that ended here, whose record is gone, and whose object only waits for our word. */
  async #removeLeftover(pod: Pod): Promise<void> {
    await this.#d.api.remove(pod).catch((error: unknown) => this.#d.log.debug('leftover not removed', { error: errorText(error) }));
  }

  /** One watch for the ends of all containers. The files are read by the workers; what is nobody's is removed. */
  #watchExits(): FSWatcher {
    const dir = this.#d.runtime.exitsDir;
    const watcher = watch(dir, (_event, name) => {
      if (name === null) {
        for (const worker of this.#workers.values()) worker.nudge();
        return;
      }
      if (name.startsWith('.')) return;
      const owner = [...this.#workers.values()].find(worker => worker.owns(name));
      if (owner) owner.nudge();
      else rmSync(`${dir}/${name}`, { force: true });
    });
    watcher.on('error', error => this.#d.log.error('the watch of container ends failed', { error: error.message }));
    return watcher;
  }

  /** Processes in a pod's group without a record: their pod's folder was lost. */
  #killStrangers(): void {
    const base = this.#d.node.cgroupBase;
    let uids: string[] = [];
    try {
      uids = readdirSync(this.#d.runtime.cgroups.trees.unified + base, { withFileTypes: true }).filter(e => e.isDirectory()).map(e => e.name);
    } catch {
      return;
    }
    for (const uid of uids) if (!this.#workers.has(uid)) this.#removeBroken(uid);
  }

  #removeBroken(uid: string): void {
    const path = `${this.#d.node.cgroupBase}/${uid}`;
    this.#d.log.warn('a pod without a readable record is removed', { uid });
    this.#d.runtime.cgroups.kill(path);
    this.#d.store.remove(uid);
    void this.#d.runtime.cgroups.remove(path);
  }
}

function isOver(pod: Pod): boolean {
  return pod.metadata.deletionTimestamp !== undefined || pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
}

function usesApiVolumes(pod: Pod | undefined): boolean {
  const own = pod?.spec.volumes?.some(v => v.configMap ?? v.secret ?? v.downwardAPI ?? v.projected);
  return pod !== undefined && (own === true || pod.spec.automountServiceAccountToken !== false);
}
