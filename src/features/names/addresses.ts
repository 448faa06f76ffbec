import type { NodeMaps } from '../../datapath/maps.ts';
import type { NameAddress, NameAddressKey, NameSlot } from '../../datapath/generated/structs.ts';
import { walkMap } from '../../ebpf/map-walk.ts';
import { formatAddr } from '../../std/ip.ts';

export const nameSlots = 8;
/** An address with more identities than these at a time gets one that joins them. */
export const crowdedFrom = nameSlots / 2;
/** Of one walk: the rest waits for the next. */
const crowdedAtOnce = 256;
const deadAtOnce = 8_192;
/** What is over may still be in the hands of a packet. */
const graceSeconds = 60;

export type NameAddressMap = NodeMaps['nameAddresses'];

/** An address with too many identities for a pod. */
export interface CrowdedAddress {
  readonly key: NameAddressKey;
  /** Those that are not over. */
  readonly identities: readonly number[];
}

export interface AddressScan {
  readonly rows: number;
  /** Identities that some address has, or had a minute ago. */
  readonly identities: ReadonlySet<number>;
  readonly crowded: readonly CrowdedAddress[];
  /** Those of which nothing has lived since `deadBefore`. */
  readonly dead: readonly NameAddressKey[];
  /** Pods that have rows. */
  readonly endpoints: ReadonlySet<number>;
}

/** Seconds of the clock that slots are written in. */
export function monotonicSeconds(): number {
  return Number(process.hrtime.bigint() / 1_000_000_000n);
}

/** Looks at every address once, some thousands in a turn of the event loop. */
export async function scanAddresses(map: NameAddressMap, nowSeconds: number, signal: AbortSignal, deadBefore = 0): Promise<AddressScan> {
  const identities = new Set<number>();
  const crowded: CrowdedAddress[] = [];
  const dead: NameAddressKey[] = [];
  const endpoints = new Set<number>();
  const { key, value } = map.spec;
  let rows = 0;
  for (const chunk of walkMap(map)) {
    rows += chunk.count;
    for (let i = 0; i < chunk.count; i++) {
      let living = 0;
      let last = 0;
      endpoints.add(chunk.keys.getUint32(i * key.size, true));
      for (let slot = 0; slot < nameSlots; slot++) {
        const at = i * value.size + slot * 8;
        const identity = chunk.values.getUint32(at, true);
        if (identity === 0) continue;
        const expires = chunk.values.getUint32(at + 4, true);
        if (expires + graceSeconds >= nowSeconds) identities.add(identity);
        if (expires >= nowSeconds) living++;
        last = Math.max(last, expires);
      }
      if (last < deadBefore && dead.length < deadAtOnce) dead.push(key.read(chunk.keys, i * key.size));
      if (living <= crowdedFrom || crowded.length >= crowdedAtOnce) continue;
      crowded.push({ key: key.read(chunk.keys, i * key.size), identities: livingIdentities(value.read(chunk.values, i * value.size), nowSeconds) });
    }
    await new Promise(resolve => setImmediate(resolve));
    if (signal.aborted) break;
  }
  return { rows, identities, crowded, dead, endpoints };
}

export function livingIdentities({ slots }: NameAddress, nowSeconds: number): number[] {
  return [...new Set(slots.filter(slot => slot.identity !== 0 && slot.expiresS >= nowSeconds).map(slot => slot.identity))].sort((a, b) => a - b);
}

/** Gives an address an identity, in place of others if need be: `name_put` of the kernel. */
export type AddressPut = (put: { readonly key: NameAddressKey; readonly identity: number; readonly expiresS: number; readonly replaces: readonly number[] }) => void;

/** One pod's address as `cirri fqdn cache` shows it. */
export interface AddressIdentities {
  readonly endpoint: number;
  readonly ip: string;
  readonly identities: readonly NameSlot[];
}

export function* listAddresses(map: NameAddressMap, nowSeconds: number): Generator<AddressIdentities> {
  for (const [{ endpoint, addr }, { slots }] of map.entries()) {
    const identities = slots.filter(slot => slot.identity !== 0 && slot.expiresS >= nowSeconds);
    if (identities.length > 0) yield { endpoint, ip: formatAddr(addr), identities };
  }
}
