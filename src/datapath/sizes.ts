import type { Settings } from '../model/settings.ts';

/** Entries of maps whose size is the operator's to choose, by the map's name in the kernel; the others have what the object says. */
export type MapSizes = Readonly<Record<string, number>>;

/**
 * From the settings: `bpf.lbMapMax` frontends, and as many of the rest as go with them: eight slots and two backends for each,
 * a table, source range or sticking client for every other. The proportions are those of the object's own sizes.
 */
export function mapSizes({ lbMapMax, ctMax, natMax }: Settings['bpf']): MapSizes {
  const half = Math.ceil(lbMapMax / 2);
  return {
    services: lbMapMax, service_addresses: lbMapMax, service_slots: 8 * lbMapMax, backends: 2 * lbMapMax, service_members: 2 * lbMapMax,
    maglev: half, service_sources: half, affinities: half,
    conntrack: ctMax, nat: natMax,
  };
}
