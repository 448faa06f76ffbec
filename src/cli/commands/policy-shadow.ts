import type { Command } from 'commander';
import { safe } from '../../flows/print/fields.ts';
import type { Paint } from '../../flows/print/paint.ts';
import type { ShadowRow } from '../../model/kernel-reports.ts';
import { addCounts, differencesComputed, differencesSeen, shadowPolicies, type ShadowCounts, type ShadowDifference } from '../../policy/shadow.ts';
import type { Scenario, ScenarioPolicy } from '../../policy/scenario.ts';
import { World } from '../../policy/world.ts';
import { delay } from '../../std/async.ts';
import { counted } from '../../std/counted.ts';
import { CirriError } from '../../std/errors.ts';
import { askAgents } from '../agents.ts';
import { openContext } from '../context.ts';
import { ago, line, printStructured, printTable, stdoutPaint } from '../output.ts';
import { knownPolicies, shownAddress } from './policy-names.ts';
import { readable } from '../../model/readable.ts';
import { addSourceOptions, loadScenario, type SourceFlags } from './policy-world.ts';

interface Flags extends SourceFlags {
  readonly offline?: boolean;
  readonly watch?: boolean;
  readonly exitCode?: boolean;
}

/** One policy, and what it would change. `since`, `pods` and the counts are there where the kernel was asked. */
interface Shadow {
  readonly policy: string;
  readonly since?: string;
  /** Pods that it selects. */
  readonly pods: number;
  readonly differences: readonly ShadowDifference[];
}

interface Report {
  readonly source: 'kernel' | 'engine';
  readonly shadows: readonly Shadow[];
}

const watchMs = 2000;

export function register(policy: Command): void {
  addSourceOptions(policy.command('shadow'))
    .summary('what policies in shadow mode would newly deny and allow')
    .description('A policy with the annotation policy.cirri.io/mode: shadow decides nothing; the kernel evaluates it beside the others and reports where the verdict would have been another. Without a name: every policy in shadow, with totals. With a name: each difference by endpoint, peer and port. With -f (or --offline) nothing was seen, and the engine computes which connections would change.')
    .argument('[name]', 'NAME or NS/NAME of a policy in shadow')
    .option('--offline', 'let the engine compute it instead of asking what the kernel saw (-f implies it)')
    .option('-w, --watch', 'and then each new difference, as it is seen')
    .option('--exit-code', 'exit with 1 when something differs')
    .addHelpText('after', `
Examples:
  kubectl annotate cnp db-strict -n shop policy.cirri.io/mode=shadow   watch a policy before it decides
  ./cirri policy shadow                                                which are in shadow, and how much they differ
  ./cirri policy shadow shop/db-strict                                 what it would drop and allow
  ./cirri policy shadow shop/db-strict -w
  ./cirri policy shadow --offline -f manifests/ --exit-code            the same question, before there is traffic`)
    .action((name: string | undefined, flags: Flags) => run(name, flags));
}

async function run(name: string | undefined, flags: Flags): Promise<void> {
  const offline = flags.offline === true || (flags.filename?.length ?? 0) > 0;
  if (offline && flags.watch) throw new CirriError('ERR_FLAG', '--watch and --offline exclude each other', { mend: 'what the engine computes changes with the files alone' });
  const scenario = await loadScenario(flags, !offline);
  const asked = askedPolicies(scenario, name, flags);
  const report: Report = offline ? computed(scenario, asked, name !== undefined) : await seen(scenario, asked, name !== undefined);
  if (flags.exitCode && report.shadows.some(s => s.differences.length > 0)) process.exitCode = 1;
  if (!printStructured(flags.output, reportJson(report))) print(report, name !== undefined);
  if (flags.watch) await watch(scenario, asked, report);
}

function askedPolicies(scenario: Scenario, name: string | undefined, flags: Flags): readonly ScenarioPolicy[] {
  if (name === undefined) return shadowPolicies(scenario);
  const found = knownPolicies(scenario, name, flags.namespace);
  const shadows = found.filter(({ policy }) => policy?.mode === 'shadow');
  if (shadows.length > 0) return shadows;
  const [{ address, errors, policy }] = found as [ScenarioPolicy];
  if (errors.length > 0) throw new CirriError('ERR_POLICY', `${shownAddress(address)} is invalid: ${errors[0]!.path}: ${errors[0]!.message}`, { mend: errors[0]!.mend });
  throw new CirriError('ERR_NO_SHADOW', `${shownAddress(address)} is not in shadow: its mode is ${policy?.mode}`, { mend: 'put it there with the annotation policy.cirri.io/mode: shadow' });
}

// ---- what is known ----

function computed(scenario: Scenario, asked: readonly ScenarioPolicy[], one: boolean): Report {
  if (scenario.pods.length === 0 && (one || asked.length > 0)) throw new CirriError('ERR_NO_PODS', 'there are no pods in what was read', { mend: 'add files with pods or deployments (-f), or take those of the cluster with --live' });
  return { source: 'engine', shadows: asked.map(source => ({ policy: source.address, pods: podsOf(scenario, source), differences: differencesComputed(scenario, source.address) })) };
}

async function seen(scenario: Scenario, asked: readonly ScenarioPolicy[], one: boolean): Promise<Report> {
  const context = openContext();
  context.client.close();
  const rows = (await askAgents<readonly ShadowRow[]>(context, '/v1/policy/shadow')).flatMap(({ value }) => value);
  const differences = differencesSeen(new World(scenario), rows);
  const gone = one ? [] : [...differences].filter(([address]) => !asked.some(source => source.address === address));
  return {
    source: 'kernel',
    shadows: [
      ...asked.map(source => {
        const since = sinceOf(source);
        return { policy: source.address, ...(since !== undefined && { since }), pods: podsOf(scenario, source), differences: differences.get(source.address) ?? [] };
      }),
      ...gone.map(([address, list]) => ({ policy: address, pods: 0, differences: list })),
    ],
  };
}

function podsOf(scenario: Scenario, { policy }: ScenarioPolicy): number {
  return scenario.pods.filter(pod => !pod.hostNetwork && (policy?.specs ?? []).some(spec => !spec.selectsNodes && spec.subject.matches(pod.labels))).length;
}

/** When the annotation was written last, as the API remembers its writers; else when the policy was made. */
function sinceOf({ object }: ScenarioPolicy): string | undefined {
  const metadata = object.metadata as { creationTimestamp?: string; managedFields?: readonly { time?: string; fieldsV1?: unknown }[] } | undefined;
  const writers = (metadata?.managedFields ?? []).filter(({ fieldsV1 }) => JSON.stringify(fieldsV1 ?? {}).includes('"f:policy.cirri.io/mode"'));
  return writers.map(writer => writer.time).filter(time => time !== undefined).sort()[0] ?? metadata?.creationTimestamp;
}

// ---- output ----

function totals(differences: readonly ShadowDifference[], verdict: 'allow' | 'deny'): { readonly differences: number; readonly connections: number; readonly lastHit?: string } {
  const own = differences.filter(d => d.verdict === verdict);
  const counts = own.reduce<ShadowCounts | undefined>((sum, d) => (d.counts ? addCounts(sum, d.counts) : sum), undefined);
  return { differences: own.length, connections: counts?.connections ?? 0, ...(counts && { lastHit: counts.lastHit }) };
}

/** `{source, policies: [{policy, since?, pods, wouldDeny, wouldAllow, differences: [{verdict, direction, endpoint, peer, ports, rule, counts?}]}]}` */
function reportJson({ source, shadows }: Report): object {
  return {
    source,
    policies: shadows.map(({ policy, since, pods, differences }) => ({ policy: shownAddress(policy), since, pods, wouldDeny: totals(differences, 'deny'), wouldAllow: totals(differences, 'allow'), differences })),
  };
}

function print(report: Report, one: boolean): void {
  const paint = stdoutPaint();
  if (report.shadows.length === 0) {
    line('no policy is in shadow');
    return line(paint.faint('annotate one with policy.cirri.io/mode: shadow, and it is evaluated beside the others without deciding anything'));
  }
  if (!one && report.source === 'kernel') return printTable(['policy', 'since', 'pods', 'would deny', 'would allow', 'last'], report.shadows.map(totalsRow));
  for (const [i, shadow] of report.shadows.entries()) {
    if (i > 0) line();
    printShadow(shadow, report.source, paint);
  }
}

function totalsRow({ policy, since, pods, differences }: Shadow): readonly string[] {
  const [deny, allow] = [totals(differences, 'deny'), totals(differences, 'allow')];
  const last = [deny.lastHit, allow.lastHit].filter(time => time !== undefined).sort().at(-1);
  return [
    safe(shownAddress(policy)), since === undefined ? 'not any more' : `${ago(since)} ago`, String(pods),
    counted(deny.connections, 'connection'), counted(allow.connections, 'connection'), last === undefined ? '-' : `${ago(last)} ago`,
  ];
}

function printShadow({ policy, since, pods, differences }: Shadow, source: Report['source'], paint: Paint): void {
  const watched = since === undefined ? '' : `, in shadow since ${since} (${ago(since)})`;
  line(`${paint.strong(safe(shownAddress(policy)))}${watched}`);
  if (pods === 0) return line(`  ${paint.careful('it selects no pod')}: nothing was compared`);
  if (differences.length === 0) {
    return line(source === 'kernel' ? `  ${paint.good('nothing differed')}: every connection of the ${counted(pods, 'pod')} that it selects was decided since then as it would be with the policy in force` : `  ${paint.good('nothing would change')} for the pods that were read`);
  }
  const ofKernel = source === 'kernel';
  printTable(
    ['  would', 'endpoint', 'peer', 'ports', ...(ofKernel ? ['connections', 'packets', 'last'] : []), 'rule'],
    differences.map(d => [
      `  ${d.verdict}`, safe(d.endpoint), `${d.direction === 'ingress' ? 'from' : 'to'} ${safe(d.peer)}`, d.ports.join(', '),
      ...(ofKernel ? [String(d.counts?.connections ?? 0), String(d.counts?.packets ?? 0), `${ago(d.counts?.lastHit)} ago`] : []), safe(ruleWord(d)),
    ]),
  );
}

/** Short, since the line has the policy above it: the path with its place, or that no rule allows it. */
function ruleWord({ rule, direction }: ShadowDifference): string {
  if (rule.address.startsWith('default/')) return rule.address.includes('/deny/') ? `default deny at ${direction}` : 'no rule';
  const path = /\/(specs?(?:[[.].*)?)$/.exec(rule.address)?.[1] ?? shownAddress(rule.address);
  return rule.place ? `${path} (${rule.place})` : path;
}

// ---- watching ----

/** Prints a line for what is new or has grown, until interrupted. */
async function watch(scenario: Scenario, asked: readonly ScenarioPolicy[], first: Report): Promise<void> {
  const leaving = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => leaving.abort());
  let known = connectionsByDifference(first);
  while (!leaving.signal.aborted) {
    await delay(watchMs, leaving.signal).catch(() => {});
    if (leaving.signal.aborted) return;
    const report = await seen(scenario, asked, true);
    for (const { policy, differences } of report.shadows) for (const difference of differences) printGrown(policy, difference, known);
    known = connectionsByDifference(report);
  }
}

function keyOf(policy: string, { verdict, direction, endpoint, peer, ports, rule }: ShadowDifference): string {
  return JSON.stringify([policy, verdict, direction, endpoint, peer, ports, rule.address]);
}

function connectionsByDifference({ shadows }: Report): ReadonlyMap<string, number> {
  return new Map(shadows.flatMap(({ policy, differences }) => differences.map(d => [keyOf(policy, d), d.counts?.packets ?? 0] as const)));
}

function printGrown(policy: string, difference: ShadowDifference, known: ReadonlyMap<string, number>): void {
  const grown = (difference.counts?.packets ?? 0) - (known.get(keyOf(policy, difference)) ?? 0);
  if (grown <= 0) return;
  const { verdict, direction, endpoint, peer, ports, rule } = difference;
  line(`${difference.counts?.lastHit ?? ''} ${safe(shownAddress(policy))} would ${verdict} ${direction} of ${safe(endpoint)} ${direction === 'ingress' ? 'from' : 'to'} ${safe(peer)} ${ports.join(', ')}: ${counted(grown, 'packet')} more${rule.because === undefined ? '' : ` (${safe(readable(rule.because))})`}`);
}
