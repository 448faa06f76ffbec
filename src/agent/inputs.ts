import { addressesHeld } from '../features/external-addresses/claims.ts';
import { configMapPlace } from '../features/masquerade/exclusions.ts';
import type { KubeClient } from '../kube/client.ts';
import { reflect, type Reflector } from '../kube/reflector.ts';
import { resources, type Resource } from '../kube/resources.ts';
import type { ConfigMap, EndpointSlice, KubeObject, Namespace, Node, Pod, Service, StringMap } from '../kube/types.ts';
import type { PolicyKind } from '../policy/policy.ts';
import type { Logger } from '../std/log.ts';
import type { Table } from '../table/table.ts';

/** Everything that an agent reads from the API, each collection as a table. */
export interface Inputs {
  readonly pods: Reflector<Pod>;
  readonly namespaces: Reflector<Namespace>;
  readonly nodes: Reflector<Node>;
  readonly services: Reflector<Service>;
  readonly endpointSlices: Reflector<EndpointSlice>;
  readonly loadBalancerPools: Reflector<KubeObject>;
  readonly localRedirectPolicies: Reflector<KubeObject>;
  readonly networkPolicies: Reflector<KubeObject>;
  readonly ciliumNetworkPolicies: Reflector<KubeObject>;
  readonly ciliumClusterwideNetworkPolicies: Reflector<KubeObject>;
  readonly adminNetworkPolicies: Reflector<KubeObject>;
  readonly baselineAdminNetworkPolicies: Reflector<KubeObject>;
  readonly clusterNetworkPolicies: Reflector<KubeObject>;
  readonly ciliumCidrGroups: Reflector<KubeObject>;
  readonly ciliumIdentities: Reflector<KubeObject>;
  readonly ciliumEndpoints: Reflector<KubeObject>;
  /** Only ip-masq-agent's. */
  readonly configMaps: Reflector<ConfigMap>;
}

/** Starts all reflectors. Pods are only those of this node: what other nodes' pods are comes with their CiliumEndpoints. */
export function startInputs(dependencies: { readonly client: KubeClient; readonly signal: AbortSignal; readonly log: Logger; readonly nodeName: string }): Inputs {
  const { client, signal, log, nodeName } = dependencies;
  const all = <T extends KubeObject>(resource: Resource, more: { readonly namespace?: string; readonly fieldSelector?: string; readonly keep?: (object: KubeObject) => KubeObject } = {}): Reflector<T> =>
    reflect<T>({ client, resource, signal, log, ...more });
  const policies = (resource: Resource) => all<KubeObject>(resource, { keep: object => keepOwnStatus(object, nodeName) });
  return {
    pods: all<Pod>(resources.pods, { fieldSelector: `spec.nodeName=${nodeName}` }),
    namespaces: all<Namespace>(resources.namespaces),
    nodes: all<Node>(resources.nodes),
    services: all<Service>(resources.services, { keep: keepService }),
    endpointSlices: all<EndpointSlice>(resources.endpointSlices, { keep: keepSlice }),
    loadBalancerPools: all(resources.ciliumLoadBalancerIpPools, { keep: withoutStatus }),
    localRedirectPolicies: policies(resources.ciliumLocalRedirectPolicies),
    networkPolicies: all(resources.networkPolicies),
    ciliumNetworkPolicies: policies(resources.ciliumNetworkPolicies),
    ciliumClusterwideNetworkPolicies: policies(resources.ciliumClusterwideNetworkPolicies),
    adminNetworkPolicies: policies(resources.adminNetworkPolicies),
    baselineAdminNetworkPolicies: policies(resources.baselineAdminNetworkPolicies),
    clusterNetworkPolicies: policies(resources.clusterNetworkPolicies),
    ciliumCidrGroups: all(resources.ciliumCidrGroups),
    ciliumIdentities: all(resources.ciliumIdentities, { keep: keepIdentity }),
    ciliumEndpoints: all(resources.ciliumEndpoints),
    configMaps: all<ConfigMap>(resources.configMaps, { namespace: configMapPlace.namespace, fieldSelector: `metadata.name=${configMapPlace.name}` }),
  };
}

/** The kinds of policies, with their tables. */
export function policySources(inputs: Inputs): readonly { readonly resource: Resource & { readonly kind: PolicyKind }; readonly table: Table<KubeObject>; readonly hasStatus: boolean }[] {
  return [
    // Kubernetes has taken its status away again (1.28).
    { resource: resources.networkPolicies, table: inputs.networkPolicies.table, hasStatus: false },
    { resource: resources.ciliumNetworkPolicies, table: inputs.ciliumNetworkPolicies.table, hasStatus: true },
    { resource: resources.ciliumClusterwideNetworkPolicies, table: inputs.ciliumClusterwideNetworkPolicies.table, hasStatus: true },
    { resource: resources.adminNetworkPolicies, table: inputs.adminNetworkPolicies.table, hasStatus: true },
    { resource: resources.baselineAdminNetworkPolicies, table: inputs.baselineAdminNetworkPolicies.table, hasStatus: true },
    { resource: resources.clusterNetworkPolicies, table: inputs.clusterNetworkPolicies.table, hasStatus: true },
  ];
}

export function reflectors(inputs: Inputs): readonly Reflector<KubeObject>[] {
  return Object.values(inputs) as Reflector<KubeObject>[];
}

/** Of a policy's status a node reads what it said itself: on many nodes the rest is most of the object. */
export function keepOwnStatus(object: KubeObject, nodeName: string): KubeObject {
  const { status, ...rest } = object;
  const own = (status as { readonly nodes?: Readonly<Record<string, unknown>> } | undefined)?.nodes?.[nodeName];
  return own === undefined ? rest as KubeObject : { ...rest, status: { nodes: { [nodeName]: own } } } as unknown as KubeObject;
}

/** Of ten thousand services and slices the agent holds what it reads, not what others wrote into them. */
function keepService(object: KubeObject): KubeObject {
  const { loadBalancer, conditions } = (object as unknown as Service).status ?? {};
  const { creationTimestamp } = object.metadata;
  const annotations = withoutApplied(object.metadata.annotations);
  // Which conditions there are says whether the operator gave the addresses; what most of them say is for people.
  const types = conditions?.map(({ type, status, message }) => ({ type, status, ...(type === addressesHeld && message !== undefined ? { message } : {}) }));
  return {
    ...typeOf(object),
    metadata: { ...keepMetadata(object), ...(creationTimestamp === undefined ? {} : { creationTimestamp }), ...(annotations === undefined ? {} : { annotations }) },
    spec: object.spec,
    ...(loadBalancer?.ingress || types ? { status: { ...(loadBalancer?.ingress ? { loadBalancer } : {}), ...(types ? { conditions: types } : {}) } } : {}),
  };
}

/** A whole object in a text, of use to kubectl alone. */
function withoutApplied(annotations: StringMap | undefined): StringMap | undefined {
  if (annotations === undefined || !('kubectl.kubernetes.io/last-applied-configuration' in annotations)) return annotations;
  const { 'kubectl.kubernetes.io/last-applied-configuration': _, ...rest } = annotations;
  return rest;
}

/** The counts in a pool's status change with every service. */
function withoutStatus({ status: _, ...rest }: KubeObject): KubeObject {
  return rest as KubeObject;
}

function keepSlice(object: KubeObject): KubeObject {
  const { addressType, ports, endpoints } = object as unknown as EndpointSlice;
  const kept = (endpoints ?? []).map(({ addresses, conditions, nodeName, hints }) =>
    ({ addresses, ...(conditions === undefined ? {} : { conditions }), ...(nodeName === undefined ? {} : { nodeName }), ...(hints === undefined ? {} : { hints }) }));
  const { annotations } = object.metadata;
  return { ...typeOf(object), metadata: { ...keepMetadata(object), ...(annotations === undefined ? {} : { annotations }) }, addressType, ports, endpoints: kept };
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
