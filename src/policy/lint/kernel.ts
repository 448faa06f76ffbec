/** Rules on HTTP that the kernel was asked to carry out: those that it does not, and what would not pass there. */
import { readAtProxy } from '../http-reader.ts';
import { clientsReadBefore } from '../http-rule-clients.ts';
import { readerOfRule } from '../http-rule-reader.ts';
import { wantsKernel } from '../l7-rules.ts';
import type { RuleL7 } from '../l7-rules.ts';
import { policyAnnotations, policyText } from '../policy.ts';
import type { PolicySpec, Rule } from '../policy.ts';
import type { RuleInfo } from '../rule-info.ts';
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
  const why = readerOfRule(world, spec, rule)?.why;
  if (why !== undefined) {
    report('kernel-unfit', severity, fieldOf(rule), `the proxy carries it out, not the kernel: ${why}`, / rows| states|expressions/.test(why) ? `write simpler expressions (those that begin with .* multiply), or ${leaveIt}` : leaveIt);
    return;
  }
  const clients = clientsReadBefore(world, spec, rule);
  if (clients.length > 0) report('kernel-unfit', severity, fieldOf(rule), `the proxy carries it out, not the kernel, for ${namesOf(clients.map(({ client }) => client))}: ${readAtProxy}, by ${ruleText(clients[0]!.by)}`, `read it at one end only, or ${leaveIt}`);
  const http2 = http2Of(world, spec, rule);
  if (http2 !== undefined) report('kernel-http2', 'warning', fieldOf(rule), `${http2}: HTTP/2 is refused by the kernel, so gRPC does not pass there`, leaveIt);
}

const mostNamed = 3;

function namesOf(names: readonly string[]): string {
  return names.length <= mostNamed ? names.join(', ') : `${names.slice(0, mostNamed).join(', ')} and ${names.length - mostNamed} more`;
}

function ruleText(info: RuleInfo): string {
  return `${policyText(info)} (${info.path})`;
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
