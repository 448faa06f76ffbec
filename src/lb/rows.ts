import { formatAddr, isIPv4 } from '../std/ip.ts';
import type { Addr } from '../std/ip.ts';

export type FrontendType = 'ClusterIP' | 'NodePort' | 'ExternalIP' | 'LoadBalancer' | 'HostPort' | 'LocalRedirect';

/** As `enum service_type` of bpf/lib/service.h numbers them. */
export const frontendTypes: readonly FrontendType[] = ['ClusterIP', 'NodePort', 'ExternalIP', 'LoadBalancer', 'HostPort', 'LocalRedirect'];

/**
 * `enum service_scope`: who asks. The internal row is there only where clients inside are served otherwise than clients outside;
 * the original one where a local redirect stands in for a service, for backends of the redirect that want the service itself.
 */
export const scope = { external: 0, internal: 1, original: 2 } as const;
export type Scope = 0 | 1 | 2;

/** `enum service_flag`; what each means stands there. */
export const rowFlag = {
  routable: 1, twoScopes: 2, sourceRanges: 4, sourceDeny: 8, silent: 16, dsr: 32, nat46x64: 64, hostOnly: 128, redirectExempt: 256,
} as const;

/** One address, port and protocol that answers for a service to clients of one scope, and who serves behind it. */
export interface ServiceRow {
  /** `10.96.0.10:53/UDP`, `[fd00::a]:53/UDP`; with `/i` at the end for the internal scope, `/o` for the original one. */
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  readonly portName: string;
  readonly type: FrontendType;
  readonly addr: Addr;
  readonly port: number;
  /** IP protocol number. */
  readonly protocol: number;
  readonly scope: Scope;
  /** Bits of `rowFlag`. */
  readonly flags: number;
  /** Sorted by key. New connections go to those that `serving` gives. */
  readonly backends: readonly BackendRow[];
  /** Seconds; 0 is none. */
  readonly affinityTimeout: number;
  /** Entries of its Maglev table; 0 is a random choice. */
  readonly maglev: number;
  /** Prefixes, sorted: with `rowFlag.sourceRanges` these may come from outside, with `sourceDeny` too these may not. */
  readonly sources: readonly string[];
}

export interface BackendRow {
  /** `10.244.1.5:8080/TCP`: equal keys are the same backend, whatever the service. */
  readonly key: string;
  readonly addr: Addr;
  readonly port: number;
  /** `maintenance`: its weight is 0, it keeps its connections and gets no new ones. */
  readonly state: 'active' | 'terminating' | 'maintenance';
  readonly nodeName: string;
  /** Its share of new connections beside the others'; absent is 1. */
  readonly weight?: number;
}

export const protocolNumbers: Readonly<Record<string, number>> = { TCP: 6, UDP: 17, SCTP: 132 };
export const protocolNames: Readonly<Record<number, string>> = { 6: 'TCP', 17: 'UDP', 132: 'SCTP' };

/** Those that take new connections: the active ones; when there is none, what is still serving although it is on its way out. */
export function serving(row: Pick<ServiceRow, 'backends'>): readonly BackendRow[] {
  if (row.backends.every(b => b.state === 'active')) return row.backends;
  const active = row.backends.filter(b => b.state === 'active');
  return active.length > 0 ? active : row.backends.filter(b => b.state === 'terminating');
}

/** Address, port and protocol in one text; the form of every key here. */
export function endpointText(addr: Addr, port: number, protocolName: string): string {
  return isIPv4(addr) ? `${formatAddr(addr)}:${port}/${protocolName}` : `[${formatAddr(addr)}]:${port}/${protocolName}`;
}

/** The key of a row. */
export function rowKey(frontend: string, of: Scope): string {
  return frontend + suffixes[of];
}

const suffixes = ['', '/i', '/o'] as const;

/** Address, port and protocol of a row's key: the same for all scopes. */
export function frontendOf(key: string): string {
  return key.endsWith('/i') || key.endsWith('/o') ? key.slice(0, -2) : key;
}
