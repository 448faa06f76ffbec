import type { FrontendType, ServiceRow } from '../../lb/rows.ts';

/**
 * Who has a frontend that several ask for. A local redirect is there to stand in for others. A cluster's own address goes before
 * an address that an object only claims, and a service's node port before a pod's host port.
 */
const order: readonly FrontendType[] = ['LocalRedirect', 'ClusterIP', 'LoadBalancer', 'ExternalIP', 'NodePort', 'HostPort'];

/** Of askers, each with its row for the frontend; equal types by name, whatever came first. */
export function preferred(askers: readonly { readonly asker: string; readonly row: ServiceRow }[]): string {
  return askers.toSorted((a, b) => order.indexOf(a.row.type) - order.indexOf(b.row.type) || (a.asker < b.asker ? -1 : 1))[0]!.asker;
}
