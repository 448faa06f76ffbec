import { ConntrackFlag, ConntrackKind, Direction, PolicyVerdictKind } from '../datapath/generated/enums.ts';
import type { ConntrackEntry, ConntrackKey, RuleStat, ShadowKey } from '../datapath/generated/structs.ts';
import type { ConntrackRow, RuleStatRow, ShadowRow } from '../model/kernel-reports.ts';
import type { RuleInfo } from '../policy/compile.ts';
import { formatAddr } from '../std/ip.ts';

type PerCpu<K, V> = { entriesPerCpu(): Iterable<readonly [K, readonly V[]]> };
type Conntrack = { entries(): Iterable<readonly [ConntrackKey, ConntrackEntry]> };

export interface KernelReportsDependencies {
  readonly maps: { readonly ruleStats: PerCpu<number, RuleStat>; readonly shadowStats: PerCpu<ShadowKey, RuleStat>; readonly conntrack: Conntrack };
  readonly rule: (id: number) => RuleInfo | undefined;
  readonly labels: (identity: number) => readonly string[] | undefined;
  /** `ns/pod` by the kernel's number; the node's name for the node itself. */
  readonly endpointName: (id: number) => string | undefined;
  readonly clock?: { readonly wallMs: () => number; readonly monotonicNs: () => bigint };
}

interface Total {
  packets: bigint;
  bytes: bigint;
  connections: bigint;
  lastHitNs: bigint;
}

/** Entries looked at in one turn of the event loop: a conntrack map may hold half a million. */
const entriesPerTurn = 8192;

/**
 * What each rule has decided since the node's maps were made: what was counted, and what connections have not credited yet
 * (conntrack.h says when they do). A connection that credits while this reads may be counted twice, or its last packets not
 * at all, until the next reading.
 */
export async function ruleStats({ maps, rule, clock }: KernelReportsDependencies): Promise<RuleStatRow[]> {
  const totals = new Map<number, Total>();
  for (const [id, slots] of maps.ruleStats.entriesPerCpu()) totals.set(id, sum(slots));
  await inTurns(maps.conntrack.entries(), ([key, entry]) => {
    if (key.kind === ConntrackKind.Flow) addOpen(totals, entry);
  });
  const text = timeOf(clock);
  return [...totals].map(([id, total]) => {
    const address = rule(id)?.address;
    return { rule: id, ...(address === undefined ? {} : { address }), ...numbers(total), ...(total.lastHitNs === 0n ? {} : { lastHit: text(total.lastHitNs) }) };
  });
}

/** What shadow policies would have decided otherwise. A default denial that several shadow policies cause is a row of each. */
export function shadowStats({ maps, rule, labels, endpointName, clock }: KernelReportsDependencies): ShadowRow[] {
  const text = timeOf(clock);
  const rows: ShadowRow[] = [];
  for (const [key, slots] of maps.shadowStats.entriesPerCpu()) {
    const info = rule(key.rule);
    // The policy is gone, and with it the question.
    if (!info) continue;
    const total = sum(slots);
    for (const policy of policiesOf(info)) {
      rows.push({
        rule: key.rule, address: info.address, policy, verdict: key.verdict === PolicyVerdictKind.Allow ? 'allow' : 'deny',
        direction: key.direction === Direction.Ingress ? 'ingress' : 'egress', endpoint: endpointName(key.endpoint) ?? `endpoint ${key.endpoint} (gone)`,
        peer: { identity: key.identity, labels: labels(key.identity) ?? [] }, protocol: key.protocol, port: key.port, ...numbers(total), lastHit: text(total.lastHitNs),
      });
    }
  }
  return rows;
}

/** Connections that live: not those that are over, that policy has revoked, or that a pod has with itself by way of a service. */
export async function conntrackRows({ maps, endpointName, clock = systemClock }: KernelReportsDependencies): Promise<ConntrackRow[]> {
  const rows: ConntrackRow[] = [];
  const nowNs = clock.monotonicNs();
  await inTurns(maps.conntrack.entries(), ([key, entry]) => {
    if (key.kind === ConntrackKind.Flow && entry.expiresNs >= nowNs && (entry.flags & (ConntrackFlag.Revoked | ConntrackFlag.Hairpin)) === 0) rows.push(conntrackRow(key, entry, endpointName));
  });
  return rows;
}

function conntrackRow(key: ConntrackKey, entry: ConntrackEntry, endpointName: (id: number) => string | undefined): ConntrackRow {
  const low = { address: formatAddr(key.low), port: key.lowPort };
  const high = { address: formatAddr(key.high), port: key.highPort };
  const [source, destination] = (entry.flags & ConntrackFlag.OriginatorLow) === 0 ? [high, low] : [low, high];
  const sourceEndpoint = endpointName(entry.sourceEndpoint);
  const destinationEndpoint = endpointName(entry.destinationEndpoint);
  const isPod = (name: string | undefined): name is string => name?.includes('/') ?? false;
  return {
    protocol: key.protocol, source: source.address, sourcePort: source.port, destination: destination.address, destinationPort: destination.port,
    sourceIdentity: entry.sourceIdentity, destinationIdentity: entry.destinationIdentity,
    ...(isPod(sourceEndpoint) ? { sourceEndpoint } : {}), ...(isPod(destinationEndpoint) ? { destinationEndpoint } : {}),
    forwardPackets: Number(entry.forwardPackets), replyPackets: Number(entry.replyPackets), bytes: Number(entry.forwardBytes + entry.replyBytes),
    closing: (entry.flags & (ConntrackFlag.ForwardClosing | ConntrackFlag.ReplyClosing)) !== 0,
    host: (entry.flags & ConntrackFlag.Host) !== 0,
  };
}

/** The low bits of what was credited, as the kernel keeps them: the difference is small. */
function addOpen(totals: Map<number, Total>, entry: ConntrackEntry): void {
  const packets = BigInt.asIntN(32, entry.forwardPackets + entry.replyPackets - BigInt(entry.creditedPackets));
  if (packets === 0n) return;
  const bytes = BigInt.asIntN(32, entry.forwardBytes + entry.replyBytes - BigInt(entry.creditedBytes));
  for (const rule of [entry.egressRule, entry.ingressRule]) {
    if (rule === 0) continue;
    const total = totals.get(rule) ?? { packets: 0n, bytes: 0n, connections: 0n, lastHitNs: 0n };
    total.packets += packets;
    total.bytes += bytes;
    totals.set(rule, total);
  }
}

function sum(slots: readonly RuleStat[]): Total {
  const total: Total = { packets: 0n, bytes: 0n, connections: 0n, lastHitNs: 0n };
  for (const slot of slots) {
    total.packets += slot.packets;
    total.bytes += slot.bytes;
    total.connections += slot.connections;
    if (slot.lastHitNs > total.lastHitNs) total.lastHitNs = slot.lastHitNs;
  }
  // A processor that only ever took back what another had counted has wrapped below zero; the sum has not.
  return { ...total, packets: BigInt.asUintN(64, total.packets), bytes: BigInt.asUintN(64, total.bytes) };
}

function numbers(total: Total): { readonly packets: number; readonly bytes: number; readonly connections: number } {
  return { packets: Number(total.packets), bytes: Number(total.bytes), connections: Number(total.connections) };
}

/** The policies behind a rule: its own, or all that turned a default denial on. */
export function policiesOf(info: RuleInfo): ShadowRow['policy'][] {
  if (info.kind !== 'default') return [{ kind: info.kind, ...(info.namespace === undefined ? {} : { namespace: info.namespace }), name: info.name }];
  const listed = /^default\/deny\/\w+\/(.*)$/.exec(info.address)?.[1];
  return (listed?.split(',') ?? []).map(text => {
    const [kind = '', path = ''] = text.split(' ');
    const slash = path.indexOf('/');
    return slash < 0 ? { kind, name: path } : { kind, namespace: path.slice(0, slash), name: path.slice(slash + 1) };
  });
}

async function inTurns<T>(items: Iterable<T>, each: (item: T) => void): Promise<void> {
  let count = 0;
  for (const item of items) {
    each(item);
    if (++count % entriesPerTurn === 0) await new Promise(resolve => setImmediate(resolve));
  }
}

/** CLOCK_MONOTONIC → RFC 3339. */
function timeOf({ wallMs, monotonicNs } = systemClock): (ns: bigint) => string {
  const offsetNs = BigInt(wallMs()) * 1_000_000n - monotonicNs();
  return ns => new Date(Number((offsetNs + ns) / 1_000_000n)).toISOString();
}

const systemClock = { wallMs: () => Date.now(), monotonicNs: () => process.hrtime.bigint() };
