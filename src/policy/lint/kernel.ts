/** Rules on HTTP that the kernel was asked to carry out: those that it does not, and what would not pass there. */
import type { L7Set } from '../../model/l7.ts';
import { readerOf } from '../http-reader.ts';
import { tablesOfSet } from '../http-tables.ts';
import { isCarriedOut, wantsKernel } from '../l7-rules.ts';
import type { RuleL7 } from '../l7-rules.ts';
import { resolveL7 } from '../l7-sets.ts';
import { policyAnnotations, policyText } from '../policy.ts';
import type { PolicySpec, Rule } from '../policy.ts';
import type { World } from '../world.ts';
import { fieldsOf } from './finding.ts';
import type { Checked } from './finding.ts';

type HttpRuleOf = Rule & { readonly l7: Extract<RuleL7, { readonly protocol: 'http' }> };

const leaveIt = `leave it to the proxy: ${policyAnnotations.l7Http}: proxy`;

export function checkKernel(checked: Checked): void {
  const { world, source, policy, report } = checked;
  const said = fieldsOf(source.object.metadata?.annotations)[policyAnnotations.l7Http];
  const at = `metadata.annotations[${policyAnnotations.l7Http}]`;
  const rules = policy.specs.flatMap(spec => spec.rules.filter((rule): rule is HttpRuleOf => rule.l7?.protocol === 'http').map(rule => ({ spec, rule })));
  if (said !== undefined && rules.length === 0) report('unknown-annotation', 'warning', at, `${policyAnnotations.l7Http} says nothing here: the policy has no rules on HTTP`, 'remove it');
  for (const { spec, rule } of rules) {
    if (wantsKernel(rule, world.scenario.httpReader)) checkRule(checked, spec, rule, said === 'kernel' ? 'warning' : 'info');
    else if (said === 'kernel') report('kernel-elsewhere', 'info', fieldOf(rule), `the proxy carries it out: ${rule.direction === 'egress' ? 'the kernel reads requests that pods get, not those that they send' : 'only the proxy begins and ends TLS, and reads the names of servers'}`, 'nothing has to be done');
  }
}

function checkRule(checked: Checked, spec: PolicySpec, rule: HttpRuleOf, severity: 'warning' | 'info'): void {
  const { world, report } = checked;
  const why = whyProxy(world, spec, rule);
  if (why !== undefined) {
    report('kernel-unfit', severity, fieldOf(rule), `the proxy carries it out, not the kernel: ${why}`, `write less into it (expressions that begin with .* multiply), or ${leaveIt}`);
    return;
  }
  const http2 = http2Of(world, spec, rule);
  if (http2 !== undefined) report('kernel-http2', 'warning', fieldOf(rule), `${http2}: HTTP/2 is refused by the kernel, so gRPC does not pass there`, leaveIt);
}

/** Alone, or with what else there is to say where it holds. */
function whyProxy(world: World, spec: PolicySpec, rule: HttpRuleOf): string | undefined {
  if (!isCarriedOut(rule.l7)) return undefined;
  const alone = tablesOfSet(resolveL7(rule.l7, 1, key => world.scenario.secrets.get(key), true));
  if ('unfit' in alone) return alone.unfit;
  for (const { set, others } of setsWith(world, spec, rule)) {
    const other = others.find(o => !wantsKernel(o.rule, world.scenario.httpReader));
    if (other) return `${policyText(other.policy)} (${other.rule.path}) says something for the same peers and port, and does not want it`;
    const read = readerOf(set);
    if (read?.why !== undefined) return `with all that is said there, ${read.why}`;
  }
  return undefined;
}

type Ruled = ReturnType<World['engine']['rulesFor']>[number];

/** The sets of pods that have something of the rule, with the rules that are in them beside it. */
function setsWith(world: World, spec: PolicySpec, rule: Rule): readonly { readonly set: L7Set; readonly others: readonly Ruled[] }[] {
  const found = new Map<string, { readonly set: L7Set; readonly others: readonly Ruled[] }>();
  const seen = new Set<string>();
  for (const pod of world.scenario.pods) {
    const member = pod.hostNetwork || !spec.subject.matches(pod.labels) ? undefined : world.memberOf(pod);
    const set = member && world.indexed(member.subject, 'ingress').set;
    if (!set || seen.has(set.key)) continue;
    seen.add(set.key);
    const ruled = world.engine.rulesFor(member.subject, 'ingress');
    const own = ruled.find(r => r.rule === rule)?.info.id;
    for (const number of new Set(set.verdicts.flatMap(row => row.l7 ?? []))) {
      const l7 = world.engine.l7Sets().get(number);
      const ids = l7?.protocol === 'http' ? new Set(l7.rules.map(r => r.rule)) : undefined;
      if (l7 && ids && own !== undefined && ids.has(own)) found.set(`${number}`, { set: l7, others: ruled.filter(r => ids.has(r.info.id) && r.info.id !== own) });
    }
  }
  return [...found.values()];
}

// ---- what speaks HTTP/2 ----

const http2Name = /grpc|h2c|http-?2/i;
const grpcPath = /^\^?\/(\w+\\?\.)+[A-Z]\w*\/(\w|\.\*|\[|\()/;

/** What tells that requests there are HTTP/2's. */
function http2Of(world: World, spec: PolicySpec, { ports, l7 }: HttpRuleOf): string | undefined {
  const path = l7.rules.find(rule => rule.path !== undefined && grpcPath.test(rule.path))?.path;
  if (path !== undefined) return `path ${path} looks like a method of gRPC`;
  if (ports === 'any') return undefined;
  const named = ports.flatMap(port => ('name' in port && http2Name.test(port.name) ? [port.name] : []));
  const numbers = ports.flatMap(port => ('name' in port ? [] : [port]));
  const declared = world.scenario.pods.filter(pod => !pod.hostNetwork && spec.subject.matches(pod.labels)).flatMap(pod => pod.ports)
    .filter(({ name, port, protocol }) => name !== undefined && protocol === 'TCP' && http2Name.test(name) && numbers.some(n => n.protocol === 6 && n.start <= port && port <= n.end));
  const name = named[0] ?? declared[0]?.name;
  return name === undefined ? undefined : `port ${name} looks like one of HTTP/2`;
}

function fieldOf({ path }: Rule): string {
  return `${path}.rules`;
}
