import { join } from 'node:path';
import { maps as specs } from '../datapath/generated/maps.ts';
import type { ProxyConnection, ProxyConnectionKey, Runtime } from '../datapath/generated/structs.ts';
import { BpfMap, type MapSpec } from '../ebpf/map.ts';
import { CirriError } from '../std/errors.ts';
import { type Mapping, mapShared, pageSize } from '../sys/file.ts';
import type { Rows } from './worker.ts';

/** The node's maps, as far as the proxy reads and writes them. The agent makes them. */
export class KernelRows implements Rows {
  readonly #connections: BpfMap<ProxyConnectionKey, ProxyConnection>;
  readonly #listeners: BpfMap<number, bigint>;
  readonly #runtime: BpfMap<number, Runtime>;
  readonly #mapping: Mapping;
  /** struct runtime as it is now: policy_generation comes first. */
  readonly #words: Int32Array;

  /** Undefined while the agent has not made them in the layout that this version reads. */
  static open(directory: string): KernelRows | undefined {
    const opened = [specs.proxyConnections, specs.proxyListeners, specs.runtime].map(spec => openPinned(directory, spec as MapSpec<unknown, unknown>));
    const [connections, listeners, runtime] = opened;
    if (connections && listeners && runtime) return new KernelRows(connections as BpfMap<ProxyConnectionKey, ProxyConnection>, listeners as BpfMap<number, bigint>, runtime as BpfMap<number, Runtime>);
    for (const map of opened) map?.close();
    return undefined;
  }

  private constructor(connections: BpfMap<ProxyConnectionKey, ProxyConnection>, listeners: BpfMap<number, bigint>, runtime: BpfMap<number, Runtime>) {
    this.#connections = connections;
    this.#listeners = listeners;
    this.#runtime = runtime;
    this.#mapping = mapShared({ fd: runtime.fd, length: pageSize, writable: false, what: 'map runtime' });
    this.#words = new Int32Array(this.#mapping.buffer, 0, 2);
  }

  generation(): number {
    return Atomics.load(this.#words, 0) >>> 0;
  }

  lookup(key: ProxyConnectionKey): ProxyConnection | undefined {
    return this.#connections.lookup(key);
  }

  delete(key: ProxyConnectionKey): void {
    this.#connections.delete(key);
  }

  /** Redirected packets go to this socket from now on: row 2 × worker for IPv4, one more for IPv6. */
  setListener(worker: number, isIPv6: boolean, fd: number): void {
    const row = 2 * worker + (isIPv6 ? 1 : 0);
    if (row >= specs.proxyListeners.maxEntries) throw new CirriError('ERR_L7_WORKERS', `worker ${worker} has no row in proxy_listeners`, { mend: 'set l7.workers to 16 or less' });
    this.#listeners.update(row, BigInt(fd));
  }

  close(): void {
    this.#mapping.unmap();
    this.#connections.close();
    this.#listeners.close();
    this.#runtime.close();
  }
}

function openPinned(directory: string, spec: MapSpec<unknown, unknown>): BpfMap<unknown, unknown> | undefined {
  return BpfMap.openPinned(spec, join(directory, `${spec.name}-${spec.layoutHash}`));
}
