import type { Service } from '../../kube/types.ts';
import { frontendOf, protocolNames } from '../../lb/rows.ts';
import type { ServiceRow } from '../../lb/rows.ts';
import { isExposedOn, traitsOf } from '../../lb/service-traits.ts';
import { isIPv4 } from '../../std/ip.ts';
import { isLoopback } from './lb-dump.ts';
import type { LbWorld } from './lb-world.ts';

export type TextRow = Readonly<Record<string, string>>;

/** What came of one comparison: differences, and why some rows were not compared. */
export interface TableCheck {
  readonly differences: readonly string[];
  readonly skipped: readonly string[];
}

const idleBackends = 'backends of services that have no frontends: only what serves is kept here';

const farBackends = 'backends that are further away than others: topology keeps them from this node\'s maps';

/** A backend of a service with topology that no row of this node has. */
function isFarAway(world: LbWorld, service: string, address: string): boolean {
  const object = world.services.get(service);
  return object !== undefined && traitsOf(object).closeness !== undefined && !world.rows.some(row => row.backends.some(b => b.key === address));
}

/** Upstream's table `frontends`, of our rows. A node port's rows are one row of upstream's for all addresses. */
export function frontendRows(world: LbWorld): TextRow[] {
  const rows = new Map<string, TextRow>();
  for (const row of world.rows.filter(r => r.scope === 0)) {
    const isWildcard = row.type === 'NodePort' || row.type === 'HostPort';
    const address = isWildcard ? `${isIPv4(row.addr) ? '0.0.0.0' : '[::]'}:${row.port}/${protocolNames[row.protocol]}` : frontendOf(row.key);
    // Clients at loopback get what those inside get; the node's own addresses say what a node port is.
    if (rows.has(address) && isLoopback(row.addr)) continue;
    rows.set(address, {
      Address: address, Type: row.type, ServiceName: serviceName(row, world), PortName: row.portName, Status: 'Done', Error: '', RedirectTo: '',
      Backends: row.backends.map(b => b.key).join(', '),
    });
  }
  return [...rows.values()];
}

/** Upstream names a pod's host port `NAMESPACE/POD:host-port:PORT:UID`. */
function serviceName(row: ServiceRow, world: LbWorld): string {
  const name = `${row.namespace}/${row.name}`;
  return row.type === 'HostPort' ? `${name}:host-port:${row.port}:${world.pods.get(name)?.metadata.uid ?? ''}` : name;
}

/** Upstream's table `services`: what we understand of each. */
export function serviceRows(world: LbWorld): TextRow[] {
  const served = [...world.services.rows()].filter(service => isExposedOn(service, world.nodeLabels)).map(serviceRow);
  const hostPorts = new Set(world.rows.filter(r => r.type === 'HostPort').map(r => serviceName(r, world)));
  return [...served, ...[...hostPorts].map(Name => ({ Name, Source: 'k8s' }))];
}

function serviceRow(service: Service): TextRow {
  const { metadata, spec } = service;
  const traits = traitsOf(service);
  const ranges = traits.sources ? [...traits.sources.ipv4, ...traits.sources.ipv6] : [];
  const flags = [
    ...(traits.affinityTimeout > 0 ? [`SessionAffinity=${traits.affinityTimeout}s`] : []), ...(ranges.length > 0 ? [`SourceRanges=${ranges.join(', ')}`] : []),
    ...(traits.sources?.form === 'deny' ? ['SourceRangesPolicy=deny'] : []), ...(traits.algorithm ? [`ExplicitLBAlgorithm=${traits.algorithm}`] : []),
    ...(spec.loadBalancerClass ? [`LoadBalancerClass=${spec.loadBalancerClass}`] : []), ...(traits.closeness === 'zone' ? ['TrafficDistribution=PreferClose'] : []),
  ];
  return {
    Name: `${metadata.namespace}/${metadata.name}`, Source: 'k8s', Flags: flags.join(', '),
    PortNames: (spec.ports ?? []).map(p => `${p.name}=${p.port}`).sort().join(', '),
    TrafficPolicy: spec.externalTrafficPolicy === 'Local' || spec.internalTrafficPolicy === 'Local' ? 'Local' : 'Cluster',
  };
}

/** Upstream's table `backends`, of what our rows have. */
export function backendRows(world: LbWorld): TextRow[] {
  const byAddress = new Map<string, { readonly node: string; readonly instances: Set<string> }>();
  for (const row of world.rows) {
    const instance = serviceName(row, world) + (row.portName ? ` (${row.portName})` : '');
    for (const backend of row.backends) {
      const known = byAddress.get(backend.key);
      if (known) known.instances.add(instance);
      else byAddress.set(backend.key, { node: backend.nodeName, instances: new Set([instance]) });
    }
  }
  return [...byAddress].map(([Address, { node, instances }]) => ({ Address, Instances: [...instances].join(', '), Shadows: '', NodeName: node }));
}

/** Compares in the columns that are expected; order does not matter. */
export function compareTables(table: string, world: LbWorld, expected: readonly TextRow[]): TableCheck {
  const found = { frontends: frontendRows, services: serviceRows, backends: backendRows }[table];
  if (!found) return { differences: [], skipped: [`table ${table} of upstream's database`] };
  const skipped: string[] = [];
  const withFrontends = new Set(world.rows.map(row => serviceName(row, world)));
  const wanted = expected.filter(row => {
    const service = row['Instances']?.replace(/ .*/, '') ?? '';
    const reason = table !== 'backends' ? undefined : !withFrontends.has(service) ? idleBackends : isFarAway(world, service, row['Address']!) ? farBackends : undefined;
    if (reason) skipped.push(reason);
    return reason === undefined;
  });
  const columns = Object.keys(expected[0] ?? { Address: '', Name: '' });
  const text = (row: TextRow) => columns.map(column => `${column}=${column === 'Backends' ? (row[column] ?? '').split(', ').sort().join(', ') : (row[column] ?? '')}`).join(' ');
  const [left, right] = [wanted.map(text), found(world).map(text)];
  const differences = [...left.filter(t => !right.includes(t)).map(t => `${table}: missing ${t}`), ...right.filter(t => !left.includes(t)).map(t => `${table}: unexpected ${t}`)];
  return { differences, skipped };
}
