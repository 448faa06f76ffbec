import type { TlsL7Rule } from '../../model/l7.ts';
import { namePattern, qualifyName } from '../../policy/fqdn.ts';
import type { NamePattern } from '../../policy/fqdn.ts';
import type { Layers } from '../protocol.ts';

export type NameRules = readonly { readonly rule: number; readonly patterns: readonly NamePattern[] | undefined }[];

export function compileNameRules(rules: readonly TlsL7Rule[]): NameRules {
  return rules.map(({ rule, serverNames }) => ({ rule, patterns: serverNames?.map(namePattern) }));
}

export interface NameOpinion {
  readonly direction: 'EGRESS' | 'INGRESS';
  readonly passes: boolean;
  /** 0 when it does not pass. */
  readonly rule: number;
}

/** Each end that has rules, egress first; the end after one that refuses is not asked. A client that names no server is let through by a rule for any only. */
export function judgeName(layers: Layers<NameRules>, serverName: string | undefined): readonly NameOpinion[] {
  const opinions: NameOpinion[] = [];
  for (const [direction, rules] of [['EGRESS', layers.egress], ['INGRESS', layers.ingress]] as const) {
    if (!rules || opinions[0]?.passes === false) continue;
    const name = serverName === undefined ? undefined : qualifyName(serverName);
    const found = rules.find(({ patterns }) => patterns === undefined || (name !== undefined && patterns.some(pattern => pattern.test(name))));
    opinions.push({ direction, passes: found !== undefined, rule: found?.rule ?? 0 });
  }
  return opinions;
}
