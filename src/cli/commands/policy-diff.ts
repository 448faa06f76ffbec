import type { Command } from 'commander';
import { safe } from '../../flows/print/fields.ts';
import type { Paint } from '../../flows/print/paint.ts';
import { accessText, accessWords } from '../../policy/access.ts';
import type { ConntrackRow } from '../../model/kernel-reports.ts';
import { previewEstablished, type CutConnection, type EstablishedPreview } from '../../policy/established.ts';
import { diffWorlds, type MatrixDiff } from '../../policy/matrix.ts';
import { protocolName } from '../../policy/policy.ts';
import { readScenario, type Scenario, type SourcedObject } from '../../policy/scenario.ts';
import { World } from '../../policy/world.ts';
import { counted } from '../../std/counted.ts';
import { CirriError } from '../../std/errors.ts';
import { askAgents } from '../agents.ts';
import { openContext } from '../context.ts';
import { bytes, line, printStructured, stdoutPaint } from '../output.ts';
import { knownPolicies } from './policy-names.ts';
import { readable } from '../../model/readable.ts';
import { addSourceOptions, liveObjects, over, sourcedFiles, type SourceFlags } from './policy-world.ts';

interface Flags extends SourceFlags {
  readonly exitCode?: boolean;
  readonly entities?: boolean;
  readonly without?: readonly string[];
}

const shownConnections = 50;

export function register(policy: Command): void {
  addSourceOptions(policy.command('diff'))
    .summary('connections gained and lost between two sets of manifests, or by a change of the cluster')
    .description('Connections gained and lost when the policies (and pods) of OLD become those of NEW. What -f names belongs to both; where nothing brings pods, those of the cluster are taken. With --live, the cluster as it is becomes the cluster with the files of NEW (or of -f) over it, and the established connections that the change would end are listed too. Exit code 0; with --exit-code 1 when a connection is gained, lost or ended.')
    .argument('[old]', 'a file or folder; - for nothing')
    .argument('[new]', 'a file or folder')
    .option('--without <policy>', 'a policy that the new does not have any more: NS/NAME (repeat for more)', (value: string, list: readonly string[] = []) => [...list, value])
    .option('--entities', 'with host, remote-node and kube-apiserver')
    .option('--exit-code', 'exit with 1 when they differ')
    .addHelpText('after', `
Examples:
  ./cirri policy diff main/manifests pr/manifests --exit-code
  ./cirri policy diff -f apps/ policies/v1 policies/v2
  ./cirri policy diff --live -f new-policy.yaml            what applying it would change, and which connections it would cut
  ./cirri policy diff --live --without demo/allow-frontend-to-api`)
    .action((old: string | undefined, now: string | undefined, flags: Flags) => run(old, now, flags));
}

async function run(old: string | undefined, now: string | undefined, flags: Flags): Promise<void> {
  const { before, after } = await worldsOf(old, now, flags);
  const diff = diffWorlds(before, after, { ...(flags.entities && { entities: true }) });
  const established = flags.live ? await previewOf(before, after) : undefined;
  const differs = diff.differences.length + diff.added.length + diff.removed.length + (established?.ends.length ?? 0) > 0;
  if (flags.exitCode && differs) process.exitCode = 1;
  if (printStructured(flags.output, { ...diffJson(diff), ...(established && { established: establishedJson(established) }) })) return;
  const paint = stdoutPaint();
  if (established) printEstablished(established, paint);
  printDiff(diff, paint);
}

// ---- the two worlds ----

interface Worlds { readonly before: World; readonly after: World }

async function worldsOf(old: string | undefined, now: string | undefined, flags: Flags): Promise<Worlds> {
  const common = flags.filename?.length ? sourcedFiles(flags.filename) : [];
  const [a, b] = sides(old, now, common, flags);
  const options = { namespace: flags.namespace, ...(flags.clusterName !== undefined && { clusterName: flags.clusterName }) };
  const hasPods = [a, b].some(objects => readScenario(objects, options).pods.length > 0);
  const live = flags.live || !hasPods ? await liveObjects() : undefined;
  // Without --live only what runs is taken from the cluster: the policies are those of the files.
  const below = (live?.objects ?? []).filter(({ object }) => flags.live || !String(object.kind).endsWith('Policy'));
  const read = (objects: readonly SourcedObject[]) => readScenario(over(below, objects, flags.namespace), { ...live?.options, ...options });
  const [before, after] = [read(a), without(read(b), flags)];
  for (const [name, scenario] of [[old ?? 'the cluster', before], [now ?? 'the new', after]] as const) {
    for (const p of scenario.policies) for (const e of p.errors) throw new CirriError('ERR_POLICY', `${name}: ${p.address} is invalid: ${e.path}: ${e.message}`, { where: p.place(e.path), mend: e.mend });
  }
  return { before: new World(before), after: new World(after) };
}

/** OLD and NEW with what belongs to both; with --live and no names, nothing and the files of -f. */
function sides(old: string | undefined, now: string | undefined, common: readonly SourcedObject[], flags: Flags): readonly [readonly SourcedObject[], readonly SourcedObject[]] {
  if (old !== undefined && now !== undefined) return [over(common, old === '-' ? [] : sourcedFiles([old]), flags.namespace), over(common, now === '-' ? [] : sourcedFiles([now]), flags.namespace)];
  if (old === undefined && flags.live && (common.length > 0 || flags.without?.length)) return [[], common];
  throw new CirriError('ERR_FLAG', 'what is to be compared?', { mend: 'cirri policy diff OLD NEW; or, with the cluster, --live -f NEW or --live --without NS/NAME' });
}

function without(scenario: Scenario, flags: Flags): Scenario {
  const leaving = new Set((flags.without ?? []).flatMap(name => knownPolicies(scenario, name, flags.namespace)));
  return leaving.size === 0 ? scenario : { ...scenario, policies: scenario.policies.filter(policy => !leaving.has(policy)) };
}

// ---- established connections ----

async function previewOf(before: World, after: World): Promise<EstablishedPreview> {
  const context = openContext();
  context.client.close();
  const rows = (await askAgents<readonly ConntrackRow[]>(context, '/v1/conntrack')).flatMap(({ value }) => value);
  const nodes = new Map(context.record.nodes.flatMap(node => [node.routerIp4, node.routerIp6, node.underlay4, node.underlay6].map(address => [address, node.name] as const)));
  return previewEstablished(before, after, rows, nodes);
}

function establishedJson({ ends, kept, total }: EstablishedPreview): object {
  return { total, ends: ends.map(cutJson), kept: kept.map(cutJson) };
}

function cutJson({ row, from, to, step }: CutConnection): object {
  return {
    from, to, protocol: protocolName(row.protocol), source: `${bracketed(row.source)}:${row.sourcePort}`, destination: `${bracketed(row.destination)}:${row.destinationPort}`, bytes: row.bytes,
    deniedAt: step.direction, rule: { id: step.rule.id, address: step.rule.address, because: step.rule.because, ...(step.place !== undefined && { place: step.place }) },
  };
}

function printEstablished({ ends, kept, total }: EstablishedPreview, paint: Paint): void {
  if (ends.length === 0) line(paint.good(`no established connection would end, of ${total} that are open now`));
  else line(paint.bad(`${counted(ends.length, 'established connection')} would end, of ${total} that are open now:`));
  printCuts(ends, paint);
  if (kept.length > 0) line(`${counted(kept.length, 'established connection')} would be kept (policy.cirri.io/established: keep), though new ones like it would be denied:`);
  printCuts(kept, paint);
  line(paint.faint('new connections:'));
}

function printCuts(cuts: readonly CutConnection[], paint: Paint): void {
  const sorted = [...cuts].sort((a, b) => b.row.bytes - a.row.bytes);
  for (const { row, from, to, step } of sorted.slice(0, shownConnections)) {
    line(`  ${safe(named(from, row.source))}:${row.sourcePort} → ${safe(named(to, row.destination))}:${row.destinationPort}/${protocolName(row.protocol)}, ${bytes(row.bytes)} so far`);
    line(`      ${step.direction}: ${safe(readable(step.rule.because))}${step.place === undefined ? '' : ` ${paint.faint(`(${safe(step.place)})`)}`}`);
  }
  if (sorted.length > shownConnections) line(`  and ${sorted.length - shownConnections} more (-o json shows all)`);
}

function named(name: string, address: string): string {
  return name === address ? bracketed(address) : `${name} (${address})`;
}

function bracketed(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}

// ---- new connections ----

function diffJson({ differences, added, removed }: MatrixDiff): object {
  const side = (pick: 'gained' | 'lost' | 'audited') => differences.filter(d => d[pick].length > 0).map(d => ({ from: d.from, to: d.to, ports: accessText(d[pick]) === 'all' ? ['all'] : accessWords(d[pick]) }));
  return { gained: side('gained'), lost: side('lost'), audited: side('audited'), addedParties: added, removedParties: removed };
}

function printDiff({ differences, added, removed }: MatrixDiff, paint: Paint): void {
  if (differences.length + added.length + removed.length === 0) return line('no connection gained or lost');
  for (const { from, to, gained } of differences) if (gained.length > 0) line(paint.good(`+ ${safe(from)} → ${safe(to)}: ${accessText(gained)}`));
  for (const { from, to, lost } of differences) if (lost.length > 0) line(paint.bad(`- ${safe(from)} → ${safe(to)}: ${accessText(lost)}`));
  for (const { from, to, audited } of differences) if (audited.length > 0) line(paint.careful(`~ ${safe(from)} → ${safe(to)}: ${accessText(audited)} would be reported as denied`));
  for (const name of added) line(`only in the new: ${safe(name)}`);
  for (const name of removed) line(`only in the old: ${safe(name)}`);
}
