import { arch } from 'node:os';
import { Direction, dropReasonName as ownReason } from '../datapath/generated/enums.ts';
import { endpointAddresses, type Endpoint } from '../features/endpoints/endpoint.ts';
import type { LoadedSet } from '../features/policy/sets.ts';
import { dropReasonName } from '../flows/reasons.ts';
import { counter, gauge, type MetricFamily } from '../metrics/exposition.ts';
import { asFamily } from '../metrics/flow-metrics.ts';
import { processFamilies } from '../metrics/process.ts';
import { keepServing } from '../metrics/serving.ts';
import { reservedIdentities } from '../model/identity.ts';
import type { Logger } from '../std/log.ts';
import { auditReason } from './audit.ts';
import type { AgentCounters } from './counters.ts';
import { policySources, reflectors } from './inputs.ts';
import { l7Families } from './l7-metrics.ts';
import { mapUse, reconciledTables, type AgentParts } from './routes.ts';

type Labels = Readonly<Record<string, string>>;

/**
 * The agent's metrics of port 9962 by upstream's names: read from tables and maps when somebody asks. What has no true value here
 * is left out; docs/metrics.md lists both.
 */
export async function agentFamilies(parts: AgentParts, counters: AgentCounters): Promise<MetricFamily[]> {
  return [
    ...endpointFamilies(parts), ...policyFamilies(parts), ...addressFamilies(parts), ...mapFamilies(parts), ...trafficFamilies(parts), ...ruleFamilies(parts), ...kubernetesFamilies(parts), ...l7Families(parts.l7),
    gauge('cilium_version', 'Version of the agent', [[{ version: parts.record.version, revision: '', arch: arch() }, 1]]),
    ...counters.families.map(asFamily),
    ...await processFamilies(),
  ];
}

/** Upstream's. */
export const agentMetricsPort = 9962;

/** `/metrics` of the agent, in the node's namespace. */
export function startAgentMetrics(parts: AgentParts, counters: AgentCounters, dependencies: { readonly log: Logger; readonly signal: AbortSignal }): void {
  for (const { table } of policySources(parts.inputs)) table.watch(() => counters.policyChanged());
  keepServing({ port: agentMetricsPort, families: () => agentFamilies(parts, counters) }, dependencies);
}

function endpointFamilies(parts: AgentParts): MetricFamily[] {
  const { endpoints, regenerator } = parts;
  const states = { ready: 0, 'waiting-to-regenerate': 0, 'not-ready': 0 };
  const enforced: Record<string, number> = { none: 0, ingress: 0, egress: 0, both: 0, 'audit-ingress': 0, 'audit-egress': 0, 'audit-both': 0 };
  const rows = [...endpoints.rows()];
  for (const endpoint of rows) {
    const inKernel = endpointAddresses(endpoint).every(address => regenerator.endpointRows.get(address)?.ready === true);
    states[!regenerator.setsOf(endpoint) ? 'waiting-to-regenerate' : inKernel ? 'ready' : 'not-ready']++;
    const word = enforcementOf(parts, endpoint);
    enforced[word] = (enforced[word] ?? 0) + 1;
  }
  return [
    gauge('cilium_endpoint', 'Endpoints managed by this agent', [[{}, rows.length]]),
    gauge('cilium_endpoint_state', 'Endpoints by state', Object.entries(states).map(([state, count]) => [{ endpoint_state: state }, count] as const)),
    gauge('cilium_policy_endpoint_enforcement_status', 'Endpoints by the directions in which policies are enforced', Object.entries(enforced).map(([enforcement, count]) => [{ enforcement }, count] as const)),
  ];
}

/** A direction is enforced where what no rule names is denied. */
function enforcementOf({ regenerator, rule, auditSources }: AgentParts, endpoint: Endpoint): string {
  const sets = regenerator.setsOf(endpoint);
  const isEnforced = (set: LoadedSet | undefined) => set?.verdicts.some(row => rule(row.rule)?.effect === 'default-deny') === true;
  const ingress = isEnforced(sets?.ingress);
  const egress = isEnforced(sets?.egress);
  if (!ingress && !egress) return 'none';
  return `${auditReason(endpoint, auditSources) === undefined ? '' : 'audit-'}${ingress && egress ? 'both' : ingress ? 'ingress' : 'egress'}`;
}

function policyFamilies({ policies, enforcement }: AgentParts): MetricFamily[] {
  const { updated, refused, deleted } = policies.changes;
  return [
    gauge('cilium_policy', 'Policies that this agent knows', [[{}, policies.size]]),
    gauge('cilium_policy_max_revision', 'Revision of the policies that is in the kernel', [[{}, Math.max(0, enforcement.revision)]]),
    counter('cilium_policy_change_total', 'Changes of policies', [
      [{ source: 'k8s', operation: 'update', outcome: 'success' }, updated], [{ source: 'k8s', operation: 'update', outcome: 'failure' }, refused], [{ source: 'k8s', operation: 'delete', outcome: 'success' }, deleted],
    ]),
  ];
}

function addressFamilies({ identities, prefixes, nodeIdentities, networkIdentities, names, pool, services, node }: AgentParts): MetricFamily[] {
  return [
    gauge('cilium_identity', 'Identities known', [
      [{ type: 'reserved' }, reservedIdentities.length], [{ type: 'cluster_local' }, identities.size], [{ type: 'node_local' }, [...prefixes.entries()].length + [...networkIdentities.entries()].length + [...names.entries()].length],
      [{ type: 'remote_node' }, [...nodeIdentities.entries()].length],
    ]),
    gauge('cilium_fqdn_selectors', 'Names and patterns of toFQDNs in force', [[{}, names.engine.fqdnSelectors().length]]),
    gauge('cilium_ip_addresses', 'Pod addresses that are given out', [[{ family: 'ipv4' }, pool.allocated], [{ family: 'ipv6' }, pool.allocated]]),
    gauge('cilium_ipam_capacity', 'Pod addresses that there are', [[{ family: 'ipv4', cidr: node.podCidr4 }, pool.capacity], [{ family: 'ipv6', cidr: node.podCidr6 }, pool.capacity]]),
    gauge('cilium_services', 'Services in the kernel: each address and port is one', [[{}, services.table.size]]),
  ];
}

function mapFamilies(parts: AgentParts): MetricFamily[] {
  const use = mapUse(parts);
  const { last, rounds } = parts.conntrackSweep;
  const pressure = (name: string) => use.find(map => map.name === name);
  const conntrack = pressure('conntrack');
  const sockets = pressure('socket_services');
  const gc = { family: 'all', protocol: 'all' };
  return [
    gauge('cilium_bpf_map_pressure', 'Fill of the maps: entries by capacity', [
      ...use.map(({ name, used, max }) => [{ map_name: name }, used / max] as const),
      // By the name that upstream's alerts know.
      ...(conntrack ? [[{ map_name: 'ct4_global' }, conntrack.used / conntrack.max] as const] : []),
    ]),
    gauge('cilium_bpf_map_capacity', 'Entries that maps hold', use.map(({ name, max }) => [{ map_group: name }, max] as const)),
    gauge('cilium_datapath_conntrack_gc_entries', 'Connections at the end of the last sweep, and how many entries it has removed', [[{ ...gc, status: 'alive' }, last.connections], [{ ...gc, status: 'deleted' }, last.removed]]),
    counter('cilium_datapath_conntrack_gc_runs_total', 'Sweeps of the tables of connections', [[{ ...gc, status: 'completed' }, rounds]]),
    gauge('cilium_datapath_conntrack_gc_duration_seconds', 'Work of the last sweep', [[{ ...gc, status: 'completed' }, last.busyMs / 1000]]),
    ...(conntrack ? [gauge('conntrack_full', 'Fill of the table of connections: cilium_bpf_map_pressure{map_name="conntrack"}', [[{}, conntrack.used / conntrack.max]])] : []),
    ...(sockets ? [gauge('cilium_socket_lb_connections', 'Sockets whose peer is a service that was translated as they connected', [[{}, sockets.used]])] : []),
  ];
}

/** From the kernel's own counts at the exit of every program. */
function trafficFamilies({ opened }: AgentParts): MetricFamily[] {
  const drops: [Labels, number, number][] = [];
  const forwarded: [Labels, number, number][] = [];
  for (const [{ reason, direction }, slots] of opened.maps.metrics.entriesPerCpu()) {
    const packets = slots.reduce((sum, slot) => sum + slot.packets, 0n);
    if (packets === 0n) continue;
    const bytes = slots.reduce((sum, slot) => sum + slot.bytes, 0n);
    const word = direction === Direction.Ingress ? 'INGRESS' : direction === Direction.Egress ? 'EGRESS' : 'UNKNOWN';
    if (reason === 0) forwarded.push([{ direction: word }, Number(packets), Number(bytes)]);
    else drops.push([{ direction: word, reason: dropReasonName(reason, code => ownReason[code]).text }, Number(packets), Number(bytes)]);
  }
  return [
    counter('cilium_forward_count_total', 'Total forwarded packets, tagged by ingress/egress direction', forwarded.map(([labels, packets]) => [labels, packets] as const)),
    counter('cilium_forward_bytes_total', 'Total forwarded bytes, tagged by ingress/egress direction', forwarded.map(([labels, , bytes]) => [labels, bytes] as const)),
    counter('cilium_drop_count_total', 'Total dropped packets, tagged by drop reason and ingress/egress direction', drops.map(([labels, packets]) => [labels, packets] as const)),
    counter('cilium_drop_bytes_total', 'Total dropped bytes, tagged by drop reason and ingress/egress direction', drops.map(([labels, , bytes]) => [labels, bytes] as const)),
  ];
}

/**
 * Which policies decide, from the kernel's counters per rule. A rule's packets of a connection that goes on are credited when they
 * have doubled: what is not credited yet is not here, or each scrape would walk all connections.
 */
function ruleFamilies({ opened, rule }: AgentParts): MetricFamily[] {
  const byPolicy = new Map<string, { readonly labels: Labels; packets: number }>();
  const decisions = new Map<string, number>();
  for (const [id, slots] of opened.maps.ruleStats.entriesPerCpu()) {
    const info = rule(id);
    if (!info || info.mode === 'shadow') continue;
    const packets = Number(slots.reduce((sum, slot) => sum + slot.packets, 0n));
    const decision = info.effect === 'deny' || info.effect === 'default-deny' || info.notEnforced !== undefined ? 'deny' : 'allow';
    const labels = { kind: info.kind, namespace: info.namespace ?? '', policy: info.name, direction: info.direction, effect: info.effect };
    const key = Object.values(labels).join('\0');
    const row = byPolicy.get(key);
    if (row) row.packets += packets;
    else byPolicy.set(key, { labels, packets });
    decisions.set(decision, (decisions.get(decision) ?? 0) + packets);
  }
  return [
    counter('cilium_policy_decided_packets_total', 'Packets that each policy has decided about, denied ones and those of connections that it let through', [...byPolicy.values()].map(({ labels, packets }) => [labels, packets] as const)),
    // A gauge by type: OpenMetrics would have a counter of this name end in _total.
    gauge('cilium_policy_decisions', 'Packets that policies have allowed and denied: the sum of cilium_policy_decided_packets_total', [...decisions].map(([decision, packets]) => [{ decision }, packets] as const)),
  ];
}

function kernelErrors(parts: AgentParts): number {
  return reconciledTables(parts).filter(({ reconciler }) => reconciler.failed > 0).length + parts.regenerator.failures.size;
}

function kubernetesFamilies(parts: AgentParts): MetricFamily[] {
  const inputs = Object.entries(parts.inputs) as [string, ReturnType<typeof reflectors>[number]][];
  const scopes = inputs.map(([name, reflector]) => ({ scope: scopeOf(name), ...reflector.state }));
  const total = (action: 'create' | 'update' | 'delete') => (name: string) => scopes.filter(({ scope }) => scope === name).reduce((sum, { received }) => sum + received[action], 0);
  const seen = scopes.flatMap(({ scope, received }) => [
    ...(['create', 'update', 'delete'] as const).map(action => [{ scope, action, valid: 'true', equal: 'false' }, received[action]] as const),
    [{ scope, action: 'update', valid: 'true', equal: 'true' }, received.known] as const,
  ]).filter(([, count]) => count > 0);
  const contacts = scopes.flatMap(({ scope, lastContact }) => (lastContact === undefined ? [] : [[{ source: 'k8s', scope, action: 'receive' }, lastContact / 1000] as const]));
  return [
    counter('cilium_kubernetes_events_received_total', 'Changes of objects that the Kubernetes API has told of; equal: what this agent had written itself', seen),
    counter('cilium_kubernetes_events_total', 'Changes of objects that were taken in', seen.map(([{ scope, action, equal }, count]) => [{ scope, action, equal, status: 'success' }, count] as const).filter(([{ equal }]) => equal === 'false').map(([{ equal: _, ...labels }, count]) => [labels, count] as const)),
    counter('cilium_services_events_total', 'Changes of services', (['add', 'update', 'delete'] as const).map(action => [{ action }, total(action === 'add' ? 'create' : action)('Service')] as const)),
    gauge('cilium_event_ts', 'When the Kubernetes API was last heard of, seconds since 1970', contacts),
    gauge('cilium_controllers_failing', 'Tables with rows that the kernel does not hold, and policies that could not be loaded', [[{}, kernelErrors(parts)]]),
  ];
}

/** `ciliumNetworkPolicies` → `CiliumNetworkPolicy`. */
function scopeOf(input: string): string {
  const singular = input.replace(/ies$/, 'y').replace(/s$/, '');
  return singular.charAt(0).toUpperCase() + singular.slice(1);
}
