/** Addresses that a case may name and no packet may bear. Pure. */
import type { KubernetesObject } from '../../policy/conformance/case.ts';
import { isIPv4, parseAddr, parsePrefix, prefixHas, type Prefix } from '../../std/ip.ts';

/** What nobody on a network can be: unspecified, loopback, multicast. Sources name them as the ends of ranges. */
export function isMartian(address: string): boolean {
  const addr = parseAddr(address);
  if (!isIPv4(addr)) return addr[0] === 0xff || prefixHas(parsePrefix('::/127'), addr);
  return [0, 127].includes(addr[12]!) || (addr[12]! & 0xf0) === 0xe0;
}

/**
 * An address that every prefix of the policies holds or does not hold as it does this one, so that no policy can tell the two apart.
 * Undefined where there is none among the first of each /8.
 */
export function standInFor(address: string, policies: readonly KubernetesObject[], isTaken: (address: string) => boolean): string | undefined {
  const prefixes = prefixesIn(policies);
  const membership = (text: string) => prefixes.map(prefix => prefixHas(prefix, parseAddr(text))).join();
  const wanted = membership(address);
  const candidates = address.includes(':') ? ['2001:db8:1::1', '3fff:1::1'] : Array.from({ length: 223 }, (_, i) => `${i + 1}.0.0.1`);
  return candidates.find(candidate => !isMartian(candidate) && !isTaken(candidate) && membership(candidate) === wanted);
}

/** Whatever in the policies reads as a prefix: a label that looks like one only makes the choice narrower. */
function prefixesIn(value: unknown): readonly Prefix[] {
  if (typeof value === 'string') return /^[\da-fA-F.:]+\/\d+$/.test(value) ? prefixOf(value) : [];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(prefixesIn) : [];
}

function prefixOf(text: string): readonly Prefix[] {
  try {
    return [parsePrefix(text)];
  } catch {
    return [];
  }
}
