/** When the cluster has stopped sending a pod new connections: what SIGTERM should wait for. */
import { waitFor, delay } from '../std/async.ts';
import { TableIndex } from '../kube/tableindex.ts';
import type { EndpointSlice } from '../kube/types.ts';
import type { Table } from '../table/table.ts';

/** The nodes' agents see a slice change when this kubelet does, and need a few milliseconds to bring it into their kernels. */
const agentsMs = 150;

export interface Traffic {
  /** Resolves when no service offers these addresses any more, or after `atMostMs`. */
  gone(addresses: readonly string[], atMostMs: number): Promise<void>;
}

/**
 * In Kubernetes the signal and the news of it race, and connections made in between are refused by a server that obeyed at
 * once; users mend it with `preStop: sleep`. Here the runtime waits for the news: a rollout fails no connection.
 */
export function watchTraffic(slices: Table<EndpointSlice>): Traffic {
  const offered = new TableIndex(slices, slice => (slice.endpoints ?? [])
    .filter(endpoint => endpoint.conditions?.ready !== false)
    .flatMap(endpoint => endpoint.addresses));
  const known = new TableIndex(slices, slice => (slice.endpoints ?? []).flatMap(endpoint => endpoint.addresses));
  return {
    gone: async (addresses, atMostMs) => {
      // A pod behind no service has nothing to wait for.
      if (!addresses.some(address => known.get(address).length > 0)) return;
      const startedAt = performance.now();
      const left = () => Math.max(0, atMostMs - (performance.now() - startedAt));
      await waitFor('the endpoints to go', () => !addresses.some(address => offered.get(address).length > 0), { timeoutMs: atMostMs, everyMs: 10 }).catch(() => {});
      await delay(Math.min(agentsMs, left()));
    },
  };
}
