import { isIPv6 } from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import type { Endpoint, EndpointAddress, EndpointSlice, Endpoints, Service } from '../kube/types.ts';
import type { NewObject } from './collection.ts';
import { managedByLabel, serviceNameLabel, type SlicePlan } from './endpointslices.ts';
import { canonicalJson, ownedBy } from './pods.ts';

export const mirroredBy = 'endpointslicemirroring-controller.k8s.io';
/** As upstream's --mirroring-max-endpoints-per-subset. */
const perSubset = 1_000;

/** Whether somebody wrote these Endpoints by hand for a service without a selector: those that controllers write have slices already. */
export function isMirrored(endpoints: Endpoints, service: Service | undefined): boolean {
  const { labels = {}, annotations = {} } = endpoints.metadata;
  const own = labels['endpointslice.kubernetes.io/skip-mirror'] === 'true' || labels['endpoints.kubernetes.io/managed-by'] !== undefined || annotations['control-plane.alpha.kubernetes.io/leader'] !== undefined;
  return !own && service !== undefined && service.spec.type !== 'ExternalName' && Object.keys(service.spec.selector ?? {}).length === 0;
}

/** The slices that say what the Endpoints say; `existing` are those that were mirrored before. Slices that are right stay. */
export function planMirror(endpoints: Endpoints, service: Service, existing: readonly EndpointSlice[]): SlicePlan {
  const wanted = contents(endpoints).map(content => ({ ...content, labels: labelsFor(endpoints, service) }));
  const spare = [...existing];
  const missing = wanted.filter(content => {
    const at = spare.findIndex(slice => isDeepStrictEqual(contentOf(slice), content));
    if (at >= 0) spare.splice(at, 1);
    return at < 0;
  });
  const create: NewObject[] = [];
  const update: EndpointSlice[] = [];
  for (const { addressType, endpoints: list, ports, labels } of missing) {
    // The address type of a slice cannot change.
    const at = spare.findIndex(slice => slice.addressType === addressType);
    const [old] = at >= 0 ? spare.splice(at, 1) : [];
    if (old) update.push({ ...old, metadata: { ...old.metadata, labels }, endpoints: list, ports });
    else create.push({
      apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice',
      metadata: { generateName: `${endpoints.metadata.name}-`, namespace: endpoints.metadata.namespace, labels, ownerReferences: [ownedBy(endpoints)] },
      addressType, endpoints: list, ports,
    });
  }
  return { create, update, remove: spare };
}

interface Content { readonly addressType: string; readonly endpoints: readonly Endpoint[]; readonly ports: EndpointSlice['ports'] & object }

/** One for each family and set of ports. */
function contents({ subsets }: Endpoints): Content[] {
  const groups = new Map<string, { addressType: string; ports: Content['ports']; endpoints: Map<string, Endpoint> }>();
  for (const { addresses = [], notReadyAddresses = [], ports = [] } of subsets ?? []) {
    const all = [...addresses.map(address => [address, true] as const), ...notReadyAddresses.map(address => [address, false] as const)];
    for (const [address, ready] of all.slice(0, perSubset)) {
      const addressType = isIPv6(address.ip) ? 'IPv6' : 'IPv4';
      const full = ports.map(port => ({ name: '', protocol: 'TCP', ...port }));
      const key = `${addressType} ${canonicalJson(full)}`;
      const group = groups.get(key) ?? { addressType, ports: full, endpoints: new Map() };
      groups.set(key, group);
      if (!group.endpoints.get(address.ip)?.conditions?.ready) group.endpoints.set(address.ip, endpointOf(address, ready));
    }
  }
  return [...groups.values()].map(({ addressType, ports, endpoints }) => ({ addressType, ports, endpoints: [...endpoints.values()] }));
}

function endpointOf({ ip, hostname, nodeName, targetRef }: EndpointAddress, ready: boolean): Endpoint {
  return {
    addresses: [ip], conditions: { ready },
    ...(hostname === undefined ? {} : { hostname }), ...(nodeName === undefined ? {} : { nodeName }), ...(targetRef === undefined ? {} : { targetRef }),
  };
}

function contentOf({ addressType, endpoints, ports, metadata }: EndpointSlice): Content & { readonly labels: object } {
  return {
    addressType, endpoints: endpoints ?? [], ports: (ports ?? []).map(port => ({ name: '', protocol: 'TCP', ...port })), labels: { ...metadata.labels },
  };
}

function labelsFor({ metadata }: Endpoints, service: Service): Record<string, string> {
  return { ...metadata.labels, [serviceNameLabel]: service.metadata.name, [managedByLabel]: mirroredBy };
}
