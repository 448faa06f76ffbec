import { existsSync, mkdirSync, readdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { BpfMap, type MapSpec } from '../ebpf/map.ts';
import { maps as specs } from './generated/maps.ts';
import type { MapSizes } from './sizes.ts';

type Specs = typeof specs;
type MapOf<S> = S extends MapSpec<infer K, infer V> ? BpfMap<K, V> : never;

/** Every map of the datapath, by its name in the kernel. */
export type NodeMaps = { readonly [Name in keyof Specs]: MapOf<Specs[Name]> };

/** Maps opened, and which of them were there before (adopted) with what they hold. */
export interface OpenedMaps {
  readonly maps: NodeMaps;
  readonly adopted: readonly string[];
  /** Pins of maps with another layout or of a name that is no longer known: remove once the programs have been swapped. */
  readonly stale: readonly string[];
  close(): void;
}

/**
 * Opens the node's maps under `directory`, making those that are not there. The path of a pin carries the hash of the map's
 * layout (`endpoints-1a2b3c4d`), and its size where that is not the object's: what is equal is adopted with its contents, any other
 * is left alone until the new programs, which use new maps, are in place.
 */
export function openNodeMaps(directory: string, sizes: MapSizes = {}): OpenedMaps {
  mkdirSync(directory, { recursive: true });
  const opened: Record<string, BpfMap<unknown, unknown>> = {};
  const adopted: string[] = [];
  const current = new Set<string>();
  for (const known of Object.values(specs) as readonly MapSpec<unknown, unknown>[]) {
    const { spec, pinName } = sizedMap(known, sizes);
    const path = join(directory, pinName);
    current.add(pinName);
    const existing = BpfMap.openPinned(spec, path);
    if (existing) {
      adopted.push(spec.name);
      opened[spec.name] = existing;
      continue;
    }
    const made = BpfMap.create(spec);
    made.pin(path);
    opened[spec.name] = made;
  }
  return {
    maps: Object.fromEntries(Object.entries(specs).map(([name, spec]) => [name, opened[spec.name]])) as unknown as NodeMaps,
    adopted,
    stale: readdirSync(directory).filter(name => !current.has(name)).map(name => join(directory, name)),
    close: () => {
      for (const map of Object.values(opened)) map.close();
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
