/** Where a kind lives in the API. */
export interface Resource {
  /** '' for core. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

/** `v1`, `apps/v1`. */
export function apiVersionOf(resource: Resource): string {
  return resource.group === '' ? resource.version : `${resource.group}/${resource.version}`;
}

/** The URL path; without a name the collection's, without a namespace (of a namespaced kind) the one over all namespaces. */
export function pathOf(resource: Resource, name?: string, namespace?: string, subresource?: string): string {
  const parts = [resource.group === '' ? `/api/${resource.version}` : `/apis/${resource.group}/${resource.version}`];
  if (resource.namespaced && namespace !== undefined) parts.push('namespaces', encodeURIComponent(namespace));
  parts.push(resource.plural);
  if (name !== undefined) parts.push(encodeURIComponent(name));
  if (subresource !== undefined) parts.push(subresource);
  return parts.join('/');
}

type KindOf<K extends string> = Resource & { readonly kind: K };

const namespaced = <K extends string>(group: string, version: string, plural: string, kind: K): KindOf<K> =>
  ({ group, version, plural, kind, namespaced: true });
const clusterWide = <K extends string>(group: string, version: string, plural: string, kind: K): KindOf<K> =>
  ({ group, version, plural, kind, namespaced: false });

/** Every kind that this project reads or writes. */
export const resources = {
  // core
  pods: namespaced('', 'v1', 'pods', 'Pod'),
  services: namespaced('', 'v1', 'services', 'Service'),
  endpoints: namespaced('', 'v1', 'endpoints', 'Endpoints'),
  configMaps: namespaced('', 'v1', 'configmaps', 'ConfigMap'),
  secrets: namespaced('', 'v1', 'secrets', 'Secret'),
  serviceAccounts: namespaced('', 'v1', 'serviceaccounts', 'ServiceAccount'),
  events: namespaced('', 'v1', 'events', 'Event'),
  namespaces: clusterWide('', 'v1', 'namespaces', 'Namespace'),
  nodes: clusterWide('', 'v1', 'nodes', 'Node'),
  // apps, batch
  deployments: namespaced('apps', 'v1', 'deployments', 'Deployment'),
  replicaSets: namespaced('apps', 'v1', 'replicasets', 'ReplicaSet'),
  daemonSets: namespaced('apps', 'v1', 'daemonsets', 'DaemonSet'),
  statefulSets: namespaced('apps', 'v1', 'statefulsets', 'StatefulSet'),
  controllerRevisions: namespaced('apps', 'v1', 'controllerrevisions', 'ControllerRevision'),
  jobs: namespaced('batch', 'v1', 'jobs', 'Job'),
  cronJobs: namespaced('batch', 'v1', 'cronjobs', 'CronJob'),
  // networking
  endpointSlices: namespaced('discovery.k8s.io', 'v1', 'endpointslices', 'EndpointSlice'),
  networkPolicies: namespaced('networking.k8s.io', 'v1', 'networkpolicies', 'NetworkPolicy'),
  ingresses: namespaced('networking.k8s.io', 'v1', 'ingresses', 'Ingress'),
  ingressClasses: clusterWide('networking.k8s.io', 'v1', 'ingressclasses', 'IngressClass'),
  serviceMonitors: namespaced('monitoring.coreos.com', 'v1', 'servicemonitors', 'ServiceMonitor'),
  leases: namespaced('coordination.k8s.io', 'v1', 'leases', 'Lease'),
  customResourceDefinitions: clusterWide('apiextensions.k8s.io', 'v1', 'customresourcedefinitions', 'CustomResourceDefinition'),
  // policy.networking.k8s.io
  adminNetworkPolicies: clusterWide('policy.networking.k8s.io', 'v1alpha1', 'adminnetworkpolicies', 'AdminNetworkPolicy'),
  baselineAdminNetworkPolicies: clusterWide('policy.networking.k8s.io', 'v1alpha1', 'baselineadminnetworkpolicies', 'BaselineAdminNetworkPolicy'),
  clusterNetworkPolicies: clusterWide('policy.networking.k8s.io', 'v1alpha2', 'clusternetworkpolicies', 'ClusterNetworkPolicy'),
  // cilium.io
  ciliumNetworkPolicies: namespaced('cilium.io', 'v2', 'ciliumnetworkpolicies', 'CiliumNetworkPolicy'),
  ciliumClusterwideNetworkPolicies: clusterWide('cilium.io', 'v2', 'ciliumclusterwidenetworkpolicies', 'CiliumClusterwideNetworkPolicy'),
  ciliumIdentities: clusterWide('cilium.io', 'v2', 'ciliumidentities', 'CiliumIdentity'),
  ciliumEndpoints: namespaced('cilium.io', 'v2', 'ciliumendpoints', 'CiliumEndpoint'),
  ciliumNodes: clusterWide('cilium.io', 'v2', 'ciliumnodes', 'CiliumNode'),
  ciliumCidrGroups: clusterWide('cilium.io', 'v2', 'ciliumcidrgroups', 'CiliumCIDRGroup'),
  ciliumLoadBalancerIpPools: clusterWide('cilium.io', 'v2', 'ciliumloadbalancerippools', 'CiliumLoadBalancerIPPool'),
  ciliumLocalRedirectPolicies: namespaced('cilium.io', 'v2', 'ciliumlocalredirectpolicies', 'CiliumLocalRedirectPolicy'),
  ciliumBgpPeeringPolicies: clusterWide('cilium.io', 'v2alpha1', 'ciliumbgppeeringpolicies', 'CiliumBGPPeeringPolicy'),
  ciliumEnvoyConfigs: namespaced('cilium.io', 'v2', 'ciliumenvoyconfigs', 'CiliumEnvoyConfig'),
  ciliumEgressGatewayPolicies: clusterWide('cilium.io', 'v2', 'ciliumegressgatewaypolicies', 'CiliumEgressGatewayPolicy'),
} as const satisfies Record<string, Resource>;
