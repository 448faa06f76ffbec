import type { JsonObject } from '../object.ts';
import type { Schema } from '../schema/schema.ts';
import { definition } from './definition.ts';
import type { PrinterColumn } from './definition.ts';
import { policyStatus, ruleSchema } from './rule.ts';
import { age, enforced, valid } from './policy-columns.ts';
import { anything, choice, conditions, flag, labelSelector, list, map, policyNodes, shape, text, whole } from './shapes.ts';


const policy = (clusterwide: boolean): Schema => {
  const rule = ruleSchema(clusterwide);
  return shape('A policy: one rule in spec, several in specs, or both.', {
    spec: rule,
    specs: list('Several rules.', rule),
    status: { ...policyStatus, properties: { conditions, nodes: policyNodes } },
  });
};

const endpointStatus = shape('State of the endpoint, written by its agent.', {
  id: whole('Number of the endpoint on its node.', { format: 'int64' }),
  identity: shape('Its identity.', { id: whole('Number of the identity.', { format: 'int64' }), labels: list('Labels of the identity.', { type: 'string' }) }),
  state: text('State of the endpoint.'),
  networking: shape('Its addresses.', {
    addressing: list('Addresses.', shape('A pair.', { ipv4: text('IPv4 address.'), ipv6: text('IPv6 address.') })),
    node: text('Address of its node.'),
  }),
  policy: anything('Whether policy is enforced in each direction.'),
}, { 'x-kubernetes-preserve-unknown-fields': true });

const nodeSpec = shape('What the agent says about its node.', {
  instanceId: text('Id of the instance.'), nodeIdentity: whole('Identity of the node.', { format: 'int64' }), bootid: text('Id of the boot.'),
  addresses: list('Addresses of the node.', shape('An address.', { type: text('Kind of address.'), ip: text('The address.') })),
  health: shape('Addresses of the health endpoint.', { ipv4: text('IPv4 address.'), ipv6: text('IPv6 address.') }),
  ingress: shape('Addresses of ingress.', { ipv4: text('IPv4 address.'), ipv6: text('IPv6 address.') }),
  encryption: shape('Encryption.', { key: whole('Key in use.') }),
  ipam: shape('Addresses for pods.', { podCIDRs: list('Ranges of the node\'s pods.', { type: 'string' }) }, { 'x-kubernetes-preserve-unknown-fields': true }),
}, { 'x-kubernetes-preserve-unknown-fields': true });

/** No defaults inside lists: a client-side apply would see its own list changed by the server and send it again each time. */
const bgpNeighbour = shape('A neighbour.', {
  'peerAddress!': text('Its address, with or without /32 or /128.'),
  peerASN: whole('Its AS number.', { format: 'int64', minimum: 0, maximum: 4294967295 }),
  peerAsn: whole('Its AS number; another spelling of peerASN.', { format: 'int64', minimum: 0, maximum: 4294967295 }),
  peerPort: whole('Its port.', { format: 'int32', minimum: 1, maximum: 65535 }),
  authSecretRef: text('Secret with the password of the session.'),
  eBGPMultihopTTL: whole('TTL of packets to it.', { format: 'int32', minimum: 1, maximum: 255 }),
  connectRetryTimeSeconds: whole('Seconds between attempts.', { format: 'int32', minimum: 1, maximum: 2147483647 }),
  holdTimeSeconds: whole('Seconds without a word that it may take.', { format: 'int32', minimum: 3, maximum: 65535 }),
  keepAliveTimeSeconds: whole('Seconds between keep-alives.', { format: 'int32', minimum: 1, maximum: 65535 }),
  gracefulRestart: shape('Graceful restart.', { 'enabled!': flag('Whether it is offered.'), restartTimeSeconds: whole('Seconds that a restart may take.', { format: 'int32', minimum: 1, maximum: 4095 }) }),
  families: list('Address families.', shape('A family.', { 'afi!': choice('Family.', ['ipv4', 'ipv6', 'l2vpn', 'ls', 'opaque']), 'safi!': text('Subfamily.') })),
  advertisedPathAttributes: list('Attributes of advertised routes.', anything('Attributes.')),
});

const bgpSchema = shape('How nodes speak BGP.', {
  'spec!': shape('The policy.', {
    nodeSelector: labelSelector('Nodes that it is about; all when not given.'),
    'virtualRouters!': list('Routers on each node.', shape('A router.', {
      localASN: whole('Its AS number.', { format: 'int64', minimum: 0, maximum: 4294967295 }),
      asn: whole('Its AS number; another spelling of localASN.', { format: 'int64', minimum: 0, maximum: 4294967295 }),
      exportPodCIDR: flag('Whether the ranges of pods are advertised.'),
      podIPPoolSelector: labelSelector('Pools whose ranges are advertised.'),
      serviceSelector: labelSelector('Services whose addresses are advertised.'),
      serviceAdvertisements: list('Which addresses of services are advertised.', choice('Kind of address.', ['LoadBalancerIP', 'ClusterIP', 'ExternalIP'])),
      prefixAdvertisements: list('Ranges that are advertised as they are.', shape('A range.', { 'cidr!': text('The range.') })),
      'neighbors!': list('Neighbours.', bgpNeighbour, { minItems: 1 }),
    }), { minItems: 1 }),
  }),
  status: shape('State.', { conditions }),
});

const poolSchema = shape('Addresses for services of type LoadBalancer.', {
  'spec!': shape('The pool.', {
    serviceSelector: labelSelector('Services that get addresses from it; all when not given.'),
    allowFirstLastIPs: choice('Whether the first and last address of each range are used.', ['Yes', 'No']),
    blocks: list('Ranges.', shape('A range: cidr, or start and stop.', { cidr: text('The range.'), start: text('First address.'), stop: text('Last address.') }), { maxItems: 50 }),
    disabled: flag('Whether the pool gives nothing out.', { default: false }),
  }),
  status: shape('State.', { conditions }),
});

const poolColumns: readonly PrinterColumn[] = [
  { name: 'Disabled', type: 'boolean', jsonPath: '.spec.disabled' },
  { name: 'Conflicting', type: 'string', jsonPath: '.status.conditions[?(@.type=="cilium.io/PoolConflict")].status' },
  { name: 'IPs Available', type: 'string', jsonPath: '.status.conditions[?(@.type=="cilium.io/IPsAvailable")].message' },
  age,
];

const redirectPort = shape('A port.', { 'port!': text('Number of the port.'), 'protocol!': choice('Protocol.', ['TCP', 'UDP']), name: text('Name of the port.') });

const redirectSchema = shape('Traffic to an address or a service that goes to pods of the same node.', {
  spec: shape('The policy.', {
    'redirectFrontend!': shape('Traffic that is redirected.', {
      addressMatcher: shape('By address.', { 'ip!': text('The address.'), 'toPorts!': list('Ports.', redirectPort) }),
      serviceMatcher: shape('By service.', { 'serviceName!': text('Its name.'), 'namespace!': text('Its namespace.'), toPorts: list('Ports; none means all.', redirectPort) }),
    }),
    'redirectBackend!': shape('Pods that it goes to.', { 'localEndpointSelector!': labelSelector('The pods.'), 'toPorts!': list('Their ports.', redirectPort) }),
    skipRedirectFromBackend: flag('Whether traffic of the pods themselves is left alone.', { default: false }),
    description: text('What the policy is for.'),
  }),
  status: { ...anything('State.'), properties: { conditions } },
});

const egressGateway = shape('A gateway.', {
  'nodeSelector!': labelSelector('The node.'), endpointSelector: labelSelector('Endpoints that use it.'),
  interface: text('Interface whose address is used.'), egressIP: text('Address that is used.'),
});

const egressSchema = shape('Traffic that leaves the cluster through a gateway.', {
  spec: shape('The policy.', {
    'selectors!': list('Pods whose traffic goes there.', shape('A selector.', {
      podSelector: labelSelector('Pods.'), namespaceSelector: labelSelector('Namespaces.'), nodeSelector: labelSelector('Nodes.'),
    })),
    'destinationCIDRs!': list('Destinations.', { type: 'string' }),
    excludedCIDRs: list('Destinations that are left out.', { type: 'string' }),
    egressGateway,
    egressGateways: list('Several gateways.', egressGateway),
  }),
  status: shape('State.', { conditions }),
});

const envoySchema = shape('Configuration of the proxy.', {
  spec: shape('The configuration.', {
    services: list('Services whose traffic goes to the proxy.', shape('A service.', { 'name!': text('Its name.'), namespace: text('Its namespace.'), listener: text('Listener.'), ports: list('Ports.', { type: 'integer' }) })),
    backendServices: list('Services whose endpoints the proxy knows.', shape('A service.', { 'name!': text('Its name.'), namespace: text('Its namespace.'), number: list('Ports.', { type: 'string' }) })),
    nodeSelector: labelSelector('Nodes that it is for.'),
    resources: list('Resources in the proxy\'s own form.', anything('A resource.')),
  }),
  status: shape('State.', { conditions }),
});

const cidrGroupSchema = shape('Ranges of addresses outside the cluster, by name.', {
  'spec!': shape('The ranges.', { 'externalCIDRs!': list('Ranges.', { type: 'string' }) }),
});

const identitySchema = shape('A number for a set of labels. Its name is the number.', { 'security-labels!': map('The labels.', { type: 'string' }) });

const both = (schema: Schema, columns?: readonly PrinterColumn[], status = false) => [
  { name: 'v2', schema, status, ...(columns ? { columns } : {}) },
  { name: 'v2alpha1', schema, status, ...(columns ? { columns } : {}), deprecated: 'cilium.io/v2alpha1 is deprecated for this kind; use cilium.io/v2' },
];

/** The CustomResourceDefinitions of cilium.io that every cluster has. */
export const ciliumDefinitions: readonly JsonObject[] = [
  definition({ kind: 'CiliumNetworkPolicy', plural: 'ciliumnetworkpolicies', shortNames: ['cnp', 'ciliumnp'], namespaced: true, versions: [{ name: 'v2', schema: policy(false), status: true, columns: [age, valid, enforced] }] }),
  definition({ kind: 'CiliumClusterwideNetworkPolicy', plural: 'ciliumclusterwidenetworkpolicies', shortNames: ['ccnp'], namespaced: false, versions: [{ name: 'v2', schema: policy(true), status: true, columns: [valid, { ...age, priority: 0 }, enforced] }] }),
  definition({ kind: 'CiliumCIDRGroup', plural: 'ciliumcidrgroups', shortNames: ['ccg'], namespaced: false, versions: both(cidrGroupSchema, [age]) }),
  definition({ kind: 'CiliumIdentity', plural: 'ciliumidentities', shortNames: ['ciliumid'], namespaced: false, versions: [{ name: 'v2', schema: identitySchema, columns: [
    { name: 'Namespace', type: 'string', jsonPath: '.metadata.labels.io\\.kubernetes\\.pod\\.namespace', description: 'Namespace of the pods.' }, age,
  ] }] }),
  definition({ kind: 'CiliumEndpoint', plural: 'ciliumendpoints', shortNames: ['cep', 'ciliumep'], namespaced: true, versions: [{ name: 'v2', schema: shape('State of a pod\'s networking.', { status: endpointStatus }), columns: [
    { name: 'Security Identity', type: 'integer', jsonPath: '.status.identity.id', description: 'Identity of the endpoint.' },
    { name: 'Ingress Enforcement', type: 'string', jsonPath: '.status.policy.ingress.state', description: 'Whether policy is enforced for what comes in.', priority: 1 },
    { name: 'Egress Enforcement', type: 'string', jsonPath: '.status.policy.egress.state', description: 'Whether policy is enforced for what goes out.', priority: 1 },
    { name: 'Endpoint State', type: 'string', jsonPath: '.status.state', description: 'State of the endpoint.' },
    { name: 'IPv4', type: 'string', jsonPath: '.status.networking.addressing[0].ipv4', description: 'IPv4 address.' },
    { name: 'IPv6', type: 'string', jsonPath: '.status.networking.addressing[0].ipv6', description: 'IPv6 address.' },
  ] }] }),
  definition({ kind: 'CiliumNode', plural: 'ciliumnodes', shortNames: ['cn', 'ciliumn'], namespaced: false, versions: [{ name: 'v2', schema: shape('What agents say about their nodes.', { spec: nodeSpec, status: anything('State.') }), status: true, columns: [
    { name: 'CiliumInternalIP', type: 'string', jsonPath: '.spec.addresses[?(@.type=="CiliumInternalIP")].ip', description: 'Address of the node among the pods.' },
    { name: 'InternalIP', type: 'string', jsonPath: '.spec.addresses[?(@.type=="InternalIP")].ip', description: 'Address of the node.' }, age,
  ] }] }),
  definition({ kind: 'CiliumBGPPeeringPolicy', plural: 'ciliumbgppeeringpolicies', shortNames: ['bgpp'], namespaced: false, versions: [{ name: 'v2alpha1', schema: bgpSchema, status: true, columns: [age] }] }),
  definition({ kind: 'CiliumLoadBalancerIPPool', plural: 'ciliumloadbalancerippools', shortNames: ['ippools', 'ippool', 'lbippool', 'lbippools'], namespaced: false, versions: both(poolSchema, poolColumns, true) }),
  definition({ kind: 'CiliumLocalRedirectPolicy', plural: 'ciliumlocalredirectpolicies', shortNames: ['clrp'], namespaced: true, versions: [{ name: 'v2', schema: redirectSchema, status: true, columns: [age] }] }),
  definition({ kind: 'CiliumEgressGatewayPolicy', plural: 'ciliumegressgatewaypolicies', shortNames: ['cegp'], namespaced: false, versions: [{ name: 'v2', schema: egressSchema, status: true, columns: [age] }] }),
  definition({ kind: 'CiliumEnvoyConfig', plural: 'ciliumenvoyconfigs', shortNames: ['cec'], namespaced: true, versions: [{ name: 'v2', schema: envoySchema, status: true, columns: [age] }] }),
  definition({ kind: 'CiliumClusterwideEnvoyConfig', plural: 'ciliumclusterwideenvoyconfigs', shortNames: ['ccec'], namespaced: false, versions: [{ name: 'v2', schema: envoySchema, status: true, columns: [age] }] }),
];
