import { nameSlots, type AddressPut, type NameAddressMap } from './addresses.ts';

/** What `name_put` of the kernel does, for tests that have no programs: the same, while no packet comes. */
export function plainPut(map: Pick<NameAddressMap, 'lookup' | 'update'>, now: () => number): AddressPut {
  return ({ key, identity, expiresS, replaces }) => {
    const present = map.lookup(key)?.slots ?? [];
    const kept = present.filter(slot => slot.identity !== 0 && slot.expiresS >= now() && slot.identity !== identity && !replaces.includes(slot.identity));
    const known = present.find(slot => slot.identity === identity);
    const slots = [{ identity, expiresS: Math.max(expiresS, known?.expiresS ?? 0) }, ...kept.sort((a, b) => b.expiresS - a.expiresS)].slice(0, nameSlots);
    map.update(key, { slots: Array.from({ length: nameSlots }, (_, i) => slots[i] ?? { identity: 0, expiresS: 0 }), place: 0 });
  };
}
