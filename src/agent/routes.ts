import { release } from 'node:os';
import type { NodeDevices } from '../datapath/node-devices.ts';
import type { OpenedMaps } from '../datapath/maps.ts';
import type { Acceleration } from '../datapath/acceleration.ts';
import type { Programs } from '../datapath/programs.ts';
import type { NetworkIdentities } from '../features/addresses/network-identities.ts';
import type { NodeIdentities } from '../features/addresses/node-identities.ts';
import type { PrefixIdentities } from '../features/addresses/prefix-identities.ts';
import { mapOccupancy } from '../features/conntrack/occupancy.ts';
import type { SweepRound } from '../features/conntrack/sweep.ts';
import { endpointAddresses, type Endpoint } from '../features/endpoints/endpoint.ts';
import { httpConnections } from '../features/http-kernel/connections.ts';
import type { Identity } from '../features/identities/allocate.ts';
import type { Masquerade } from '../features/masquerade/start.ts';
import type { FlowPipeline } from '../flows/pipeline.ts';
import { serveSample } from '../flows/sample.ts';
import { serveFlows } from '../flows/serve.ts';
import type { ServiceMap } from '../flows/watch-map.ts';
import type { AddressPool } from '../ipam/pool.ts';
import type { ClusterRecord, NodeRecord } from '../model/cluster.ts';
import { identityScope } from '../model/identity.ts';
import type { AgentStatus, FeatureStatus, PolicyAuditStatus, TableStatus } from '../model/status.ts';
import type { RuleInfo } from '../policy/compile.ts';
import type { RowStatus } from '../table/reconcile.ts';
import type { Table } from '../table/table.ts';
import { flowRoutes } from './flow-routes.ts';
import { fqdnRoutes, namesWithoutRoom, type FqdnRoutesParts } from './fqdn-routes.ts';
import { hostEndpointId } from './host-policy.ts';
import { reflectors, type Inputs } from './inputs.ts';
import { conntrackRows, ruleStats, shadowStats, type KernelReportsDependencies } from './kernel-reports.ts';
import { auditNames, auditReason, type AuditReason, type AuditSources } from './audit.ts';
import type { Enforcement } from './enforcement.ts';
import { kubeProxyReplacement, kubeProxyReplacementFeature, nodeMtu, plainFeatures } from './features.ts';
import type { PolicyInputs, PolicyReport } from './policy-inputs.ts';
import type { L7MetricParts } from './l7-metrics.ts';
import type { Regenerator } from './regenerate.ts';
import type { ServiceInputs } from './service-inputs.ts';
import { answered, type Routes } from './server.ts';
import type { Services } from '../features/services/start.ts';

/** All that the routes show. They only read. */
export interface AgentParts {
  readonly l7: L7MetricParts;
  readonly record: ClusterRecord;
  readonly node: NodeRecord;
  readonly startedAt: string;
  readonly devices: NodeDevices;
  readonly programs: Programs;
  readonly opened: OpenedMaps;
  readonly inputs: Inputs;
  readonly identities: Table<Identity>;
  readonly endpoints: Table<Endpoint>;
  readonly regenerator: Regenerator;
  readonly policies: PolicyInputs;
  readonly enforcement: Enforcement;
  readonly services: Services;
  readonly serviceInputs: ServiceInputs;
  readonly masquerade: Masquerade;
  readonly acceleration: Acceleration;
  /** What capabilities say of themselves in the status. */
  readonly features: readonly (() => FeatureStatus)[];
  readonly flows: FlowPipeline;
  readonly map: ServiceMap;
  readonly pool: AddressPool;
  readonly prefixes: PrefixIdentities;
  readonly nodeIdentities: NodeIdentities;
  readonly networkIdentities: NetworkIdentities;
  readonly names: FqdnRoutesParts['names'];
  readonly auditSources: AuditSources;
  readonly isSynced: () => boolean;
  readonly rule: (id: number) => RuleInfo | undefined;
  readonly identityLabels: (identity: number) => readonly string[] | undefined;
  readonly policyAudit: { readonly status: PolicyAuditStatus };
  readonly conntrackSweep: { readonly last: SweepRound; readonly rounds: number };
}

interface Reconciled {
  readonly table: Table<never>;
  readonly reconciler: { readonly pending: number; readonly failed: number; statuses(): Iterable<RowStatus> };
}

export function agentRoutes(parts: AgentParts): Routes {
  const { endpoints, identities, regenerator, prefixes, services, flows, opened } = parts;
  const tables = reconciledTables(parts);
  return {
    '/v1/status': () => agentStatus(parts, tables),
    '/v1/flows': async ({ request, response }) => {
      await serveFlows(flows, request, response);
      return answered;
    },
    ...flowRoutes(parts),
    ...fqdnRoutes({ ...parts, connections: () => conntrackRows(kernelReports(parts)) }),
    '/v1/flows/sample': ({ request, response }) => {
      serveSample(flows, request, response);
      return answered;
    },
    '/v1/endpoints': () => [...endpoints.rows()].map(endpoint => ({ ...endpoint, sets: describeSets(regenerator, endpoint), ...describeAudit(parts, endpoint) })),
    '/v1/identities': () => [
      ...[...identities.rows()].map(identity => ({ id: identity.id, labels: identity.labels.array })),
      ...[...prefixes.entries()].map(([prefix, id]) => ({ id, labels: prefixes.labels(id)?.array ?? [], prefix })),
      ...[...parts.nodeIdentities.entries(), ...parts.networkIdentities.entries(), ...parts.names.entries()].filter(([id]) => identityScope(id) !== 'reserved').map(([id, labels]) => ({ id, labels: labels.array })),
    ],
    '/v1/ipcache': () => [...regenerator.addresses.rows()],
    '/v1/services': () => services.list(),
    '/v1/external-addresses': () => [...parts.serviceInputs.external.table.rows()],
    '/v1/local-redirects': () => [...parts.serviceInputs.redirects.table.rows()],
    '/v1/policy/sets': () => [...regenerator.sets.loaded].map(set => ({ id: set.id, hash: set.hash, verdicts: set.verdicts, classes: Object.fromEntries(set.classes) })),
    '/v1/policy/verify': () => ({ differences: regenerator.sets.verify() }),
    '/v1/policy/stats': () => ruleStats(kernelReports(parts)),
    '/v1/policy/shadow': () => shadowStats(kernelReports(parts)),
    '/v1/conntrack': () => conntrackRows(kernelReports(parts)),
    '/v1/l7/kernel': () => parts.l7.kernel.report(parts.l7.inUse()),
    '/v1/l7/kernel/connections': () => httpConnections(opened),
    '/v1/policies': () => policyReports(parts),
    '/v1/cidr-groups': () => parts.policies.groups(),
    '/v1/tables': () => tables.map(({ table }) => table.name),
    '/v1/tables/': ({ rest }) => {
      const found = tables.find(({ table }) => table.name === rest);
      return found && { name: rest, rows: [...found.table.rows()], notDone: [...found.reconciler.statuses()] };
    },
    '/v1/maps/': ({ rest, url }) => {
      const map = (opened.maps as unknown as Record<string, { readonly spec: { readonly name: string }; entries(): Iterable<readonly [unknown, unknown]> }>)[rest];
      return map && firstEntries(map.entries(), Number(url.searchParams.get('limit') ?? 1000));
    },
  };
}

export function policyReports({ policies, enforcement, names }: Pick<AgentParts, 'policies' | 'enforcement'> & { readonly names: Pick<AgentParts['names'], 'automaton'> }): PolicyReport[] {
  const versions = policies.versions();
  return policies.report(version => namesWithoutRoom(version.policy, names.automaton?.leftOut) ?? enforcement.of(version, versions));
}

function kernelReports({ opened, endpoints, node, rule, identityLabels }: AgentParts): KernelReportsDependencies {
  const names = new Map<number, string>([...endpoints.rows()].filter(endpoint => endpoint.podName !== '').map(endpoint => [endpoint.id, `${endpoint.namespace}/${endpoint.podName}`] as const));
  names.set(hostEndpointId, node.name);
  return { maps: opened.maps, rule, labels: identityLabels, endpointName: id => names.get(id) };
}

/** Valid policies that the kernel does not hold, with the reason: the invalid ones are counted, and say why on the object. */
function notEnforced(parts: AgentParts): { readonly address: string; readonly error: string }[] {
  return policyReports(parts).filter(report => !report.enforced && !report.pending && report.errors.length === 0).slice(0, 20).map(({ address, error }) => ({ address, error: error ?? '' }));
}

export function reconciledTables({ regenerator, services, masquerade }: AgentParts): Reconciled[] {
  return [
    { table: regenerator.addresses as unknown as Table<never>, reconciler: regenerator.addressReconciler },
    { table: regenerator.endpointRows as unknown as Table<never>, reconciler: regenerator.endpointReconciler },
    { table: services.table as unknown as Table<never>, reconciler: services.reconciler },
    { table: masquerade.table as unknown as Table<never>, reconciler: masquerade.reconciler },
  ];
}

function agentStatus(parts: AgentParts, tables: readonly Reconciled[]): AgentStatus {
  const { endpoints, regenerator, node, inputs } = parts;
  const notReady = reasonsNotReady(parts);
  const connected = reflectors(inputs).every(input => input.state.connected);
  const lastContact = Math.max(0, ...reflectors(inputs).map(input => input.state.lastContact ?? 0));
  const error = reflectors(inputs).map(input => input.state.error).find(text => text !== undefined);
  const stats = parts.flows.stats;
  const replacement = kubeProxyReplacement(parts.record, node, parts.acceleration.mode);
  return {
    node: node.name,
    version: parts.record.version,
    pid: process.pid,
    startedAt: parts.startedAt,
    ready: notReady.length === 0,
    notReady,
    kernel: release(),
    memoryRssBytes: process.memoryUsage.rss(),
    features: [...plainFeatures(parts.record, parts.devices), kubeProxyReplacementFeature(replacement), ...parts.features.map(feature => feature())],
    kubeProxyReplacement: replacement,
    mtu: nodeMtu(parts.record, parts.devices),
    maps: mapUse(parts),
    programs: parts.programs.attached,
    endpoints: { total: endpoints.size, ready: [...endpoints.rows()].filter(endpoint => regenerator.setsOf(endpoint)).length },
    identities: parts.identities.size,
    services: parts.services.table.size,
    policies: { ...parts.policies.counts, sets: regenerator.sets.size, notEnforced: notEnforced(parts) },
    kubernetes: {
      connected,
      ...(lastContact > 0 ? { lastContact: new Date(lastContact).toISOString() } : {}),
      ...(error === undefined ? {} : { error }),
    },
    tables: tables.map(({ table, reconciler }): TableStatus => ({ name: table.name, rows: table.size, pending: reconciler.pending - reconciler.failed, failed: reconciler.failed, synced: table.synced })),
    audit: auditNames(endpoints.rows(), parts.auditSources),
    errors: errors(regenerator, tables),
    events: { flows: stats.flows, drops: stats.drops, lostFlows: stats.lostFlows, lostDrops: stats.lostDrops, lostNames: stats.lostNames, vanished: parts.conntrackSweep.last.vanished },
    addresses: {
      ipv4: { cidr: node.podCidr4, allocated: parts.pool.allocated, capacity: parts.pool.capacity },
      ipv6: { cidr: node.podCidr6, allocated: parts.pool.allocated, capacity: parts.pool.capacity },
    },
    policyAudit: parts.policyAudit.status,
  };
}

function reasonsNotReady({ isSynced, inputs, regenerator, endpoints }: AgentParts): string[] {
  const reasons: string[] = [];
  if (!isSynced()) reasons.push(`waiting for the first list of ${reflectors(inputs).filter(input => !input.table.synced).map(input => input.table.name).join(', ') || 'the Secrets that policies name'}`);
  else if (!regenerator.endpointReconciler.settled || !regenerator.addressReconciler.settled) reasons.push('the kernel is being brought up to date');
  const without = [...endpoints.rows()].filter(endpoint => !regenerator.setsOf(endpoint)).length;
  if (isSynced() && without > 0) reasons.push(`${without} endpoints without policy in the kernel`);
  return reasons;
}

/** Tries are not counted by the kernel, and before Linux 6.6 nothing is: then by what the agent has put in, and the last sweep. */
export function mapUse({ opened, programs, regenerator, conntrackSweep, services }: AgentParts): AgentStatus['maps'] {
  return mapOccupancy({
    maps: opened.maps, count: programs.program('occupancy_count'),
    known: {
      endpoints: () => regenerator.endpointRows.size,
      ipcache: () => regenerator.addresses.size,
      policyVerdicts: () => [...regenerator.sets.loaded].reduce((sum, set) => sum + set.verdicts.length, 0),
      conntrack: () => conntrackSweep.last.connections,
      nat: () => conntrackSweep.last.mappings,
      services: () => services.table.size,
    },
  });
}

function errors(regenerator: Regenerator, tables: readonly Reconciled[]): AgentStatus['errors'] {
  const rows = tables.flatMap(({ table, reconciler }) => [...reconciler.statuses()]
    .filter(status => status.state === 'error')
    .map(status => ({ where: `${table.name} ${status.key}`, message: status.error ?? '', since: new Date(status.since).toISOString(), attempts: status.attempts })));
  const policies = [...regenerator.failures].map(([subject, failure]) => ({ where: `policy of ${subject}`, message: failure.message, since: failure.since, attempts: failure.attempts }));
  return [...policies, ...rows].slice(0, 100);
}

function describeSets(regenerator: Regenerator, endpoint: Endpoint): object | undefined {
  const sets = regenerator.setsOf(endpoint);
  return sets && { ingress: sets.ingress.id, egress: sets.egress.id };
}

/** Why denials pass there, once the kernel's row says so. */
function describeAudit({ regenerator, auditSources }: AgentParts, endpoint: Endpoint): { readonly audit?: AuditReason } {
  const reason = auditReason(endpoint, auditSources);
  const inKernel = endpointAddresses(endpoint).every(address => regenerator.endpointRows.get(address)?.audit === true);
  return reason !== undefined && inKernel ? { audit: reason } : {};
}

function firstEntries(entries: Iterable<readonly [unknown, unknown]>, limit: number): object[] {
  const rows: object[] = [];
  for (const [key, value] of entries) {
    if (rows.length >= limit) break;
    rows.push({ key, value });
  }
  return rows;
}
