import type { Command } from 'commander';
import { stringify } from 'yaml';
import { safe } from '../../flows/print/fields.ts';
import { createPaint, wantsColour } from '../../flows/print/paint.ts';
import { recommend, type Recommendation, type RecommendOptions } from '../../policy/recommend.ts';
import { replay } from '../../policy/replay.ts';
import { readPolicy, readScenario, withPolicies, type Scenario, type ScenarioObject } from '../../policy/scenario.ts';
import { counted } from '../../std/counted.ts';
import { CirriError } from '../../std/errors.ts';
import { line } from '../output.ts';
import { addObservedOptions, observedPairs, type ObservedFlags } from './policy-observed.ts';
import { pairText, printReplay, replayJson } from './policy-replay.ts';
import { addSourceOptions, loadScenario, type SourceFlags } from './policy-world.ts';

interface Flags extends Omit<SourceFlags, 'namespace'>, ObservedFlags {
  readonly namespace: string;
  readonly workload?: readonly string[];
  readonly minConnections?: string;
  readonly addresses?: boolean;
  readonly dnsRules?: boolean;
  readonly includeDenied?: boolean;
  readonly offline?: boolean;
}

const shownLeft = 10;

export function register(policy: Command): void {
  addObservedOptions(addSourceOptions(policy.command('recommend')), '7d')
    .summary('propose policies from what was seen, and try them on it')
    .description("One CiliumNetworkPolicy for each workload of the namespace, that allows the connections of the nodes' flow history and denies all else: selectors rather than addresses, names rather than the world's addresses. The policies go to standard output; what they would have denied of all that was recorded, to standard error. Nothing is applied.")
    .argument('<namespace>', 'for the workloads of this namespace')
    .option('--workload <name>', 'only for this workload (repeat for more)', (value: string, list: readonly string[] = []) => [...list, value])
    .option('--min-connections <n>', 'leave out what was seen fewer times than this')
    .option('--addresses', 'addresses instead of DNS names')
    .option('--dns-rules', 'with the DNS rules without which Cilium learns no names')
    .option('--include-denied', 'propose what was denied as well')
    .option('--offline', 'without the cluster: with --flows')
    .addHelpText('after', `
Examples:
  ./cirri policy recommend shop > shop.yaml           read it, then: kubectl apply -f shop.yaml
  ./cirri policy recommend shop --since 30d --min-connections 3
  ./cirri policy recommend shop --workload api -o json
  ./cirri policy recommend shop --offline --flows flows.json`)
    .action((namespace: string, flags: Flags) => run(namespace, flags));
}

async function run(namespace: string, flags: Flags): Promise<void> {
  if (flags.offline && flags.flows === undefined) throw new CirriError('ERR_FLAG', '--offline needs recorded flows', { mend: '--offline --flows FILE' });
  const scenario = flags.offline && !flags.filename?.length ? readScenario([]) : await loadScenario({ ...flags, live: flags.offline !== true }, true);
  const observed = await observedPairs(flags, '7d', namespace);
  const found = recommend(scenario, observed.pairs, optionsOf(namespace, flags));
  if (found.proposals.length === 0) {
    throw new CirriError('ERR_NOTHING_SEEN', `nothing was recorded of namespace ${namespace} from which a policy could be proposed`, { mend: 'look further back (--since 30d), or see what there is: cirri flows query --namespace ' + namespace });
  }
  const result = replay(adopt(scenario, found), observed.pairs);
  if (flags.output === 'json') return line(JSON.stringify({ policies: found.proposals.map(({ policy }) => policy), left: found.left, replay: replayJson(result, observed) }, undefined, 2));
  for (const { policy } of found.proposals) line(`---\n${stringify(policy, { lineWidth: 0 }).trimEnd()}`);
  const paint = createPaint(wantsColour('auto', process.stderr, process.env));
  const say = (text: string) => void process.stderr.write(`${text}\n`);
  say(`\n${counted(found.proposals.length, 'policy', 'policies')} from ${counted(found.proposals.reduce((sum, each) => sum + each.connections, 0), 'connection')}. Tried on what was recorded of ${namespace}, beside the policies in force:`);
  printReplay(result, observed, paint, say);
  sayLeft(found, say);
}

function optionsOf(namespace: string, { workload, minConnections, addresses, dnsRules, includeDenied }: Flags): RecommendOptions {
  if (minConnections !== undefined && !/^\d{1,9}$/.test(minConnections)) throw new CirriError('ERR_FLAG', `--min-connections must be a number, not "${minConnections}"`);
  return {
    namespace,
    ...(workload && { workloads: workload }), ...(minConnections !== undefined && { minConnections: Number(minConnections) }),
    ...(addresses && { addresses }), ...(dnsRules && { dnsRules }), ...(includeDenied && { includeDenied }),
  };
}

function adopt(scenario: Scenario, { proposals }: Recommendation): Scenario {
  return withPolicies(scenario, proposals.map(({ policy }) => readPolicy({ object: policy as unknown as ScenarioObject, place: field => `${policy.metadata.name}: ${field}` }, { namespace: policy.metadata.namespace, clusterName: scenario.clusterName })));
}

function sayLeft({ left }: Recommendation, say: (text: string) => void): void {
  for (const [reason, text] of [['denied', 'was denied, and is not proposed (--include-denied proposes it)'], ['rare', 'was seen too seldom (--min-connections)']] as const) {
    // Both ends tell of a connection: it is one all the same.
    const counts = new Map<string, number>();
    for (const row of left) if (row.reason === reason) counts.set(pairText(row.pair), Math.max(counts.get(pairText(row.pair)) ?? 0, row.pair.count));
    if (counts.size === 0) continue;
    say(`${text}:`);
    const sorted = [...counts].sort(([, a], [, b]) => b - a);
    for (const [pair, count] of sorted.slice(0, shownLeft)) say(`  ${safe(pair)} ×${count}`);
    if (sorted.length > shownLeft) say(`  and ${sorted.length - shownLeft} more`);
  }
}
