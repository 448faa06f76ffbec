import { occupancyCodec } from '../../datapath/generated/structs.ts';
import type { NodeMaps } from '../../datapath/maps.ts';
import type { BpfProgram } from '../../ebpf/program.ts';
import type { MapStatus } from '../../model/status.ts';

export interface OccupancyDependencies {
  readonly maps: NodeMaps;
  /** The kernel program that asks the maps for their counts; undefined where this kernel has it not (before 6.6). */
  readonly count: BpfProgram | undefined;
  /** Rows that the agent itself knows to be in a map whose kind the kernel does not count, and where it counts none. */
  readonly known: Readonly<Partial<Record<keyof NodeMaps, () => number>>>;
}

/** The settings that raise a map's size, by the map. */
const sizeSettings: Readonly<Partial<Record<keyof NodeMaps, string>>> = {
  conntrack: 'bpf.ctMax', nat: 'bpf.natMax', services: 'bpf.lbMapMax', serviceSlots: 'bpf.lbMapMax', backends: 'bpf.lbMapMax', serviceAddresses: 'bpf.lbMapMax',
};
const shown = ['endpoints', 'ipcache', 'policyClasses', 'policyVerdicts', 'services', 'serviceSlots', 'backends', 'serviceAddresses', 'conntrack', 'nat', 'affinities', 'socketServices'] as const satisfies readonly (keyof NodeMaps)[];
const warnFrom = 0.9;

/** How full the maps are. One call of the kernel, no walk: whoever asks every second costs nothing. */
export function mapOccupancy({ maps, count, known }: OccupancyDependencies): MapStatus[] {
  const counted = kernelCounts(count);
  return shown.flatMap(name => {
    const used = counted?.[name] ?? known[name]?.();
    if (used === undefined) return [];
    const { name: text, maxEntries: max } = maps[name].spec;
    return [{ name: text, used, max, ...(used >= warnFrom * max ? { warning: warningOf(name, text, used, max) } : {}) }];
  });
}

function warningOf(name: keyof NodeMaps, text: string, used: number, max: number): string {
  const setting = sizeSettings[name];
  const lru = name === 'conntrack' || name === 'nat' ? 'when it is full the idle ones are thrown out' : 'when it is full nothing new goes in';
  return `map ${text} is ${Math.floor((100 * used) / max)} % full (${used} of ${max}): ${lru}${setting === undefined ? '' : `; raise ${setting}`}`;
}

/** The maps' own counters, by our names for them. */
function kernelCounts(program: BpfProgram | undefined): Readonly<Partial<Record<keyof NodeMaps, number>>> | undefined {
  if (!program) return undefined;
  const context = new Uint8Array(occupancyCodec.size);
  if (program.call(context) !== 0) return undefined;
  return Object.fromEntries(Object.entries(occupancyCodec.decode(context)).map(([name, value]) => [name, Number(value)]));
}
