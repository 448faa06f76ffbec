import { RuntimeFlag } from '../../datapath/generated/enums.ts';
import type { MasqueradeExclusionKey, Runtime } from '../../datapath/generated/structs.ts';
import { mapTarget, type RowLayout } from '../../datapath/map-target.ts';
import type { BpfMap } from '../../ebpf/map.ts';
import type { ConfigMap } from '../../kube/types.ts';
import type { Settings } from '../../model/settings.ts';
import { formatPrefix, parsePrefix } from '../../std/ip.ts';
import type { Logger } from '../../std/log.ts';
import { derive } from '../../table/derive.ts';
import { Reconciler, type Target } from '../../table/reconcile.ts';
import { Table } from '../../table/table.ts';
import { configMapPlace, masqueradeExclusions, readMasqueradeConfig, type MasqueradeConfig } from './exclusions.ts';

export interface MasqueradeMaps {
  readonly masqueradeExclusions: BpfMap<MasqueradeExclusionKey, number>;
  readonly runtime: Pick<BpfMap<number, Runtime>, 'lookup' | 'update'>;
}

interface Exclusion {
  readonly prefix: string;
}

export interface Masquerade {
  readonly table: Table<Exclusion>;
  readonly reconciler: Reconciler<Exclusion>;
  /** Why the ConfigMap is not followed. */
  readonly trouble: string | undefined;
}

/**
 * Keeps the kernel's exclusions equal to ip-masq-agent's configuration:
 *
 *     settings.ipMasqAgent ─┐
 *                           ├─ exclusions ─► masquerade-exclusions ─► map, then RUNTIME_MASQUERADE_EXCLUSIONS
 *     ConfigMap ────────────┘
 *
 * A ConfigMap that cannot be read changes nothing: the last good one, or what an earlier agent took from it, stays in force.
 */
export function startMasquerade(options: { readonly settings: Settings['ipMasqAgent'] }, dependencies: {
  readonly configMaps: Table<ConfigMap>;
  readonly maps: MasqueradeMaps;
  readonly log: Logger;
  readonly signal: AbortSignal;
}): Masquerade {
  const { settings } = options;
  const { configMaps, maps, log, signal } = dependencies;
  const table = new Table<Exclusion>('masquerade-exclusions', row => row.prefix);
  const producer = table.producer('ip-masq-agent');
  const reconciler = new Reconciler<Exclusion>({ desired: table, target: flagged(mapTarget(maps.masqueradeExclusions, exclusionLayout), maps.runtime), log });
  let trouble: string | undefined;
  const step = () => {
    if (settings.enabled && !configMaps.synced) return;
    let config: MasqueradeConfig | undefined;
    try {
      const text = configMaps.get(`${configMapPlace.namespace}/${configMapPlace.name}`)?.data?.[configMapPlace.key];
      config = text === undefined || !settings.enabled ? undefined : readMasqueradeConfig(text);
      trouble = undefined;
    } catch (error) {
      const { message } = error as Error;
      if (trouble !== message) log.warn('the configuration of masquerading cannot be read; what was in force stays', { error: message });
      trouble = message;
      return;
    }
    table.replaceAll(masqueradeExclusions(settings, config).map(prefix => ({ prefix })));
    producer.synced();
  };
  step();
  reconciler.settle();
  void derive({ name: 'masquerade exclusions', inputs: [configMaps], step }, { log, signal });
  void reconciler.run(signal);
  return { table, reconciler, get trouble() { return trouble; } };
}

export const exclusionLayout: RowLayout<Exclusion, MasqueradeExclusionKey, number> = {
  entry: ({ prefix }) => [keyFromText(prefix), 1],
  keyText: key => formatPrefix({ addr: key.addr, bits: key.prefixBits }),
  keyFromText,
};

function keyFromText(text: string): MasqueradeExclusionKey {
  const { addr, bits } = parsePrefix(text);
  return { prefixBits: bits, addr };
}

/** Programs look into the map only where the flag says so: it is set after the first row is there, and cleared before the last one goes. */
function flagged(target: Target<Exclusion>, runtime: MasqueradeMaps['runtime']): Target<Exclusion> {
  const present = new Set(target.list());
  const flag = () => {
    const row = runtime.lookup(0) ?? { policyGeneration: 0, flags: 0 };
    const flags = present.size > 0 ? row.flags | RuntimeFlag.MasqueradeExclusions : row.flags & ~RuntimeFlag.MasqueradeExclusions;
    if (flags !== row.flags) runtime.update(0, { ...row, flags });
  };
  return {
    list: () => present,
    apply: rows => {
      const results = target.apply(rows);
      rows.forEach((row, i) => results[i] === undefined && present.add(row.prefix));
      flag();
      return results;
    },
    remove: keys => {
      for (const key of keys) present.delete(key);
      flag();
      const results = target.remove(keys);
      keys.forEach((key, i) => results[i] !== undefined && present.add(key));
      flag();
      return results;
    },
  };
}
