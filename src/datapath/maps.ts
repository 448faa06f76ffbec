import { existsSync, mkdirSync, readdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { BpfMap, type MapSpec } from '../ebpf/map.ts';
import { isErrno } from '../sys/errno.ts';
import { maps as specs } from './generated/maps.ts';
import type { MapSizes } from './sizes.ts';

type Specs = typeof specs;
type MapOf<S> = S extends MapSpec<infer K, infer V, infer _Inner> ? BpfMap<K, V> : never;

/** Every map of the datapath, by its name in the kernel. */
export type NodeMaps = { readonly [Name in keyof Specs]: MapOf<Specs[Name]> };

/** Maps opened, and which of them were there before (adopted) with what they hold. */
export interface OpenedMaps {
  readonly maps: NodeMaps;
  readonly adopted: readonly string[];
  /** Pins of maps with another layout, another size, or of a name that is no longer known: remove once the programs have been swapped. */
  readonly stale: readonly string[];
  /** Of maps that have another size now: what the old ones have taken in since they were copied. Once the programs have been swapped. Returns the entries. */
  carryOver(signal: AbortSignal): Promise<number>;
  close(): void;
}

/** Maps that packets and sockets fill: nobody can fill them again. What the agent writes it writes into a new one too. */
const filledByPackets: ReadonlySet<string> = new Set(['conntrack', 'nat', 'affinities', 'socket_services', 'proxy_connections']);
/** Entries carried over in one turn of the event loop. */
const entriesPerTurn = 4096;

/**
 * Opens the node's maps under `directory`, making those that are not there. The path of a pin carries the hash of the map's
 * layout, and its size where that was chosen (`endpoints-1a2b3c4d`, `conntrack-1a2b3c4d-1200000`): an equal one is adopted with its
 * contents, any other is left alone until the new programs, which use new maps, are in place. A map of connections whose size alone
 * has changed is filled from the old one, here and once more by `carryOver`; into a smaller one go as many as it takes.
 */
export function openNodeMaps(directory: string, sizes: MapSizes = {}): OpenedMaps {
  mkdirSync(directory, { recursive: true });
  const opened: Record<string, BpfMap<unknown, unknown>> = {};
  const adopted: string[] = [];
  const current = new Set<string>();
  const resized: { readonly from: BpfMap<unknown, unknown>; readonly into: BpfMap<unknown, unknown> }[] = [];
  for (const known of Object.values(specs) as readonly MapSpec<unknown, unknown>[]) {
    const { spec, pinName } = sizedMap(known, sizes);
    const path = join(directory, pinName);
    current.add(pinName);
    const existing = BpfMap.openPinned(spec, path);
    opened[spec.name] = existing ?? BpfMap.create(spec);
    if (existing) {
      adopted.push(spec.name);
      continue;
    }
    const old = filledByPackets.has(spec.name) ? openOfOtherSize(directory, spec, known, pinName) : undefined;
    if (old) {
      resized.push({ from: old, into: opened[spec.name]! });
      for (const [key, value] of old.entries()) putWhereMissing(opened[spec.name]!, key, value);
    }
    // Last: an agent that dies before begins with the copy again.
    opened[spec.name]!.pin(path);
  }
  return {
    maps: Object.fromEntries(Object.entries(specs).map(([name, spec]) => [name, opened[spec.name]])) as unknown as NodeMaps,
    adopted,
    stale: readdirSync(directory).filter(name => !current.has(name)).map(name => join(directory, name)),
    carryOver: signal => carryOver(resized, signal),
    close: () => {
      for (const map of Object.values(opened)) map.close();
      for (const { from } of resized) from.close();
    },
  };
}

/** A map in the size that was chosen, and the name of its pin. */
export function sizedMap<K, V>(known: MapSpec<K, V>, sizes: MapSizes): { readonly spec: MapSpec<K, V>; readonly pinName: string } {
  const maxEntries = sizes[known.name] ?? known.maxEntries;
  return { spec: { ...known, maxEntries }, pinName: `${known.name}-${known.layoutHash}${maxEntries === known.maxEntries ? '' : `-${maxEntries}`}` };
}

/** Removes pins that nothing uses any more. */
export function removePins(paths: readonly string[]): void {
  for (const path of paths) if (existsSync(path)) unlinkSync(path);
}

function openOfOtherSize(directory: string, spec: MapSpec<unknown, unknown>, source: MapSpec<unknown, unknown>, pinName: string): BpfMap<unknown, unknown> | undefined {
  const same = `${spec.name}-${spec.layoutHash}`;
  const found = readdirSync(directory).find(name => name !== pinName && (name === same || name.startsWith(`${same}-`)));
  if (found === undefined) return undefined;
  const size = found === same ? source.maxEntries : Number(found.slice(same.length + 1));
  return BpfMap.openPinned({ ...spec, maxEntries: size }, join(directory, found));
}

async function carryOver(resized: readonly { readonly from: BpfMap<unknown, unknown>; readonly into: BpfMap<unknown, unknown> }[], signal: AbortSignal): Promise<number> {
  let entries = 0;
  for (const { from, into } of resized) {
    for (const [key, value] of from.entries()) {
      if (signal.aborted) return entries;
      putWhereMissing(into, key, value);
      if (++entries % entriesPerTurn === 0) await new Promise(resolve => setImmediate(resolve));
    }
    from.close();
  }
  return entries;
}

/** What a packet has written meanwhile is newer. */
function putWhereMissing(map: BpfMap<unknown, unknown>, key: unknown, value: unknown): void {
  try {
    map.update(key, value, 'create');
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error;
  }
}
