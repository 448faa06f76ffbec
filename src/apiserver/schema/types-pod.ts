/** core/v1 Pod and everything inside it. */
export const podTypes = `
Pod: A set of containers that run together on one node.
  apiVersion string
  kind string
  metadata meta/ObjectMeta : Standard metadata.
  spec PodSpec : What should run.
  status PodStatus : What runs; written by the kubelet.

PodTemplateSpec: The pod that a controller makes copies of.
  metadata meta/ObjectMeta : Metadata of the pods.
  spec PodSpec : What the pods should run.

PodSpec: What a pod should run.
  volumes [Volume] key(name) strategy(merge,retainKeys) : Volumes that containers can mount.
  initContainers [Container] key(name) : Containers that run one after the other before the others start.
  containers! [Container] key(name) : Containers of the pod, at least one.
  ephemeralContainers [EphemeralContainer] key(name) : Containers added to a running pod to look into it.
  restartPolicy string =Always enum(Always,OnFailure,Never) : When containers are started again.
  terminationGracePeriodSeconds long =30 : Seconds between the request to stop and the kill.
  activeDeadlineSeconds long : Seconds after which the pod is failed.
  dnsPolicy string =ClusterFirst enum(ClusterFirst,ClusterFirstWithHostNet,Default,None) : How names are resolved.
  nodeSelector {string} atomic : Labels that the node must have.
  serviceAccountName string : Service account of the pod.
  serviceAccount string : Old name of serviceAccountName.
  automountServiceAccountToken bool : Whether the token of the service account is mounted.
  nodeName string : Node that the pod is assigned to.
  hostNetwork bool : Whether the pod uses the node's network namespace.
  hostPID bool : Whether the pod uses the node's process namespace.
  hostIPC bool : Whether the pod uses the node's IPC namespace.
  hostUsers bool : Whether the pod uses the node's user namespace.
  shareProcessNamespace bool : Whether the containers share one process namespace.
  securityContext PodSecurityContext ={} : Security settings of the pod.
  imagePullSecrets [LocalObjectReference] key(name) : Secrets for pulling images.
  hostname string : Host name of the pod.
  subdomain string : Subdomain of the pod's host name.
  setHostnameAsFQDN bool : Whether the host name is the full name.
  hostnameOverride string : Host name as the pod sees it.
  affinity Affinity : Preferences for nodes and other pods.
  schedulerName string =default-scheduler : Scheduler that places the pod.
  tolerations [Toleration] : Taints that the pod tolerates.
  hostAliases [HostAlias] key(ip) : Lines for the pod's hosts file.
  priorityClassName string : Name of the priority class.
  priority int : Priority of the pod.
  dnsConfig PodDNSConfig : Settings of the resolver.
  readinessGates [PodReadinessGate] : Conditions that count for readiness.
  runtimeClassName string : Runtime class.
  enableServiceLinks bool =true : Whether services become environment variables.
  preemptionPolicy string : Whether the pod may displace others.
  overhead {quantity} : Resources of the sandbox.
  topologySpreadConstraints [TopologySpreadConstraint] key(topologyKey,whenUnsatisfiable) : How pods spread over the cluster.
  os PodOS : Operating system of the containers.
  schedulingGates [PodSchedulingGate] key(name) : What holds scheduling up.
  resourceClaims [any] : Claims to devices.
  resources ResourceRequirements : Resources of the whole pod.

Container: A container of a pod.
  name! string : Its name, unique in the pod. Cannot be changed.
  image string : Image or root that it runs from.
  command [string] : The program; the image's entry point when not given.
  args [string] : Arguments of the program.
  workingDir string : Working directory.
  ports [ContainerPort] key(containerPort,protocol) : Ports that it listens on.
  envFrom [EnvFromSource] : Sources of many environment variables.
  env [EnvVar] key(name) : Environment variables.
  resources ResourceRequirements ={} : Requested and limited resources.
  resizePolicy [any] : How a change of resources is done.
  restartPolicy string : Always makes an init container a sidecar.
  restartPolicyRules [any] : Rules for exit codes.
  volumeMounts [VolumeMount] key(mountPath) : Volumes and where they are mounted.
  volumeDevices [VolumeDevice] key(devicePath) : Block devices.
  livenessProbe Probe : Restart the container when it fails.
  readinessProbe Probe : Take the pod out of its services when it fails.
  startupProbe Probe : Hold the other probes back until it succeeds.
  lifecycle Lifecycle : Hooks at start and stop.
  terminationMessagePath string =/dev/termination-log : File with the last message.
  terminationMessagePolicy string =File enum(File,FallbackToLogsOnError) : Where the last message comes from.
  imagePullPolicy string enum(Always,Never,IfNotPresent) : When the image is pulled.
  securityContext SecurityContext : Security settings.
  stdin bool : Whether standard input is kept open.
  stdinOnce bool : Whether standard input closes after the first session.
  tty bool : Whether it has a terminal.

EphemeralContainer: A container added to a running pod to look into it.
  name! string : Its name, unique in the pod.
  image string : Image or root that it runs from.
  command [string] : The program.
  args [string] : Arguments.
  workingDir string : Working directory.
  ports [ContainerPort] key(containerPort,protocol) : Not allowed.
  envFrom [EnvFromSource] : Sources of environment variables.
  env [EnvVar] key(name) : Environment variables.
  resources ResourceRequirements : Not allowed.
  resizePolicy [any] : Not allowed.
  restartPolicy string : Not allowed.
  volumeMounts [VolumeMount] key(mountPath) : Volumes and where they are mounted.
  volumeDevices [VolumeDevice] key(devicePath) : Block devices.
  livenessProbe Probe : Not allowed.
  readinessProbe Probe : Not allowed.
  startupProbe Probe : Not allowed.
  lifecycle Lifecycle : Not allowed.
  terminationMessagePath string =/dev/termination-log : File with the last message.
  terminationMessagePolicy string =File : Where the last message comes from.
  imagePullPolicy string : When the image is pulled.
  securityContext SecurityContext : Security settings.
  stdin bool : Whether standard input is kept open.
  stdinOnce bool : Whether standard input closes after the first session.
  tty bool : Whether it has a terminal.
  targetContainerName string : Container whose namespaces it enters.

ContainerPort: A port of a container.
  name string : Name that services can refer to, unique in the pod.
  hostPort int : Port on the node.
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
  fileKeyRef any : A key of a file in a volume.

ObjectFieldSelector atomic: A field of an object.
  apiVersion string =v1 : API version of the path.
  fieldPath! string : Path of the field.

ResourceFieldSelector atomic: A resource of a container.
  containerName string : Container.
  resource! string : Resource.
  divisor quantity : Unit.

ConfigMapKeySelector atomic: A key of a config map.
  name string : Name of the config map.
  key! string : The key.
  optional bool : Whether it may be missing.

SecretKeySelector atomic: A key of a secret.
  name string : Name of the secret.
  key! string : The key.
  optional bool : Whether it may be missing.

EnvFromSource: A source of many variables.
  prefix string : Put before every key.
  configMapRef ConfigMapEnvSource : A config map.
  secretRef SecretEnvSource : A secret.

ConfigMapEnvSource: A config map as a source of variables.
  name string : Its name.
  optional bool : Whether it may be missing.

SecretEnvSource: A secret as a source of variables.
  name string : Its name.
  optional bool : Whether it may be missing.

ResourceRequirements: Requested and limited resources.
  limits {quantity} : At most.
  requests {quantity} : At least.
  claims [any] : Claims to devices.

VolumeMount: A volume in a container.
  name! string : Name of the volume.
  readOnly bool : Whether it is mounted read-only.
  recursiveReadOnly string : Whether mounts below are read-only too.
  mountPath! string : Where it is mounted.
  subPath string : Path in the volume.
  mountPropagation string : How mounts propagate.
  subPathExpr string : Path in the volume with variables.

VolumeDevice: A block device in a container.
  name! string : Name of the claim in the pod.
  devicePath! string : Path of the device.

Probe: A check of a container.
  exec ExecAction : Runs a command.
  httpGet HTTPGetAction : Asks a path by HTTP.
  tcpSocket TCPSocketAction : Opens a connection.
  grpc GRPCAction : Asks the gRPC health service.
  initialDelaySeconds int : Seconds after the start before the first check.
  timeoutSeconds int =1 : Seconds before a check has failed.
  periodSeconds int =10 : Seconds between checks.
  successThreshold int =1 : Successes in a row that count as success.
  failureThreshold int =3 : Failures in a row that count as failure.
  terminationGracePeriodSeconds long : Seconds between the request to stop and the kill after a failure.

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
  windowsOptions any : Not used here.
  runAsUser long : User id.
  runAsGroup long : Group id.
  runAsNonRoot bool : Whether user 0 is refused.
  readOnlyRootFilesystem bool : Whether the root is read-only.
  allowPrivilegeEscalation bool : Whether a process may gain more rights than its parent.
  procMount string : How /proc is mounted.
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
  windowsOptions any : Not used here.
  runAsUser long : User id.
  runAsGroup long : Group id.
  runAsNonRoot bool : Whether user 0 is refused.
  supplementalGroups [long] : Further groups.
  supplementalGroupsPolicy string : Merge or Strict.
  fsGroup long : Group of the volumes.
  sysctls [Sysctl] : Kernel parameters of the pod.
  fsGroupChangePolicy string : When ownership is changed.
  seccompProfile SeccompProfile : Seccomp profile.
  appArmorProfile AppArmorProfile : AppArmor profile.
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
  emptyDir EmptyDirVolumeSource : An empty folder that lives as long as the pod.
  hostPath HostPathVolumeSource : A file or folder of the node.
  configMap ConfigMapVolumeSource : Keys of a config map as files.
  secret SecretVolumeSource : Keys of a secret as files.
  downwardAPI DownwardAPIVolumeSource : Fields of the pod as files.
  projected ProjectedVolumeSource : Several sources in one folder.
  persistentVolumeClaim PersistentVolumeClaimVolumeSource : A claimed volume.
  ephemeral any : A claim that lives as long as the pod.
  csi any : A volume of a CSI driver.
  nfs any : An NFS share.
  image any : An image as a volume.
  iscsi any : Not used here.
  fc any : Not used here.
  gcePersistentDisk any : Not used here.
  awsElasticBlockStore any : Not used here.
  azureDisk any : Not used here.
  azureFile any : Not used here.
  cephfs any : Not used here.
  cinder any : Not used here.
  flexVolume any : Not used here.
  flocker any : Not used here.
  gitRepo any : Not used here.
  glusterfs any : Not used here.
  photonPersistentDisk any : Not used here.
  portworxVolume any : Not used here.
  quobyte any : Not used here.
  rbd any : Not used here.
  scaleIO any : Not used here.
  storageos any : Not used here.
  vsphereVolume any : Not used here.

EmptyDirVolumeSource: An empty folder.
  medium string : Memory for tmpfs.
  sizeLimit quantity : Largest size.

HostPathVolumeSource: A file or folder of the node.
  path! string : Path on the node.
  type string ="" : What must be there.

ConfigMapVolumeSource: Keys of a config map as files.
  name string : Its name.
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
  podCertificate any : A certificate of the pod.

ServiceAccountTokenProjection: A token of the service account.
  audience string : Audience.
  expirationSeconds long =3600 : Seconds of validity.
  path! string : File.

PersistentVolumeClaimVolumeSource: A claimed volume.
  claimName! string : Name of the claim.
  readOnly bool : Whether it is mounted read-only.

PodStatus: What runs.
  observedGeneration long : The generation that the status was computed from.
  phase string : Pending, Running, Succeeded, Failed or Unknown.
  conditions [PodCondition] key(type) : Observed conditions.
  message string : Why, in a sentence.
  reason string : Why, in one word.
  nominatedNodeName string : Node that the pod is meant for.
  hostIP string : Address of the node.
  hostIPs [HostIP] merge(ip) : Addresses of the node.
  podIP string : Address of the pod.
  podIPs [PodIP] key(ip) : Addresses of the pod, at most one a family.
  startTime time nullable : When the kubelet took it on.
  initContainerStatuses [ContainerStatus] : State of the init containers.
  containerStatuses [ContainerStatus] : State of the containers.
  qosClass string : Quality of service class.
  ephemeralContainerStatuses [ContainerStatus] : State of the ephemeral containers.
  resize string : State of a resize.
  resourceClaimStatuses [any] : State of claims to devices.
  extendedResourceClaimStatus any : State of claims to devices.

HostIP: Address of a node.
  ip! string : Address.

PodIP: Address of a pod.
  ip! string : Address.

PodCondition: One aspect of a pod's state.
  type! string : Kind of condition.
  observedGeneration long : The generation that it was computed from.
  status! string : True, False or Unknown.
  lastProbeTime time nullable : When it was last probed.
  lastTransitionTime time nullable : When the status last changed.
  reason string : Why, in one word.
  message string : Why, in a sentence.

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
  signal int : Signal.
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
