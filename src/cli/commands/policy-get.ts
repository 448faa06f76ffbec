import type { Command } from 'commander';
import { safe } from '../../flows/print/fields.ts';
import type { Paint } from '../../flows/print/paint.ts';
import { appliesTo, type Applies, type AppliedRule } from '../../policy/applies.ts';
import { podsNamed } from '../../policy/ends.ts';
import { readText } from '../../policy/http-reader.ts';
import { readerOfRule } from '../../policy/http-rule-reader.ts';
import { describeL7 } from '../../policy/l7-rules.ts';
import type { Policy, PolicyMode, Rule, Tier } from '../../policy/policy.ts';
import { describePeers, describePorts } from '../../policy/rule-info.ts';
import type { ScenarioPod, ScenarioPolicy } from '../../policy/scenario.ts';
import { World } from '../../policy/world.ts';
import { CirriError } from '../../std/errors.ts';
import { askAgents } from '../agents.ts';
import { openContext } from '../context.ts';
import { line, printStructured, stdoutPaint } from '../output.ts';
import { policiesNamed } from './policy-names.ts';
import { readJson } from './policy-print.ts';
import { readable } from '../../model/readable.ts';
import { addSourceOptions, loadScenario, type SourceFlags } from './policy-world.ts';

interface PolicyRow {
  readonly address: string;
  readonly tier?: Tier;
  readonly priority?: number;
  /** Where it is not enforce. */
  readonly mode?: PolicyMode;
  readonly keepEstablished?: true;
  readonly errors?: readonly { readonly path: string; readonly message: string; readonly mend?: string }[];
  readonly conditions?: readonly { readonly type?: string; readonly path?: string; readonly message?: string }[];
  readonly place?: string;
  readonly pods?: number;
  readonly generation?: number;
  /** Of a live cluster: on how many of its nodes this very version is in force, and what keeps it from being so elsewhere. */
  readonly inForce?: { readonly nodes: number; readonly of: number; readonly missing: readonly { readonly node: string; readonly error: string }[] };
}

export function register(policy: Command): void {
  addSourceOptions(policy.command('get'))
    .summary('policies, one policy in words, or what applies to a pod')
    .description('Without a name: every policy, and what is wrong with it or not enforced of it. With the name of a policy: what it says. With a pod or workload: what applies to it, in order of evaluation.')
    .argument('[name]', 'NAME or NS/NAME of a policy, NS/POD or NS/WORKLOAD')
    .addHelpText('after', `
Examples:
  ./cirri policy get
  ./cirri policy get demo/api
  ./cirri policy get allow-frontend-to-api -n demo
  ./cirri policy get shop/web -f manifests/ -o json`)
    .action(async (name: string | undefined, flags: SourceFlags) => {
      if (name === undefined && !flags.filename?.length) return printRows(await agentRows(), flags);
      const world = new World(await loadScenario(flags, name === undefined));
      if (name === undefined) return printRows(world.scenario.policies.map(p => rowOf(world, p)), flags);
      const policies = policiesNamed(world.scenario, name, flags.namespace);
      const pods = distinctPods(world, podsNamed(world, name, flags.namespace));
      if (policies.length + pods.length === 0) throw new CirriError('ERR_NO_POLICY', `there is neither a policy nor a pod ${name}`, { mend: 'cirri policy get lists the policies; pods are NS/POD or NS/WORKLOAD' });
      const shown = { policies: policies.map(p => policyJson(world, p)), pods: pods.map(pod => podJson(world, pod)) };
      if (printStructured(flags.output, shown)) return;
      const paint = stdoutPaint();
      policies.forEach(p => printPolicy(world, p, paint));
      pods.forEach(pod => printPod(world, pod, paint));
    });
}

// ---- the list ----

type AgentRow = PolicyRow & { readonly enforced: boolean; readonly error?: string };

/** What the nodes say of each policy, one row a policy: the rows of different nodes differ in what is in force. */
async function agentRows(): Promise<PolicyRow[]> {
  const context = openContext();
  context.client.close();
  const answers = await askAgents<AgentRow[]>(context, '/v1/policies');
  const nodes = answers.map(({ node, value }) => ({ node, rows: new Map(value.map(row => [row.address, row] as const)) }));
  return [...new Set(nodes.flatMap(({ rows }) => [...rows.keys()]))].map(address => {
    const { enforced: _, error: __, ...row } = nodes.map(({ rows }) => rows.get(address)).find(found => found !== undefined)!;
    const missing = nodes.filter(({ rows }) => !rows.get(address)?.enforced).map(({ node, rows }) => ({ node, error: rows.get(address)?.error ?? 'not known to the node yet' }));
    return { ...row, inForce: { nodes: nodes.length - missing.length, of: nodes.length, missing } };
  });
}

function rowOf(world: World, { address, errors, conditions, policy, place }: ScenarioPolicy): PolicyRow {
  const pods = world.scenario.pods.filter(pod => !pod.hostNetwork && (policy?.specs ?? []).some(s => !s.selectsNodes && s.subject.matches(pod.labels))).length;
  return { address, ...waysOf(policy), errors, conditions, place: place('metadata.name'), ...(world.scenario.pods.length > 0 && { pods }) };
}

function waysOf(policy: Policy | undefined): Pick<PolicyRow, 'tier' | 'priority' | 'mode' | 'keepEstablished'> {
  if (!policy) return {};
  const { tier, priority, mode, keepEstablished } = policy;
  return { tier, ...(tier !== 'normal' && { priority }), ...(mode !== 'enforce' && { mode }), ...(keepEstablished && { keepEstablished }) };
}

/** `admin, priority 10`, `shadow`: what sets it apart from a policy that is simply in force. */
function waysText({ tier, priority, mode, keepEstablished }: PolicyRow): readonly string[] {
  return [
    ...(tier === undefined || tier === 'normal' ? [] : [`tier ${tier}, priority ${priority ?? 0}`]), ...(mode === undefined || mode === 'enforce' ? [] : [`in ${mode}`]),
    ...(keepEstablished ? ['keeps established connections'] : []),
  ];
}

function printRows(unsorted: readonly PolicyRow[], flags: SourceFlags): void {
  const rows = [...unsorted].sort((a, b) => (a.address < b.address ? -1 : 1));
  if (printStructured(flags.output, rows)) return;
  const paint = stdoutPaint();
  if (rows.length === 0) return line('No policies: every pod may talk to every other');
  for (const row of rows) {
    const bad = (row.errors ?? []).length > 0 || (row.inForce?.missing.length ?? 0) > 0;
    const partly = (row.conditions ?? []).length > 0;
    const more = [...waysText(row), row.place, row.pods === undefined ? undefined : `${row.pods} pods`, row.inForce && `${row.mode === 'shadow' ? 'watched' : 'in force'} on ${row.inForce.nodes} of ${row.inForce.of} nodes`].filter(text => text !== undefined && text !== '').join(', ');
    line(`${bad ? paint.bad('✗') : partly ? paint.careful('~') : paint.good('✓')} ${safe(row.address.replace('//', '/'))}${more === '' ? '' : ` ${paint.faint(`(${safe(more)})`)}`}`);
    for (const { node, error } of (row.errors ?? []).length > 0 ? [] : row.inForce?.missing ?? []) line(`    ${paint.bad('not in force')} on ${safe(node)}: ${safe(error)}`);
    for (const error of row.errors ?? []) line(`    ${paint.bad('invalid')} ${safe(error.path)}: ${safe(error.message)}${error.mend ? ` → ${safe(error.mend)}` : ''}`);
    for (const condition of row.conditions ?? []) line(`    ${paint.careful('to know')} ${safe(condition.path ?? condition.type ?? '')}: ${safe(condition.message ?? JSON.stringify(condition))}`);
  }
}

// ---- one policy ----

function policyJson(world: World, source: ScenarioPolicy): object {
  return {
    ...rowOf(world, source),
    specs: (source.policy?.specs ?? []).map(spec => ({
      path: spec.path, selects: spec.selectsNodes ? 'nodes' : 'pods', subject: spec.subject.describe(), defaultDeny: spec.defaultDeny, description: spec.description,
      rules: spec.rules.map(rule => ({ path: rule.path, place: source.place(rule.path), direction: rule.direction, effect: rule.effect, peers: describePeers(rule.peers), ports: describePorts(rule.ports), l7: rule.l7 && describeL7(rule.l7), ...readJson(readerOfRule(world, spec, rule)), notEnforced: rule.notEnforced })),
    })),
  };
}

function printPolicy(world: World, source: ScenarioPolicy, paint: Paint): void {
  const row = rowOf(world, source);
  line(`${paint.strong(safe(source.address.replace('//', '/')))}${row.place ? ` ${paint.faint(safe(row.place))}` : ''}`);
  for (const error of source.errors) line(`  ${paint.bad('invalid')} ${safe(error.path)}: ${safe(error.message)} → ${safe(error.mend)}`);
  for (const text of waysText(row)) line(`  ${paint.careful(text)}`);
  for (const spec of source.policy?.specs ?? []) {
    if (spec.description !== undefined) line(`  ${safe(spec.description)}`);
    const closed = (['ingress', 'egress'] as const).filter(direction => spec.defaultDeny[direction]);
    line(`  selects ${spec.selectsNodes ? 'nodes' : 'pods'} ${safe(readable(spec.subject.describe()))}${row.pods === undefined ? '' : ` (${row.pods} of those read)`}`);
    line(`  ${closed.length === 0 ? 'closes nothing by default' : `closes ${closed.join(' and ')} by default`}`);
    for (const rule of spec.rules) {
      line(`  ${verbOf(rule, paint)} ${rule.direction} ${rule.direction === 'ingress' ? 'from' : 'to'} ${safe(readable(describePeers(rule.peers)))} on ${describePorts(rule.ports)}${rule.l7 ? `, only ${safe(describeL7(rule.l7))}` : ''}${rule.notEnforced === undefined ? '' : `: ${safe(rule.notEnforced)}`} ${paint.faint(`(${safe(source.place(rule.path) || rule.path)})`)}`);
      const read = readerOfRule(world, spec, rule);
      if (read) line(`      ${paint.faint(safe(readText(read)))}`);
    }
  }
}

function verbOf({ effect, notEnforced }: Rule, paint: Paint): string {
  return effect === 'allow' || (effect === 'inspect' && notEnforced === undefined) ? paint.good('allows') : effect === 'deny' ? paint.bad('denies') : effect === 'pass' ? 'passes on' : paint.careful('denies for now');
}

// ---- one pod ----

/** Pods that no policy can tell apart are shown once. */
function distinctPods(world: World, pods: readonly ScenarioPod[]): readonly ScenarioPod[] {
  const seen = new Set<unknown>();
  return pods.filter(pod => {
    const key = world.memberOf(pod) ?? pod;
    return !seen.has(key) && seen.add(key);
  });
}

function appliesOf(world: World, pod: ScenarioPod): readonly Applies[] {
  const member = world.memberOf(pod);
  return member ? (['ingress', 'egress'] as const).map(direction => appliesTo(world, member.subject, direction)) : [];
}

function podJson(world: World, pod: ScenarioPod): object {
  return {
    pod: `${pod.namespace}/${pod.name}`, hostNetwork: pod.hostNetwork, audit: pod.audit, labels: pod.labels.array,
    directions: appliesOf(world, pod).map(({ direction, enforced, stages }) => ({
      direction, defaultDeny: enforced,
      stages: stages.map(({ tier, title, rules }) => ({ tier, title, rules: rules.map(({ info, place, mode, priority }) => ({ id: info.id, address: info.address, path: info.path, effect: info.effect, mode, priority, because: info.because, place })) })),
    })),
  };
}

function printPod(world: World, pod: ScenarioPod, paint: Paint): void {
  line(paint.strong(`${safe(pod.namespace)}/${safe(pod.name)}`));
  if (pod.hostNetwork) return line('  is in the host\'s network: no policy for pods reaches it');
  if (pod.audit) line(`  ${paint.careful(`in audit mode, by its ${pod.audit === 'pod' ? 'own annotation' : pod.audit}`)}: what is denied below passes, and is reported`);
  for (const { direction, stages } of appliesOf(world, pod)) {
    line(`  ${direction}, in this order:`);
    for (const [i, { title, rules }] of stages.entries()) {
      line(`    ${i + 1}. ${title}:`);
      for (const rule of rules) printRule(rule, paint);
    }
  }
}

const modeTexts = { audit: 'audit: what it denies passes and is reported', shadow: 'shadow: decides nothing' } as const;

function printRule({ info, place, mode }: AppliedRule, paint: Paint): void {
  line(`       ${safe(readable(info.because))}${mode ? ` ${paint.careful(`[${modeTexts[mode]}]`)}` : ''}`);
  if (place !== undefined) line(`           ${paint.faint(`at ${safe(place)}`)}`);
}
