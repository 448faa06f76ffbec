import { formatAddr, isIPv4, parseAddr } from '../std/ip.ts';
import type { Addr } from '../std/ip.ts';

/** The parts of a Kubernetes Service that load balancing reads; `Service` of `src/kube` fits. */
export interface ServiceInput {
  readonly metadata: { readonly name: string; readonly namespace?: string | undefined };
  readonly spec: {
    readonly type?: string | undefined;
    readonly clusterIP?: string | undefined;
    readonly clusterIPs?: readonly string[] | undefined;
    readonly ports?: readonly { readonly name?: string | undefined; readonly port: number; readonly protocol?: string | undefined }[] | undefined;
    readonly sessionAffinity?: string | undefined;
    readonly sessionAffinityConfig?: { readonly clientIP?: { readonly timeoutSeconds?: number | undefined } | undefined } | undefined;
    readonly internalTrafficPolicy?: string | undefined;
  };
}

/** The parts of an EndpointSlice that load balancing reads. */
export interface SliceInput {
  readonly addressType: string;
  readonly endpoints: readonly EndpointInput[] | null;
  readonly ports?: readonly { readonly name?: string | undefined; readonly port?: number | undefined; readonly protocol?: string | undefined }[] | null | undefined;
}

export interface EndpointInput {
  readonly addresses: readonly string[];
  readonly conditions?: { readonly ready?: boolean | null; readonly serving?: boolean | null; readonly terminating?: boolean | null } | undefined;
  readonly nodeName?: string | undefined;
}

/** Which node asks: traffic policies look at it. */
export interface FrontendContext {
  readonly nodeName: string;
}

export type FrontendType = 'ClusterIP' | 'NodePort' | 'ExternalIP' | 'LoadBalancer' | 'HostPort';

/** One address, port and protocol that answers for a service, and who serves behind it. */
export interface ServiceRow {
  /** `10.96.0.10:53/UDP`, `[fd00::a]:53/UDP`. */
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  readonly portName: string;
  readonly type: FrontendType;
  readonly addr: Addr;
  readonly port: number;
  /** IP protocol number. */
  readonly protocol: number;
  /** Sorted by key. New connections go to the active ones, or, when there is none, to the terminating ones. */
  readonly backends: readonly BackendRow[];
  /** Seconds; 0 is none. */
  readonly affinityTimeout: number;
}

export interface BackendRow {
  /** `10.244.1.5:8080/TCP`: equal keys are the same backend, whatever the service. */
  readonly key: string;
  readonly addr: Addr;
  readonly port: number;
  readonly state: 'active' | 'terminating';
  readonly nodeName: string;
}

export const protocolNumbers: Readonly<Record<string, number>> = { TCP: 6, UDP: 17, SCTP: 132 };
export const protocolNames: Readonly<Record<number, string>> = { 6: 'TCP', 17: 'UDP', 132: 'SCTP' };

/** core/v1: three hours, when affinity is on and no time is given. */
const defaultAffinitySeconds = 10_800;

/**
 * The rows of one service: a frontend for each cluster address and port, each with the endpoints of its family. Headless
 * services and ExternalName have none. The same objects give the same rows in whatever order slices and endpoints come.
 */
export function frontends(service: ServiceInput, slices: readonly SliceInput[], context: FrontendContext): ServiceRow[] {
  const { spec, metadata } = service;
  if (spec.type === 'ExternalName') return [];
  const rows: ServiceRow[] = [];
  for (const text of spec.clusterIPs ?? (spec.clusterIP ? [spec.clusterIP] : [])) {
    const addr = addrOf(text);
    if (!addr) continue;
    const family = isIPv4(addr) ? 'IPv4' : 'IPv6';
    for (const port of spec.ports ?? []) {
      const protocolName = port.protocol ?? 'TCP';
      const protocol = protocolNumbers[protocolName];
      if (protocol === undefined) continue;
      rows.push({
        key: endpointText(addr, port.port, protocolName),
        namespace: metadata.namespace ?? '',
        name: metadata.name,
        portName: port.name ?? '',
        type: 'ClusterIP',
        addr,
        port: port.port,
        protocol,
        backends: backendsOf(slices, family, port.name ?? '', protocolName, spec.internalTrafficPolicy === 'Local' ? context.nodeName : undefined),
        affinityTimeout: spec.sessionAffinity === 'ClientIP' ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? defaultAffinitySeconds) : 0,
      });
    }
  }
  return rows;
}

/** Those that take new connections: the active ones; when there is none, what is still serving although it is on its way out. */
export function serving(row: ServiceRow): readonly BackendRow[] {
  if (row.backends.every(b => b.state === 'active')) return row.backends;
  const active = row.backends.filter(b => b.state === 'active');
  return active.length > 0 ? active : row.backends;
}

/** Address, port and protocol in one text; the form of every key here. */
export function endpointText(addr: Addr, port: number, protocolName: string): string {
  return isIPv4(addr) ? `${formatAddr(addr)}:${port}/${protocolName}` : `[${formatAddr(addr)}]:${port}/${protocolName}`;
}

/** With `onlyNode`, endpoints elsewhere do not exist (internalTrafficPolicy: Local never falls back to them). */
function backendsOf(slices: readonly SliceInput[], family: string, portName: string, protocolName: string, onlyNode: string | undefined): BackendRow[] {
  const byKey = new Map<string, BackendRow>();
  for (const slice of slices) {
    if (slice.addressType !== family) continue;
    const port = slice.ports?.find(p => (p.name ?? '') === portName && (p.protocol ?? 'TCP') === protocolName)?.port;
    if (port === undefined || port === null) continue;
    for (const endpoint of slice.endpoints ?? []) {
      if (onlyNode !== undefined && endpoint.nodeName !== onlyNode) continue;
      const state = stateOf(endpoint);
      // Consumers use the first address only (discovery.k8s.io/v1 Endpoint).
      const text = endpoint.addresses[0];
      const addr = state === undefined || text === undefined ? undefined : addrOf(text);
      if (state === undefined || addr === undefined) continue;
      // An IPv4 address has only one text, so there is nothing to format; this is the innermost loop of all.
      const key = family === 'IPv4' ? `${text}:${port}/${protocolName}` : endpointText(addr, port, protocolName);
      // While an endpoint moves between slices it stands in both; the better word counts.
      if (byKey.get(key)?.state === 'active') continue;
      byKey.set(key, { key, addr, port, state, nodeName: endpoint.nodeName ?? '' });
    }
  }
  return [...byKey.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
}

/** Undefined for what is no address: `None`, or a name where there should be a number. */
function addrOf(text: string): Addr | undefined {
  if (text === '' || text === 'None') return undefined;
  try {
    return parseAddr(text);
  } catch {
    return undefined;
  }
}

/** Absent conditions read as the API says: ready unless told otherwise, serving as ready, not terminating. */
function stateOf(endpoint: EndpointInput): BackendRow['state'] | undefined {
  const { ready, serving: serves, terminating } = endpoint.conditions ?? {};
  const isReady = ready ?? true;
  if (isReady) return 'active';
  return (serves ?? isReady) && (terminating ?? false) ? 'terminating' : undefined;
}
