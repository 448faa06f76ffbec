/** Names of upstream's Helm chart for what has another name here, is always so, or is not here at all. */

interface Known { readonly path: string; readonly value: unknown }

const renamed = (path: string) => (value: unknown): readonly Known[] => [{ path, value }];

/** Other spellings, those of earlier charts too. A text is a warning. */
export const otherNames: Readonly<Record<string, (value: unknown) => readonly Known[] | string>> = {
  'serviceNoBackendResponse': renamed('loadBalancer.serviceNoBackendResponse'),
  'nodePort.mode': renamed('loadBalancer.mode'),
  'nodePort.acceleration': renamed('loadBalancer.acceleration'),
  'hostServices.hostNamespaceOnly': renamed('socketLB.hostNamespaceOnly'),
  'sockops.enabled': renamed('sockmap.enabled'),
  'hubble.export.static.filePath': renamed('hubble.export.filePath'),
  'hubble.export.static.fieldMask': renamed('hubble.export.fieldMask'),
  'hubble.export.static.allowList': renamed('hubble.export.allowlist'),
  'hubble.export.static.denyList': renamed('hubble.export.denylist'),
  'hubble.export.static.fileMaxSizeMb': renamed('hubble.export.fileMaxSizeMb'),
  'hubble.export.static.fileMaxBackups': renamed('hubble.export.fileMaxBackups'),
  'hubble.export.static.fileCompress': renamed('hubble.export.fileCompress'),
  'dnsProxy.minTtl': renamed('dns.minTTL'),
  'dnsProxy.dnsRejectResponseCode': renamed('dns.rejectResponse'),
  'extraConfig.tofqdns-min-ttl': renamed('dns.minTTL'),
  'extraConfig.tofqdns-dns-reject-response-code': renamed('dns.rejectResponse'),
  'ipMasqAgent.config.nonMasqueradeCIDRS': renamed('ipMasqAgent.config.nonMasqueradeCIDRs'),
  'nonMasqueradeCIDRs': renamed('ipMasqAgent.config.nonMasqueradeCIDRs'),
  'tunnel': value => {
    if (value === 'disabled') return [{ path: 'routingMode', value: 'native' }];
    if (value === 'vxlan' || value === null) return [{ path: 'routingMode', value: value === null ? null : 'tunnel' }];
    return `tunnel: ${String(value)} is not built; nodes are joined by vxlan`;
  },
};

/** What cannot be turned off, with the values that ask for it as it is: the first is how it is. */
export const always: Readonly<Record<string, readonly unknown[]>> = {
  'kubeProxyReplacement': [true, 'true', 'strict', 'partial', 'probe'],
  'socketLB.enabled': [true, 'true'],
  'hostServices.enabled': [true, 'true'],
  'nodePort.enabled': [true, 'true'],
  'nodePort.enableHealthCheck': [true, 'true'],
  'externalIPs.enabled': [true, 'true'],
  'hostPort.enabled': [true, 'true'],
  'localRedirectPolicy': [true, 'true'],
  'localRedirectPolicies.enabled': [true, 'true'],
  'loadBalancer.dsrDispatch': ['opt'],
  'bpf.masquerade': [true, 'true'],
  'bpf.hostLegacyRouting': [false, 'false'],
  'enableIPv4Masquerade': [true, 'true'],
  'enableIPv6Masquerade': [true, 'true'],
  'ipv4.enabled': [true, 'true'],
  'ipv6.enabled': [true, 'true'],
  'tunnelProtocol': ['vxlan', ''],
  'tunnelPort': [8472, '8472', 0],
  'ipam.mode': ['cluster-pool', 'kubernetes'],
  'autoDirectNodeRoutes': [true, 'true'],
  'bpf.lbModeAnnotation': [true, 'true'],
  'bpf.lbAlgorithmAnnotation': [true, 'true'],
  'nodePort.bindProtection': [true, 'true'],
  'sctp.enabled': [true, 'true'],
  'enableLBIPAM': [true, 'true'],
  'enableInternalTrafficPolicy': [true, 'true'],
  'bpf.enableTCX': [true, 'true'],
  'hostFirewall.enabled': [true, 'true'],
  'identityAllocationMode': ['crd'],
};

/** The first steps of names in upstream's chart (1.9 to 1.20). */
export const upstreamNames: readonly string[] = [
  'MTU', 'affinity', 'agent', 'agentNotReadyTaintKey', 'aksbyocni', 'alibabacloud', 'annotateK8sNode', 'annotations', 'apiRateLimit', 'authentication', 'autoDirectNodeRoutes',
  'azure', 'bandwidthManager', 'bgp', 'bgpControlPlane', 'bpf', 'bpfClockProbe', 'certgen', 'cgroup', 'ciliumEndpointSlice', 'cleanBpfState', 'cleanState', 'cluster',
  'clustermesh', 'cni', 'commonLabels', 'config', 'configDriftDetection', 'connectivityProbeFrequencyRatio', 'conntrackGCInterval', 'conntrackGCMaxInterval', 'containerRuntime', 'crdWaitTimeout', 'customCalls', 'daemon', 'dashboards', 'datapathMode',
  'debug', 'defaultLBServiceIPAM', 'devices', 'directRoutingSkipUnreachable', 'disableEndpointCRD', 'disableEnvoyVersionCheck', 'dnsPolicy', 'dnsProxy', 'egressGateway', 'enableCiliumEndpointSlice', 'enableCriticalPriorityClass',
  'enableExperimentalLB', 'enableIPv4BIGTCP', 'enableIPv4Masquerade', 'enableIPv6BIGTCP', 'enableIdentityMark', 'enableTunnelBIGTCP', 'enableIPv6Masquerade', 'enableInternalTrafficPolicy', 'enableK8sTerminatingEndpoint',
  'enableLBIPAM', 'enableMasqueradeRouteSource', 'enableNoServiceEndpointsRoutable', 'enableNonDefaultDenyPolicies', 'enableRuntimeDeviceDetection', 'enableXTSocketFallback',
  'encryption', 'endpointHealthChecking', 'endpointLockdownOnMapOverflow', 'endpointRoutes', 'endpointStatus', 'eni', 'envoy', 'envoyConfig', 'etcd', 'externalIPs', 'externalWorkloads',
  'extraArgs', 'extraConfig', 'extraContainers', 'extraEnv', 'extraHostPathMounts', 'extraInitContainers', 'extraVolumeMounts', 'extraVolumes', 'forceDeviceDetection', 'gatewayAPI',
  'gke', 'global', 'healthChecking', 'healthCheckICMPFailureThreshold', 'healthPort', 'highScaleIPcache', 'hostAliases', 'hostFirewall', 'hostPort', 'hostServices', 'hubble', 'identityAllocationMode',
  'identityChangeGracePeriod', 'identityManagementMode', 'image', 'imagePullSecrets', 'ingressController', 'initResources', 'installIptablesRules', 'installNoConntrackIptablesRules',
  'ipMasqAgent', 'ipam', 'iptablesRandomFully', 'ipv4', 'ipv4NativeRoutingCIDR', 'ipv6', 'ipv6NativeRoutingCIDR', 'k8s', 'k8sClientExponentialBackoff', 'k8sClientRateLimit', 'k8sClusterNetworkPolicy',
  'k8sNetworkPolicy', 'k8sServiceHost', 'k8sServiceHostRef', 'k8sServiceLookupConfigMapName', 'k8sServiceLookupNamespace', 'k8sServicePort', 'keepDeprecatedLabels',
  'keepDeprecatedProbes', 'kubeConfigPath', 'kubeProxyReplacement', 'kubeProxyReplacementHealthzBindAddr', 'l2NeighDiscovery', 'l2announcements', 'l2podAnnouncements', 'l7Proxy',
  'livenessProbe', 'loadBalancer', 'localRedirectPolicies', 'localRedirectPolicy', 'logOptions', 'logSystemLoad', 'maglev', 'monitor', 'name', 'namespaceOverride', 'nat', 'nat46x64Gateway',
  'nativeRoutingCIDR', 'nodeIPAM', 'nodePort', 'nodeSelector', 'nodeSelectorLabels', 'nodeinit', 'operator', 'pmtuDiscovery', 'podAnnotations', 'podLabels', 'podSecurityContext', 'policyAuditMode',
  'policyCIDRMatchMode', 'policyDenyResponse', 'policyEnforcementMode', 'pprof', 'preflight', 'priorityClassName', 'prometheus', 'proxy', 'rbac', 'readinessProbe', 'remoteNodeIdentity', 'resourceQuotas',
  'resources', 'rollOutCiliumPods', 'routingMode', 'scheduling', 'sctp', 'secretsNamespaceAnnotations', 'secretsNamespaceLabels', 'securityContext', 'serviceAccounts', 'serviceNoBackendResponse',
  'sessionAffinity', 'sleepAfterInit', 'socketLB', 'sockops', 'startupProbe', 'standaloneDnsProxy', 'svcSourceRangeCheck', 'synchronizeK8sNodes', 'sysctlfix', 'terminationGracePeriodSeconds', 'tls', 'tolerations',
  'tunnel', 'tunnelPort', 'tunnelProtocol', 'tunnelSourcePortRange', 'underlayProtocol', 'updateStrategy', 'upgradeCompatibility', 'vtep', 'waitForKubeProxy', 'wellKnownIdentities',
];

/** Of sections that have settings here, upstream's other names: anything else there is a mistake. */
const sections: Readonly<Record<string, readonly string[]>> = {
  loadBalancer: ['standalone', 'experimental', 'serviceTopology', 'dsrL4Translate', 'l7', 'dsrDispatch'],
  maglev: [],
  nodePort: ['autoProtectPortRange', 'enableHealthCheckLoadBalancerIP', 'device', 'directRoutingDevice', 'healthCheckNodePort'],
  socketLB: ['tracing', 'terminatePodConnections'],
  sockmap: [],
  bpf: [
    'authMapMax', 'autoMount', 'ctAccounting', 'datapathMode', 'disableExternalIPMitigation', 'distributedLRU', 'enableNetkit', 'events', 'lbAffinityMapMax', 'lbBackendMapMax',  'lbBypassFIBLookup', 'lbMaglevMapMax', 'tproxy', 'lbSourceRangeMapMax', 'mapDynamicSizeRatio', 'monitorAggregation', 'monitorFlags', 'monitorInterval',
    'monitorTraceIPOption', 'neighMax', 'nodeMapMax', 'policyMapMax', 'policyMapPressureMetricsThreshold', 'policyStatsMapMax', 'preallocateMaps', 'root', 'traceSampling', 'vlanBypass', 'waitForMount', 'fragmentsMapMax',
  ],
  externalIPs: [],
  localRedirectPolicies: [],
  ipMasqAgent: [],
};

export function isUpstreamName(path: string): boolean {
  const [first, second] = path.split('.');
  const section = sections[first!];
  return section === undefined ? upstreamNames.includes(first!) : second !== undefined && section.includes(second);
}
