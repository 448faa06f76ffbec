import { setImmediate } from 'node:timers/promises';
import { HttpPhase } from '../../datapath/generated/enums.ts';
import type { HttpConnection } from '../../datapath/generated/structs.ts';
import type { NodeMaps } from '../../datapath/maps.ts';
import { walkMap } from '../../ebpf/map-walk.ts';
import type { L7KernelConnection, L7KernelConnections } from '../../model/l7-kernel.ts';
import { formatEnd } from '../../std/ip.ts';

export interface HttpConnectionsDependencies {
  readonly maps: Pick<NodeMaps, 'httpConnections'>;
  /** CLOCK_MONOTONIC in nanoseconds. */
  readonly monotonicNs?: () => bigint;
}

/** Of a list: a row of the map is 3.7 kB, and there may be 65,536. */
export const mostListed = 10_000;

/**
 * The connections whose HTTP the kernel carries, in no order, `mostListed` of them at most, and how many there are. The map is read in
 * chunks of a megabyte with turns of the event loop between them; who comes or goes meanwhile may be missed or stay.
 */
export async function httpConnections({ maps: { httpConnections: map }, monotonicNs = () => process.hrtime.bigint() }: HttpConnectionsDependencies): Promise<L7KernelConnections> {
  const connections: L7KernelConnection[] = [];
  let total = 0;
  for (const { count, values } of walkMap(map)) {
    const nowNs = monotonicNs();
    const wanted = Math.min(count, mostListed - connections.length);
    for (let i = 0; i < wanted; i++) connections.push(describe(map.spec.value.read(values, i * map.valueSize), nowNs));
    total += count;
    await setImmediate();
  }
  return { connections, total };
}

function describe(row: HttpConnection, nowNs: bigint): L7KernelConnection {
  const { client, clientPort, server, serverPort } = row.key;
  return {
    client: formatEnd(client, clientPort), server: formatEnd(server, serverPort), sourceIdentity: row.sourceIdentity, destinationIdentity: row.destinationIdentity,
    egressSet: 0, ingressSet: row.set, state: stateOf(row),
    // The clock of rows is a coarse one: it may be behind by a tick, never ahead.
    idleMs: Math.max(0, Number((nowNs - row.seenNs) / 1_000_000n)),
  };
}

function stateOf({ phase, refused, requestFin, answerFin, opened, set, established, inHead, asked, answered }: HttpConnection): L7KernelConnection['state'] {
  if (phase === HttpPhase.Over || phase === HttpPhase.Reset || refused !== 0 || (requestFin !== 0 && answerFin !== 0)) return 'ended';
  if (phase === HttpPhase.Blind || opened !== 0 || set === 0) return 'passing';
  return established === 0 || inHead !== 0 || phase === HttpPhase.Swallowing || asked !== answered ? 'busy' : 'idle';
}
