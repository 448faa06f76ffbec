import { clusterGrounds, nodeOwners, poolOf } from '../features/external-addresses/claims.ts';
import { ExternalAddressDerivation } from '../features/external-addresses/derive.ts';
import { HostPortDerivation } from '../features/host-ports/derive.ts';
import { LocalRedirectDerivation } from '../features/local-redirect/derive.ts';
import { catchRefusal } from '../features/local-redirect/may-catch.ts';
import type { ClusterRecord } from '../model/cluster.ts';
import type { Logger } from '../std/log.ts';
import { derive } from '../table/derive.ts';
import type { Inputs } from './inputs.ts';

/** What services on this node are made of beside services and slices: which external addresses they may have, redirects, host ports. */
export interface ServiceInputs {
  readonly external: ExternalAddressDerivation;
  readonly redirects: LocalRedirectDerivation;
  readonly hostPorts: HostPortDerivation;
}

export function startServiceInputs(options: { readonly record: ClusterRecord; readonly inputs: Inputs }, dependencies: { readonly log: Logger; readonly signal: AbortSignal }): ServiceInputs {
  const { record, inputs } = options;
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
  return { external, redirects, hostPorts };
}
