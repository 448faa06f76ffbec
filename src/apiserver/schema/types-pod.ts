/** core/v1 Pod and everything inside it. */
export const podTypes = `
Pod: A set of containers that run together on one node.
  apiVersion string
  kind string
  metadata meta/ObjectMeta : Standard metadata.
  spec! PodSpec : What should run.
  status PodStatus : What runs; written by the kubelet.

PodTemplateSpec: The pod that a controller makes copies of.
  metadata meta/ObjectMeta : Metadata of the pods.
  spec! PodSpec : What the pods should run.

PodSpec: What a pod should run.
  volumes [Volume] key(name) strategy(merge,retainKeys) : Volumes that containers can mount.
  initContainers [Container] key(name) #20 : Containers that run one after the other before the others start.
  containers! [Container] key(name) #2 : Containers of the pod, at least one.
  ephemeralContainers [EphemeralContainer] key(name) #34 : Containers added to a running pod to look into it.
  restartPolicy string =Always enum(Always,OnFailure,Never) #3 : When containers are started again.
  terminationGracePeriodSeconds long =30 #4 : Seconds between the request to stop and the kill.
  activeDeadlineSeconds long #5 : Seconds after which the pod is failed.
  dnsPolicy string =ClusterFirst enum(ClusterFirst,ClusterFirstWithHostNet,Default,None) #6 : How names are resolved.
  nodeSelector {string} atomic #7 : Labels that the node must have.
  serviceAccountName string #8 : Service account of the pod.
  serviceAccount string #9 : Old name of serviceAccountName.
  automountServiceAccountToken bool #21 : Whether the token of the service account is mounted.
  nodeName string #10 : Node that the pod is assigned to.
  hostNetwork bool plain #11 : Whether the pod uses the node's network namespace.
  hostPID bool plain #12 : Whether the pod uses the node's process namespace.
  hostIPC bool plain #13 : Whether the pod uses the node's IPC namespace.
  hostUsers bool #37 : Whether the pod uses the node's user namespace.
  shareProcessNamespace bool #27 : Whether the containers share one process namespace.
  securityContext PodSecurityContext ={} #14 : Security settings of the pod.
  imagePullSecrets [LocalObjectReference] lenient key(name) #15 : Secrets for pulling images.
  hostname string #16 : Host name of the pod.
  subdomain string #17 : Subdomain of the pod's host name.
  setHostnameAsFQDN bool #35 : Whether the host name is the full name.
  hostnameOverride string #41 : Host name as the pod sees it.
  affinity Affinity #18 : Preferences for nodes and other pods.
  schedulerName string =default-scheduler #19 : Scheduler that places the pod.
  tolerations [Toleration] #22 : Taints that the pod tolerates.
  hostAliases [HostAlias] lenient key(ip) #23 : Lines for the pod's hosts file.
  priorityClassName string #24 : Name of the priority class.
  priority int #25 : Priority of the pod.
  dnsConfig PodDNSConfig #26 : Settings of the resolver.
  readinessGates [PodReadinessGate] #28 : Conditions that count for readiness.
  runtimeClassName string #29 : Runtime class.
  enableServiceLinks bool =true #30 : Whether services become environment variables.
  preemptionPolicy string #31 : Whether the pod may displace others.
  overhead {quantity} #32 : Resources of the sandbox.
  topologySpreadConstraints [TopologySpreadConstraint] key(topologyKey,whenUnsatisfiable) #33 : How pods spread over the cluster.
  os PodOS #36 : Operating system of the containers.
  schedulingGates [PodSchedulingGate] key(name) #38 : What holds scheduling up.
  resourceClaims [any] #39 : Claims to devices.
  resources ResourceRequirements #40 : Resources of the whole pod.

Container: A container of a pod.
  name! string : Its name, unique in the pod. Cannot be changed.
  image string : Image or root that it runs from.
  command [string] : The program; the image's entry point when not given.
  args [string] : Arguments of the program.
  workingDir string : Working directory.
  ports [ContainerPort] lenient key(containerPort,protocol) : Ports that it listens on.
  envFrom [EnvFromSource] #19 : Sources of many environment variables.
  env [EnvVar] lenient key(name) #7 : Environment variables.
  resources ResourceRequirements ={} #8 : Requested and limited resources.
  resizePolicy [any] #23 : How a change of resources is done.
  restartPolicy string #24 : Always makes an init container a sidecar.
  restartPolicyRules [any] #25 : Rules for exit codes.
  volumeMounts [VolumeMount] key(mountPath) #9 : Volumes and where they are mounted.
  volumeDevices [VolumeDevice] key(devicePath) #21 : Block devices.
  livenessProbe Probe #10 : Restart the container when it fails.
  readinessProbe Probe #11 : Take the pod out of its services when it fails.
  startupProbe Probe #22 : Hold the other probes back until it succeeds.
  lifecycle Lifecycle #12 : Hooks at start and stop.
  terminationMessagePath string =/dev/termination-log #13 : File with the last message.
  terminationMessagePolicy string =File enum(File,FallbackToLogsOnError) : Where the last message comes from.
  imagePullPolicy string enum(Always,Never,IfNotPresent) #14 : When the image is pulled.
  securityContext SecurityContext #15 : Security settings.
  stdin bool plain #16 : Whether standard input is kept open.
  stdinOnce bool plain #17 : Whether standard input closes after the first session.
  tty bool plain #18 : Whether it has a terminal.

EphemeralContainer: A container added to a running pod to look into it.
  name! string #1.1 : Its name, unique in the pod.
  image string #1.2 : Image or root that it runs from.
  command [string] #1.3 : The program.
  args [string] #1.4 : Arguments.
  workingDir string #1.5 : Working directory.
  ports [ContainerPort] lenient key(containerPort,protocol) #1.6 : Not allowed.
  envFrom [EnvFromSource] #1.19 : Sources of environment variables.
  env [EnvVar] lenient key(name) #1.7 : Environment variables.
  resources ResourceRequirements #1.8 : Not allowed.
  resizePolicy [any] #1.23 : Not allowed.
  restartPolicy string #1.24 : Not allowed.
  volumeMounts [VolumeMount] key(mountPath) #1.9 : Volumes and where they are mounted.
  volumeDevices [VolumeDevice] key(devicePath) #1.21 : Block devices.
  livenessProbe Probe #1.10 : Not allowed.
  readinessProbe Probe #1.11 : Not allowed.
  startupProbe Probe #1.22 : Not allowed.
  lifecycle Lifecycle #1.12 : Not allowed.
  terminationMessagePath string =/dev/termination-log #1.13 : File with the last message.
  terminationMessagePolicy string =File #1.20 : Where the last message comes from.
  imagePullPolicy string #1.14 : When the image is pulled.
  securityContext SecurityContext #1.15 : Security settings.
  stdin bool plain #1.16 : Whether standard input is kept open.
  stdinOnce bool plain #1.17 : Whether standard input closes after the first session.
  tty bool plain #1.18 : Whether it has a terminal.
  targetContainerName string #2 : Container whose namespaces it enters.

ContainerPort: A port of a container.
  name string : Name that services can refer to, unique in the pod.
  hostPort int plain : Port on the node.
  containerPort! int : Port in the pod, 1 to 65535.
  protocol string =TCP enum(TCP,UDP,SCTP) : Protocol.
  hostIP string : Address on the node for hostPort.

EnvVar: An environment variable.
  name! string : Its name.
  value string : Its value; $(NAME) is replaced by other variables.
  valueFrom EnvVarSource : Where the value comes from.

EnvVarSource: Where the value of a variable comes from.
  fieldRef ObjectFieldSelector : A field of the pod.
  resourceFieldRef ResourceFieldSelector : A resource of the container.
  configMapKeyRef ConfigMapKeySelector : A key of a config map.
  secretKeyRef SecretKeySelector : A key of a secret.
  fileKeyRef any #5 : A key of a file in a volume.

ObjectFieldSelector atomic: A field of an object.
  apiVersion string =v1 : API version of the path.
  fieldPath! string : Path of the field.

ResourceFieldSelector atomic: A resource of a container.
  containerName string : Container.
  resource! string : Resource.
  divisor quantity : Unit.

ConfigMapKeySelector atomic: A key of a config map.
  name string #1.1 : Name of the config map.
  key! string : The key.
  optional bool : Whether it may be missing.

SecretKeySelector atomic: A key of a secret.
  name string #1.1 : Name of the secret.
  key! string : The key.
  optional bool : Whether it may be missing.

EnvFromSource: A source of many variables.
  prefix string : Put before every key.
  configMapRef ConfigMapEnvSource : A config map.
  secretRef SecretEnvSource : A secret.

ConfigMapEnvSource: A config map as a source of variables.
  name string #1.1 : Its name.
  optional bool : Whether it may be missing.

SecretEnvSource: A secret as a source of variables.
  name string #1.1 : Its name.
  optional bool : Whether it may be missing.

ResourceRequirements: Requested and limited resources.
  limits {quantity} : At most.
  requests {quantity} : At least.
  claims [any] : Claims to devices.

VolumeMount: A volume in a container.
  name! string : Name of the volume.
  readOnly bool plain : Whether it is mounted read-only.
  recursiveReadOnly string #7 : Whether mounts below are read-only too.
  mountPath! string #3 : Where it is mounted.
  subPath string #4 : Path in the volume.
  mountPropagation string #5 : How mounts propagate.
  subPathExpr string #6 : Path in the volume with variables.

VolumeDevice: A block device in a container.
  name! string : Name of the claim in the pod.
  devicePath! string : Path of the device.

Probe: A check of a container.
  exec ExecAction #1.1 : Runs a command.
  httpGet HTTPGetAction #1.2 : Asks a path by HTTP.
  tcpSocket TCPSocketAction #1.3 : Opens a connection.
  grpc GRPCAction #1.4 : Asks the gRPC health service.
  initialDelaySeconds int plain #2 : Seconds after the start before the first check.
  timeoutSeconds int plain =1 #3 : Seconds before a check has failed.
  periodSeconds int plain =10 #4 : Seconds between checks.
  successThreshold int plain =1 #5 : Successes in a row that count as success.
  failureThreshold int plain =3 #6 : Failures in a row that count as failure.
  terminationGracePeriodSeconds long #7 : Seconds between the request to stop and the kill after a failure.

ExecAction: Runs a command.
  command [string] : The command; not run in a shell.

HTTPGetAction: Asks a path by HTTP.
  path string =/ : Path.
  port! intstr : Number or name of the port.
  host string : Host; the pod's address when not given.
  scheme string =HTTP : HTTP or HTTPS.
  httpHeaders [HTTPHeader] : Headers.

HTTPHeader: A header.
  name! string : Name.
  value! string : Value.

TCPSocketAction: Opens a connection.
  port! intstr : Number or name of the port.
  host string : Host; the pod's address when not given.

GRPCAction: Asks the gRPC health service.
  port! int : Port.
  service string ="" : Name of the service.

Lifecycle: Hooks of a container.
  postStart LifecycleHandler : After the start.
  preStop LifecycleHandler : Before the stop.
  stopSignal string : Signal that stops it.

LifecycleHandler: What a hook does.
  exec ExecAction : Runs a command.
  httpGet HTTPGetAction : Asks a path by HTTP.
  tcpSocket TCPSocketAction : Deprecated.
  sleep SleepAction : Sleeps.

SleepAction: Sleeps.
  seconds! long : Seconds.

SecurityContext: Security settings of a container.
  capabilities Capabilities : Capabilities to add and drop.
  privileged bool : Whether it runs as on the host.
  seLinuxOptions any : SELinux labels.
  windowsOptions any #10 : Not used here.
  runAsUser long #4 : User id.
  runAsGroup long #8 : Group id.
  runAsNonRoot bool #5 : Whether user 0 is refused.
  readOnlyRootFilesystem bool #6 : Whether the root is read-only.
  allowPrivilegeEscalation bool #7 : Whether a process may gain more rights than its parent.
  procMount string #9 : How /proc is mounted.
  seccompProfile SeccompProfile : Seccomp profile.
  appArmorProfile AppArmorProfile : AppArmor profile.

Capabilities: Capabilities to add and drop.
  add [string] : To add.
  drop [string] : To drop.

SeccompProfile: Seccomp profile.
  type! string : Localhost, RuntimeDefault or Unconfined.
  localhostProfile string : File of a Localhost profile.

AppArmorProfile: AppArmor profile.
  type! string : Localhost, RuntimeDefault or Unconfined.
  localhostProfile string : Name of a Localhost profile.

PodSecurityContext: Security settings of a pod.
  seLinuxOptions any : SELinux labels.
  windowsOptions any #8 : Not used here.
  runAsUser long #2 : User id.
  runAsGroup long #6 : Group id.
  runAsNonRoot bool #3 : Whether user 0 is refused.
  supplementalGroups [long] #4 : Further groups.
  supplementalGroupsPolicy string #12 : Merge or Strict.
  fsGroup long #5 : Group of the volumes.
  sysctls [Sysctl] #7 : Kernel parameters of the pod.
  fsGroupChangePolicy string #9 : When ownership is changed.
  seccompProfile SeccompProfile #10 : Seccomp profile.
  appArmorProfile AppArmorProfile #11 : AppArmor profile.
  seLinuxChangePolicy string : How labels are applied.

Sysctl: A kernel parameter.
  name! string : Name.
  value! string : Value.

Affinity: Preferences for nodes and other pods.
  nodeAffinity NodeAffinity : For nodes.
  podAffinity PodAffinity : For being near other pods.
  podAntiAffinity PodAntiAffinity : For being away from other pods.

NodeAffinity: Preferences for nodes.
  requiredDuringSchedulingIgnoredDuringExecution NodeSelector : Must hold.
  preferredDuringSchedulingIgnoredDuringExecution [PreferredSchedulingTerm] : Should hold.

NodeSelector atomic: A union of terms.
  nodeSelectorTerms! [NodeSelectorTerm] : One of them must hold.

NodeSelectorTerm atomic: Requirements that must all hold.
  matchExpressions [NodeSelectorRequirement] : On labels.
  matchFields [NodeSelectorRequirement] : On fields.

NodeSelectorRequirement: A key, an operator and values.
  key! string : The key.
  operator! string : In, NotIn, Exists, DoesNotExist, Gt or Lt.
  values [string] : Values.

PreferredSchedulingTerm: A term with a weight.
  weight! int : 1 to 100.
  preference! NodeSelectorTerm : The term.

PodAffinity: Preferences for being near other pods.
  requiredDuringSchedulingIgnoredDuringExecution [PodAffinityTerm] : Must hold.
  preferredDuringSchedulingIgnoredDuringExecution [WeightedPodAffinityTerm] : Should hold.

PodAntiAffinity: Preferences for being away from other pods.
  requiredDuringSchedulingIgnoredDuringExecution [PodAffinityTerm] : Must hold.
  preferredDuringSchedulingIgnoredDuringExecution [WeightedPodAffinityTerm] : Should hold.

PodAffinityTerm: Pods to be near to or away from.
  labelSelector meta/LabelSelector : The pods.
  namespaces [string] : Their namespaces.
  topologyKey! string : Node label that says what near is.
  namespaceSelector meta/LabelSelector : Their namespaces by label.
  matchLabelKeys [string] : Labels taken from the pod.
  mismatchLabelKeys [string] : Labels taken from the pod, inverted.

WeightedPodAffinityTerm: A term with a weight.
  weight! int : 1 to 100.
  podAffinityTerm! PodAffinityTerm : The term.

Toleration: A taint that a pod tolerates.
  key string : Key of the taint; empty with Exists means every taint.
  operator string : Exists or Equal.
  value string : Value of the taint.
  effect string : Effect of the taint; empty means all.
  tolerationSeconds long : Seconds that NoExecute is tolerated.

HostAlias: A line of the hosts file.
  ip! string : Address.
  hostnames [string] : Names.

PodDNSConfig: Settings of the resolver.
  nameservers [string] : Further name servers.
  searches [string] : Further search domains.
  options [PodDNSConfigOption] : Options.

PodDNSConfigOption: An option of the resolver.
  name string : Name.
  value string : Value.

PodReadinessGate: A condition that counts for readiness.
  conditionType! string : Type of the condition.

TopologySpreadConstraint: How pods spread over the cluster.
  maxSkew! int : Largest difference.
  topologyKey! string : Node label.
  whenUnsatisfiable! string : DoNotSchedule or ScheduleAnyway.
  labelSelector meta/LabelSelector : The pods.
  minDomains int : Fewest domains.
  nodeAffinityPolicy string : Honor or Ignore.
  nodeTaintsPolicy string : Honor or Ignore.
  matchLabelKeys [string] : Labels taken from the pod.

PodOS: Operating system of the containers.
  name! string : linux or windows.

PodSchedulingGate: What holds scheduling up.
  name! string : Name.

Volume: A volume that containers can mount.
  name! string : Name, unique in the pod.
  emptyDir EmptyDirVolumeSource #2.2 : An empty folder that lives as long as the pod.
  hostPath HostPathVolumeSource #2.1 : A file or folder of the node.
  configMap ConfigMapVolumeSource #2.19 : Keys of a config map as files.
  secret SecretVolumeSource #2.6 : Keys of a secret as files.
  downwardAPI DownwardAPIVolumeSource #2.16 : Fields of the pod as files.
  projected ProjectedVolumeSource #2.26 : Several sources in one folder.
  persistentVolumeClaim PersistentVolumeClaimVolumeSource #2.10 : A claimed volume.
  ephemeral any #2.29 : A claim that lives as long as the pod.
  csi any #2.28 : A volume of a CSI driver.
  nfs any #2.7 : An NFS share.
  image any #2.30 : An image as a volume.
  iscsi any #2.8 : Not used here.
  fc any #2.17 : Not used here.
  gcePersistentDisk any #2.3 : Not used here.
  awsElasticBlockStore any #2.4 : Not used here.
  azureDisk any #2.22 : Not used here.
  azureFile any #2.18 : Not used here.
  cephfs any #2.14 : Not used here.
  cinder any #2.13 : Not used here.
  flexVolume any #2.12 : Not used here.
  flocker any #2.15 : Not used here.
  gitRepo any #2.5 : Not used here.
  glusterfs any #2.9 : Not used here.
  photonPersistentDisk any #2.23 : Not used here.
  portworxVolume any #2.24 : Not used here.
  quobyte any #2.21 : Not used here.
  rbd any #2.11 : Not used here.
  scaleIO any #2.25 : Not used here.
  storageos any #2.27 : Not used here.
  vsphereVolume any #2.20 : Not used here.

EmptyDirVolumeSource: An empty folder.
  medium string : Memory for tmpfs.
  sizeLimit quantity : Largest size.

HostPathVolumeSource: A file or folder of the node.
  path! string : Path on the node.
  type string ="" : What must be there.

ConfigMapVolumeSource: Keys of a config map as files.
  name string #1.1 : Its name.
  items [KeyToPath] : Keys and files; all keys when not given.
  defaultMode int =420 : Mode of the files.
  optional bool : Whether it may be missing.

SecretVolumeSource: Keys of a secret as files.
  secretName string : Its name.
  items [KeyToPath] : Keys and files; all keys when not given.
  defaultMode int =420 : Mode of the files.
  optional bool : Whether it may be missing.

KeyToPath: A key and its file.
  key! string : Key.
  path! string : File.
  mode int : Mode of the file.

DownwardAPIVolumeSource: Fields of the pod as files.
  items [DownwardAPIVolumeFile] : Files.
  defaultMode int =420 : Mode of the files.

DownwardAPIVolumeFile: A field and its file.
  path! string : File.
  fieldRef ObjectFieldSelector : Field of the pod.
  resourceFieldRef ResourceFieldSelector : Resource of a container.
  mode int : Mode of the file.

ProjectedVolumeSource: Several sources in one folder.
  sources [VolumeProjection] : Sources.
  defaultMode int =420 : Mode of the files.

VolumeProjection: One source.
  secret any : A secret.
  downwardAPI any : Fields of the pod.
  configMap any : A config map.
  serviceAccountToken ServiceAccountTokenProjection : A token of the service account.
  clusterTrustBundle any : Certificates.
  podCertificate any #0 : A certificate of the pod.

ServiceAccountTokenProjection: A token of the service account.
  audience string : Audience.
  expirationSeconds long =3600 : Seconds of validity.
  path! string : File.

PersistentVolumeClaimVolumeSource: A claimed volume.
  claimName! string : Name of the claim.
  readOnly bool plain : Whether it is mounted read-only.

PodStatus: What runs.
  observedGeneration long plain #17 : The generation that the status was computed from.
  phase string #1 : Pending, Running, Succeeded, Failed or Unknown.
  conditions [PodCondition] key(type) #2 : Observed conditions.
  message string #3 : Why, in a sentence.
  reason string #4 : Why, in one word.
  nominatedNodeName string #11 : Node that the pod is meant for.
  hostIP string #5 : Address of the node.
  hostIPs [HostIP] merge(ip) #16 : Addresses of the node.
  podIP string #6 : Address of the pod.
  podIPs [PodIP] key(ip) #12 : Addresses of the pod, at most one a family.
  startTime time nullable #7 : When the kubelet took it on.
  initContainerStatuses [ContainerStatus] #10 : State of the init containers.
  containerStatuses [ContainerStatus] #8 : State of the containers.
  qosClass string #9 : Quality of service class.
  ephemeralContainerStatuses [ContainerStatus] #13 : State of the ephemeral containers.
  resize string #14 : State of a resize.
  resourceClaimStatuses [any] #15 : State of claims to devices.
  extendedResourceClaimStatus any #0 : State of claims to devices.

HostIP: Address of a node.
  ip! string : Address.

PodIP: Address of a pod.
  ip! string : Address.

PodCondition: One aspect of a pod's state.
  type! string : Kind of condition.
  observedGeneration long plain #7 : The generation that it was computed from.
  status! string #2 : True, False or Unknown.
  lastProbeTime time nullable #3 : When it was last probed.
  lastTransitionTime time nullable #4 : When the status last changed.
  reason string #5 : Why, in one word.
  message string #6 : Why, in a sentence.

ContainerStatus: State of a container.
  name! string : Its name.
  state ContainerState : Its state now.
  lastState ContainerState : Its state before.
  ready! bool : Whether it is ready.
  restartCount! int : How often it was started again.
  image! string : Image.
  imageID! string : Id of the image.
  containerID string : Id of the container.
  started bool : Whether it has started.
  allocatedResources {quantity} : Allocated resources.
  resources ResourceRequirements : Resources.
  volumeMounts [any] : Mounted volumes.
  user any : User.
  allocatedResourcesStatus [any] : State of devices.
  stopSignal string : Signal that stops it.

ContainerState: One of three states.
  waiting ContainerStateWaiting : It waits.
  running ContainerStateRunning : It runs.
  terminated ContainerStateTerminated : It has ended.

ContainerStateWaiting: It waits.
  reason string : Why, in one word.
  message string : Why, in a sentence.

ContainerStateRunning: It runs.
  startedAt time nullable : Since when.

ContainerStateTerminated: It has ended.
  exitCode! int : Exit code.
  signal int plain : Signal.
  reason string : Why, in one word.
  message string : Why, in a sentence.
  startedAt time nullable : When it started.
  finishedAt time nullable : When it ended.
  containerID string : Id of the container.

Binding: Assigns a pod to a node.
  apiVersion string
  kind string
  metadata meta/ObjectMeta : Names the pod.
  target! ObjectReference : The node.
`;
