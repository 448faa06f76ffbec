// Generated from build/cirri.bpf.o by tools/generate.ts. Do not edit: change the C and generate again.
import { emptyCodec, u32Codec, u64Codec } from '../../ebpf/codec.ts';
import type { MapSpec } from '../../ebpf/map.ts';
import {
  type Backend, backendCodec,
  type BackendKey, backendKeyCodec,
  type ConntrackEntry, conntrackEntryCodec,
  type ConntrackKey, conntrackKeyCodec,
  type Endpoint, endpointCodec,
  type EndpointKey, endpointKeyCodec,
  type Fragment, fragmentCodec,
  type FragmentKey, fragmentKeyCodec,
  type IpcacheEntry, ipcacheEntryCodec,
  type IpcacheKey, ipcacheKeyCodec,
  type Metric, metricCodec,
  type MetricKey, metricKeyCodec,
  type NatEntry, natEntryCodec,
  type NatKey, natKeyCodec,
  type PolicyClass, policyClassCodec,
  type PolicyClassKey, policyClassKeyCodec,
  type PolicyVerdict, policyVerdictCodec,
  type PolicyVerdictKey, policyVerdictKeyCodec,
  type RuleStat, ruleStatCodec,
  type Runtime, runtimeCodec,
  type Service, serviceCodec,
  type ServiceAddress, serviceAddressCodec,
  type ServiceId, serviceIdCodec,
  type ServiceKey, serviceKeyCodec,
  type ServiceSlot, serviceSlotCodec,
  type ServiceSlotKey, serviceSlotKeyCodec,
  type ShadowKey, shadowKeyCodec,
  type SocketService, socketServiceCodec,
  type SocketServiceKey, socketServiceKeyCodec,
} from './structs.ts';

const backends: MapSpec<BackendKey, Backend> = {
  name: 'backends', type: 1, maxEntries: 262144, flags: 0,
  key: backendKeyCodec, value: backendCodec, perCpu: false, layoutHash: 'd031d1e0',
};

const conntrack: MapSpec<ConntrackKey, ConntrackEntry> = {
  name: 'conntrack', type: 9, maxEntries: 524288, flags: 0,
  key: conntrackKeyCodec, value: conntrackEntryCodec, perCpu: false, layoutHash: 'fdea39ec',
};

const dropEvents: MapSpec<undefined, undefined> = {
  name: 'drop_events', type: 27, maxEntries: 2097152, flags: 0,
  key: emptyCodec, value: emptyCodec, perCpu: false, layoutHash: 'd1f3b5c0',
};

const endpoints: MapSpec<EndpointKey, Endpoint> = {
  name: 'endpoints', type: 1, maxEntries: 65536, flags: 0,
  key: endpointKeyCodec, value: endpointCodec, perCpu: false, layoutHash: 'b94673e1',
};

const flowEvents: MapSpec<undefined, undefined> = {
  name: 'flow_events', type: 27, maxEntries: 4194304, flags: 0,
  key: emptyCodec, value: emptyCodec, perCpu: false, layoutHash: '51e1d247',
};

const fragments: MapSpec<FragmentKey, Fragment> = {
  name: 'fragments', type: 9, maxEntries: 8192, flags: 0,
  key: fragmentKeyCodec, value: fragmentCodec, perCpu: false, layoutHash: 'de198636',
};

const ipcache: MapSpec<IpcacheKey, IpcacheEntry> = {
  name: 'ipcache', type: 11, maxEntries: 512000, flags: 1,
  key: ipcacheKeyCodec, value: ipcacheEntryCodec, perCpu: false, layoutHash: 'b65c1343',
};

const lostEvents: MapSpec<number, bigint> = {
  name: 'lost_events', type: 6, maxEntries: 2, flags: 0,
  key: u32Codec, value: u64Codec, perCpu: true, layoutHash: '386f6048',
};

const metrics: MapSpec<MetricKey, Metric> = {
  name: 'metrics', type: 6, maxEntries: 1024, flags: 0,
  key: metricKeyCodec, value: metricCodec, perCpu: true, layoutHash: '2a50f768',
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
  key: policyVerdictKeyCodec, value: policyVerdictCodec, perCpu: false, layoutHash: 'a746274a',
};

const ruleStats: MapSpec<number, RuleStat> = {
  name: 'rule_stats', type: 10, maxEntries: 65536, flags: 0,
  key: u32Codec, value: ruleStatCodec, perCpu: true, layoutHash: '8d8f196e',
};

const runtime: MapSpec<number, Runtime> = {
  name: 'runtime', type: 2, maxEntries: 1, flags: 0,
  key: u32Codec, value: runtimeCodec, perCpu: false, layoutHash: '80e07cdf',
};

const serviceAddresses: MapSpec<ServiceId, ServiceAddress> = {
  name: 'service_addresses', type: 1, maxEntries: 131072, flags: 0,
  key: serviceIdCodec, value: serviceAddressCodec, perCpu: false, layoutHash: 'bff7dd50',
};

const serviceSlots: MapSpec<ServiceSlotKey, ServiceSlot> = {
  name: 'service_slots', type: 1, maxEntries: 1048576, flags: 1,
  key: serviceSlotKeyCodec, value: serviceSlotCodec, perCpu: false, layoutHash: '91ba9483',
};

const services: MapSpec<ServiceKey, Service> = {
  name: 'services', type: 1, maxEntries: 131072, flags: 0,
  key: serviceKeyCodec, value: serviceCodec, perCpu: false, layoutHash: '9a9be4f4',
};

const shadowStats: MapSpec<ShadowKey, RuleStat> = {
  name: 'shadow_stats', type: 10, maxEntries: 16384, flags: 0,
  key: shadowKeyCodec, value: ruleStatCodec, perCpu: true, layoutHash: 'a297b66d',
};

const socketServices: MapSpec<SocketServiceKey, SocketService> = {
  name: 'socket_services', type: 9, maxEntries: 262144, flags: 0,
  key: socketServiceKeyCodec, value: socketServiceCodec, perCpu: false, layoutHash: 'f10bda9e',
};

export const maps = {
  backends,
  conntrack,
  dropEvents,
  endpoints,
  flowEvents,
  fragments,
  ipcache,
  lostEvents,
  metrics,
  nat,
  policyClasses,
  policyVerdicts,
  ruleStats,
  runtime,
  serviceAddresses,
  serviceSlots,
  services,
  shadowStats,
  socketServices,
} as const;
