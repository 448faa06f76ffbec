import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConntrackFlag } from '../datapath/generated/enums.ts';
import type { ConntrackEntry, ConntrackKey, RuleStat, ShadowKey } from '../datapath/generated/structs.ts';
import type { RuleInfo } from '../policy/compile.ts';
import { parseAddr } from '../std/ip.ts';
import { conntrackRows, ruleStats, shadowStats, type KernelReportsDependencies } from './kernel-reports.ts';

const second = 1_000_000_000n;
const stat = (packets: bigint, more: Partial<RuleStat> = {}): RuleStat => ({ packets, bytes: packets * 100n, connections: 1n, lastHitNs: second, ...more });
const key = (more: Partial<ConntrackKey> = {}): ConntrackKey => ({ low: parseAddr('10.0.0.1'), high: parseAddr('10.0.0.2'), lowPort: 40000, highPort: 80, protocol: 6, kind: 0, ...more });
const nowhere = { target: 0, mac: new Uint8Array(6), kind: 0 };
const entry = (more: Partial<ConntrackEntry> = {}): ConntrackEntry => ({
  expiresNs: 100n * second, forwardPackets: 10n, forwardBytes: 1000n, replyPackets: 5n, replyBytes: 500n, flags: ConntrackFlag.OriginatorLow, generation: 1, sourceIdentity: 300, destinationIdentity: 301,
  sourceEndpoint: 5, destinationEndpoint: 0, service: 0, backend: 0, egressRule: 7, ingressRule: 8, creditedPackets: 15, creditedBytes: 1500, sourceEnd: nowhere, destinationEnd: nowhere, wayGeneration: 0, l7: 0, startedNs: 0n, ...more,
});
const infos: Readonly<Record<number, RuleInfo>> = {
  7: { id: 7, address: 'CiliumNetworkPolicy/shop/web/spec.egress[0]', kind: 'CiliumNetworkPolicy', namespace: 'shop', name: 'web', path: 'spec.egress[0]', direction: 'egress', effect: 'allow', because: '' },
  9: { id: 9, address: 'default/deny/ingress/CiliumClusterwideNetworkPolicy all,NetworkPolicy shop/db', kind: 'default', name: 'all', path: '', direction: 'ingress', effect: 'default-deny', because: '' },
};

function world(o: { rules?: [number, RuleStat[]][]; shadows?: [ShadowKey, RuleStat[]][]; connections?: [ConntrackKey, ConntrackEntry][] }): KernelReportsDependencies {
  return {
    maps: { ruleStats: { entriesPerCpu: () => o.rules ?? [] }, shadowStats: { entriesPerCpu: () => o.shadows ?? [] }, conntrack: { entries: () => o.connections ?? [] } },
    rule: id => infos[id], labels: identity => (identity === 300 ? ['k8s:app=web'] : undefined),
    endpointName: id => new Map([[5, 'shop/web'], [9, 'node1']]).get(id),
    clock: { wallMs: () => 1_000_000, monotonicNs: () => 10n * second },
  };
}

test('a rule has what all processors counted, with its address while somebody knows it', async () => {
  assert.deepEqual(await ruleStats(world({ rules: [[7, [stat(3n), stat(4n, { lastHitNs: 4n * second })]], [99, [stat(1n)]]] })), [
    { rule: 7, address: infos[7]!.address, packets: 7, bytes: 700, connections: 2, lastHit: '1970-01-01T00:16:34.000Z' },
    { rule: 99, packets: 1, bytes: 100, connections: 1, lastHit: '1970-01-01T00:16:31.000Z' },
  ]);
});

test('what connections have not credited yet is added to both of their rules', async () => {
  const open = entry({ creditedPackets: 8, creditedBytes: 700 });
  const rows = await ruleStats(world({ rules: [[7, [stat(8n)]]], connections: [[key(), open], [key({ highPort: 81 }), entry()], [key({ kind: 1 }), open]] }));
  assert.deepEqual(rows.map(row => [row.rule, row.packets, row.bytes, row.connections, row.lastHit !== undefined]), [[7, 15, 1600, 1, true], [8, 7, 800, 0, false]]);
});

test('the low bits of the credits may have wrapped', async () => {
  const rows = await ruleStats(world({ connections: [[key(), entry({ forwardPackets: 0x1_0000_0002n, replyPackets: 0n, forwardBytes: 0x5_0000_0064n, replyBytes: 0n, creditedPackets: 0xffff_ffff, creditedBytes: 0xffff_ff9c, ingressRule: 0 })]] }));
  assert.deepEqual(rows.map(row => [row.rule, row.packets, row.bytes]), [[7, 3, 200]]);
});

test('a processor that wrapped below zero is put right by the others', async () => {
  assert.deepEqual((await ruleStats(world({ rules: [[7, [stat(10n), stat(0xffff_ffff_ffff_fffen, { bytes: 0xffff_ffff_ffff_ff38n })]]] }))).map(row => [row.packets, row.bytes]), [[8, 800]]);
});

test('a shadow row says who, whom, what and by which policy; several policies behind one default denial each get it', () => {
  const shadow = (rule: number, more: Partial<ShadowKey> = {}): ShadowKey => ({ rule, endpoint: 5, identity: 300, port: 80, protocol: 6, direction: 1, verdict: 2, ...more });
  const rows = shadowStats(world({ shadows: [[shadow(7, { verdict: 1, direction: 2 }), [stat(2n)]], [shadow(9, { endpoint: 4711, identity: 1 }), [stat(1n)]], [shadow(1234), [stat(1n)]]] }));
  assert.deepEqual(rows[0], {
    rule: 7, address: infos[7]!.address, policy: { kind: 'CiliumNetworkPolicy', namespace: 'shop', name: 'web' }, verdict: 'allow', direction: 'egress', endpoint: 'shop/web',
    peer: { identity: 300, labels: ['k8s:app=web'] }, protocol: 6, port: 80, packets: 2, bytes: 200, connections: 1, lastHit: '1970-01-01T00:16:31.000Z',
  });
  assert.deepEqual(rows.slice(1).map(row => [row.policy, row.verdict, row.endpoint, row.peer.labels]), [
    [{ kind: 'CiliumClusterwideNetworkPolicy', name: 'all' }, 'deny', 'endpoint 4711 (gone)', []],
    [{ kind: 'NetworkPolicy', namespace: 'shop', name: 'db' }, 'deny', 'endpoint 4711 (gone)', []],
  ]);
});

test('connections are told from who opened them; pods by name, the node by a mark', async () => {
  const connections: [ConntrackKey, ConntrackEntry][] = [
    [key(), entry()],
    [key(), entry({ flags: ConntrackFlag.ReplyClosing | ConntrackFlag.Host, sourceEndpoint: 9, destinationEndpoint: 5 })],
  ];
  assert.deepEqual(await conntrackRows(world({ connections })), [
    { protocol: 6, source: '10.0.0.1', sourcePort: 40000, destination: '10.0.0.2', destinationPort: 80, sourceIdentity: 300, destinationIdentity: 301, sourceEndpoint: 'shop/web', forwardPackets: 10, replyPackets: 5, bytes: 1500, closing: false, host: false },
    { protocol: 6, source: '10.0.0.2', sourcePort: 80, destination: '10.0.0.1', destinationPort: 40000, sourceIdentity: 300, destinationIdentity: 301, destinationEndpoint: 'shop/web', forwardPackets: 10, replyPackets: 5, bytes: 1500, closing: true, host: true },
  ]);
});

test('what is over, revoked, a hairpin or a service\'s memory is no connection', async () => {
  const connections: [ConntrackKey, ConntrackEntry][] = [
    [key(), entry({ expiresNs: 9n * second })], [key(), entry({ flags: ConntrackFlag.Revoked })], [key(), entry({ flags: ConntrackFlag.Hairpin })], [key({ kind: 1 }), entry()],
  ];
  assert.deepEqual(await conntrackRows(world({ connections })), []);
});
