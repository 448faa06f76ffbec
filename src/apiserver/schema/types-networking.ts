/** networking.k8s.io/v1. */
export const networkingTypes = `
NetworkPolicy: What traffic a set of pods accepts and sends.
  apiVersion string
  kind string
  metadata meta/ObjectMeta : Standard metadata.
  spec NetworkPolicySpec : The policy.

NetworkPolicySpec: The policy.
  podSelector meta/LabelSelector : Pods that the policy is about; empty means all of the namespace.
  ingress [NetworkPolicyIngressRule] : What is accepted; an empty list accepts nothing.
  egress [NetworkPolicyEgressRule] : What may be sent; an empty list allows nothing.
  policyTypes [string] : Ingress, Egress or both.

NetworkPolicyIngressRule: Traffic that is accepted.
  ports [NetworkPolicyPort] : Ports; absent means all.
  from [NetworkPolicyPeer] : Sources; absent means all.

NetworkPolicyEgressRule: Traffic that may be sent.
  ports [NetworkPolicyPort] : Ports; absent means all.
  to [NetworkPolicyPeer] : Destinations; absent means all.

NetworkPolicyPort: A port.
  protocol string =TCP : TCP, UDP or SCTP.
  port intstr : Number or name; absent means all.
  endPort int : Last port of a range.

NetworkPolicyPeer: A peer: pods or a range of addresses.
  podSelector meta/LabelSelector : Pods, of this namespace unless namespaceSelector is given.
  namespaceSelector meta/LabelSelector : Namespaces.
  ipBlock IPBlock : A range of addresses; excludes the others.

IPBlock: A range of addresses.
  cidr! string : The range.
  except [string] : Parts that are left out.

Ingress: Rules that lead HTTP requests to services.
  apiVersion string
  kind string
  metadata meta/ObjectMeta : Standard metadata.
  spec IngressSpec : The rules.
  status IngressStatus : State of the load balancer.

IngressSpec: The rules.
  ingressClassName string #4 : Class that serves it.
  defaultBackend IngressBackend #1 : What serves requests that no rule matches.
  tls [IngressTLS] #2 : Hosts with TLS.
  rules [IngressRule] #3 : Rules.

IngressTLS: Hosts with TLS.
  hosts [string] : Hosts.
  secretName string : Secret with key and certificate.

IngressRule: Paths of one host.
  host string : Host; absent means all.
  http HTTPIngressRuleValue #2.1 : Paths.

HTTPIngressRuleValue: Paths.
  paths! [HTTPIngressPath] : Paths and backends.

HTTPIngressPath: A path and its backend.
  path string : Path.
  pathType! string enum(Exact,Prefix,ImplementationSpecific) #3 : How the path is compared.
  backend! IngressBackend #2 : What serves it.

IngressBackend: What serves requests.
  service IngressServiceBackend #4 : A service.
  resource core/TypedLocalObjectReference #3 : Another object.

IngressServiceBackend: A service as a backend.
  name! string : Its name.
  port ServiceBackendPort : Its port.

ServiceBackendPort: A port by name or number.
  name string : Name.
  number int plain : Number.

IngressStatus: State of an ingress.
  loadBalancer IngressLoadBalancerStatus : State of the load balancer.

IngressLoadBalancerStatus: State of a load balancer.
  ingress [any] : Points of entry.

IngressClass: A class of ingresses.
  apiVersion string
  kind string
  metadata meta/ObjectMeta : Standard metadata.
  spec IngressClassSpec : The class.

IngressClassSpec: The class.
  controller string : Controller that serves it. Cannot be changed.
  parameters any : Its parameters.
`;

/** rbac.authorization.k8s.io/v1 and storage.k8s.io/v1: kept for manifests that have them; rights here do not come from them. */
export const rbacTypes = `
Role: Rights in a namespace. Stored; this server grants no rights from it.
  apiVersion string
  kind string
  metadata meta/ObjectMeta : Standard metadata.
  rules [PolicyRule] : Rights.

ClusterRole: Rights in the cluster. Stored; this server grants no rights from it.
  apiVersion string
  kind string
  metadata meta/ObjectMeta : Standard metadata.
  rules [PolicyRule] : Rights.
  aggregationRule any : Roles to gather rights from.

PolicyRule: Verbs on resources.
  verbs! [string] : Verbs.
  apiGroups [string] : API groups.
  resources [string] : Resources.
  resourceNames [string] : Names.
  nonResourceURLs [string] : Paths.

RoleBinding: Who has a role in a namespace. Stored; this server grants no rights from it.
  apiVersion string
  kind string
  metadata meta/ObjectMeta : Standard metadata.
  subjects [Subject] : Who.
  roleRef! RoleRef : The role. Cannot be changed.

ClusterRoleBinding: Who has a role in the cluster. Stored; this server grants no rights from it.
  apiVersion string
  kind string
  metadata meta/ObjectMeta : Standard metadata.
  subjects [Subject] : Who.
  roleRef! RoleRef : The role. Cannot be changed.

Subject: A user, a group or a service account.
  kind! string : User, Group or ServiceAccount.
  apiGroup string : API group.
  name! string : Name.
  namespace string : Namespace of a service account.

RoleRef: The role.
  apiGroup string =rbac.authorization.k8s.io : API group.
  kind! string : Role or ClusterRole.
  name! string : Name.
`;

export const apiextensionsTypes = `
CustomResourceDefinition: A resource that users add to the API.
  apiVersion string
  kind string
  metadata meta/ObjectMeta : Standard metadata.
  spec! CustomResourceDefinitionSpec : The resource.
  status any : Whether the API serves it.

CustomResourceDefinitionSpec: The resource.
  group! string : API group. Cannot be changed.
  names! CustomResourceDefinitionNames : Names of the resource.
  scope! string enum(Namespaced,Cluster) : Whether its objects live in namespaces. Cannot be changed.
  versions! [CustomResourceDefinitionVersion] : Versions; one of them is stored.
  conversion any : Conversion between versions; only None is served.
  preserveUnknownFields bool : Deprecated; must be false.

CustomResourceDefinitionNames: Names of a resource.
  plural! string : Name in paths.
  singular string : Name of one.
  shortNames [string] : Short names.
  kind! string : Kind of the objects.
  listKind string : Kind of lists.
  categories [string] : Groups of resources, as in "all".

CustomResourceDefinitionVersion: A version.
  name! string : Its name.
  served! bool : Whether the API serves it.
  storage! bool : Whether objects are stored in it.
  deprecated bool : Whether its use brings a warning.
  deprecationWarning string : The warning.
  schema CustomResourceValidation : Its schema.
  subresources CustomResourceSubresources : Its subresources.
  additionalPrinterColumns [CustomResourceColumnDefinition] : Columns of tables.
  selectableFields [SelectableField] : Fields for field selectors.

CustomResourceValidation: A schema.
  openAPIV3Schema json : Structural schema in OpenAPI v3 form.

CustomResourceSubresources: Subresources.
  status json : Status subresource.
  scale CustomResourceSubresourceScale : Scale subresource.

CustomResourceSubresourceScale: Where the numbers of a scale subresource are.
  specReplicasPath! string : Wanted number.
  statusReplicasPath! string : Observed number.
  labelSelectorPath string : Label query.

CustomResourceColumnDefinition: A column of a table.
  name! string : Title.
  type! string : Type.
  format string : Format.
  description string : Description.
  priority int : 0 is always shown.
  jsonPath! string : Where the value is.

SelectableField: A field for field selectors.
  jsonPath! string : Where the value is.
`;
