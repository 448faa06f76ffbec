import type { FrontendType, ServiceRow } from '../../lb/rows.ts';

/**
 * Who has a frontend that several ask for. A local redirect is there to stand in for others. A cluster's own address goes before
 * an address that an object only claims, and a service's node port before a pod's host port.
 */
const order: readonly FrontendType[] = ['LocalRedirect', 'ClusterIP', 'LoadBalancer', 'ExternalIP', 'NodePort', 'HostPort'];

/** Askers, each with its row for the frontend: who has it first. Equal types by name, whatever came first. */
export function ranked(askers: readonly { readonly asker: string; readonly row: ServiceRow }[]): readonly string[] {
  return askers.toSorted((a, b) => order.indexOf(a.row.type) - order.indexOf(b.row.type) || (a.asker < b.asker ? -1 : 1)).map(a => a.asker);
}
