import { dropReasonName } from '../datapath/generated/enums.ts';
import { endpointAddresses, type Endpoint } from '../features/endpoints/endpoint.ts';
import type { CiliumEndpoint } from '../features/endpoints/objects.ts';
import type { Identity } from '../features/identities/allocate.ts';
import type { FlowLookups } from '../flows/enrich.ts';
import type { FlowRule } from '../model/flow.ts';
import { reservedIdentities } from '../model/identity.ts';
import type { LabelSet } from '../model/labels.ts';
import type { RuleInfo } from '../policy/compile.ts';
import type { Table } from '../table/table.ts';

export interface LookupSources {
  readonly endpoints: Table<Endpoint>;
  readonly ciliumEndpoints: Table<CiliumEndpoint>;
  readonly identities: Table<Identity>;
  readonly prefixIdentity: (id: number) => LabelSet | undefined;
  readonly serviceByAddr: FlowLookups['serviceByAddr'];
  readonly rule: (id: number) => RuleInfo | undefined;
}

/**
 * What flows are named with. Addresses are indexed as the tables change, so a look-up costs one map access; a pod that has
 * gone keeps its name until another takes the address, because its last packets are seen after it.
 */
export function createLookups(sources: LookupSources): FlowLookups {
  const pods = new Map<string, { readonly namespace: string; readonly name: string }>();
  const local = sources.endpoints.changes();
  const remote = sources.ciliumEndpoints.changes();
  const refresh = () => {
    if (remote.pending) {
      for (const object of remote.take().changed) {
        for (const pair of object.status?.networking.addressing ?? []) {
          for (const address of endpointAddresses(pair)) pods.set(address, { namespace: object.metadata.namespace ?? '', name: object.metadata.name });
        }
      }
    }
    if (local.pending) {
      for (const endpoint of local.take().changed) {
        for (const address of endpointAddresses(endpoint)) {
          if (endpoint.podName === '') pods.delete(address);
          else pods.set(address, { namespace: endpoint.namespace, name: endpoint.podName });
        }
      }
    }
  };
  const reservedLabels = new Map(reservedIdentities.map(identity => [identity.id, identity.labels.array]));
  return {
    identityLabels: id => reservedLabels.get(id) ?? sources.identities.get(String(id))?.labels.array ?? sources.prefixIdentity(id)?.array,
    podByAddr: ip => {
      refresh();
      return pods.get(ip);
    },
    serviceByAddr: sources.serviceByAddr,
    namesOf: () => undefined,
    rule: id => {
      const info = sources.rule(id);
      return info && flowRule(info);
    },
    interfaceName: () => undefined,
    dropReason: code => dropReasonName[code],
  };
}

export function flowRule(info: RuleInfo): FlowRule {
  return {
    id: info.id, kind: info.kind, name: info.name, path: info.path, effect: info.effect, because: info.because,
    ...(info.namespace === undefined ? {} : { namespace: info.namespace }),
  };
}
