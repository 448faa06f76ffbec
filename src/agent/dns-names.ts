import { RuntimeFlag } from '../datapath/generated/enums.ts';
import type { NodeMaps } from '../datapath/maps.ts';
import { namePutter } from '../datapath/name-put.ts';
import type { BpfProgram } from '../ebpf/program.ts';
import type { Endpoint } from '../features/endpoints/endpoint.ts';
import { monotonicSeconds } from '../features/names/addresses.ts';
import type { L7SetFiles } from '../features/l7/sets.ts';
import { DnsNames, type NameEngine } from '../features/names/names.ts';
import { NameStore } from '../features/names/numbers.ts';
import { NameSweep } from '../features/names/sweep.ts';
import type { NameCache } from '../flows/name-cache.ts';
import { delay } from '../std/async.ts';
import { errorText } from '../std/errors.ts';
import type { Logger } from '../std/log.ts';
import type { Table } from '../table/table.ts';
import { hostEndpointId } from './host-policy.ts';

export interface DnsNamesParts {
  readonly maps: NodeMaps;
  readonly program: (name: string) => BpfProgram;
  readonly file: string;
  readonly engine: NameEngine;
  readonly sets: Pick<L7SetFiles, 'onNumber' | 'onRetire'>;
  readonly endpoints: Table<Endpoint>;
  /** What flows have learned. */
  readonly cache: NameCache;
  readonly isSynced: () => boolean;
  /** Asks for a pass. */
  readonly onWork: () => void;
}

const roundMs = 10_000;
const relearnedPerTurn = 2_000;

/** DNS names of a node, wired: what belongs to a pass is done in it (`names.refresh`, `passed`), the rest in its own time. */
export function startDnsNames(parts: DnsNamesParts, { log, signal }: { readonly log: Logger; readonly signal: AbortSignal }): { readonly names: DnsNames; readonly passed: () => void } {
  const { maps, engine, onWork, sets } = parts;
  let put: ReturnType<typeof namePutter> | undefined;
  const names = new DnsNames({
    maps, engine, log, onWork, store: new NameStore(parts.file), setInUse: inUse => flagNames(maps.runtime, inUse),
    // Programs are loaded after the policies were.
    put: ({ key, ...rest }) => (put ??= namePutter(parts.program('name_put')))({ ...key, ...rest }),
  });
  const sweep = new NameSweep({ maps, nowSeconds: monotonicSeconds, endpoints: () => new Set([hostEndpointId, ...[...parts.endpoints.rows()].map(endpoint => endpoint.id)]) });
  sets.onNumber.push((number, set) => { if (set.protocol === 'dns') names.allow(number, set); });
  sets.onRetire.push(inUse => names.retire(inUse));
  void rounds();
  return { names, passed: () => { if (names.commit()) void relearn(); } };

  async function relearn(): Promise<void> {
    let done = 0;
    try {
      for (const _ of names.relearn([...parts.cache.rows()])) {
        if (++done % relearnedPerTurn === 0) await new Promise(resolve => setImmediate(resolve));
        if (signal.aborted) return;
      }
    } catch (error) {
      log.error('addresses that were looked up before their policy came could not be written: pods must look them up again', { error: errorText(error) });
    }
  }

  async function rounds(): Promise<void> {
    while (!signal.aborted) {
      await delay(roundMs, signal).catch(() => {});
      if (signal.aborted || !parts.isSynced()) continue;
      try {
        const unused = names.take(await sweep.round(signal));
        if (unused.length === 0) continue;
        const held = await sweep.identitiesOfConnections();
        names.release(unused.filter(id => !held.has(id)));
      } catch (error) {
        log.error('addresses of DNS names could not be looked through', { error: errorText(error) });
      }
    }
  }
}

function flagNames(runtime: NodeMaps['runtime'], inUse: boolean): void {
  const row = runtime.lookup(0) ?? { policyGeneration: 0, flags: 0 };
  const flags = inUse ? row.flags | RuntimeFlag.Names : row.flags & ~RuntimeFlag.Names;
  if (flags !== row.flags) runtime.update(0, { ...row, flags });
}
