// Generated from build/cirri.bpf.o by tools/generate.ts. Do not edit: change the C and generate again.

/** enum affinity_client */
export const AffinityClient = {
  Address: 0,
  Netns: 1,
} as const;
export type AffinityClient = (typeof AffinityClient)[keyof typeof AffinityClient];
export const affinityClientName: Readonly<Record<number, string>> = {
  0: 'ADDRESS',
  1: 'NETNS',
};

/** enum backend_state */
export const BackendState = {
  Active: 0,
  Terminating: 1,
  Quarantined: 2,
  Maintenance: 3,
} as const;
export type BackendState = (typeof BackendState)[keyof typeof BackendState];
export const backendStateName: Readonly<Record<number, string>> = {
  0: 'ACTIVE',
  1: 'TERMINATING',
  2: 'QUARANTINED',
  3: 'MAINTENANCE',
};

/** enum connection_end */
export const ConnectionEnd = {
  None: 0,
  Closed: 1,
  Reset: 2,
  Idle: 3,
  Revoked: 4,
} as const;
export type ConnectionEnd = (typeof ConnectionEnd)[keyof typeof ConnectionEnd];
export const connectionEndName: Readonly<Record<number, string>> = {
  0: 'NONE',
  1: 'CLOSED',
  2: 'RESET',
  3: 'IDLE',
  4: 'REVOKED',
};

/** enum conntrack_end_kind */
export const ConntrackEndKind = {
  Unknown: 0,
  Pod: 1,
  Tunnel: 2,
  Uplink: 3,
} as const;
export type ConntrackEndKind = (typeof ConntrackEndKind)[keyof typeof ConntrackEndKind];
export const conntrackEndKindName: Readonly<Record<number, string>> = {
  0: 'UNKNOWN',
  1: 'POD',
  2: 'TUNNEL',
  3: 'UPLINK',
};

/** enum conntrack_flag */
export const ConntrackFlag = {
  OriginatorLow: 1,
  SeenReply: 2,
  SeenNonSyn: 4,
  ForwardClosing: 8,
  ReplyClosing: 16,
  Masqueraded: 32,
  Host: 64,
  Overlay: 128,
  Audited: 256,
  Hairpin: 512,
  Revoked: 1024,
  Kept: 2048,
  ShadowEgress: 4096,
  ShadowIngress: 8192,
  Transit: 16384,
  Dsr: 32768,
  OtherFamily: 65536,
  Ended: 131072,
  RuleDenies: 524288,
  Names: 262144,
  Proxied: 1048576,
  ProxyLeg: 2097152,
  Http: 4194304,
  Asks: 8388608,
  Learns: 16777216,
  ByName: 33554432,
} as const;
export type ConntrackFlag = (typeof ConntrackFlag)[keyof typeof ConntrackFlag];
export const conntrackFlagName: Readonly<Record<number, string>> = {
  1: 'ORIGINATOR_LOW',
  2: 'SEEN_REPLY',
  4: 'SEEN_NON_SYN',
  8: 'FORWARD_CLOSING',
  16: 'REPLY_CLOSING',
  32: 'MASQUERADED',
  64: 'HOST',
  128: 'OVERLAY',
  256: 'AUDITED',
  512: 'HAIRPIN',
  1024: 'REVOKED',
  2048: 'KEPT',
  4096: 'SHADOW_EGRESS',
  8192: 'SHADOW_INGRESS',
  16384: 'TRANSIT',
  32768: 'DSR',
  65536: 'OTHER_FAMILY',
  131072: 'ENDED',
  524288: 'RULE_DENIES',
  262144: 'NAMES',
  1048576: 'PROXIED',
  2097152: 'PROXY_LEG',
  4194304: 'HTTP',
  8388608: 'ASKS',
  16777216: 'LEARNS',
  33554432: 'BY_NAME',
};

/** enum conntrack_kind */
export const ConntrackKind = {
  Flow: 0,
  Service: 1,
} as const;
export type ConntrackKind = (typeof ConntrackKind)[keyof typeof ConntrackKind];
export const conntrackKindName: Readonly<Record<number, string>> = {
  0: 'FLOW',
  1: 'SERVICE',
};

/** enum conntrack_state */
export const ConntrackState = {
  New: 0,
  Established: 1,
  Reply: 2,
  Related: 3,
} as const;
export type ConntrackState = (typeof ConntrackState)[keyof typeof ConntrackState];
export const conntrackStateName: Readonly<Record<number, string>> = {
  0: 'NEW',
  1: 'ESTABLISHED',
  2: 'REPLY',
  3: 'RELATED',
};

/** enum direction */
export const Direction = {
  Unknown: 0,
  Ingress: 1,
  Egress: 2,
} as const;
export type Direction = (typeof Direction)[keyof typeof Direction];
export const directionName: Readonly<Record<number, string>> = {
  0: 'UNKNOWN',
  1: 'INGRESS',
  2: 'EGRESS',
};

/** enum drop_reason */
export const DropReason = {
  InvalidSourceMac: 130,
  InvalidSourceIp: 132,
  PolicyDenied: 133,
  InvalidPacket: 134,
  UnsupportedL3: 139,
  WriteError: 141,
  NoTunnelKey: 147,
  UnroutableIp: 151,
  InvalidExtensionHeader: 156,
  NoServiceBackend: 158,
  NoTunnelEndpoint: 160,
  NoMappingForNat: 167,
  NatUnsupportedProtocol: 168,
  InvalidIdentity: 171,
  FragmentNotFound: 175,
  ForbiddenIcmp6: 176,
  NotInSourceRange: 177,
  ProxyNotSupported: 180,
  PolicyDeny: 181,
  Vlan: 182,
  TtlExceeded: 196,
  PolicyNotReady: 220,
  UnknownClusterAddress: 221,
  EndpointNotReady: 222,
  ConntrackFull: 223,
  SpoofedTunnelSource: 224,
  NatFull: 225,
  NatContended: 226,
  Multicast: 227,
  Noise: 228,
  FragmentTableFull: 230,
  ConntrackContended: 231,
  ConntrackInvalid: 232,
  PacketTooBig: 233,
  NoProxy: 234,
  ProxyPort: 235,
  ProxyTooLate: 236,
  ProxymapFull: 237,
  NameRefused: 240,
  NameMalformed: 241,
  NameUnasked: 242,
  NameUnreadable: 243,
  NamesFull: 244,
  HttpHeld: 245,
  HttpNoRow: 246,
  HttpUnreadable: 247,
  HttpChanged: 248,
  HttpNoSet: 249,
  HttpOver: 250,
} as const;
export type DropReason = (typeof DropReason)[keyof typeof DropReason];
export const dropReasonName: Readonly<Record<number, string>> = {
  130: 'INVALID_SOURCE_MAC',
  132: 'INVALID_SOURCE_IP',
  133: 'POLICY_DENIED',
  134: 'INVALID_PACKET',
  139: 'UNSUPPORTED_L3',
  141: 'WRITE_ERROR',
  147: 'NO_TUNNEL_KEY',
  151: 'UNROUTABLE_IP',
  156: 'INVALID_EXTENSION_HEADER',
  158: 'NO_SERVICE_BACKEND',
  160: 'NO_TUNNEL_ENDPOINT',
  167: 'NO_MAPPING_FOR_NAT',
  168: 'NAT_UNSUPPORTED_PROTOCOL',
  171: 'INVALID_IDENTITY',
  175: 'FRAGMENT_NOT_FOUND',
  176: 'FORBIDDEN_ICMP6',
  177: 'NOT_IN_SOURCE_RANGE',
  180: 'PROXY_NOT_SUPPORTED',
  181: 'POLICY_DENY',
  182: 'VLAN',
  196: 'TTL_EXCEEDED',
  220: 'POLICY_NOT_READY',
  221: 'UNKNOWN_CLUSTER_ADDRESS',
  222: 'ENDPOINT_NOT_READY',
  223: 'CONNTRACK_FULL',
  224: 'SPOOFED_TUNNEL_SOURCE',
  225: 'NAT_FULL',
  226: 'NAT_CONTENDED',
  227: 'MULTICAST',
  228: 'NOISE',
  230: 'FRAGMENT_TABLE_FULL',
  231: 'CONNTRACK_CONTENDED',
  232: 'CONNTRACK_INVALID',
  233: 'PACKET_TOO_BIG',
  234: 'NO_PROXY',
  235: 'PROXY_PORT',
  236: 'PROXY_TOO_LATE',
  237: 'PROXYMAP_FULL',
  240: 'NAME_REFUSED',
  241: 'NAME_MALFORMED',
  242: 'NAME_UNASKED',
  243: 'NAME_UNREADABLE',
  244: 'NAMES_FULL',
  245: 'HTTP_HELD',
  246: 'HTTP_NO_ROW',
  247: 'HTTP_UNREADABLE',
  248: 'HTTP_CHANGED',
  249: 'HTTP_NO_SET',
  250: 'HTTP_OVER',
};

/** enum endpoint_flag */
export const EndpointFlag = {
  Ready: 1,
  Host: 2,
  Audit: 4,
  Http: 8,
} as const;
export type EndpointFlag = (typeof EndpointFlag)[keyof typeof EndpointFlag];
export const endpointFlagName: Readonly<Record<number, string>> = {
  1: 'READY',
  2: 'HOST',
  4: 'AUDIT',
  8: 'HTTP',
};

/** enum event_flag */
export const EventFlag = {
  Reply: 1,
  V6: 2,
  Encrypted: 4,
  Audit: 8,
  Shadow: 16,
  End: 32,
  Packetless: 64,
} as const;
export type EventFlag = (typeof EventFlag)[keyof typeof EventFlag];
export const eventFlagName: Readonly<Record<number, string>> = {
  1: 'REPLY',
  2: 'V6',
  4: 'ENCRYPTED',
  8: 'AUDIT',
  16: 'SHADOW',
  32: 'END',
  64: 'PACKETLESS',
};

/** enum event_type */
export const EventType = {
  Drop: 1,
  Trace: 4,
  PolicyVerdict: 5,
  L7: 129,
} as const;
export type EventType = (typeof EventType)[keyof typeof EventType];
export const eventTypeName: Readonly<Record<number, string>> = {
  1: 'DROP',
  4: 'TRACE',
  5: 'POLICY_VERDICT',
  129: 'L7',
};

/** enum http_phase */
export const HttpPhase = {
  Reading: 0,
  Swallowing: 1,
  Blind: 2,
  Over: 3,
  Reset: 4,
} as const;
export type HttpPhase = (typeof HttpPhase)[keyof typeof HttpPhase];
export const httpPhaseName: Readonly<Record<number, string>> = {
  0: 'READING',
  1: 'SWALLOWING',
  2: 'BLIND',
  3: 'OVER',
  4: 'RESET',
};

/** enum ipcache_flag */
export const IpcacheFlag = {
  HasTunnel: 1,
  Cluster: 2,
  Node: 4,
} as const;
export type IpcacheFlag = (typeof IpcacheFlag)[keyof typeof IpcacheFlag];
export const ipcacheFlagName: Readonly<Record<number, string>> = {
  1: 'HAS_TUNNEL',
  2: 'CLUSTER',
  4: 'NODE',
};

/** enum lost_ring */
export const LostRing = {
  FlowEvents: 0,
  DropEvents: 1,
  NameEvents: 2,
} as const;
export type LostRing = (typeof LostRing)[keyof typeof LostRing];
export const lostRingName: Readonly<Record<number, string>> = {
  0: 'FLOW_EVENTS',
  1: 'DROP_EVENTS',
  2: 'NAME_EVENTS',
};

/** enum monitor_aggregation */
export const MonitorAggregation = {
  None: 0,
  Low: 1,
  Medium: 2,
  Max: 3,
  Silent: 4,
} as const;
export type MonitorAggregation = (typeof MonitorAggregation)[keyof typeof MonitorAggregation];
export const monitorAggregationName: Readonly<Record<number, string>> = {
  0: 'NONE',
  1: 'LOW',
  2: 'MEDIUM',
  3: 'MAX',
  4: 'SILENT',
};

/** enum nat_direction */
export const NatDirection = {
  Outgoing: 0,
  Incoming: 1,
  Frontend: 2,
} as const;
export type NatDirection = (typeof NatDirection)[keyof typeof NatDirection];
export const natDirectionName: Readonly<Record<number, string>> = {
  0: 'OUTGOING',
  1: 'INCOMING',
  2: 'FRONTEND',
};

/** enum observation_point */
export const ObservationPoint = {
  ToEndpoint: 0,
  ToProxy: 1,
  ToHost: 2,
  ToStack: 3,
  ToOverlay: 4,
  FromEndpoint: 5,
  FromOverlay: 9,
  FromNetwork: 10,
  ToNetwork: 11,
} as const;
export type ObservationPoint = (typeof ObservationPoint)[keyof typeof ObservationPoint];
export const observationPointName: Readonly<Record<number, string>> = {
  0: 'TO_ENDPOINT',
  1: 'TO_PROXY',
  2: 'TO_HOST',
  3: 'TO_STACK',
  4: 'TO_OVERLAY',
  5: 'FROM_ENDPOINT',
  9: 'FROM_OVERLAY',
  10: 'FROM_NETWORK',
  11: 'TO_NETWORK',
};

/** enum policy_match */
export const PolicyMatch = {
  None: 0,
  L3Only: 1,
  L3L4: 2,
  L4Only: 3,
  All: 4,
  L3Proto: 5,
  ProtoOnly: 6,
} as const;
export type PolicyMatch = (typeof PolicyMatch)[keyof typeof PolicyMatch];
export const policyMatchName: Readonly<Record<number, string>> = {
  0: 'NONE',
  1: 'L3_ONLY',
  2: 'L3_L4',
  3: 'L4_ONLY',
  4: 'ALL',
  5: 'L3_PROTO',
  6: 'PROTO_ONLY',
};

/** enum policy_verdict_flag */
export const PolicyVerdictFlag = {
  KeepEstablished: 1,
  AskNames: 2,
} as const;
export type PolicyVerdictFlag = (typeof PolicyVerdictFlag)[keyof typeof PolicyVerdictFlag];
export const policyVerdictFlagName: Readonly<Record<number, string>> = {
  1: 'KEEP_ESTABLISHED',
  2: 'ASK_NAMES',
};

/** enum policy_verdict_kind */
export const PolicyVerdictKind = {
  Allow: 1,
  Deny: 2,
  Redirect: 3,
  Audit: 4,
} as const;
export type PolicyVerdictKind = (typeof PolicyVerdictKind)[keyof typeof PolicyVerdictKind];
export const policyVerdictKindName: Readonly<Record<number, string>> = {
  1: 'ALLOW',
  2: 'DENY',
  3: 'REDIRECT',
  4: 'AUDIT',
};

/** enum proxy_connection_flag */
export const ProxyConnectionFlag = {
  Revoked: 1,
} as const;
export type ProxyConnectionFlag = (typeof ProxyConnectionFlag)[keyof typeof ProxyConnectionFlag];
export const proxyConnectionFlagName: Readonly<Record<number, string>> = {
  1: 'REVOKED',
};

/** enum redirect_exempt_kind */
export const RedirectExemptKind = {
  Endpoint: 0,
  Netns: 1,
} as const;
export type RedirectExemptKind = (typeof RedirectExemptKind)[keyof typeof RedirectExemptKind];
export const redirectExemptKindName: Readonly<Record<number, string>> = {
  0: 'ENDPOINT',
  1: 'NETNS',
};

/** enum runtime_flag */
export const RuntimeFlag = {
  HostPolicy: 1,
  MasqueradeExclusions: 2,
  Names: 4,
} as const;
export type RuntimeFlag = (typeof RuntimeFlag)[keyof typeof RuntimeFlag];
export const runtimeFlagName: Readonly<Record<number, string>> = {
  1: 'HOST_POLICY',
  2: 'MASQUERADE_EXCLUSIONS',
  4: 'NAMES',
};

/** enum service_flag */
export const ServiceFlag = {
  Routable: 1,
  TwoScopes: 2,
  SourceRanges: 4,
  SourceDeny: 8,
  Silent: 16,
  Dsr: 32,
  Nat46x64: 64,
  HostOnly: 128,
  RedirectExempt: 256,
} as const;
export type ServiceFlag = (typeof ServiceFlag)[keyof typeof ServiceFlag];
export const serviceFlagName: Readonly<Record<number, string>> = {
  1: 'ROUTABLE',
  2: 'TWO_SCOPES',
  4: 'SOURCE_RANGES',
  8: 'SOURCE_DENY',
  16: 'SILENT',
  32: 'DSR',
  64: 'NAT46X64',
  128: 'HOST_ONLY',
  256: 'REDIRECT_EXEMPT',
};

/** enum service_scope */
export const ServiceScope = {
  External: 0,
  Internal: 1,
  Original: 2,
} as const;
export type ServiceScope = (typeof ServiceScope)[keyof typeof ServiceScope];
export const serviceScopeName: Readonly<Record<number, string>> = {
  0: 'EXTERNAL',
  1: 'INTERNAL',
  2: 'ORIGINAL',
};

/** enum service_source_form */
export const ServiceSourceForm = {
  Allow: 1,
  Deny: 2,
} as const;
export type ServiceSourceForm = (typeof ServiceSourceForm)[keyof typeof ServiceSourceForm];
export const serviceSourceFormName: Readonly<Record<number, string>> = {
  1: 'ALLOW',
  2: 'DENY',
};

/** enum service_type */
export const ServiceType = {
  ClusterIp: 0,
  NodePort: 1,
  ExternalIp: 2,
  LoadBalancer: 3,
  HostPort: 4,
  LocalRedirect: 5,
} as const;
export type ServiceType = (typeof ServiceType)[keyof typeof ServiceType];
export const serviceTypeName: Readonly<Record<number, string>> = {
  0: 'CLUSTER_IP',
  1: 'NODE_PORT',
  2: 'EXTERNAL_IP',
  3: 'LOAD_BALANCER',
  4: 'HOST_PORT',
  5: 'LOCAL_REDIRECT',
};

/** enum socket_service_kind */
export const SocketServiceKind = {
  Peer: 0,
  Choice: 1,
} as const;
export type SocketServiceKind = (typeof SocketServiceKind)[keyof typeof SocketServiceKind];
export const socketServiceKindName: Readonly<Record<number, string>> = {
  0: 'PEER',
  1: 'CHOICE',
};
