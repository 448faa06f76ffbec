import { objectKey } from '../../kube/reflector.ts';
import type { EndpointSlice, Node, Service } from '../../kube/types.ts';
import type { MapLimits } from '../../lb/layout.ts';
import type { HostPortInput, RedirectInput } from '../../lb/local-rows.ts';
import type { GoneBackend } from '../../lb/plan.ts';
import { endpointText } from '../../lb/rows.ts';
import type { ServiceRow } from '../../lb/rows.ts';
import type { ServiceInput } from '../../lb/service-traits.ts';
import type { ServiceListing } from '../../model/service-listing.ts';
import { defaultSettings } from '../../model/settings.ts';
import type { Settings } from '../../model/settings.ts';
import { formatAddr, isAddr, parseAddr } from '../../std/ip.ts';
import type { Logger } from '../../std/log.ts';
import { derive, type Watchable } from '../../table/derive.ts';
import { Reconciler } from '../../table/reconcile.ts';
import { Table } from '../../table/table.ts';
import type { TableView } from '../../table/table.ts';
import { nodeContext } from './context.ts';
import { ServiceDerivation } from './desired.ts';
import { byName, listing } from './listing.ts';
import { graceMs, ServiceTarget } from './target.ts';
import type { MaglevTables, ServiceMaps } from './target.ts';

export interface ExternalAddressAnswers {
  /** A row by a service's key for each that claims such addresses; a changed row is a changed answer. */
  readonly table: TableView<{ readonly key: string }>;
  /** Undefined: it may; else why not. */
  refusalOf(service: string, address: string): string | undefined;
}

export interface ServicesOptions {
  readonly services: Table<Service>;
  readonly slices: Table<EndpointSlice>;
  readonly hostPorts?: TableView<HostPortInput>;
  readonly redirects?: TableView<RedirectInput>;
  /** Of which this node's object gives the labels: topology, and services that choose their nodes. */
  readonly nodes?: Table<Node>;
  readonly maps: ServiceMaps;
  readonly maglev: MaglevTables;
  readonly limits?: MapLimits;
  readonly nodeName: string;
  /** Where node ports and host ports answer, as `nodePort.addresses` chooses. */
  readonly nodeAddresses?: readonly string[];
  readonly settings?: Settings;
  /** Whether a service may have an external IP or load balancer address. All, when there is nobody to ask. */
  readonly external?: ExternalAddressAnswers;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** When a row cannot be brought into the kernel. */
  readonly onFailed?: (row: ServiceRow, error: Error) => void;
  /** What could not be read of a service (`namespace/name`), when that changes. Refused addresses are told by who refuses. */
  readonly onTroubles?: (service: string, troubles: readonly string[]) => void;
  /** Backends that have left the kernel for good, of which there may be sockets. */
  readonly onGone?: (backends: readonly GoneBackend[]) => void;
}

export interface Services {
  readonly table: Table<ServiceRow>;
  readonly reconciler: Reconciler<ServiceRow>;
  /** Marks when rows have come into the kernel, or gone. */
  readonly applied: Watchable;
  /** Entries in each map. */
  readonly used: MapLimits;
  /** Whose address this is: for flows. */
  byAddress(ip: string, port: number, protocol: 'TCP' | 'UDP' | 'SCTP'): { readonly namespace: string; readonly name: string } | undefined;
  /** Rows as people and JSON read them, by name. */
  list(): ServiceListing[];
  /** The kernel's number of a row, when it has one. */
  idOf(rowKey: string): number | undefined;
}

/**
 * Takes over the services in the kernel and keeps them equal to the API's. The first round is done when this returns, as far
 * as the inputs are there; nothing is removed before all have been listed.
 */
export function startServices(options: ServicesOptions): Services {
  const { log, signal, nodeName, settings = defaultSettings, external } = options;
  const context = nodeContext({ nodeName, addresses: options.nodeAddresses ?? [], settings, mayServe: (address, service) => external?.refusalOf(serviceKey(service), address) });
  const inputs = {
    services: options.services,
    slices: options.slices,
    hostPorts: options.hostPorts ?? new Table<HostPortInput>('hostports', input => input.key),
    redirects: options.redirects ?? new Table<RedirectInput>('localredirects', input => input.key),
    external: external?.table ?? new Table<{ readonly key: string }>('external-addresses', row => row.key),
  };
  const nodes = options.nodes ?? new Table<Node>('nodes', objectKey);
  const derivation = new ServiceDerivation(inputs, () => context.current, options.onTroubles);
  const step = () => {
    // Without labels, services of other zones and nodes would be made of what is this node's.
    if (!nodes.synced) return;
    if (context.setLabels(nodes.get(nodeName)?.metadata.labels)) derivation.refreshAll();
    derivation.step();
  };
  const target = new ServiceTarget({
    maps: options.maps, maglev: options.maglev, hashSeed: settings.maglev.hashSeed, ...(options.limits && { limits: options.limits }),
    later: sweep => void setTimeout(sweep, graceMs).unref(),
    onGone: backends => {
      // One that is only further away than others now, or whose service has gone, is still there for those who talk to it.
      const gone = backends.filter(b => !b.services.some(service => derivation.hasEndpoint(service, formatAddr(b.addr))));
      if (gone.length > 0) options.onGone?.(gone);
    },
  });
  const marks = new Set<() => void>();
  const reconciler = new Reconciler<ServiceRow>({
    // A turn must not hold the others for long: a row may need a Maglev table of its own, which takes a millisecond.
    desired: derivation.table, target, log, batch: 1_024,
    onApplied: () => {
      for (const mark of marks) mark();
    },
    onFailed: (key, _, error) => {
      const row = derivation.table.get(key);
      if (row) options.onFailed?.(row, error);
    },
  });
  step();
  reconciler.settle();
  void derive({ name: 'services', inputs: [...derivation.inputs, nodes], step }, { log, signal });
  void reconciler.run(signal);
  return {
    table: derivation.table,
    reconciler,
    applied: { watch: mark => { marks.add(mark); return () => void marks.delete(mark); } },
    get used() {
      return target.used;
    },
    byAddress: (ip, port, protocol) => {
      if (!isAddr(ip)) return undefined;
      const service = derivation.serviceAt(endpointText(parseAddr(ip), port, protocol));
      return service && { namespace: service.namespace, name: service.name };
    },
    list: () => [...derivation.table.rows()].map(row => listing(row, target.idOf(row.key))).sort(byName),
    idOf: key => target.idOf(key),
  };
}

function serviceKey({ metadata }: ServiceInput): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`;
}
