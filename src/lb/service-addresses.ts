import { addrAt, formatAddr, isIPv4, isAddr, parseAddr, parsePrefix, prefixHas } from '../std/ip.ts';

/**
 * Cluster addresses and node ports of services, as the API server gives them when a service is made or changed. Pure: what is
 * taken comes in, the fields to set come out.
 */

/** The fields of a Service's spec that decide, and that are decided. */
export interface ServiceAddressSpec {
  readonly type?: string | undefined;
  readonly clusterIP?: string | undefined;
  readonly clusterIPs?: readonly string[] | undefined;
  readonly ipFamilies?: readonly string[] | undefined;
  readonly ipFamilyPolicy?: string | undefined;
  readonly ports?: readonly ServicePortSpec[] | undefined;
  readonly externalTrafficPolicy?: string | undefined;
  readonly healthCheckNodePort?: number | undefined;
  readonly allocateLoadBalancerNodePorts?: boolean | undefined;
  readonly selector?: Readonly<Record<string, string>> | undefined;
}

export interface ServicePortSpec {
  readonly port: number;
  readonly protocol?: string | undefined;
  readonly nodePort?: number | undefined;
}

export interface ServiceRanges {
  readonly serviceCidr4: string;
  readonly serviceCidr6: string;
}

/** What other services hold. The service's own addresses are not in it. */
export interface TakenAddresses {
  /** Canonical text (`formatAddr`). */
  readonly ips: ReadonlySet<string>;
  /** `TCP/30080`; health check ports as TCP. */
  readonly nodePorts: ReadonlySet<string>;
}

export type AllocationResult<P extends ServicePortSpec> =
  | { readonly spec: { clusterIP?: string; clusterIPs?: string[]; ipFamilies?: string[]; ipFamilyPolicy?: string; ports?: P[]; healthCheckNodePort?: number } }
  | { readonly errors: readonly { readonly field: string; readonly message: string; readonly reason: 'Invalid' | 'Full' }[] };

type Family = 'IPv4' | 'IPv6';

const nodePortRange = { first: 30_000, last: 32_767 } as const;
/** Ports that are asked for by number are usually low; chosen ones start above this band (KEP-3668). */
const staticBand = 86;

/**
 * Completes a service's spec: families and policy, cluster addresses (asked-for ones are respected), node ports. `random` is
 * in [0, 1) and only spreads the choice.
 */
export function allocateServiceIps<P extends ServicePortSpec>(
  spec: ServiceAddressSpec & { readonly ports?: readonly P[] | undefined }, taken: TakenAddresses, ranges: ServiceRanges, random: () => number = Math.random,
): AllocationResult<P> {
  if (spec.type === 'ExternalName') return { spec: {} };
  try {
    return { spec: { ...addressFields(spec, taken, ranges, random), ...portFields(spec, taken, random) } };
  } catch (error) {
    if (error instanceof Refusal) return { errors: [{ field: error.field, message: error.message, reason: error.reason }] };
    throw error;
  }
}

/** What one stored service holds: for building `TakenAddresses`. */
export function addressesOf(spec: ServiceAddressSpec): { ips: string[]; nodePorts: string[] } {
  const ips = (spec.clusterIPs ?? (spec.clusterIP ? [spec.clusterIP] : [])).filter(isAddr).map(ip => formatAddr(parseAddr(ip)));
  const nodePorts = (spec.ports ?? []).filter(p => p.nodePort).map(p => `${p.protocol ?? 'TCP'}/${p.nodePort}`);
  if (spec.healthCheckNodePort) nodePorts.push(`TCP/${spec.healthCheckNodePort}`);
  return { ips, nodePorts };
}

/** Sets of what all services but one hold. */
export function takenBy(services: Iterable<{ readonly metadata: { readonly uid?: string | undefined }; readonly spec?: unknown }>, exceptUid?: string): TakenAddresses {
  const ips = new Set<string>();
  const nodePorts = new Set<string>();
  for (const service of services) {
    if (exceptUid !== undefined && service.metadata.uid === exceptUid) continue;
    const held = addressesOf((service.spec ?? {}) as ServiceAddressSpec);
    for (const ip of held.ips) ips.add(ip);
    for (const port of held.nodePorts) nodePorts.add(port);
  }
  return { ips, nodePorts };
}

class Refusal extends Error {
  readonly field: string;
  readonly reason: 'Invalid' | 'Full';
  constructor(field: string, message: string, reason: 'Invalid' | 'Full' = 'Invalid') {
    super(message);
    this.field = field;
    this.reason = reason;
  }
}

function addressFields(spec: ServiceAddressSpec, taken: TakenAddresses, ranges: ServiceRanges, random: () => number) {
  const asked = spec.clusterIPs?.length ? spec.clusterIPs : spec.clusterIP ? [spec.clusterIP] : [];
  if (spec.clusterIP && asked[0] !== spec.clusterIP) throw new Refusal('spec.clusterIPs[0]', 'must be the same as spec.clusterIP');
  const headless = asked[0] === 'None';
  const families = chooseFamilies(spec, headless ? [] : asked);
  // A headless service without a selector may name endpoints of any family (as upstream).
  const policy = spec.ipFamilyPolicy ?? (headless && !spec.selector ? 'RequireDualStack' : families.length === 2 ? 'RequireDualStack' : 'SingleStack');
  if (headless) {
    const both: Family[] = policy === 'SingleStack' || families.length === 2 ? families : [...families, other(families[0]!)];
    return { clusterIP: 'None', clusterIPs: ['None'], ipFamilies: both, ipFamilyPolicy: policy };
  }
  const clusterIPs = families.map((family, i) => (asked[i] === undefined || asked[i] === ''
    ? freeAddress(family, taken, ranges, random)
    : askedAddress(asked[i], `spec.clusterIPs[${i}]`, family, taken, ranges)));
  return { clusterIP: clusterIPs[0]!, clusterIPs, ipFamilies: families, ipFamilyPolicy: policy };
}

/** The families in order: what is asked for by address, then by name, then by policy. */
function chooseFamilies(spec: ServiceAddressSpec, asked: readonly string[]): Family[] {
  const byAddress = asked.filter(a => a !== '').map((a, i) => {
    if (!isAddr(a)) throw new Refusal(`spec.clusterIPs[${i}]`, `"${a}" is not an IP address`);
    return familyOf(a);
  });
  const named = (spec.ipFamilies ?? []).map((f, i) => {
    if (f !== 'IPv4' && f !== 'IPv6') throw new Refusal(`spec.ipFamilies[${i}]`, 'must be IPv4 or IPv6');
    return f;
  });
  if (byAddress.length > 2 || named.length > 2) throw new Refusal('spec.ipFamilies', 'may hold at most two');
  for (const [i, f] of byAddress.entries()) if (named[i] !== undefined && named[i] !== f) throw new Refusal(`spec.clusterIPs[${i}]`, `must be an ${named[i]} address`);
  const families = [...(named.length >= byAddress.length ? named : byAddress)];
  if (families.length === 2 && families[0] === families[1]) throw new Refusal('spec.ipFamilies[1]', 'must differ from the first');
  if (families.length === 2 && spec.ipFamilyPolicy === 'SingleStack') {
    if (byAddress.length === 2) throw new Refusal('spec.ipFamilyPolicy', 'is SingleStack, but two addresses are given');
    families.length = 1;
  }
  if (families.length === 0) families.push('IPv4');
  const dual = spec.ipFamilyPolicy === 'PreferDualStack' || spec.ipFamilyPolicy === 'RequireDualStack';
  if (dual && families.length === 1) families.push(other(families[0]!));
  return families;
}

function other(family: Family): Family {
  return family === 'IPv4' ? 'IPv6' : 'IPv4';
}

function familyOf(ip: string): Family {
  return isIPv4(parseAddr(ip)) ? 'IPv4' : 'IPv6';
}

function askedAddress(ip: string, field: string, family: Family, taken: TakenAddresses, ranges: ServiceRanges): string {
  const range = rangeOf(family, ranges);
  const canonical = formatAddr(parseAddr(ip));
  if (familyOf(ip) !== family) throw new Refusal(field, `must be an ${family} address`);
  if (!prefixHas(range.prefix, parseAddr(ip))) throw new Refusal(field, `${ip} is not in the service range ${range.text}`);
  if (taken.ips.has(canonical)) throw new Refusal(field, `${ip} is already allocated`);
  return canonical;
}

/** A free address at random, above the band that people pick from by hand; when that is full, from the band too. */
function freeAddress(family: Family, taken: TakenAddresses, ranges: ServiceRanges, random: () => number): string {
  const { prefix, text } = rangeOf(family, ranges);
  // More than 65,536 services is out of reach, so a larger IPv6 range is used in its first part only.
  const size = 2 ** Math.min(16, 128 - prefix.bits);
  // The first address is the network's, the last its broadcast (IPv4).
  const last = family === 'IPv4' ? size - 2 : size - 1;
  const band = Math.min(256, Math.max(16, size >> 4));
  const from = band + 1 <= last ? band + 1 : 1;
  const upper = scan(from, last, random, n => !taken.ips.has(formatAddr(addrAt(prefix, n))));
  const offset = upper ?? scan(1, from - 1, random, n => !taken.ips.has(formatAddr(addrAt(prefix, n))));
  if (offset === undefined) throw new Refusal('spec.clusterIPs', `the service range ${text} is full`, 'Full');
  return formatAddr(addrAt(prefix, offset));
}

function rangeOf(family: Family, ranges: ServiceRanges) {
  const text = family === 'IPv4' ? ranges.serviceCidr4 : ranges.serviceCidr6;
  return { text, prefix: parsePrefix(text) };
}

function portFields<P extends ServicePortSpec>(spec: ServiceAddressSpec & { readonly ports?: readonly P[] | undefined }, taken: TakenAddresses, random: () => number): { ports?: P[]; healthCheckNodePort?: number } {
  const external = spec.type === 'NodePort' || (spec.type === 'LoadBalancer' && spec.allocateLoadBalancerNodePorts !== false);
  const used = new Set(taken.nodePorts);
  const claim = (field: string, protocol: string, port: number) => {
    if (port < nodePortRange.first || port > nodePortRange.last) throw new Refusal(field, `${port} is not in the node port range ${nodePortRange.first}-${nodePortRange.last}`);
    if (used.has(`${protocol}/${port}`)) throw new Refusal(field, `${port} is already allocated`);
    used.add(`${protocol}/${port}`);
  };
  const ports: readonly P[] = spec.ports ?? [];
  // Those asked for first, so that none of the chosen ones stands in their way.
  for (const [i, p] of ports.entries()) if (p.nodePort) claim(`spec.ports[${i}].nodePort`, p.protocol ?? 'TCP', p.nodePort);
  const byPort = new Map<number, number>();
  const complete = ports.map((p): P => {
    if (p.nodePort || !external) return p;
    const protocol = p.protocol ?? 'TCP';
    // The same port over TCP and UDP gets the same node port where it can.
    const twin = byPort.get(p.port);
    const nodePort = twin !== undefined && !used.has(`${protocol}/${twin}`) ? twin : freePort(used, protocol, random);
    used.add(`${protocol}/${nodePort}`);
    byPort.set(p.port, nodePort);
    return { ...p, nodePort };
  });
  const health = spec.type === 'LoadBalancer' && spec.externalTrafficPolicy === 'Local';
  if (health && spec.healthCheckNodePort) claim('spec.healthCheckNodePort', 'TCP', spec.healthCheckNodePort);
  return {
    ...(spec.ports ? { ports: complete } : {}),
    ...(health ? { healthCheckNodePort: spec.healthCheckNodePort || freePort(used, 'TCP', random) } : {}),
  };
}

function freePort(used: ReadonlySet<string>, protocol: string, random: () => number): number {
  const { first, last } = nodePortRange;
  const free = (port: number) => !used.has(`${protocol}/${port}`);
  const port = scan(first + staticBand, last, random, free) ?? scan(first, first + staticBand - 1, random, free);
  if (port === undefined) throw new Refusal('spec.ports', 'no node port is free', 'Full');
  return port;
}

/** A number in [first, last] that is free: from a random start, once around. */
function scan(first: number, last: number, random: () => number, free: (n: number) => boolean): number | undefined {
  const size = last - first + 1;
  if (size <= 0) return undefined;
  const start = Math.min(size - 1, Math.floor(random() * size));
  for (let i = 0; i < size; i++) {
    const n = first + ((start + i) % size);
    if (free(n)) return n;
  }
  return undefined;
}

