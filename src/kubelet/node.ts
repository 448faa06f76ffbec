/** The node's own object: registered and kept true, with a lease renewed every ten seconds as the sign of life. */
import os from 'node:os';
import { readFileSync } from 'node:fs';
import { delay } from '../std/async.ts';
import { errorText } from '../std/errors.ts';
import type { Logger } from '../std/log.ts';
import { isAlreadyExists, isConflict } from '../kube/errors.ts';
import { resources } from '../kube/resources.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Condition, KubeObject } from '../kube/types.ts';
import type { ClusterRecord, NodeRecord } from '../model/cluster.ts';
import { seconds } from './events.ts';

export interface NodeReporterOptions {
  readonly cluster: ClusterRecord;
  readonly node: NodeRecord;
  readonly signal: AbortSignal;
  /** Why pods cannot get a network now; undefined when they can. */
  readonly networkTrouble: () => string | undefined;
  readonly leaseEveryMs?: number;
}

const leaseNamespace = 'kube-node-lease';
const leaseSeconds = 40;
/** A status that has not changed is written all the same after this long, as a sign that it is still true. */
const statusEveryMs = 5 * 60_000;

export class NodeReporter {
  readonly #o: NodeReporterOptions;
  readonly #client: KubeClient;
  readonly #log: Logger;
  #lastStatus = '';
  #lastStatusAt = 0;
  #registered = false;
  #complaint = '';

  constructor(options: NodeReporterOptions, client: KubeClient, log: Logger) {
    this.#o = options;
    this.#client = client;
    this.#log = log;
  }

  /** Until the signal aborts. */
  async run(): Promise<void> {
    const { signal, leaseEveryMs = 10_000 } = this.#o;
    for (let round = 0; !signal.aborted; round++) {
      const done = await this.#round();
      // While the node is coming up it is looked at often, so that it is Ready as soon as its network is.
      const soon = !done || (this.#o.networkTrouble() !== undefined && round < 120);
      await delay(soon ? 500 : leaseEveryMs, signal).catch(() => {});
    }
  }

  async #round(): Promise<boolean> {
    try {
      if (!this.#registered) await this.#register();
      await this.#reportStatus();
      await this.#renewLease();
      this.#complaint = '';
      return true;
    } catch (error) {
      // 404: somebody deleted the node or the API lost its store: register again.
      this.#registered = false;
      this.#lastStatus = '';
      const complaint = errorText(error);
      if (complaint !== this.#complaint) this.#log.warn('the node cannot be reported, it is tried again', { error: complaint });
      this.#complaint = complaint;
      return false;
    }
  }

  async #register(): Promise<void> {
    const wanted = this.#object();
    const present = await this.#client.get(resources.nodes, wanted.metadata.name);
    if (!present) {
      await this.#client.create(resources.nodes, { ...wanted, status: this.#status([]) }).catch((error: unknown) => {
        if (!isAlreadyExists(error)) throw error;
      });
    } else {
      await this.#client.patch(resources.nodes, wanted.metadata.name, undefined, { metadata: { labels: wanted.metadata.labels }, spec: wanted.spec }, { type: 'merge' });
    }
    this.#registered = true;
  }

  async #reportStatus(): Promise<void> {
    const { name } = this.#o.node;
    const fingerprint = `${this.#o.networkTrouble() ?? ''}`;
    if (fingerprint === this.#lastStatus && Date.now() - this.#lastStatusAt < statusEveryMs) return;
    const present = await this.#client.get<KubeObject & { status?: { conditions?: Condition[] } }>(resources.nodes, name);
    await this.#client.patch(resources.nodes, name, undefined, { status: this.#status(present?.status?.conditions ?? []) }, { type: 'merge', subresource: 'status' });
    this.#lastStatus = fingerprint;
    this.#lastStatusAt = Date.now();
  }

  async #renewLease(): Promise<void> {
    const { name } = this.#o.node;
    const renewTime = new Date().toISOString().replace(/(\.\d+)Z$/, (_, ms: string) => `${ms.padEnd(7, '0')}Z`);
    const lease = {
      apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name, namespace: leaseNamespace },
      spec: { holderIdentity: name, leaseDurationSeconds: leaseSeconds, renewTime },
    };
    try {
      await this.#client.patch(resources.leases, name, leaseNamespace, { spec: lease.spec }, { type: 'merge' });
    } catch (error) {
      if ((error as { status?: number }).status !== 404) throw error;
      await this.#client.create(resources.leases, lease).catch((again: unknown) => {
        if (!isAlreadyExists(again) && !isConflict(again)) throw again;
      });
    }
  }

  #object(): KubeObject {
    const { node } = this.#o;
    return {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: {
        name: node.name,
        labels: { 'kubernetes.io/hostname': node.name, 'kubernetes.io/os': 'linux', 'kubernetes.io/arch': arch(), 'beta.kubernetes.io/os': 'linux', 'beta.kubernetes.io/arch': arch() },
      },
      spec: { podCIDR: node.podCidr4, podCIDRs: [node.podCidr4, node.podCidr6] },
    };
  }

  #status(before: readonly Condition[]): object {
    const { node, cluster } = this.#o;
    const trouble = this.#o.networkTrouble();
    const memoryKi = Math.floor(os.totalmem() / 1024);
    const capacity = { cpu: String(os.availableParallelism()), memory: `${memoryKi}Ki`, pods: '250', 'ephemeral-storage': '10Gi' };
    return {
      addresses: [{ type: 'InternalIP', address: node.underlay4 }, { type: 'InternalIP', address: node.underlay6 }, { type: 'Hostname', address: node.name }],
      capacity,
      allocatable: capacity,
      conditions: [
        healthy('MemoryPressure', 'KubeletHasSufficientMemory', 'kubelet has sufficient memory available'),
        healthy('DiskPressure', 'KubeletHasNoDiskPressure', 'kubelet has no disk pressure'),
        healthy('PIDPressure', 'KubeletHasSufficientPID', 'kubelet has sufficient PID available'),
        trouble === undefined
          ? { type: 'Ready', status: 'True', reason: 'KubeletReady', message: 'kubelet is posting ready status' }
          : { type: 'Ready', status: 'False', reason: 'KubeletNotReady', message: `container runtime network not ready: ${trouble}` },
      ].map(c => timed(c as Condition, before)).concat(before.filter(c => !ownConditions.has(c.type))),
      daemonEndpoints: { kubeletEndpoint: { Port: 10250 } },
      nodeInfo: {
        architecture: arch(), operatingSystem: 'linux', kernelVersion: os.release(), osImage: osImage(), containerRuntimeVersion: 'runc://1',
        kubeletVersion: `v1.32.0-cirri.${cluster.version}`, kubeProxyVersion: '', machineID: '', systemUUID: '', bootID: bootId(),
      },
    };
  }
}

const ownConditions: ReadonlySet<string> = new Set(['MemoryPressure', 'DiskPressure', 'PIDPressure', 'Ready']);

function healthy(type: string, reason: string, message: string): Condition {
  return { type, status: 'False', reason, message };
}

function timed(condition: Condition, before: readonly Condition[]): Condition {
  const old = before.find(c => c.type === condition.type);
  const now = seconds(new Date());
  return { ...condition, lastHeartbeatTime: now, lastTransitionTime: old?.status === condition.status ? old.lastTransitionTime ?? now : now };
}

function arch(): string {
  return process.arch === 'x64' ? 'amd64' : process.arch;
}

function osImage(): string {
  try {
    return /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'Linux';
  } catch {
    return 'Linux';
  }
}

function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return '';
  }
}
