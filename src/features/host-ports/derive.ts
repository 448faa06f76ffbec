import { objectKey } from '../../kube/reflector.ts';
import type { Pod } from '../../kube/types.ts';
import type { HostPortInput } from '../../lb/local-rows.ts';
import { Table, type Changes } from '../../table/table.ts';

/**
 * The host ports of this node's pods: `pods ─► host-ports ─► frontends of the node`. A pod that runs serves, ready or not, as
 * with the portmap plugin. That no two pods of a node have one port is the scheduler's business.
 */
export class HostPortDerivation {
  readonly table = new Table<HostPortInput>('host-ports', row => row.key);
  readonly #pods: Table<Pod>;
  readonly #changes: Changes<Pod>;
  readonly #producer: { synced(): void };
  /** Keys of the rows that each pod has. */
  readonly #rowsOf = new Map<string, readonly string[]>();

  constructor(pods: Table<Pod>) {
    this.#pods = pods;
    this.#changes = pods.changes();
    this.#producer = this.table.producer('pods');
  }

  step(): void {
    const { changed, deleted } = this.#changes.take();
    for (const pod of changed) this.#put(objectKey(pod), hostPorts(pod));
    for (const key of deleted) this.#put(key, []);
    if (this.#pods.synced) this.#producer.synced();
  }

  #put(pod: string, rows: readonly HostPortInput[]): void {
    const keys = rows.map(row => row.key);
    this.table.delete(...(this.#rowsOf.get(pod) ?? []).filter(key => !keys.includes(key)));
    this.table.upsert(...rows);
    if (rows.length > 0) this.#rowsOf.set(pod, keys);
    else this.#rowsOf.delete(pod);
  }
}

/** What a pod's containers ask for, while it runs. A pod in the node's own network has its ports by itself. Pure. */
export function hostPorts(pod: Pod): HostPortInput[] {
  if (pod.spec.hostNetwork === true || pod.status?.phase !== 'Running') return [];
  const podIPs = pod.status.podIPs?.map(({ ip }) => ip) ?? (pod.status.podIP ? [pod.status.podIP] : []);
  // Init containers that stay (restartPolicy Always) serve too.
  const containers = [...pod.spec.containers, ...(pod.spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always')];
  return containers.flatMap(({ ports }) => ports ?? []).flatMap(({ hostPort, hostIP = '', containerPort, protocol = 'TCP' }) => (hostPort ? [{
    key: `${objectKey(pod)} ${hostIP} ${hostPort}/${protocol}`, namespace: pod.metadata.namespace ?? '', pod: pod.metadata.name, podIPs, hostIP, hostPort, containerPort, protocol,
  }] : []));
}
