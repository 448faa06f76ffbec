import { addrToBigint, formatAddr, formatPrefix, isAddr, parseAddr, parsePrefix, prefixHas, type Addr, type Prefix } from '../std/ip.ts';
import { rangeHas, type ServicePool } from './service-pool.ts';
import { cannotShare, type AddressRequest } from './service-addresses.ts';

/** What a service claims that is not the cluster's to give by itself: anyone who may write a Service may write anything here. */
export interface ExternalClaim {
  /** What it would ask of the pools: labels, ports, sharing. Its key is the service's. */
  readonly request: AddressRequest;
  readonly createdAt: string;
  /** spec.externalIPs. */
  readonly externalIPs: readonly string[];
  /** status.loadBalancer.ingress[].ip. */
  readonly ingress: readonly string[];
  /** The ingress addresses are those that the operator gave: they rank before what others merely wrote down. */
  readonly assigned: boolean;
  /** Those at which the operator has seen it served: they stay its own while it names them. */
  readonly held: readonly string[];
}

/** One address that is not served for a service. */
export interface Refusal {
  readonly address: string;
  /** `spec.externalIPs[0]`, `status.loadBalancer.ingress[1]`. */
  readonly field: string;
  /** One word: InvalidAddress, ReservedAddress, ClusterAddress, NodeAddress, NotInPool, HeldByAnother. */
  readonly reason: string;
  /** Why. */
  readonly message: string;
  readonly mend: string;
}

/** Of one service: which of its claims are served, and which are not and why. */
export interface ExternalAddressRow {
  /** `namespace/name`. */
  readonly key: string;
  readonly externalIPs: readonly string[];
  readonly ingress: readonly string[];
  readonly refused: readonly Refusal[];
}

export interface ExternalGrounds {
  /** Ranges of pods and services, and the like. */
  readonly clusterRanges: readonly { readonly what: string; readonly prefix: Prefix }[];
  /** `settings.externalIPs.allowed`. */
  readonly allowed: readonly Prefix[];
}

/** Never a service's, whoever asks: RFC 6890's special ranges that mean this host, this link, everybody or nobody. */
export const specialRanges: readonly { readonly what: string; readonly prefix: Prefix }[] = [
  ['this network', '0.0.0.0/8'], ['loopback', '127.0.0.0/8'], ['link-local', '169.254.0.0/16'], ['multicast', '224.0.0.0/4'], ['reserved', '240.0.0.0/4'],
  ['unspecified', '::/128'], ['loopback', '::1/128'], ['link-local', 'fe80::/10'], ['multicast', 'ff00::/8'],
].map(([what, text]) => ({ what: what!, prefix: parsePrefix(text!) }));

/**
 * Decides which external addresses a service gets: those in a pool that selects it or in a prefix that the operator of the
 * cluster allows, that are nobody's in the cluster, and that no other service holds. An address has one holder: a service to
 * which the operator assigned it, else the one that has had it, else the oldest that names it, else the first by name. Others may
 * stand beside it where their sharing keys say so, or, in the holder's own namespace, with other ports.
 *
 * Without this, whoever may write a Service could draw any address's traffic to himself (CVE-2020-8554, CVE-2026-32254).
 * Pure; the work of a change is that of the services that name the same addresses.
 */
export class ExternalAddresses {
  readonly #grounds: ExternalGrounds;
  #pools: readonly ServicePool[] = [];
  #nodes = new Map<string, string>();
  readonly #claims = new Map<string, ExternalClaim>();
  /** What each claims, in canonical form; and who claims it. */
  readonly #addresses = new Map<string, ReadonlySet<string>>();
  readonly #claimants = new Map<string, Set<string>>();

  constructor(grounds: ExternalGrounds) {
    this.#grounds = grounds;
  }

  setPools(pools: readonly ServicePool[]): void {
    this.#pools = pools;
  }

  /** Whose each address is: nodes, the API server. */
  setNodes(addresses: Iterable<readonly [address: string, owner: string]>): void {
    this.#nodes = new Map([...addresses].flatMap(([text, owner]) => (isAddr(text) ? [[formatAddr(parseAddr(text)), owner] as const] : [])));
  }

  /** All services that claim anything. */
  get services(): Iterable<string> {
    return this.#claims.keys();
  }

  /** Takes in what a service claims now. Returns the services whose answers that may change, itself among them. */
  update(key: string, claim: ExternalClaim | undefined): Set<string> {
    const touched = new Set<string>([key]);
    for (const address of this.#addresses.get(key) ?? []) {
      const claimants = this.#claimants.get(address);
      claimants?.delete(key);
      if (claimants?.size === 0) this.#claimants.delete(address);
      for (const other of claimants ?? []) touched.add(other);
    }
    if (claim === undefined) {
      this.#claims.delete(key);
      this.#addresses.delete(key);
      return touched;
    }
    const addresses = addressesOf(claim);
    this.#claims.set(key, claim);
    this.#addresses.set(key, addresses);
    for (const address of addresses) {
      const claimants = this.#claimants.get(address);
      for (const other of claimants ?? []) touched.add(other);
      if (claimants) claimants.add(key);
      else this.#claimants.set(address, new Set([key]));
    }
    return touched;
  }

  /** Undefined where the service claims nothing. */
  rowOf(key: string): ExternalAddressRow | undefined {
    const claim = this.#claims.get(key);
    if (!claim) return undefined;
    const refused: Refusal[] = [];
    const pick = (list: readonly string[], field: string): string[] => list.flatMap((text, i) => {
      const refusal = this.#refusal(claim, text, `${field}[${i}]`);
      if (refusal) refused.push(refusal);
      return refusal ? [] : [formatAddr(parseAddr(text))];
    });
    const externalIPs = pick(claim.externalIPs, 'spec.externalIPs');
    const ingress = pick(claim.ingress, 'status.loadBalancer.ingress');
    return { key, externalIPs, ingress, refused };
  }

  /** Whether another service than `key` names the address in spec.externalIPs and is served there. */
  heldExternally(address: string, key: string): boolean {
    for (const other of this.#claimants.get(address) ?? []) {
      const claim = other === key ? undefined : this.#claims.get(other);
      const i = claim?.externalIPs.findIndex(text => isAddr(text) && formatAddr(parseAddr(text)) === address) ?? -1;
      if (claim && i >= 0 && this.#refusal(claim, address, '') === undefined) return true;
    }
    return false;
  }

  #refusal(claim: ExternalClaim, text: string, field: string): Refusal | undefined {
    const refuse = (reason: string, message: string, mend: string): Refusal => ({ address: text, field, reason, message, mend });
    if (!isAddr(text)) return refuse('InvalidAddress', `${text} is not an IP address`, 'write an IPv4 or IPv6 address');
    const addr = parseAddr(text);
    const address = formatAddr(addr);
    const elsewhere = 'name an address of a CiliumLoadBalancerIPPool, or make the service of type LoadBalancer to be given one';
    const reserved = specialRanges.find(({ prefix }) => prefixHas(prefix, addr));
    if (reserved) return refuse('ReservedAddress', `${address} is ${reserved.what} (${formatPrefix(reserved.prefix)})`, elsewhere);
    const cluster = this.#grounds.clusterRanges.find(({ prefix }) => prefixHas(prefix, addr));
    if (cluster) return refuse('ClusterAddress', `${address} lies in ${cluster.what} of the cluster (${formatPrefix(cluster.prefix)})`, elsewhere);
    const owner = this.#nodes.get(address);
    if (owner !== undefined) return refuse('NodeAddress', `${address} is an address of ${owner}`, 'use a service of type NodePort to be reached at the nodes\' addresses');
    if (!this.#isAllowed(claim, addr)) {
      return refuse('NotInPool', `${address} lies in no CiliumLoadBalancerIPPool that selects this service, and in no prefix of the setting externalIPs.allowed`,
        'ask the cluster\'s operator for a pool with this address, or to allow its prefix: cirri up --set externalIPs.allowed={PREFIX}');
    }
    const holder = this.#holderBefore(claim, address);
    return holder === undefined ? undefined : refuse('HeldByAnother', `${address} is held by service ${holder}`, 'choose another address, or share it: the same annotation lbipam.cilium.io/sharing-key on both services, and no port in common');
  }

  #isAllowed(claim: ExternalClaim, addr: Addr): boolean {
    const number = addrToBigint(addr);
    return this.#grounds.allowed.some(prefix => prefixHas(prefix, addr))
      || this.#pools.some(pool => pool.selects(claim.request.labels) && pool.ranges.some(range => rangeHas(range, number)));
  }

  /** The first service in rank beside which this one cannot stand; undefined where there is none. */
  #holderBefore(claim: ExternalClaim, address: string): string | undefined {
    const { key } = claim.request;
    const claimants = this.#claimants.get(address);
    // Nearly always there is nobody else.
    if (!claimants || claimants.size < 2) return undefined;
    const accepted: ExternalClaim[] = [];
    const all = [...claimants].map(other => this.#claims.get(other)!);
    // One who may not have the address at all keeps nobody from it.
    const eligible = all.filter(other => this.#isAllowed(other, parseAddr(address)));
    for (const other of eligible.sort((a, b) => byRank(a, b, address))) {
      const blocking = accepted.find(holder => !standBeside(holder.request, other.request));
      if (other.request.key === key) return blocking?.request.key;
      if (!blocking) accepted.push(other);
    }
    return undefined;
  }
}

function standBeside(a: AddressRequest, b: AddressRequest): boolean {
  if (a.namespace === b.namespace) return !a.ports.some(port => b.ports.includes(port));
  return cannotShare(a, b) === undefined;
}

function byRank(a: ExternalClaim, b: ExternalClaim, address: string): number {
  const [first, second] = [rankOf(a, address), rankOf(b, address)];
  if (first !== second) return first - second;
  if (a.createdAt !== b.createdAt) return a.createdAt < b.createdAt ? -1 : 1;
  return a.request.key < b.request.key ? -1 : 1;
}

/** Age alone would let an old service take what a younger one has, by naming it later. */
function rankOf({ assigned, ingress, held }: ExternalClaim, address: string): number {
  const has = (list: readonly string[]) => list.some(text => isAddr(text) && formatAddr(parseAddr(text)) === address);
  if (assigned && has(ingress)) return 0;
  return has(held) ? 1 : 2;
}

function addressesOf(claim: ExternalClaim): Set<string> {
  return new Set([...claim.externalIPs, ...claim.ingress].filter(isAddr).map(text => formatAddr(parseAddr(text))));
}
