import type { EndpointSlice, Service } from '../../kube/types.ts';
import { endpointText } from '../../lb/frontends.ts';
import type { ServiceRow } from '../../lb/frontends.ts';
import type { ServiceListing } from '../../model/service-listing.ts';
import { isAddr, parseAddr } from '../../std/ip.ts';
import type { Logger } from '../../std/log.ts';
import { derive } from '../../table/derive.ts';
import { Reconciler } from '../../table/reconcile.ts';
import type { Table } from '../../table/table.ts';
import { ServiceDerivation } from './desired.ts';
import { graceMs, ServiceTarget } from './target.ts';
import type { ServiceMaps } from './target.ts';

export interface ServicesOptions {
  readonly services: Table<Service>;
  readonly slices: Table<EndpointSlice>;
  readonly maps: ServiceMaps;
  readonly nodeName: string;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** When a row cannot be brought into the kernel. */
  readonly onFailed?: (row: ServiceRow, error: Error) => void;
}

export interface Services {
  readonly table: Table<ServiceRow>;
  readonly reconciler: Reconciler<ServiceRow>;
  /** Whose address this is: for flows. */
  byAddress(ip: string, port: number, protocol: 'TCP' | 'UDP' | 'SCTP'): { readonly namespace: string; readonly name: string } | undefined;
  /** Rows as people and JSON read them, by name. */
  list(): ServiceListing[];
}

/**
 * Takes over the services in the kernel and keeps them equal to the API's. The first round is done when this returns, as far
 * as the inputs are there; nothing is removed before both have been listed.
 */
export function startServices(options: ServicesOptions): Services {
  const { log, signal, nodeName } = options;
  const derivation = new ServiceDerivation(options.services, options.slices, { nodeName });
  const target = new ServiceTarget({ maps: options.maps, later: sweep => void setTimeout(sweep, graceMs).unref() });
  const reconciler = new Reconciler<ServiceRow>({
    desired: derivation.table, target, log,
    onFailed: (key, _, error) => {
      const row = derivation.table.get(key);
      if (row) options.onFailed?.(row, error);
    },
  });
  derivation.step();
  reconciler.settle();
  void derive({ name: 'services', inputs: derivation.inputs, step: () => derivation.step() }, { log, signal });
  void reconciler.run(signal);
  return {
    table: derivation.table,
    reconciler,
    byAddress: (ip, port, protocol) => {
      if (!isAddr(ip)) return undefined;
      const row = derivation.table.get(endpointText(parseAddr(ip), port, protocol));
      return row && { namespace: row.namespace, name: row.name };
    },
    list: () => [...derivation.table.rows()].map(row => listing(row, target.idOf(row.key))).sort(byName),
  };
}

function listing(row: ServiceRow, id: number | undefined): ServiceListing {
  return {
    id,
    namespace: row.namespace,
    name: row.name,
    portName: row.portName,
    type: row.type,
    frontend: row.key,
    affinityTimeout: row.affinityTimeout,
    backends: row.backends.map(b => ({ address: b.key, state: b.state, nodeName: b.nodeName })),
  };
}

function byName(a: ServiceListing, b: ServiceListing): number {
  const left = `${a.namespace}/${a.name} ${a.frontend}`;
  const right = `${b.namespace}/${b.name} ${b.frontend}`;
  return left < right ? -1 : left > right ? 1 : 0;
}
