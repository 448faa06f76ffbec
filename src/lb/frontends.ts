import { isIPv4 } from '../std/ip.ts';
import type { Addr } from '../std/ip.ts';
import { addrOf, familyOf, hasFamily, isPort, PortEndpoints } from './endpoints.ts';
import type { Family, NodePlace, SliceInput } from './endpoints.ts';
import { endpointText, protocolNumbers, rowFlag, rowKey, scope } from './rows.ts';
import type { BackendRow, FrontendType, Scope, ServiceRow } from './rows.ts';
import { isExposedOn, isServed, traitsOf } from './service-traits.ts';
import type { ServiceInput, ServiceTraits } from './service-traits.ts';

/** What the rows of a node depend on beside the objects themselves. */
export interface FrontendContext {
  readonly place: NodePlace;
  readonly nodeLabels: Readonly<Record<string, string>>;
  /** Where node ports and host ports answer; see `nodePortAddresses`. */
  readonly nodePorts: readonly NodePortAddress[];
  readonly defaults: {
    readonly algorithm: 'random' | 'maglev';
    readonly mode: 'snat' | 'dsr' | 'hybrid';
    readonly maglevTableSize: number;
    /** Cluster IPs answer clients outside. */
    readonly externalClusterIP: boolean;
    /** Source ranges are asked at every type, not only at LoadBalancer addresses. */
    readonly sourceRangesOfAllTypes: boolean;
  };
  /** Whether a service may have an external IP or load balancer address: undefined, or why not. */
  readonly mayServe: (address: string, service: ServiceInput) => string | undefined;
}

export interface NodePortAddress {
  readonly addr: Addr;
  /** Only for sockets of the node itself: loopback. */
  readonly hostOnly: boolean;
}

export interface Frontends {
  readonly rows: readonly ServiceRow[];
  /** What could not be read, for an event on the service. */
  readonly troubles: readonly string[];
  /** Addresses that it asks for and may not have, each with the reason. */
  readonly refused: readonly string[];
}

interface Frontend {
  readonly type: FrontendType;
  readonly addr: Addr;
  readonly port: number;
  readonly hostOnly: boolean;
}

type Port = NonNullable<ServiceInput['spec']['ports']>[number];

const nothing: Frontends = { rows: [], troubles: [], refused: [] };

/**
 * The rows of one service on this node: a frontend for each of its addresses and ports. The same objects give the same rows in
 * whatever order slices and endpoints come. Semantics of traffic policies, terminating endpoints and silence: kube-proxy's.
 */
export function frontends(service: ServiceInput, slices: readonly SliceInput[], context: FrontendContext): Frontends {
  if (!isServed(service) || !isExposedOn(service, context.nodeLabels)) return nothing;
  const traits = traitsOf(service);
  const addresses = new Addresses(service, traits, context);
  const rows: ServiceRow[] = [];
  for (const port of service.spec.ports ?? []) {
    const protocolName = port.protocol ?? 'TCP';
    const protocol = protocolNumbers[protocolName];
    if (protocol === undefined || !isPort(port.port)) continue;
    const maker = new RowMaker({ service, slices, context, traits, port, protocolName, protocol });
    addresses.of(port, frontend => maker.add(frontend, rows));
  }
  return { rows, troubles: traits.troubles, refused: addresses.refused };
}

/** Which of the node's addresses serve node ports: those in the prefixes, all without prefixes; and loopback for the node itself. */
export function nodePortAddresses(own: readonly Addr[], isChosen: (addr: Addr) => boolean): NodePortAddress[] {
  const loopback = ['127.0.0.1', '::1'].map(text => ({ addr: addrOf(text)!, hostOnly: true }));
  return [...own.filter(isChosen).map(addr => ({ addr, hostOnly: false })), ...loopback];
}

/** The addresses of a service, parsed once for all its ports. */
class Addresses {
  readonly refused: string[] = [];
  readonly #fixed: readonly { readonly type: FrontendType; readonly addr: Addr }[];
  readonly #nodePorts: readonly NodePortAddress[] = [];

  constructor(service: ServiceInput, traits: ServiceTraits, context: FrontendContext) {
    const { spec, status } = service;
    const cluster = (spec.clusterIPs ?? (spec.clusterIP ? [spec.clusterIP] : [])).flatMap(text => addrOf(text) ?? []);
    const exposes = (type: FrontendType) => traits.types?.has(type) ?? true;
    const allowed = (texts: readonly string[]) => texts.flatMap(text => {
      const addr = addrOf(text);
      const refusal = addr && context.mayServe(text, service);
      if (refusal !== undefined) this.refused.push(`${text} is not served: ${refusal}`);
      return addr && refusal === undefined ? [addr] : [];
    });
    // A cloud's load balancer that is a proxy (ipMode, KEP-1860) wants its traffic to go through it, also from inside.
    const ingress = spec.type === 'LoadBalancer' ? (status?.loadBalancer?.ingress ?? []).flatMap(i => (i.ip && i.ipMode !== 'Proxy' ? [i.ip] : [])) : [];
    const typed = (type: FrontendType, addrs: readonly Addr[]) => addrs.map(addr => ({ type, addr }));
    const all = exposes('ClusterIP') ? typed('ClusterIP', cluster) : [];
    if (ingress.length > 0 && exposes('LoadBalancer')) all.push(...typed('LoadBalancer', allowed(ingress)));
    if (spec.externalIPs?.length && exposes('ExternalIP')) all.push(...typed('ExternalIP', allowed(spec.externalIPs)));
    // An address that a service has twice is what it is first.
    this.#fixed = all.length < 2 ? all : all.filter(({ addr }, i) => all.findIndex(other => sameAddr(other.addr, addr)) === i);
    if (!exposes('NodePort') || (spec.type !== 'NodePort' && spec.type !== 'LoadBalancer')) return;
    const families: readonly string[] = spec.ipFamilies ?? cluster.map(familyOf);
    this.#nodePorts = context.nodePorts.filter(n => families.length === 0 || families.includes(familyOf(n.addr)));
  }

  of({ port, nodePort }: Port, add: (frontend: Frontend) => void): void {
    for (const { type, addr } of this.#fixed) add({ type, addr, port, hostOnly: false });
    if (!isPort(nodePort)) return;
    for (const { addr, hostOnly } of this.#nodePorts) {
      if (port !== nodePort || !this.#fixed.some(fixed => sameAddr(fixed.addr, addr))) add({ type: 'NodePort', addr, port: nodePort, hostOnly });
    }
  }
}

function sameAddr(a: Addr, b: Addr): boolean {
  return a.every((byte, i) => byte === b[i]);
}

interface RowParts {
  readonly service: ServiceInput;
  readonly slices: readonly SliceInput[];
  readonly context: FrontendContext;
  readonly traits: ServiceTraits;
  readonly port: Port;
  readonly protocolName: string;
  readonly protocol: number;
}

/** Makes the rows of one port. Who serves is found once a family; rows share the lists. */
class RowMaker {
  readonly #parts: RowParts;
  readonly #endpoints: { [F in Family]?: PortEndpoints } = {};

  constructor(parts: RowParts) {
    this.#parts = parts;
  }

  add(frontend: Frontend, rows: ServiceRow[]): void {
    const { service: { spec }, slices, protocolName } = this.#parts;
    const key = endpointText(frontend.addr, frontend.port, protocolName);
    const family = familyOf(frontend.addr);
    const other: Family = family === 'IPv4' ? 'IPv6' : 'IPv4';
    const isCrossed = !hasFamily(slices, family) && hasFamily(slices, other);
    const endpoints = this.#endpointsOf(isCrossed ? other : family);
    const base = this.#flags(frontend) | (isCrossed ? rowFlag.nat46x64 : 0);
    if (frontend.type === 'ClusterIP') {
      rows.push(this.#row(key, frontend, scope.external, base, endpoints, spec.internalTrafficPolicy === 'Local'));
    } else if (spec.externalTrafficPolicy !== 'Local' || frontend.hostOnly) {
      // Pods and nodes that use an external address are subject to neither traffic policy, as kube-proxy has it.
      rows.push(this.#row(key, frontend, scope.external, base, endpoints, false));
    } else {
      rows.push(this.#row(key, frontend, scope.external, base | rowFlag.twoScopes, endpoints, true));
      rows.push(this.#row(key, frontend, scope.internal, base, endpoints, false));
    }
  }

  #endpointsOf(family: Family): PortEndpoints {
    const { slices, context, traits, port, protocolName } = this.#parts;
    return (this.#endpoints[family] ??= new PortEndpoints(slices, { family, name: port.name ?? '', protocol: protocolName }, context.place, traits.closeness));
  }

  #flags({ type, hostOnly }: Frontend): number {
    const { context: { defaults }, traits, protocol } = this.#parts;
    if (hostOnly) return rowFlag.hostOnly;
    const isRoutable = type !== 'ClusterIP' || defaults.externalClusterIP;
    const isAsked = traits.sources !== undefined && (type === 'LoadBalancer' || defaults.sourceRangesOfAllTypes);
    const mode = traits.forwarding ?? (defaults.mode === 'hybrid' ? (protocol === protocolNumbers['TCP'] ? 'dsr' : 'snat') : defaults.mode);
    return (isRoutable ? rowFlag.routable : 0)
      | (isRoutable && mode === 'dsr' ? rowFlag.dsr : 0)
      | (isAsked ? rowFlag.sourceRanges | (traits.sources.form === 'deny' ? rowFlag.sourceDeny : 0) : 0);
  }

  #row(frontendKey: string, frontend: Frontend, of: Scope, base: number, endpoints: PortEndpoints, isLocal: boolean): ServiceRow {
    const { service: { metadata }, context, traits, port, protocol } = this.#parts;
    const backends: readonly BackendRow[] = isLocal ? endpoints.local : endpoints.cluster;
    const isSilent = isLocal && !backends.some(b => b.state !== 'maintenance') && endpoints.hasAny;
    const isCrossed = (base & rowFlag.nat46x64) !== 0;
    // A client of the other family could not take the answer of a backend directly.
    const flags = (isCrossed ? base & ~rowFlag.dsr : base) | (isSilent ? rowFlag.silent : 0);
    const ranges = (base & rowFlag.sourceRanges) !== 0 ? traits.sources : undefined;
    return {
      key: rowKey(frontendKey, of),
      namespace: metadata.namespace ?? '',
      name: metadata.name,
      portName: port.name ?? '',
      type: frontend.type,
      addr: frontend.addr,
      port: frontend.port,
      protocol,
      scope: of,
      flags,
      backends,
      affinityTimeout: traits.affinityTimeout,
      maglev: this.#usesMaglev(frontend, traits, context) ? context.defaults.maglevTableSize : 0,
      sources: ranges ? (isIPv4(frontend.addr) ? ranges.ipv4 : ranges.ipv6) : none,
    };
  }

  /** As the cluster's default it is for clients outside: those inside keep their socket's backend anyway, and a table is 128 KB. */
  #usesMaglev({ type, hostOnly }: Frontend, traits: ServiceTraits, { defaults }: FrontendContext): boolean {
    if (traits.algorithm !== undefined) return traits.algorithm === 'maglev';
    return defaults.algorithm === 'maglev' && !hostOnly && (type !== 'ClusterIP' || defaults.externalClusterIP);
  }
}

const none: readonly string[] = [];
