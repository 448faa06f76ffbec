import type { Command } from 'commander';
import { safe } from '../../flows/print/fields.ts';
import type { RuleInfo } from '../../policy/compile.ts';
import { World } from '../../policy/world.ts';
import { CirriError } from '../../std/errors.ts';
import { askAgents } from '../agents.ts';
import { openContext } from '../context.ts';
import { ago, line, printStructured, printTable, stdoutPaint } from '../output.ts';
import { readable } from './policy-print.ts';
import { loadScenario } from './policy-world.ts';

/** What `/v1/policy/stats` tells of one rule, summed over processors. */
export interface RuleCount {
  readonly rule: number;
  readonly packets: number;
  readonly bytes: number;
  /** RFC 3339. */
  readonly lastHit?: string;
}

export interface RuleUse {
  readonly rule: number;
  readonly info?: RuleInfo;
  readonly packets: number;
  readonly bytes: number;
  readonly lastHit?: string;
}

export function register(policy: Command): void {
  policy.command('verify')
    .summary('compare the tables in the kernel with what was meant')
    .description('Every agent reads its policy tables back from the kernel, compares them with what the policies mean, and mends what differs. Exit code 1 when something differed.')
    .option('-o, --output <format>', 'json or yaml')
    .addHelpText('after', `
Examples:
  ./cirri policy verify
  ./cirri policy verify -o json`)
    .action(async (flags: { output?: string }) => {
      const context = openContext();
      context.client.close();
      const answers = (await askAgents<{ differences: readonly string[] }>(context, '/v1/policy/verify')).map(({ node, value }) => ({ node, differences: value.differences }));
      const silent = context.record.nodes.length - answers.length;
      if (silent > 0 || answers.some(a => a.differences.length > 0)) process.exitCode = 1;
      if (printStructured(flags.output, answers)) return;
      const paint = stdoutPaint();
      for (const { node, differences } of answers) {
        line(differences.length === 0 ? `${paint.good('✓')} ${safe(node)}: the kernel has what was meant` : `${paint.bad('✗')} ${safe(node)}: ${differences.length} entries differed and were mended`);
        for (const text of differences) line(`    ${safe(text)}`);
      }
    });

  policy.command('stats')
    .summary('how often each rule decided')
    .description('Packets, bytes and the last hit of each rule of the policies in the cluster, over all nodes. Default denials count as rules too.')
    .option('--unused', 'only rules that never decided')
    .option('-o, --output <format>', 'json or yaml')
    .addHelpText('after', `
Examples:
  ./cirri policy stats
  ./cirri policy stats --unused
  ./cirri policy stats -o json | jq 'sort_by(-.packets)[:10]'`)
    .action(async (flags: { unused?: boolean; output?: string }) => {
      const context = openContext();
      context.client.close();
      const counts = await countsOf(context);
      const rules = rulesOf(new World(await loadScenario({ namespace: 'default' }, true)));
      const uses = useOf(rules, counts).filter(use => !flags.unused || (use.packets === 0 && use.info?.kind !== 'default'));
      if (printStructured(flags.output, uses)) return;
      if (uses.length === 0) return line(flags.unused ? 'every rule has decided something' : 'no rule has decided anything yet');
      printTable(['packets', 'bytes', 'last hit', 'rule'], uses.map(use => [String(use.packets), String(use.bytes), use.lastHit === undefined ? '-' : `${ago(use.lastHit)} ago`, safe(readable(use.info?.because ?? `rule ${use.rule}, of a policy that is gone`))]));
    });
}

async function countsOf(context: ReturnType<typeof openContext>): Promise<readonly RuleCount[]> {
  try {
    return (await askAgents<readonly RuleCount[]>(context, '/v1/policy/stats')).flatMap(({ value }) => value);
  } catch (error) {
    if (error instanceof CirriError && /status 404/.test(error.message)) throw new CirriError('ERR_NO_STATS', 'these agents count what rules decide and do not tell it yet', { mend: 'they need the route GET /v1/policy/stats' });
    throw error;
  }
}

/** All rules that select some pod, and the defaults that hold for some. */
export function rulesOf(world: World): ReadonlyMap<number, RuleInfo> {
  const rules = new Map<number, RuleInfo>();
  for (const pod of world.scenario.pods) {
    const member = world.memberOf(pod);
    if (!member) continue;
    for (const direction of ['ingress', 'egress'] as const) for (const [id, info] of world.indexed(member.subject, direction).set.rules) rules.set(id, info);
  }
  return rules;
}

/** Counters of all nodes added up; the busiest first. */
export function useOf(rules: ReadonlyMap<number, RuleInfo>, counts: readonly RuleCount[]): readonly RuleUse[] {
  const uses = new Map<number, RuleUse>([...rules].map(([rule, info]) => [rule, { rule, info, packets: 0, bytes: 0 }] as const));
  for (const { rule, packets, bytes, lastHit } of counts) {
    const before = uses.get(rule) ?? { rule, packets: 0, bytes: 0 };
    const last = [before.lastHit, lastHit].filter(t => t !== undefined).sort().at(-1);
    uses.set(rule, { ...before, packets: before.packets + Number(packets), bytes: before.bytes + Number(bytes), ...(last !== undefined && { lastHit: last }) });
  }
  return [...uses.values()].sort((a, b) => b.packets - a.packets || a.rule - b.rule);
}
