import type { Command } from 'commander';
import { safe } from '../../flows/print/fields.ts';
import type { RuleStatRow } from '../../model/kernel-reports.ts';
import { isUnused, policiesOfRule, useOf, useOrders, type RuleUse } from '../../policy/usage.ts';
import { World } from '../../policy/world.ts';
import { CirriError } from '../../std/errors.ts';
import { askAgents } from '../agents.ts';
import { openContext } from '../context.ts';
import { ago, bytes, line, printStructured, printTable, stdoutPaint } from '../output.ts';
import { knownPolicies, shownAddress } from './policy-names.ts';
import { readable } from '../../model/readable.ts';
import { loadScenario } from './policy-world.ts';

interface Flags {
  readonly unused?: boolean;
  readonly sort: string;
  readonly namespace: string;
  readonly output?: string;
}

export function register(policy: Command): void {
  policy.command('stats')
    .summary('how often each rule decided')
    .description('Packets, bytes, connections and the last hit of each rule of the policies in the cluster, over all nodes. Default denials count as rules too. A rule of a policy in audit or shadow mode is marked: an audited denial passes, and a shadow decides nothing (cirri policy shadow tells what it would).')
    .argument('[name]', 'NAME or NS/NAME of a policy: only its rules')
    .option('--unused', 'only rules that never decided')
    .option('--sort <order>', Object.keys(useOrders).join(', '), 'packets')
    .option('-n, --namespace <ns>', 'namespace of a name that gives none', 'default')
    .option('-o, --output <format>', 'json or yaml')
    .addHelpText('after', `
Examples:
  ./cirri policy stats
  ./cirri policy stats demo/allow-frontend-to-api
  ./cirri policy stats --unused
  ./cirri policy stats --sort last-hit
  ./cirri policy stats -o json | jq '.[:10]'`)
    .action((name: string | undefined, flags: Flags) => run(name, flags));
}

async function run(name: string | undefined, flags: Flags): Promise<void> {
  const order = Object.hasOwn(useOrders, flags.sort) ? useOrders[flags.sort as keyof typeof useOrders] : undefined;
  if (!order) throw new CirriError('ERR_FLAG', `--sort ${flags.sort}: known are ${Object.keys(useOrders).join(', ')}`);
  const world = new World(await loadScenario({ namespace: flags.namespace }, true));
  const asked = name === undefined ? undefined : new Set(knownPolicies(world.scenario, name, flags.namespace).map(p => p.address));
  const context = openContext();
  context.client.close();
  const counts = (await askAgents<readonly RuleStatRow[]>(context, '/v1/policy/stats')).flatMap(({ value }) => value);
  const uses = useOf(world, counts)
    .filter(use => (asked === undefined || (use.info !== undefined && policiesOfRule(use.info).some(address => asked.has(address)))) && (!flags.unused || isUnused(use)))
    .sort(order);
  if (printStructured(flags.output, uses.map(useJson))) return;
  // A default that never decided is nobody's to mend.
  const shown = uses.filter(use => use.packets > 0 || use.info?.kind !== 'default');
  if (shown.length > 0) printTable(['packets', 'bytes', 'connections', 'last hit', 'rule'], shown.map(row));
  else line(flags.unused ? 'every rule has decided something' : 'no rule has decided anything yet');
  if (flags.unused) printWithoutPods(world, asked);
}

function row(use: RuleUse): readonly string[] {
  const mark = use.mode === undefined ? '' : ` [${use.mode}]`;
  const text = use.info ? readable(use.info.because) : `${use.address === undefined ? `rule ${use.rule}` : shownAddress(use.address)}, of a policy that is gone or changed`;
  return [String(use.packets), bytes(use.bytes), String(use.connections), use.lastHit === undefined ? '-' : `${ago(use.lastHit)} ago`, safe(text) + mark];
}

/** `[{rule, address?, policies, direction?, mode?, packets, bytes, connections, lastHit?, because?}]` */
function useJson({ rule, info, address, mode, ...counts }: RuleUse): object {
  return { rule, address, policies: info ? policiesOfRule(info).map(shownAddress) : [], direction: info?.direction, effect: info?.effect, mode, ...counts, because: info?.because };
}

/** Rules of policies that select nobody are in no table: nothing counts them, and they are unused all the same. */
function printWithoutPods({ scenario }: World, asked: ReadonlySet<string> | undefined): void {
  const idle = scenario.policies.filter(({ address, policy }) => policy && (asked?.has(address) ?? true) && !scenario.pods.some(pod => !pod.hostNetwork && policy.specs.some(spec => spec.selectsNodes || spec.subject.matches(pod.labels))));
  for (const { address } of idle) line(stdoutPaint().careful(`${safe(shownAddress(address))} selects no pod: none of its rules can decide`));
}
