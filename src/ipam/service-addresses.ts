import { addrToBigint, isAddr, parseAddr } from '../std/ip.ts';
import { addressText, rangeHas, sizeOf, type AddressRange, type Family, type ServicePool } from './service-pool.ts';

/** What a service of type LoadBalancer asks for. */
export interface AddressRequest {
  /** `namespace/name`. */
  readonly key: string;
  readonly namespace: string;
  /** Its labels, with io.kubernetes.service.namespace and io.kubernetes.service.name. */
  readonly labels: Readonly<Record<string, string>>;
  readonly families: readonly Family[];
  /** Addresses asked for by name; when there are any, it gets these and no others. */
  readonly wanted: readonly string[];
  /** Services with the same key may have the same address. */
  readonly sharingKey?: string;
  /** Namespaces whose services it shares with, beside its own; `*` is all. */
  readonly shareWith: readonly string[];
  /** `80/TCP`: services that share an address must not share one of these. */
  readonly ports: readonly string[];
  readonly externalTrafficPolicy: string;
  /** Its selector in a canonical form. */
  readonly selector: string;
}

export interface Assignment {
  /** Text, in the order of the families, or as asked for. */
  readonly addresses: readonly string[];
  readonly satisfied: boolean;
  /** One word: satisfied, no_pool, out_of_ips, already_allocated, not_in_pool, family_not_requested, invalid_address. */
  readonly reason: string;
  readonly message: string;
  /** An address has become free, or free for others to share: whoever waits may get one now. */
  readonly freed: boolean;
}

interface RangeState {
  readonly pool: ServicePool;
  readonly range: AddressRange;
  /** Of its addresses, those that somebody has. */
  used: number;
  /** Where the search for a free one goes on: an address rests before it changes hands. */
  next: bigint;
}

/**
 * Who has which address of the load balancer pools. Pure: the same calls in the same order give the same addresses. What was
 * given before a restart is told by `adopt`, for all services, before the first `assign`; so no address is given twice.
 */
export class ServiceAddresses {
  #ranges: RangeState[] = [];
  #conflicting = new Set<string>();
  readonly #holders = new Map<bigint, Set<string>>();
  readonly #addresses = new Map<string, readonly bigint[]>();
  readonly #requests = new Map<string, AddressRequest>();
  readonly #bySharingKey = new Map<string, Set<bigint>>();
  readonly #isTaken: (address: string, key: string) => boolean;

  /** `isTaken`: somebody has the address by other means, as by spec.externalIPs of another service than `key`. */
  constructor(isTaken: (address: string, key: string) => boolean = () => false) {
    this.#isTaken = isTaken;
  }

  /** All pools there are; those that conflict, like disabled ones, give nothing new out, and what they gave stays. */
  setPools(pools: readonly ServicePool[], conflicting: ReadonlySet<string>): void {
    const cursors = new Map(this.#ranges.map(state => [`${state.pool.name} ${state.range.text}`, state.next]));
    this.#conflicting = new Set(conflicting);
    this.#ranges = pools.flatMap(pool => pool.ranges.map(range => {
      const next = cursors.get(`${pool.name} ${range.text}`) ?? range.first;
      return { pool, range, used: 0, next: rangeHas(range, next) ? next : range.first };
    }));
    for (const address of this.#holders.keys()) for (const state of this.#rangesOf(address)) state.used++;
  }

  /** What the service has already, as its status says. Addresses that it may not have are left out. */
  adopt(request: AddressRequest, addresses: readonly string[]): void {
    this.#requests.set(request.key, request);
    const kept = numbers(addresses).filter(address => this.#mayKeep(request, address));
    for (const address of kept) {
      this.#hold(request, address);
      for (const state of this.#rangesOf(address)) if (address >= state.next) state.next = address < state.range.last ? address + 1n : state.range.first;
    }
    this.#addresses.set(request.key, kept);
  }

  /** Gives the service what it asks for: what it has and may keep, and new ones for what is missing. */
  assign(request: AddressRequest): Assignment {
    const before = this.#requests.get(request.key);
    const had = this.#addresses.get(request.key) ?? [];
    this.#requests.set(request.key, request);
    const [wanted, families] = [numbers(request.wanted), request.families];
    const kept: bigint[] = [];
    for (const address of had) {
      const asked = families.includes(familyOf(address)) && (request.wanted.length > 0 ? wanted.includes(address) : !kept.some(other => familyOf(other) === familyOf(address)));
      if (asked && this.#mayKeep(request, address)) kept.push(address);
      else this.#drop(before ?? request, address);
    }
    if (before && before.sharingKey !== request.sharingKey) for (const address of kept) this.#reindex(before, request, address);
    const problems: Problem[] = [];
    const take = (found: bigint | Problem) => {
      if (typeof found !== 'bigint') return void problems.push(found);
      this.#hold(request, found);
      kept.push(found);
    };
    if (request.wanted.length > 0) {
      for (const text of request.wanted) if (!isAddr(text)) problems.push({ reason: 'invalid_address', message: `"${text}" is not an IP address` });
      for (const address of wanted) if (!kept.includes(address)) take(this.#named(request, address));
    } else for (const family of families) if (!kept.some(address => familyOf(address) === family)) take(this.#any(request, family));
    const inOrder = request.wanted.length > 0 ? wanted.filter(a => kept.includes(a)) : families.flatMap(family => kept.filter(a => familyOf(a) === family));
    this.#addresses.set(request.key, inOrder);
    const [problem] = problems;
    return {
      addresses: inOrder.map(addressText),
      satisfied: problem === undefined,
      reason: problem?.reason ?? 'satisfied',
      message: problems.map(p => p.message).join('; '),
      // Who shares may become free to do so by any change of those it shares with.
      freed: had.some(address => !kept.includes(address)) || (before?.sharingKey !== undefined && before !== request),
    };
  }

  /** The service is gone, or is no longer for us. True when that frees an address. */
  release(key: string): boolean {
    const request = this.#requests.get(key);
    const had = this.#addresses.get(key) ?? [];
    if (request) for (const address of had) this.#drop(request, address);
    this.#requests.delete(key);
    this.#addresses.delete(key);
    return had.length > 0;
  }

  /** Who has the address, in the order in which they got it. */
  holdersOf(address: string): readonly string[] {
    return isAddr(address) ? [...this.#holders.get(addrToBigint(parseAddr(address))) ?? []] : [];
  }

  /** Of all addresses of the pool: how many there are, and how many somebody has. */
  countsOf(pool: string): { readonly total: bigint; readonly used: bigint; readonly available: bigint } {
    const own = this.#ranges.filter(state => state.pool.name === pool);
    const total = own.reduce((sum, { range }) => sum + sizeOf(range), 0n);
    const used = BigInt(own.reduce((sum, state) => sum + state.used, 0));
    return { total, used, available: total - used };
  }

  /** A pool that was disabled, or has come to conflict, takes nothing back; one that is gone or no longer selects, does. */
  #mayKeep(request: AddressRequest, address: bigint): boolean {
    const inPool = this.#rangesOf(address).some(({ pool }) => pool.selects(request.labels));
    return inPool && this.#conflictOn(request, address) === undefined;
  }

  #named(request: AddressRequest, address: bigint): bigint | Problem {
    const text = addressText(address);
    if (!request.families.includes(familyOf(address))) return { reason: 'family_not_requested', message: `The IP '${text}' is of ${familyOf(address)}, which the service has not (spec.ipFamilies: ${request.families.join(', ')})` };
    const pools = this.#rangesOf(address).filter(state => this.#gives(state, request));
    if (pools.length === 0) return { reason: 'not_in_pool', message: `The IP '${text}' is not in an enabled CiliumLoadBalancerIPPool that matches this service` };
    const conflict = this.#conflictOn(request, address);
    if (conflict !== undefined) return { reason: 'already_allocated', message: `The IP '${text}' is already allocated to another service: ${conflict}` };
    if (this.#isTaken(text, request.key)) return { reason: 'already_allocated', message: `The IP '${text}' is an external IP of another service` };
    return address;
  }

  #any(request: AddressRequest, family: Family): bigint | Problem {
    const shared = this.#shared(request, family);
    if (shared !== undefined) return shared;
    const ranges = this.#ranges.filter(state => state.range.family === family && this.#gives(state, request));
    if (ranges.length === 0) return { reason: 'no_pool', message: `There are no enabled CiliumLoadBalancerIPPools with ${family} addresses that match this service` };
    for (const state of ranges) {
      const found = this.#free(state, request);
      if (found !== undefined) return found;
    }
    return { reason: 'out_of_ips', message: `All enabled CiliumLoadBalancerIPPools that match this service ran out of allocatable ${family} addresses` };
  }

  #shared(request: AddressRequest, family: Family): bigint | undefined {
    if (request.sharingKey === undefined) return undefined;
    for (const address of this.#bySharingKey.get(request.sharingKey) ?? []) {
      const fits = familyOf(address) === family && this.#rangesOf(address).some(state => this.#gives(state, request));
      if (fits && this.#conflictOn(request, address) === undefined) return address;
    }
    return undefined;
  }

  /** The next free address after the last one given; looks at each at most once, and at none where all are taken. */
  #free(state: RangeState, request: AddressRequest): bigint | undefined {
    const { range } = state;
    const size = sizeOf(range);
    if (BigInt(state.used) >= size) return undefined;
    let address = state.next;
    for (let looked = 0n; looked < size; looked++) {
      const found = address;
      address = address < range.last ? address + 1n : range.first;
      if (this.#holders.has(found) || this.#isTaken(addressText(found), request.key)) continue;
      state.next = address;
      return found;
    }
    return undefined;
  }

  /** Why the service cannot have an address beside those who have it; undefined where it can. */
  #conflictOn(request: AddressRequest, address: bigint): string | undefined {
    for (const key of this.#holders.get(address) ?? []) {
      const other = this.#requests.get(key);
      const why = key === request.key || !other ? undefined : cannotShare(request, other);
      if (why !== undefined) return `${key} has it, ${why}`;
    }
    return undefined;
  }

  #gives({ pool }: RangeState, request: AddressRequest): boolean {
    return !pool.disabled && !this.#conflicting.has(pool.name) && pool.selects(request.labels);
  }

  #rangesOf(address: bigint): RangeState[] {
    return this.#ranges.filter(({ range }) => rangeHas(range, address));
  }

  #hold(request: AddressRequest, address: bigint): void {
    const holders = this.#holders.get(address);
    if (holders) holders.add(request.key);
    else {
      this.#holders.set(address, new Set([request.key]));
      for (const state of this.#rangesOf(address)) state.used++;
    }
    this.#index(request, address);
  }

  #drop(request: AddressRequest, address: bigint): void {
    const holders = this.#holders.get(address);
    if (!holders?.delete(request.key)) return;
    if (holders.size === 0) {
      this.#holders.delete(address);
      for (const state of this.#rangesOf(address)) state.used--;
    }
    this.#unindex(request, address);
  }

  #reindex(before: AddressRequest, now: AddressRequest, address: bigint): void {
    this.#unindex(before, address);
    this.#index(now, address);
  }

  #index({ sharingKey }: AddressRequest, address: bigint): void {
    if (sharingKey === undefined) return;
    const known = this.#bySharingKey.get(sharingKey);
    if (known) known.add(address);
    else this.#bySharingKey.set(sharingKey, new Set([address]));
  }

  /** The address leaves the key's list with the last one who has it under that key. */
  #unindex({ sharingKey }: AddressRequest, address: bigint): void {
    if (sharingKey === undefined) return;
    for (const key of this.#holders.get(address) ?? []) if (this.#requests.get(key)?.sharingKey === sharingKey) return;
    const known = this.#bySharingKey.get(sharingKey);
    known?.delete(address);
    if (known?.size === 0) this.#bySharingKey.delete(sharingKey);
  }
}

interface Problem { readonly reason: string; readonly message: string }

/**
 * Why two services cannot have one address; undefined where they can. As upstream: equal sharing keys, both agreeing where they
 * are of two namespaces, no port in common, one externalTrafficPolicy, and with Local the same pods, since a router that sends
 * to the nodes of one service sends the other's there too.
 */
export function cannotShare(a: AddressRequest, b: AddressRequest): string | undefined {
  if (a.sharingKey === undefined || a.sharingKey !== b.sharingKey) return 'and the two have no sharing key in common (lbipam.cilium.io/sharing-key)';
  if (a.namespace !== b.namespace && !(agrees(a, b) && agrees(b, a))) return 'in another namespace, and not both agree to share (lbipam.cilium.io/sharing-cross-namespace)';
  const port = a.ports.find(p => b.ports.includes(p));
  if (port !== undefined) return `with port ${port} too`;
  if (a.externalTrafficPolicy !== b.externalTrafficPolicy) return `with externalTrafficPolicy ${b.externalTrafficPolicy || 'Cluster'}`;
  if (a.externalTrafficPolicy === 'Local' && a.selector !== b.selector) return 'with externalTrafficPolicy Local and other pods';
  return undefined;
}

function agrees(a: AddressRequest, b: AddressRequest): boolean {
  return a.shareWith.includes('*') || a.shareWith.includes(b.namespace);
}

function numbers(addresses: readonly string[]): bigint[] {
  return [...new Set(addresses.filter(isAddr).map(text => addrToBigint(parseAddr(text))))];
}

/** IPv4 is ::ffff:a.b.c.d. */
function familyOf(address: bigint): Family {
  return address >> 32n === 0xffffn ? 'IPv4' : 'IPv6';
}
