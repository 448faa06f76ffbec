/** core/v1 without pods (types-pod.ts). */
export const coreTypes = `
Namespace: A scope for names.
  apiVersion string
  kind string
  metadata meta/ObjectMeta : Standard metadata.
  spec NamespaceSpec : Finalizers of the namespace.
  status NamespaceStatus : Its phase.

NamespaceSpec: Behaviour of a namespace.
  finalizers [string] : Values that must be empty before the namespace can go.

NamespaceStatus: State of a namespace.
  phase string : Active or Terminating.
  conditions [NamespaceCondition] key(type) : What holds a termination up.

NamespaceCondition: One aspect of a namespace's state.
  type! string : Kind of condition.
  status! string : True, False or Unknown.
  lastTransitionTime time #4 : When the status last changed.
  reason string #5 : Why, in one word.
  message string #6 : Why, in a sentence.

Service: An abstraction of a service: a stable address and port in front of pods.
  apiVersion string
  kind string
  metadata meta/ObjectMeta : Standard metadata.
  spec ServiceSpec : How the service is reached and by what it is served.
  status ServiceStatus : State of the service's load balancer.

ServiceSpec: Attributes that a user creates on a service.
  ports [ServicePort] key(port,protocol) : Ports that the service exposes.
  selector {string} atomic : Labels of the pods that serve it; without one the endpoints are managed by others.
  clusterIP string : The virtual address; assigned when not given; None makes the service headless. Cannot be changed.
  clusterIPs [string] #18 : The virtual addresses, at most one a family.
  type string =ClusterIP enum(ClusterIP,NodePort,LoadBalancer,ExternalName) #4 : How the service is exposed.
  externalIPs [string] #5 : Addresses for which nodes accept traffic for this service.
  sessionAffinity string =None enum(ClientIP,None) : Whether connections of one client stay with one pod.
  loadBalancerIP string : Deprecated: wanted address of a load balancer.
  loadBalancerSourceRanges [string] : Client ranges that may use the load balancer.
  externalName string : Name that DNS answers with for type ExternalName.
  externalTrafficPolicy string enum(Cluster,Local) : Whether external traffic stays on the node that received it.
  healthCheckNodePort int plain : Node port of the health check for externalTrafficPolicy Local.
  publishNotReadyAddresses bool plain : Whether DNS and endpoints also list pods that are not ready.
  sessionAffinityConfig SessionAffinityConfig : Settings of session affinity.
  ipFamilies [string] #19 : IPv4 and IPv6, in order of preference.
  ipFamilyPolicy string enum(SingleStack,PreferDualStack,RequireDualStack) #17 : How many families the service has.
  allocateLoadBalancerNodePorts bool #20 : Whether a LoadBalancer service also gets node ports.
  loadBalancerClass string #21 : Class of the load balancer.
  internalTrafficPolicy string enum(Cluster,Local) #22 : Whether traffic from inside stays on its node.
  trafficDistribution string #23 : Preference for closer endpoints.

ServicePort: A port of a service.
  name string : Name of the port; needed where there are several.
  protocol string =TCP enum(TCP,UDP,SCTP) : Protocol of the port.
  appProtocol string #6 : Application protocol, a hint.
  port! int #3 : Port that the service exposes.
  targetPort intstr #4 : Number or name of the port on the pods; the port itself when not given.
  nodePort int plain #5 : Port on every node for types NodePort and LoadBalancer.

SessionAffinityConfig: Settings of session affinity.
  clientIP ClientIPConfig : Settings of ClientIP affinity.

ClientIPConfig: Settings of ClientIP affinity.
  timeoutSeconds int : Seconds that a client stays with its pod; 10800 by default.

ServiceStatus: State of a service.
  loadBalancer LoadBalancerStatus : State of the load balancer.
  conditions [meta/Condition] key(type) : Aspects of the service's state.

LoadBalancerStatus: State of a load balancer.
  ingress [LoadBalancerIngress] : Points of entry.

LoadBalancerIngress: A point of entry of a load balancer.
  ip string : Address.
  ipMode string #3 : VIP or Proxy.
  hostname string #2 : Host name.
  ports [PortStatus] : State of the ports.

PortStatus: State of a load balancer's port.
  port! int : Number.
  protocol! string : Protocol.
  error string : What failed.

Endpoints: The addresses behind a service, as one object.
  apiVersion string
  kind string
  metadata meta/ObjectMeta : Standard metadata.
  subsets [EndpointSubset] : Groups of addresses with the same ports.

EndpointSubset: Addresses with the same ports.
  addresses [EndpointAddress] : Addresses that are ready.
  notReadyAddresses [EndpointAddress] : Addresses that are not.
  ports [EndpointPort] : Ports of them all.

EndpointAddress: One address.
  ip! string : The address.
  hostname string #3 : Host name.
  nodeName string #4 : Node that it is on.
  targetRef ObjectReference #2 : Object behind it.

EndpointPort: One port.
  name string : Name of the port in the service.
  port! int : Number.
  protocol string =TCP : Protocol.
  appProtocol string : Application protocol.

ObjectReference atomic: A reference to another object.
  kind string : Kind of the referent.
  namespace string : Namespace of the referent.
  name string : Name of the referent.
  uid string : UID of the referent.
  apiVersion string : API version of the referent.
  resourceVersion string : Resource version of the referent.
  fieldPath string : Part of the referent that is meant.

LocalObjectReference atomic: A reference to an object in the same namespace.
  name string ="" : Name of the referent.

TypedLocalObjectReference atomic: A reference to an object of any kind in the same namespace.
  apiGroup string : Group of the referent.
  kind! string : Kind of the referent.
  name! string : Name of the referent.

SecretReference atomic: A reference to a secret.
  name string : Name of the secret.
  namespace string : Namespace of the secret.

Node: A machine that runs pods.
  apiVersion string
  kind string
  metadata meta/ObjectMeta : Standard metadata.
  spec NodeSpec : Attributes of the node.
  status NodeStatus : State of the node, written by its kubelet.

NodeSpec: Attributes of a node.
  podCIDR string : Range of its pods' addresses.
  podCIDRs [string] set #7 : Ranges of its pods' addresses, at most one a family.
  providerID string : Name of the machine at its provider.
  unschedulable bool plain : Whether new pods stay away.
  taints [Taint] : What keeps pods away that do not tolerate it.
  configSource any : Removed upstream; ignored.
  externalID string #2 : Deprecated.

Taint: A taint with which a node repels pods.
  key! string : Key of the taint.
  value string : Value of the taint.
  effect! string enum(NoSchedule,PreferNoSchedule,NoExecute) : What happens to pods that do not tolerate it.
  timeAdded time : When it was added.

NodeStatus: State of a node.
  capacity {quantity} : Total resources.
  allocatable {quantity} : Resources for pods.
  phase string : Deprecated.
  conditions [NodeCondition] key(type) : Observed conditions.
  addresses [NodeAddress] key(type,address) nomerge : Addresses of the node.
  daemonEndpoints any : Ports of the node's daemons.
  nodeInfo NodeSystemInfo : Versions of its software.
  images [any] : Container images on the node.
  volumesInUse [string] : Volumes in use.
  volumesAttached [any] : Volumes attached.
  config any : Removed upstream; ignored.
  runtimeHandlers [any] : Runtime handlers.
  features any : Features of the runtime.

NodeCondition: One aspect of a node's state.
  type! string : Kind of condition.
  status! string : True, False or Unknown.
  lastHeartbeatTime time : When it was last reported.
  lastTransitionTime time : When the status last changed.
  reason string : Why, in one word.
  message string : Why, in a sentence.

NodeAddress: One address of a node.
  type! string : InternalIP, ExternalIP, Hostname, InternalDNS or ExternalDNS.
  address! string : The address.

NodeSystemInfo: Versions of a node's software.
  machineID string
  systemUUID string
  bootID string
  kernelVersion string : Kernel version.
  osImage string : Name of the operating system.
  containerRuntimeVersion string : Container runtime and version.
  kubeletVersion string : Version of the kubelet.
  kubeProxyVersion string : Version of what serves services.
  operatingSystem string : Operating system.
  architecture string : Processor architecture.
  swap any

ConfigMap: Configuration data for pods.
  apiVersion string
  kind string
  metadata meta/ObjectMeta : Standard metadata.
  data {string} : Text by key.
  binaryData {bytes} : Bytes by key, in base64.
  immutable bool : Whether the data can be changed.

Secret: Data that should not be shown.
  apiVersion string
  kind string
  metadata meta/ObjectMeta : Standard metadata.
  data {bytes} : Bytes by key, in base64.
  stringData {string} #4 : Text by key; written into data, never read back.
  type string =Opaque #3 : Kind of secret. Cannot be changed.
  immutable bool : Whether the data can be changed.

ServiceAccount: An identity for processes in pods.
  apiVersion string
  kind string
  metadata meta/ObjectMeta : Standard metadata.
  secrets [ObjectReference] lenient key(name) : Secrets that its pods may use.
  imagePullSecrets [LocalObjectReference] : Secrets for pulling images.
  automountServiceAccountToken bool : Whether pods get its token mounted.

Event: A report of something that happened to an object.
  apiVersion string
  kind string
  metadata meta/ObjectMeta : Standard metadata.
  involvedObject! ObjectReference : The object that the event is about.
  reason string : Why, in one CamelCase word.
  message string : What happened.
  source EventSource : Who reports it.
  firstTimestamp time nullable : When it first happened.
  lastTimestamp time nullable : When it last happened.
  count int plain : How often it happened.
  type string : Normal or Warning.
  eventTime microtime nullable : When it was first observed.
  series EventSeries : Repetition of the event.
  action string : What was done or failed.
  related ObjectReference : A second object of the event.
  reportingComponent string : Controller that reports it.
  reportingInstance string : Instance of the controller.

EventSource: Who reports an event.
  component string : Component.
  host string : Node.

EventSeries: Repetition of an event.
  count int plain : Number of occurrences.
  lastObservedTime microtime : When it was last observed.

PersistentVolumeClaim: A claim to a volume. Kept for manifests that have one; nothing here provides volumes.
  apiVersion string
  kind string
  metadata meta/ObjectMeta : Standard metadata.
  spec PersistentVolumeClaimSpec : What is claimed.
  status any : State of the claim.

PersistentVolumeClaimSpec: What a claim asks for.
  accessModes [string] : Wanted access modes.
  selector meta/LabelSelector #4 : Volumes to choose from.
  resources VolumeResourceRequirements #2 : Wanted size.
  volumeName string #3 : The volume bound to the claim.
  storageClassName string : Wanted storage class.
  volumeMode string =Filesystem : Filesystem or Block.
  dataSource any : Where the contents come from.
  dataSourceRef any : Where the contents come from.
  volumeAttributesClassName string : Wanted attributes.

VolumeResourceRequirements: Wanted resources of a volume.
  limits {quantity} : At most.
  requests {quantity} : At least.
`;

export const discoveryTypes = `
EndpointSlice: A part of the endpoints of a service.
  apiVersion string
  kind string
  metadata meta/ObjectMeta : Standard metadata.
  addressType! string enum(IPv4,IPv6,FQDN) #4 : Family of all addresses in the slice. Cannot be changed.
  endpoints! [Endpoint] #2 : The endpoints, at most 1000.
  ports [EndpointPort] #3 : Ports of every endpoint.

Endpoint: One logical backend of a service.
  addresses! [string] set nomerge : Addresses; consumers use the first.
  conditions EndpointConditions : Whether it should be used.
  hostname string : Host name.
  targetRef core/ObjectReference : Object behind it.
  deprecatedTopology {string} : Topology of v1beta1.
  nodeName string : Node that it is on.
  zone string : Zone that it is in.
  hints EndpointHints : Who should use it.

EndpointConditions: Whether an endpoint should be used.
  ready bool : Ready for traffic; absent means true.
  serving bool : Ready, even while terminating.
  terminating bool : On its way out.

EndpointHints: Who should use an endpoint.
  forZones [ForZone] : Zones.
  forNodes [ForNode] : Nodes.

ForZone: A zone that should use an endpoint.
  name! string : Name of the zone.

ForNode: A node that should use an endpoint.
  name! string : Name of the node.

EndpointPort: A port of a slice.
  name string : Name of the port in the service.
  protocol string =TCP : Protocol.
  port int : Number; absent means all ports.
  appProtocol string : Application protocol.
`;

export const eventsTypes = `
Event: A report of something that happened to an object.
  apiVersion string
  kind string
  metadata meta/ObjectMeta : Standard metadata.
  eventTime! microtime nullable : When it was first observed.
  series EventSeries : Repetition of the event.
  reportingController string : Controller that reports it.
  reportingInstance string : Instance of the controller.
  action string : What was done or failed.
  reason string : Why, in one CamelCase word.
  regarding core/ObjectReference : The object that the event is about.
  related core/ObjectReference : A second object of the event.
  note string : What happened.
  type string : Normal or Warning.
  deprecatedSource core/EventSource : For core/v1.
  deprecatedFirstTimestamp time nullable : For core/v1.
  deprecatedLastTimestamp time nullable : For core/v1.
  deprecatedCount int plain : For core/v1.

EventSeries: Repetition of an event.
  count! int : Number of occurrences.
  lastObservedTime! microtime : When it was last observed.
`;

export const coordinationTypes = `
Lease: A claim that somebody holds for some time.
  apiVersion string
  kind string
  metadata meta/ObjectMeta : Standard metadata.
  spec LeaseSpec : The claim.

LeaseSpec: A claim.
  holderIdentity string : Who holds it.
  leaseDurationSeconds int : Seconds that others must wait after renewTime.
  acquireTime microtime : When it was acquired.
  renewTime microtime : When it was last renewed.
  leaseTransitions int : How often the holder changed.
  strategy string : How a holder is chosen.
  preferredHolder string : Who should hold it next.
`;
