/** Who reads requests for the sake of one rule on HTTP, with all that is said beside it at the pods that it is for. */
import type { L7Set } from '../model/l7.ts';
import { readerOf } from './http-reader.ts';
import type { Read } from './http-reader.ts';
import { tablesOfSet } from './http-tables.ts';
import { wantsKernel } from './l7-rules.ts';
import { resolveL7 } from './l7-sets.ts';
import { policyText } from './policy.ts';
import type { PolicySpec, Rule } from './policy.ts';
import type { World } from './world.ts';

/** `why`: of a rule that wants the kernel, and does not get it everywhere. Undefined: it is no rule on HTTP. */
export function readerOfRule(world: World, spec: PolicySpec, rule: Rule): Read | undefined {
  if (rule.l7?.protocol !== 'http') return undefined;
  if (!wantsKernel(rule, world.scenario.httpReader)) return { reader: 'proxy' };
  const { kernelUnable } = world.scenario;
  if (kernelUnable !== undefined) return { reader: 'proxy', why: kernelUnable };
  const alone = tablesOfSet(resolveL7(rule.l7, 1, key => world.scenario.secrets.get(key), true));
  if ('unfit' in alone) return { reader: 'proxy', why: alone.unfit };
  for (const { set, others } of setsWith(world, spec, rule)) {
    const other = others.find(o => !wantsKernel(o.rule, world.scenario.httpReader));
    if (other) return { reader: 'proxy', why: `${policyText(other.policy)} (${other.rule.path}) says something for the same peers and port, and does not want it` };
    const read = readerOf(set);
    if (read?.why !== undefined) return { reader: 'proxy', why: `with all that is said there, ${read.why}` };
  }
  return { reader: 'kernel' };
}

type Ruled = ReturnType<World['engine']['rulesFor']>[number];

interface Shared {
  readonly set: L7Set;
  readonly others: readonly Ruled[];
}

/** The sets of pods that have something of the rule, with the rules that are in them beside it. */
function setsWith(world: World, spec: PolicySpec, rule: Rule): readonly Shared[] {
  const found = new Map<number, Shared>();
  const seen = new Set<string>();
  for (const pod of world.scenario.pods) {
    const member = pod.hostNetwork || !spec.subject.matches(pod.labels) ? undefined : world.memberOf(pod);
    const set = member && world.indexed(member.subject, rule.direction).set;
    if (!set || seen.has(set.key)) continue;
    seen.add(set.key);
    const ruled = world.engine.rulesFor(member.subject, rule.direction);
    const own = ruled.find(r => r.rule === rule)?.info.id;
    for (const number of new Set(set.verdicts.flatMap(row => row.l7 ?? []))) {
      const l7 = world.engine.l7Sets().get(number);
      const ids = l7?.protocol === 'http' ? new Set(l7.rules.map(r => r.rule)) : undefined;
      if (l7 && ids && own !== undefined && ids.has(own)) found.set(number, { set: l7, others: ruled.filter(r => ids.has(r.info.id) && r.info.id !== own) });
    }
  }
  return [...found.values()];
}
