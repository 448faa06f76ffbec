// Generated from build/cirri.bpf.o by tools/generate.ts. Do not edit: change the C and generate again.
import { bytesCodec, emptyCodec, u32Codec, u64Codec, u8Codec } from '../../ebpf/codec.ts';
import type { MapSpec } from '../../ebpf/map.ts';
import {
  type Affinity, affinityCodec,
  type AffinityKey, affinityKeyCodec,
  type Backend, backendCodec,
  type BackendKey, backendKeyCodec,
  type ConnectionEvent, connectionEventCodec,
  type ConntrackEntry, conntrackEntryCodec,
  type ConntrackKey, conntrackKeyCodec,
  type DnsRoom, dnsRoomCodec,
  type Endpoint, endpointCodec,
  type EndpointKey, endpointKeyCodec,
  type Fragment, fragmentCodec,
  type FragmentKey, fragmentKeyCodec,
  type GoneBackendKey, goneBackendKeyCodec,
  type HttpConnection, httpConnectionCodec,
  type HttpCounts, httpCountsCodec,
  type HttpRecord, httpRecordCodec,
  type HttpRoom, httpRoomCodec,
  type HttpSet, httpSetCodec,
  type HttpTrial, httpTrialCodec,
  type IpcacheEntry, ipcacheEntryCodec,
  type IpcacheKey, ipcacheKeyCodec,
  type JoinedSocket, joinedSocketCodec,
  type MasqueradeExclusionKey, masqueradeExclusionKeyCodec,
  type Metric, metricCodec,
  type MetricKey, metricKeyCodec,
  type NameAddress, nameAddressCodec,
  type NameAddressKey, nameAddressKeyCodec,
  type NameHead, nameHeadCodec,
  type NamePending, namePendingCodec,
  type NamePendingKey, namePendingKeyCodec,
  type NameRingKey, nameRingKeyCodec,
  type NameRoom, nameRoomCodec,
  type NameRule, nameRuleCodec,
  type NameRuleKey, nameRuleKeyCodec,
  type NameState, nameStateCodec,
  type NamespaceEndpoint, namespaceEndpointCodec,
  type NatEntry, natEntryCodec,
  type NatKey, natKeyCodec,
  type PolicyClass, policyClassCodec,
  type PolicyClassKey, policyClassKeyCodec,
  type PolicyVerdict, policyVerdictCodec,
  type PolicyVerdictKey, policyVerdictKeyCodec,
  type ProxyConnection, proxyConnectionCodec,
  type ProxyConnectionKey, proxyConnectionKeyCodec,
  type RedirectExemptKey, redirectExemptKeyCodec,
  type ReportBudget, reportBudgetCodec,
  type RuleStat, ruleStatCodec,
  type Runtime, runtimeCodec,
  type Service, serviceCodec,
  type ServiceAddress, serviceAddressCodec,
  type ServiceId, serviceIdCodec,
  type ServiceKey, serviceKeyCodec,
  type ServiceMemberKey, serviceMemberKeyCodec,
  type ServiceSlot, serviceSlotCodec,
  type ServiceSlotKey, serviceSlotKeyCodec,
  type ServiceSourceKey, serviceSourceKeyCodec,
  type ShadowKey, shadowKeyCodec,
  type SocketPair, socketPairCodec,
  type SocketReference, socketReferenceCodec,
  type SocketService, socketServiceCodec,
  type SocketServiceKey, socketServiceKeyCodec,
} from './structs.ts';

const affinities: MapSpec<AffinityKey, Affinity> = {
  name: 'affinities', type: 9, maxEntries: 65536, flags: 0,
  key: affinityKeyCodec, value: affinityCodec, perCpu: false, layoutHash: '3c70f6c8',
};

const backends: MapSpec<BackendKey, Backend> = {
  name: 'backends', type: 1, maxEntries: 262144, flags: 0,
  key: backendKeyCodec, value: backendCodec, perCpu: false, layoutHash: 'd031d1e0',
};

const connectionCounts: MapSpec<number, bigint> = {
  name: 'connection_counts', type: 6, maxEntries: 5, flags: 0,
  key: u32Codec, value: u64Codec, perCpu: true, layoutHash: '3c56490d',
};

const conntrack: MapSpec<ConntrackKey, ConntrackEntry> = {
  name: 'conntrack', type: 9, maxEntries: 524288, flags: 0,
  key: conntrackKeyCodec, value: conntrackEntryCodec, perCpu: false, layoutHash: '97b5925c',
};

const dnsRooms: MapSpec<number, DnsRoom> = {
  name: 'dns_rooms', type: 6, maxEntries: 1, flags: 0,
  key: u32Codec, value: dnsRoomCodec, perCpu: true, layoutHash: 'a6b50d0a',
};

const dropEvents: MapSpec<undefined, undefined> = {
  name: 'drop_events', type: 27, maxEntries: 8388608, flags: 0,
  key: emptyCodec, value: emptyCodec, perCpu: false, layoutHash: '5ca1c08b',
};

const endpoints: MapSpec<EndpointKey, Endpoint> = {
  name: 'endpoints', type: 1, maxEntries: 65536, flags: 0,
  key: endpointKeyCodec, value: endpointCodec, perCpu: false, layoutHash: '5222b031',
};

const eventRooms: MapSpec<number, ConnectionEvent> = {
  name: 'event_rooms', type: 6, maxEntries: 1, flags: 0,
  key: u32Codec, value: connectionEventCodec, perCpu: true, layoutHash: '3789ce35',
};

const flowEvents: MapSpec<undefined, undefined> = {
  name: 'flow_events', type: 27, maxEntries: 4194304, flags: 0,
  key: emptyCodec, value: emptyCodec, perCpu: false, layoutHash: '51e1d247',
};

const fragments: MapSpec<FragmentKey, Fragment> = {
  name: 'fragments', type: 9, maxEntries: 8192, flags: 0,
  key: fragmentKeyCodec, value: fragmentCodec, perCpu: false, layoutHash: 'de198636',
};

const goneBackends: MapSpec<GoneBackendKey, number> = {
  name: 'gone_backends', type: 1, maxEntries: 4096, flags: 0,
  key: goneBackendKeyCodec, value: u32Codec, perCpu: false, layoutHash: 'df5fe996',
};

const hostBackends: MapSpec<number, number> = {
  name: 'host_backends', type: 2, maxEntries: 1, flags: 0,
  key: u32Codec, value: u32Codec, perCpu: false, layoutHash: '4738cd1f',
};

const httpBlanks: MapSpec<number, HttpConnection> = {
  name: 'http_blanks', type: 6, maxEntries: 1, flags: 0,
  key: u32Codec, value: httpConnectionCodec, perCpu: true, layoutHash: 'f3a61cb8',
};

const httpConnections: MapSpec<ProxyConnectionKey, HttpConnection> = {
  name: 'http_connections', type: 1, maxEntries: 65536, flags: 1,
  key: proxyConnectionKeyCodec, value: httpConnectionCodec, perCpu: false, layoutHash: 'aa2bbe9f',
};

const httpCounts: MapSpec<number, HttpCounts> = {
  name: 'http_counts', type: 6, maxEntries: 1, flags: 0,
  key: u32Codec, value: httpCountsCodec, perCpu: true, layoutHash: '803bb4d5',
};

const httpReaders: MapSpec<number, number> = {
  name: 'http_readers', type: 3, maxEntries: 1, flags: 0,
  key: u32Codec, value: u32Codec, perCpu: false, layoutHash: '5ad797e8',
};

const httpRecords: MapSpec<number, HttpRecord> = {
  name: 'http_records', type: 6, maxEntries: 1, flags: 0,
  key: u32Codec, value: httpRecordCodec, perCpu: true, layoutHash: 'a350ecf1',
};

const httpRooms: MapSpec<number, HttpRoom> = {
  name: 'http_rooms', type: 6, maxEntries: 1, flags: 0,
  key: u32Codec, value: httpRoomCodec, perCpu: true, layoutHash: '8c706956',
};

const httpSets: MapSpec<number, number, HttpSet> = {
  name: 'http_sets', type: 13, maxEntries: 512, flags: 0,
  key: u32Codec, value: u32Codec, perCpu: false, layoutHash: 'b889753f',
  inner: { name: 'http_sets_inner', type: 2, maxEntries: 1, flags: 0, key: u32Codec, value: httpSetCodec, perCpu: false, layoutHash: '8111bb8e' },
};

const httpTrials: MapSpec<number, HttpTrial> = {
  name: 'http_trials', type: 2, maxEntries: 1, flags: 0,
  key: u32Codec, value: httpTrialCodec, perCpu: false, layoutHash: '5f3ff33e',
};

const ipcache: MapSpec<IpcacheKey, IpcacheEntry> = {
  name: 'ipcache', type: 11, maxEntries: 512000, flags: 1,
  key: ipcacheKeyCodec, value: ipcacheEntryCodec, perCpu: false, layoutHash: 'b65c1343',
};

const joinedSockets: MapSpec<bigint, JoinedSocket> = {
  name: 'joined_sockets', type: 1, maxEntries: 131072, flags: 1,
  key: u64Codec, value: joinedSocketCodec, perCpu: false, layoutHash: '00c93cea',
};

const lostEvents: MapSpec<number, bigint> = {
  name: 'lost_events', type: 6, maxEntries: 3, flags: 0,
  key: u32Codec, value: u64Codec, perCpu: true, layoutHash: '1984b54e',
};

const maglev: MapSpec<ServiceId, number> = {
  name: 'maglev', type: 13, maxEntries: 65536, flags: 1,
  key: serviceIdCodec, value: u32Codec, perCpu: false, layoutHash: '3808a26b',
  inner: { name: 'maglev_inner', type: 2, maxEntries: 1, flags: 5120, key: u32Codec, value: u32Codec, perCpu: false, layoutHash: '36b45fba' },
};

const masqueradeExclusions: MapSpec<MasqueradeExclusionKey, number> = {
  name: 'masquerade_exclusions', type: 11, maxEntries: 16384, flags: 1,
  key: masqueradeExclusionKeyCodec, value: u32Codec, perCpu: false, layoutHash: '163584e3',
};

const messagePrograms: MapSpec<number, number> = {
  name: 'message_programs', type: 3, maxEntries: 1, flags: 0,
  key: u32Codec, value: u32Codec, perCpu: false, layoutHash: '5ad797e8',
};

const metrics: MapSpec<MetricKey, Metric> = {
  name: 'metrics', type: 6, maxEntries: 1024, flags: 0,
  key: metricKeyCodec, value: metricCodec, perCpu: true, layoutHash: '2a50f768',
};

const nameAddresses: MapSpec<NameAddressKey, NameAddress> = {
  name: 'name_addresses', type: 1, maxEntries: 524288, flags: 1,
  key: nameAddressKeyCodec, value: nameAddressCodec, perCpu: false, layoutHash: '9800ac0e',
};

const nameAutomaton: MapSpec<number, number, NameState> = {
  name: 'name_automaton', type: 12, maxEntries: 1, flags: 0,
  key: u32Codec, value: u32Codec, perCpu: false, layoutHash: '63af0471',
  inner: { name: 'name_automaton_inner', type: 2, maxEntries: 2, flags: 4096, key: u32Codec, value: nameStateCodec, perCpu: false, layoutHash: '5b02d643' },
};

const nameEvents: MapSpec<undefined, undefined> = {
  name: 'name_events', type: 27, maxEntries: 1048576, flags: 0,
  key: emptyCodec, value: emptyCodec, perCpu: false, layoutHash: '8ecf136d',
};

const nameHeads: MapSpec<number, NameHead> = {
  name: 'name_heads', type: 1, maxEntries: 65536, flags: 1,
  key: u32Codec, value: nameHeadCodec, perCpu: false, layoutHash: '35a48686',
};

const namePending: MapSpec<NamePendingKey, NamePending> = {
  name: 'name_pending', type: 1, maxEntries: 65536, flags: 1,
  key: namePendingKeyCodec, value: namePendingCodec, perCpu: false, layoutHash: 'ff247947',
};

const nameRings: MapSpec<NameRingKey, Uint8Array> = {
  name: 'name_rings', type: 1, maxEntries: 524288, flags: 1,
  key: nameRingKeyCodec, value: bytesCodec(16), perCpu: false, layoutHash: '27a39a28',
};

const nameRooms: MapSpec<number, NameRoom> = {
  name: 'name_rooms', type: 6, maxEntries: 1, flags: 0,
  key: u32Codec, value: nameRoomCodec, perCpu: true, layoutHash: '4e754200',
};

const nameRules: MapSpec<NameRuleKey, NameRule> = {
  name: 'name_rules', type: 1, maxEntries: 262144, flags: 1,
  key: nameRuleKeyCodec, value: nameRuleCodec, perCpu: false, layoutHash: '4427c439',
};

const namespaceEndpoints: MapSpec<NamespaceEndpoint, number> = {
  name: 'namespace_endpoints', type: 1, maxEntries: 65536, flags: 1,
  key: namespaceEndpointCodec, value: u8Codec, perCpu: false, layoutHash: '854b6e1d',
};

const nat: MapSpec<NatKey, NatEntry> = {
  name: 'nat', type: 9, maxEntries: 262144, flags: 0,
  key: natKeyCodec, value: natEntryCodec, perCpu: false, layoutHash: '39967716',
};

const policyClasses: MapSpec<PolicyClassKey, PolicyClass> = {
  name: 'policy_classes', type: 1, maxEntries: 1048576, flags: 1,
  key: policyClassKeyCodec, value: policyClassCodec, perCpu: false, layoutHash: 'f3b3642d',
};

const policyVerdicts: MapSpec<PolicyVerdictKey, PolicyVerdict> = {
  name: 'policy_verdicts', type: 11, maxEntries: 1048576, flags: 1,
  key: policyVerdictKeyCodec, value: policyVerdictCodec, perCpu: false, layoutHash: '1b833737',
};

const proxyConnections: MapSpec<ProxyConnectionKey, ProxyConnection> = {
  name: 'proxy_connections', type: 9, maxEntries: 131072, flags: 0,
  key: proxyConnectionKeyCodec, value: proxyConnectionCodec, perCpu: false, layoutHash: '0b731eaa',
};

const proxyListeners: MapSpec<number, bigint> = {
  name: 'proxy_listeners', type: 15, maxEntries: 32, flags: 0,
  key: u32Codec, value: u64Codec, perCpu: false, layoutHash: '0d426e78',
};

const redirectExempt: MapSpec<RedirectExemptKey, number> = {
  name: 'redirect_exempt', type: 1, maxEntries: 4096, flags: 0,
  key: redirectExemptKeyCodec, value: u32Codec, perCpu: false, layoutHash: '99f92306',
};

const reportBudgets: MapSpec<number, ReportBudget> = {
  name: 'report_budgets', type: 6, maxEntries: 1, flags: 0,
  key: u32Codec, value: reportBudgetCodec, perCpu: true, layoutHash: '9d991511',
};

const ruleStats: MapSpec<number, RuleStat> = {
  name: 'rule_stats', type: 10, maxEntries: 65536, flags: 0,
  key: u32Codec, value: ruleStatCodec, perCpu: true, layoutHash: '8d8f196e',
};

const runtime: MapSpec<number, Runtime> = {
  name: 'runtime', type: 2, maxEntries: 1, flags: 1024,
  key: u32Codec, value: runtimeCodec, perCpu: false, layoutHash: 'c7985c92',
};

const serviceAddresses: MapSpec<ServiceId, ServiceAddress> = {
  name: 'service_addresses', type: 1, maxEntries: 131072, flags: 0,
  key: serviceIdCodec, value: serviceAddressCodec, perCpu: false, layoutHash: 'bff7dd50',
};

const serviceMembers: MapSpec<ServiceMemberKey, number> = {
  name: 'service_members', type: 1, maxEntries: 262144, flags: 1,
  key: serviceMemberKeyCodec, value: u32Codec, perCpu: false, layoutHash: 'd761c594',
};

const serviceSlots: MapSpec<ServiceSlotKey, ServiceSlot> = {
  name: 'service_slots', type: 1, maxEntries: 1048576, flags: 1,
  key: serviceSlotKeyCodec, value: serviceSlotCodec, perCpu: false, layoutHash: '91ba9483',
};

const serviceSources: MapSpec<ServiceSourceKey, number> = {
  name: 'service_sources', type: 11, maxEntries: 65536, flags: 1,
  key: serviceSourceKeyCodec, value: u32Codec, perCpu: false, layoutHash: '6fd1bc60',
};

const services: MapSpec<ServiceKey, Service> = {
  name: 'services', type: 1, maxEntries: 131072, flags: 0,
  key: serviceKeyCodec, value: serviceCodec, perCpu: false, layoutHash: 'd95e893b',
};

const shadowStats: MapSpec<ShadowKey, RuleStat> = {
  name: 'shadow_stats', type: 10, maxEntries: 16384, flags: 0,
  key: shadowKeyCodec, value: ruleStatCodec, perCpu: true, layoutHash: 'a297b66d',
};

const socketPairs: MapSpec<SocketPair, SocketReference> = {
  name: 'socket_pairs', type: 1, maxEntries: 131072, flags: 1,
  key: socketPairCodec, value: socketReferenceCodec, perCpu: false, layoutHash: 'f9559fef',
};

const socketServices: MapSpec<SocketServiceKey, SocketService> = {
  name: 'socket_services', type: 9, maxEntries: 262144, flags: 0,
  key: socketServiceKeyCodec, value: socketServiceCodec, perCpu: false, layoutHash: '343c25ba',
};

const sockets: MapSpec<bigint, bigint> = {
  name: 'sockets', type: 18, maxEntries: 131072, flags: 0,
  key: u64Codec, value: u64Codec, perCpu: false, layoutHash: '2f0a5185',
};

const sweepConnections: MapSpec<number, ConntrackKey> = {
  name: 'sweep_connections', type: 2, maxEntries: 1024, flags: 0,
  key: u32Codec, value: conntrackKeyCodec, perCpu: false, layoutHash: '67068578',
};

const sweepMappings: MapSpec<number, NatKey> = {
  name: 'sweep_mappings', type: 2, maxEntries: 1024, flags: 0,
  key: u32Codec, value: natKeyCodec, perCpu: false, layoutHash: '2e63eb48',
};

const sweepRequests: MapSpec<number, ProxyConnectionKey> = {
  name: 'sweep_requests', type: 2, maxEntries: 1024, flags: 0,
  key: u32Codec, value: proxyConnectionKeyCodec, perCpu: false, layoutHash: 'a6ce1c26',
};

const xdpPackets: MapSpec<number, bigint> = {
  name: 'xdp_packets', type: 6, maxEntries: 2, flags: 0,
  key: u32Codec, value: u64Codec, perCpu: true, layoutHash: '386f6048',
};

export const maps = {
  affinities,
  backends,
  connectionCounts,
  conntrack,
  dnsRooms,
  dropEvents,
  endpoints,
  eventRooms,
  flowEvents,
  fragments,
  goneBackends,
  hostBackends,
  httpBlanks,
  httpConnections,
  httpCounts,
  httpReaders,
  httpRecords,
  httpRooms,
  httpSets,
  httpTrials,
  ipcache,
  joinedSockets,
  lostEvents,
  maglev,
  masqueradeExclusions,
  messagePrograms,
  metrics,
  nameAddresses,
  nameAutomaton,
  nameEvents,
  nameHeads,
  namePending,
  nameRings,
  nameRooms,
  nameRules,
  namespaceEndpoints,
  nat,
  policyClasses,
  policyVerdicts,
  proxyConnections,
  proxyListeners,
  redirectExempt,
  reportBudgets,
  ruleStats,
  runtime,
  serviceAddresses,
  serviceMembers,
  serviceSlots,
  serviceSources,
  services,
  shadowStats,
  socketPairs,
  socketServices,
  sockets,
  sweepConnections,
  sweepMappings,
  sweepRequests,
  xdpPackets,
} as const;
