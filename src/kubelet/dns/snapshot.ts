/** What DNS needs to know of the cluster, small and plain. Pure. The kubelet writes it, the DNS server reads it. */
import type { EndpointSlice, Service } from '../../kube/types.ts';

export interface Snapshot {
  readonly version: 1;
  readonly domain: string;
  readonly services: readonly ServiceNames[];
}

export interface ServiceNames {
  readonly namespace: string;
  readonly name: string;
  /** Addresses of the service itself; empty: headless. */
  readonly ips: readonly string[];
  readonly externalName?: string;
  readonly ports: readonly NamedPort[];
  /** Headless only: who answers, with the host name that gives each its own name. */
  readonly endpoints: readonly Backend[];
}

export interface NamedPort {
  readonly name: string;
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  readonly port: number;
}

export interface Backend {
  readonly ip: string;
  readonly hostname: string;
  readonly ports: readonly NamedPort[];
}

const serviceNameLabel = 'kubernetes.io/service-name';

export function snapshotOf(domain: string, services: readonly Service[], slices: readonly EndpointSlice[]): Snapshot {
  const byService = new Map<string, EndpointSlice[]>();
  for (const slice of slices) {
    const key = `${slice.metadata.namespace}/${slice.metadata.labels?.[serviceNameLabel] ?? ''}`;
    byService.set(key, [...(byService.get(key) ?? []), slice]);
  }
  const rows = services.map(service => serviceNames(service, byService.get(`${service.metadata.namespace}/${service.metadata.name}`) ?? []));
  rows.sort((a, b) => (`${a.namespace}/${a.name}` < `${b.namespace}/${b.name}` ? -1 : 1));
  return { version: 1, domain, services: rows };
}

function serviceNames(service: Service, slices: readonly EndpointSlice[]): ServiceNames {
  const { spec, metadata } = service;
  const base = { namespace: metadata.namespace ?? 'default', name: metadata.name };
  if (spec.type === 'ExternalName') return { ...base, ips: [], externalName: spec.externalName ?? '', ports: [], endpoints: [] };
  const ips = (spec.clusterIPs ?? [spec.clusterIP ?? '']).filter(ip => ip !== '' && ip !== 'None');
  const ports = (spec.ports ?? []).map(p => namedPort(p.name, p.protocol, p.port));
  return { ...base, ips, ports, endpoints: ips.length > 0 ? [] : backends(service, slices) };
}

/** Ready ones, or all where the service publishes the unready too. */
function backends(service: Service, slices: readonly EndpointSlice[]): Backend[] {
  const all = service.spec.publishNotReadyAddresses === true;
  const rows: Backend[] = [];
  for (const slice of slices) {
    const ports = (slice.ports ?? []).flatMap(p => (p.port === undefined ? [] : [namedPort(p.name, p.protocol, p.port)]));
    for (const endpoint of slice.endpoints ?? []) {
      // A condition that is not set counts as ready (API reference of EndpointSlice).
      if (!all && endpoint.conditions?.ready === false) continue;
      for (const ip of endpoint.addresses) rows.push({ ip, hostname: endpoint.hostname ?? ip.replaceAll(/[.:]/g, '-'), ports });
    }
  }
  return rows.sort((a, b) => (a.ip < b.ip ? -1 : 1));
}

function namedPort(name: string | undefined, protocol: string | undefined, port: number): NamedPort {
  return { name: name ?? '', protocol: (protocol ?? 'TCP').toLowerCase() as NamedPort['protocol'], port };
}
