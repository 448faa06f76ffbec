import { addrToBigint, bigintToAddr, formatAddr, isIPv4, parseAddr, parsePrefix, type Prefix } from '../std/ip.ts';

export type Family = 'IPv4' | 'IPv6';

/** Addresses from `first` to `last`, both included, as numbers of the 16-byte form. */
export interface AddressRange {
  /** As people read it: `10.0.0.0/24`, `10.0.0.5–10.0.0.9`. */
  readonly text: string;
  readonly family: Family;
  readonly first: bigint;
  readonly last: bigint;
}

/** The parts of a CiliumLoadBalancerIPPool that are read here; the object fits. */
export interface PoolSpec {
  readonly blocks?: readonly { readonly cidr?: string; readonly start?: string; readonly stop?: string }[];
  readonly allowFirstLastIPs?: string;
  readonly disabled?: boolean;
}

/** Addresses for services of type LoadBalancer. */
export interface ServicePool {
  readonly name: string;
  /** Of equal claims the older pool's stands. */
  readonly createdAt: string;
  readonly disabled: boolean;
  readonly ranges: readonly AddressRange[];
  /** Blocks that could not be read; they give nothing. */
  readonly errors: readonly string[];
  /** Whether services with these labels (with the pseudo labels of name and namespace) get addresses from it. */
  readonly selects: (labels: Readonly<Record<string, string>>) => boolean;
}

/** The ranges of a pool, and what is wrong with the blocks that give none, naming the field. */
export function poolRanges(spec: PoolSpec): { ranges: AddressRange[]; errors: string[] } {
  const ranges: AddressRange[] = [];
  const errors: string[] = [];
  (spec.blocks ?? []).forEach((block, i) => {
    try {
      ranges.push(block.cidr === undefined ? rangeOf(block) : prefixRange(block.cidr, spec.allowFirstLastIPs !== 'No'));
    } catch (error) {
      errors.push(`spec.blocks[${i}]: ${(error as Error).message}`);
    }
  });
  return { ranges, errors };
}

function prefixRange(text: string, allowFirstLast: boolean): AddressRange {
  const prefix = parsePrefix(text);
  const { first, last } = boundsOf(prefix);
  // Two addresses or one have no first and last to spare (RFC 3021).
  const edge = allowFirstLast || last - first < 2n ? 0n : 1n;
  return { text, family: isIPv4(prefix.addr) ? 'IPv4' : 'IPv6', first: first + edge, last: last - edge };
}

function rangeOf(block: { readonly start?: string; readonly stop?: string }): AddressRange {
  if (block.start === undefined) throw new Error('a block has cidr, or start and stop');
  const start = parseAddr(block.start);
  const stop = parseAddr(block.stop ?? block.start);
  if (isIPv4(start) !== isIPv4(stop)) throw new Error(`start ${block.start} and stop ${block.stop} are of two families`);
  const [first, last] = [addrToBigint(start), addrToBigint(stop)];
  if (first > last) throw new Error(`start ${block.start} is after stop ${block.stop}`);
  return { text: first === last ? block.start : `${block.start}–${block.stop}`, family: isIPv4(start) ? 'IPv4' : 'IPv6', first, last };
}

export function boundsOf(prefix: Prefix): { readonly first: bigint; readonly last: bigint } {
  const first = addrToBigint(prefix.addr);
  return { first, last: first + (1n << BigInt(128 - prefix.bits)) - 1n };
}

export function sizeOf({ first, last }: AddressRange): bigint {
  return last - first + 1n;
}

export function rangeHas({ first, last }: Pick<AddressRange, 'first' | 'last'>, address: bigint): boolean {
  return address >= first && address <= last;
}

export function addressText(address: bigint): string {
  return formatAddr(bigintToAddr(address));
}

/**
 * Pools that may give nothing out, with the reason: a range of theirs overlaps one of an older pool's, another of their own, or
 * one of the cluster's own ranges (pods, services, nodes), whose addresses are never a service's to have.
 */
export function poolConflicts(pools: readonly ServicePool[], own: readonly { readonly what: string; readonly prefix: Prefix }[]): Map<string, string> {
  const conflicts = new Map<string, string>();
  const reserved = own.map(({ what, prefix }) => ({ what, ...boundsOf(prefix) }));
  const accepted: { readonly pool: string; readonly range: AddressRange }[] = [];
  for (const pool of pools.toSorted(byAge)) {
    for (const [i, range] of pool.ranges.entries()) {
      const cluster = reserved.find(other => overlaps(other, range));
      const older = accepted.find(other => overlaps(other.range, range));
      const twin = pool.ranges.slice(0, i).find(other => overlaps(other, range));
      if (cluster) conflicts.set(pool.name, `Pool conflicts since ${range.text} overlaps ${cluster.what} of the cluster`);
      else if (older) conflicts.set(pool.name, `Pool conflicts since ${range.text} overlaps ${older.range.text} from IP Pool '${older.pool}'`);
      else if (twin) conflicts.set(pool.name, `Pool conflicts since ${range.text} overlaps ${twin.text} from the same pool`);
      if (conflicts.has(pool.name)) break;
    }
    if (!conflicts.has(pool.name)) accepted.push(...pool.ranges.map(range => ({ pool: pool.name, range })));
  }
  return conflicts;
}

function overlaps(a: Pick<AddressRange, 'first' | 'last'>, b: Pick<AddressRange, 'first' | 'last'>): boolean {
  return a.first <= b.last && b.first <= a.last;
}

function byAge(a: ServicePool, b: ServicePool): number {
  if (a.createdAt !== b.createdAt) return a.createdAt < b.createdAt ? -1 : 1;
  return a.name < b.name ? -1 : 1;
}
