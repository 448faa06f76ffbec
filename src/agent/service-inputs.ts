import { clusterGrounds, nodeOwners, poolOf } from '../features/external-addresses/claims.ts';
import { ExternalAddressDerivation } from '../features/external-addresses/derive.ts';
import { HealthCheckDerivation } from '../features/health-check/derive.ts';
import { HealthCheckServers } from '../features/health-check/server.ts';
import { HostPortDerivation } from '../features/host-ports/derive.ts';
import { RedirectExemptions, type ExemptMap } from '../features/local-redirect/exempt.ts';
import type { Endpoint } from '../features/endpoints/endpoint.ts';
import type { Services } from '../features/services/start.ts';
import { LocalRedirectDerivation } from '../features/local-redirect/derive.ts';
import { catchRefusal } from '../features/local-redirect/may-catch.ts';
import type { ClusterRecord } from '../model/cluster.ts';
import type { Logger } from '../std/log.ts';
import { isErrno } from '../sys/errno.ts';
import { netnsCookie, openNetns, withNetns } from '../sys/netns.ts';
import { derive } from '../table/derive.ts';
import type { Table } from '../table/table.ts';
import type { Inputs } from './inputs.ts';

/** What services on this node are made of beside services and slices: which external addresses they may have, redirects, host ports. */
export interface ServiceInputs {
  readonly external: ExternalAddressDerivation;
  readonly redirects: LocalRedirectDerivation;
  readonly hostPorts: HostPortDerivation;
}

export function startServiceInputs(options: { readonly record: ClusterRecord; readonly nodeName: string; readonly inputs: Inputs }, dependencies: {
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** Whether services are served here: what load balancers are told. */
  readonly isHealthy: () => boolean;
  /** What a service asks for and does not get on this node. */
  readonly onTrouble: (service: string, reason: string, message: string) => void;
}): ServiceInputs {
  const { record, inputs, nodeName } = options;
  const [services, pools, nodes, pods] = [inputs.services.table, inputs.loadBalancerPools.table, inputs.nodes.table, inputs.pods.table];
  const grounds = clusterGrounds(record);
  const external = new ExternalAddressDerivation(grounds, objects => nodeOwners(record, objects), { services, pools, nodes });
  const redirects = new LocalRedirectDerivation(
    addr => catchRefusal(addr, { grounds, allowed: record.settings.localRedirectPolicies.addressMatcherCIDRs, owners: nodeOwners(record, nodes.rows()), pools: [...pools.rows()].map(poolOf) }),
    { policies: inputs.localRedirectPolicies.table, pods, services, nodes },
  );
  const hostPorts = new HostPortDerivation(pods);
  void derive({ name: 'external addresses', inputs: [services, pools, nodes], step: () => external.step() }, dependencies);
  void derive({ name: 'local redirects', inputs: [inputs.localRedirectPolicies.table, pods, services, nodes], step: () => redirects.step() }, dependencies);
  void derive({ name: 'host ports', inputs: [pods], step: () => hostPorts.step() }, dependencies);
  const healthChecks = new HealthCheckDerivation(nodeName, services, inputs.endpointSlices.table);
  const servers = new HealthCheckServers({ ...dependencies, rows: healthChecks.table, onFailed: (row, message) => dependencies.onTrouble(row.key, 'FailedToStartServiceHealthcheck', message) });
  void derive({ name: 'health check ports', inputs: healthChecks.inputs, step: () => { healthChecks.step(); servers.sync(); } }, dependencies);
  return { external, redirects, hostPorts };
}

/** Keeps `redirect_exempt` right: pods behind a redirect that want what it stands in for. Rows have their numbers once they are applied. */
export function startRedirectExemptions(options: { readonly redirects: LocalRedirectDerivation; readonly endpoints: Table<Endpoint>; readonly map: ExemptMap; readonly services: Services }, dependencies: { readonly log: Logger; readonly signal: AbortSignal }): void {
  const { redirects: { redirects }, endpoints, map, services } = options;
  const exemptions = new RedirectExemptions({ redirects, endpoints, map, idOf: key => services.idOf(key), cookieOf });
  void derive({ name: 'redirect exemptions', inputs: [redirects, endpoints, services.applied], step: () => exemptions.step() }, dependencies);
}

function cookieOf(path: string): bigint | undefined {
  try {
    using netns = openNetns(path);
    return withNetns(netns.fd, netnsCookie);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}
