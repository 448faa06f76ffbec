import type { KubeClient } from '../kube/client.ts';
import { reflect, type Reflector } from '../kube/reflector.ts';
import { resources, type Resource } from '../kube/resources.ts';
import type { EndpointSlice, KubeObject, Namespace, Node, Pod, Service } from '../kube/types.ts';
import type { Logger } from '../std/log.ts';

/** Everything that an agent reads from the API, each collection as a table. */
export interface Inputs {
  readonly pods: Reflector<Pod>;
  readonly namespaces: Reflector<Namespace>;
  readonly nodes: Reflector<Node>;
  readonly services: Reflector<Service>;
  readonly endpointSlices: Reflector<EndpointSlice>;
  readonly networkPolicies: Reflector<KubeObject>;
  readonly ciliumNetworkPolicies: Reflector<KubeObject>;
  readonly ciliumClusterwideNetworkPolicies: Reflector<KubeObject>;
  readonly ciliumCidrGroups: Reflector<KubeObject>;
  readonly ciliumIdentities: Reflector<KubeObject>;
  readonly ciliumEndpoints: Reflector<KubeObject>;
}

/** Starts all reflectors. Pods are only those of this node: what other nodes' pods are comes with their CiliumEndpoints. */
export function startInputs(dependencies: { readonly client: KubeClient; readonly signal: AbortSignal; readonly log: Logger; readonly nodeName: string }): Inputs {
  const { client, signal, log, nodeName } = dependencies;
  const all = <T extends KubeObject>(resource: Resource, more: { readonly fieldSelector?: string; readonly keep?: (object: KubeObject) => KubeObject } = {}): Reflector<T> =>
    reflect<T>({ client, resource, signal, log, ...more });
  return {
    pods: all<Pod>(resources.pods, { fieldSelector: `spec.nodeName=${nodeName}` }),
    namespaces: all<Namespace>(resources.namespaces),
    nodes: all<Node>(resources.nodes),
    services: all<Service>(resources.services, { keep: keepService }),
    endpointSlices: all<EndpointSlice>(resources.endpointSlices, { keep: keepSlice }),
    networkPolicies: all(resources.networkPolicies),
    ciliumNetworkPolicies: all(resources.ciliumNetworkPolicies),
    ciliumClusterwideNetworkPolicies: all(resources.ciliumClusterwideNetworkPolicies),
    ciliumCidrGroups: all(resources.ciliumCidrGroups),
    ciliumIdentities: all(resources.ciliumIdentities, { keep: keepIdentity }),
    ciliumEndpoints: all(resources.ciliumEndpoints),
  };
}

export function reflectors(inputs: Inputs): readonly Reflector<KubeObject>[] {
  return Object.values(inputs) as Reflector<KubeObject>[];
}

/** Of ten thousand services and slices the agent holds what it reads, not what others wrote into them. */
function keepService(object: KubeObject): KubeObject {
  return { ...typeOf(object), metadata: keepMetadata(object), spec: object.spec };
}

function keepSlice(object: KubeObject): KubeObject {
  const { addressType, ports, endpoints } = object as unknown as EndpointSlice;
  const kept = (endpoints ?? []).map(({ addresses, conditions, nodeName }) =>
    ({ addresses, ...(conditions === undefined ? {} : { conditions }), ...(nodeName === undefined ? {} : { nodeName }) }));
  return { ...typeOf(object), metadata: keepMetadata(object), addressType, ports, endpoints: kept };
}

function keepIdentity(object: KubeObject): KubeObject {
  return { ...typeOf(object), metadata: keepMetadata({ ...object, metadata: { ...object.metadata, labels: {} } }), 'security-labels': object['security-labels'] };
}

function typeOf({ apiVersion, kind }: KubeObject): Pick<KubeObject, 'apiVersion' | 'kind'> {
  return { apiVersion, kind };
}

function keepMetadata({ metadata: { name, namespace, uid, resourceVersion, labels } }: KubeObject): KubeObject['metadata'] {
  return {
    name,
    ...(namespace === undefined ? {} : { namespace }),
    ...(uid === undefined ? {} : { uid }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
    ...(labels === undefined ? {} : { labels }),
  };
}
