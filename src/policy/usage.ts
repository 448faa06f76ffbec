/** What rules did: the kernel's counters of all nodes, joined with the rules that the policies have. */
import type { RuleStatRow } from '../model/kernel-reports.ts';
import { policyAddress } from './policy.ts';
import type { PolicyMode } from './policy.ts';
import type { RuleInfo } from './rule-info.ts';
import type { World } from './world.ts';

export interface RuleUse {
  readonly rule: number;
  /** Absent where the policy is gone. */
  readonly info?: RuleInfo;
  readonly address?: string;
  /** Of its policy, where that is not `enforce`. */
  readonly mode?: Exclude<PolicyMode, 'enforce'>;
  readonly packets: number;
  readonly bytes: number;
  readonly connections: number;
  readonly lastHit?: string;
}

/** All rules that select some pod, and the defaults that some row of theirs names. */
export function rulesOf(world: World): ReadonlyMap<number, RuleInfo> {
  const rules = new Map<number, RuleInfo>();
  for (const pod of world.scenario.pods) {
    const member = world.memberOf(pod);
    if (!member) continue;
    for (const direction of ['ingress', 'egress'] as const) {
      const { set } = world.indexed(member.subject, direction);
      const deciding = new Set(set.verdicts.map(row => row.rule));
      for (const [id, info] of set.rules) if (info.kind !== 'default' || deciding.has(id)) rules.set(id, info);
    }
  }
  return rules;
}

/** Counters of all nodes added up, also of rules without any. */
export function useOf(world: World, counts: readonly RuleStatRow[]): readonly RuleUse[] {
  const audited = new Set(world.policies.filter(p => p.mode === 'audit').map(policyAddress));
  const modeOf = (info: RuleInfo) => info.mode ?? (policiesOfRule(info).some(address => audited.has(address)) ? 'audit' as const : undefined);
  const uses = new Map<number, RuleUse>([...rulesOf(world)].map(([rule, info]) => {
    const mode = modeOf(info);
    return [rule, { rule, info, address: info.address, ...(mode && { mode }), packets: 0, bytes: 0, connections: 0 }] as const;
  }));
  for (const { rule, address, packets, bytes, connections, lastHit } of counts) {
    const before = uses.get(rule) ?? { rule, ...(address !== undefined && { address }), packets: 0, bytes: 0, connections: 0 };
    const last = [before.lastHit, lastHit].filter(t => t !== undefined).sort().at(-1);
    uses.set(rule, {
      ...before, packets: before.packets + packets, bytes: before.bytes + bytes, connections: before.connections + connections,
      ...(last !== undefined && { lastHit: last }),
    });
  }
  return [...uses.values()].sort(useOrders.packets);
}

/** The busiest or the latest first; equals by rule, so that the order is the same each time. */
export const useOrders = {
  packets: (a: RuleUse, b: RuleUse) => b.packets - a.packets || a.rule - b.rule,
  bytes: (a: RuleUse, b: RuleUse) => b.bytes - a.bytes || a.rule - b.rule,
  connections: (a: RuleUse, b: RuleUse) => b.connections - a.connections || a.rule - b.rule,
  'last-hit': (a: RuleUse, b: RuleUse) => compare(b.lastHit ?? '', a.lastHit ?? '') || a.rule - b.rule,
  rule: (a: RuleUse, b: RuleUse) => compare(a.address ?? '', b.address ?? '') || a.rule - b.rule,
} as const;

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** A rule that could have decided and never did. A rule in shadow decides nothing, and a default is no rule of anybody's. */
export function isUnused(use: RuleUse): boolean {
  return use.packets === 0 && use.info?.kind !== 'default' && use.mode !== 'shadow';
}

/** Addresses of the rule's policy; of a default denial, of all that cause it. */
export function policiesOfRule(rule: Pick<RuleInfo, 'address' | 'kind' | 'namespace' | 'name'>): readonly string[] {
  if (rule.kind !== 'default') return [`${rule.kind}/${rule.namespace ?? ''}/${rule.name}`];
  const closing = /^default\/deny\/[a-z]+\/(.+)$/.exec(rule.address)?.[1];
  return (closing?.split(',') ?? []).map(text => {
    const [kind, name = ''] = text.split(' ');
    return name.includes('/') ? `${kind}/${name}` : `${kind}//${name}`;
  });
}
