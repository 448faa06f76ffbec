import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { safe } from '../../flows/print/fields.ts';
import { accessText, accessWords } from '../../policy/access.ts';
import { matrixHtml, matrixSvg } from '../../policy/matrix-picture.ts';
import { computeMatrix, diffWorlds, type Matrix, type MatrixDiff } from '../../policy/matrix.ts';
import { readScenario } from '../../policy/scenario.ts';
import { World } from '../../policy/world.ts';
import { CirriError } from '../../std/errors.ts';
import { line, printStructured, printTable, stdoutPaint } from '../output.ts';
import { addSourceOptions, liveObjects, loadWorld, over, sourcedFiles, type SourceFlags } from './policy-world.ts';

interface MatrixFlags extends SourceFlags {
  readonly only?: string;
  readonly entities?: boolean;
  readonly list?: boolean;
  readonly svg?: string;
  readonly html?: string;
}

interface DiffFlags extends SourceFlags {
  readonly exitCode?: boolean;
  readonly entities?: boolean;
}

/** Wider tables than this are lists. */
const tableColumns = 12;

export function register(policy: Command): void {
  addSourceOptions(policy.command('matrix'))
    .summary('who may talk to whom, as a table or a picture')
    .description('Who may talk to whom, by workload and port: exact for all ports of TCP, UDP, SCTP and ICMP. Pods of a workload that policies tell apart have rows of their own.')
    .option('--only <namespaces>', 'workloads of these namespaces (with commas)')
    .option('--entities', 'with host, remote-node and kube-apiserver')
    .option('--list', 'one connection a line instead of a table')
    .option('--svg <file>', 'write a picture')
    .option('--html <file>', 'write a page with the picture and a searchable list')
    .addHelpText('after', `
Examples:
  ./cirri policy matrix -f manifests/
  ./cirri policy matrix --only demo --svg matrix.svg --html matrix.html
  ./cirri policy matrix -o json | jq '.connections[] | select(.to == "demo/api")'`)
    .action(async (flags: MatrixFlags) => {
      const world = await loadWorld(flags);
      const matrix = computeMatrix(world, { ...(flags.only !== undefined && { namespaces: flags.only.split(',') }), ...(flags.entities && { entities: true }) });
      const title = `Who may talk to whom${flags.only === undefined ? '' : ` in ${flags.only}`}`;
      if (flags.svg !== undefined) write(flags.svg, matrixSvg(matrix, title));
      if (flags.html !== undefined) write(flags.html, matrixHtml(matrix, title));
      if (printStructured(flags.output, matrixJson(matrix))) return;
      if (flags.svg !== undefined || flags.html !== undefined) return;
      if (flags.list || matrix.parties.length > tableColumns) printList(matrix);
      else printTable(['from \\ to', ...matrix.parties.map(p => safe(p.name))], matrix.parties.map((from, i) => [safe(from.name), ...matrix.access[i]!.map(access => (access === undefined ? '·' : accessText(access)))]));
    });

  addSourceOptions(policy.command('diff'))
    .summary('connections gained and lost between two sets of manifests')
    .description('Connections gained and lost when the policies (and pods) of OLD become those of NEW. What -f names belongs to both; where nothing brings pods, those of the cluster are taken.')
    .argument('<old>', 'a file or folder; - for nothing')
    .argument('<new>', 'a file or folder')
    .option('--entities', 'with host, remote-node and kube-apiserver')
    .option('--exit-code', 'exit with 1 when they differ')
    .addHelpText('after', `
Examples:
  ./cirri policy diff main/manifests pr/manifests --exit-code
  ./cirri policy diff -f apps/ policies/v1 policies/v2
  ./cirri policy diff --live - new-policy.yaml             what a policy would change in the cluster`)
    .action(async (old: string, now: string, flags: DiffFlags) => {
      const [before, after] = await worldsOf(old, now, flags);
      const diff = diffWorlds(before, after, { ...(flags.entities && { entities: true }) });
      const differs = diff.differences.length + diff.added.length + diff.removed.length > 0;
      if (flags.exitCode && differs) process.exitCode = 1;
      if (printStructured(flags.output, diffJson(diff))) return;
      printDiff(diff);
    });
}

function write(file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (error) {
    throw new CirriError('ERR_FILE', `${file} cannot be written`, { cause: error });
  }
  process.stderr.write(`cirri: wrote ${file}\n`);
}

async function worldsOf(old: string, now: string, flags: DiffFlags): Promise<readonly [World, World]> {
  const common = flags.filename?.length ? sourcedFiles(flags.filename) : [];
  const [a, b] = [old === '-' ? [] : sourcedFiles([old]), sourcedFiles([now])];
  const options = { namespace: flags.namespace, ...(flags.clusterName !== undefined && { clusterName: flags.clusterName }) };
  const offline = [over(common, a, flags.namespace), over(common, b, flags.namespace)] as const;
  const hasPods = offline.some(objects => readScenario(objects, options).pods.length > 0);
  const live = flags.live || !hasPods ? await liveObjects() : undefined;
  // Without --live only what runs is taken from the cluster: the policies are those of the files.
  const below = (live?.objects ?? []).filter(({ object }) => flags.live || !String(object.kind).endsWith('Policy'));
  const clusterName = flags.clusterName ?? live?.clusterName;
  const [before, after] = offline.map(objects => new World(readScenario(over(below, objects, flags.namespace), { ...options, ...(clusterName !== undefined && { clusterName }) }))) as [World, World];
  for (const [name, world] of [[old, before], [now, after]] as const) {
    for (const p of world.scenario.policies) for (const e of p.errors) throw new CirriError('ERR_POLICY', `${name}: ${p.address} is invalid: ${e.path}: ${e.message}`, { where: p.place(e.path), mend: e.mend });
  }
  return [before, after];
}

// ---- output ----

function matrixJson({ parties, access }: Matrix): object {
  return {
    parties: parties.map(({ name, namespace, pods }) => ({ name, namespace, pods: pods.map(p => `${p.namespace}/${p.name}`) })),
    connections: parties.flatMap((from, i) => parties.flatMap((to, j) => {
      const between = access[i]![j];
      return between === undefined || between.length === 0 ? [] : [{ from: from.name, to: to.name, ports: accessText(between) === 'all' ? ['all'] : accessWords(between) }];
    })),
  };
}

function printList({ parties, access }: Matrix): void {
  const rows = parties.flatMap((from, i) => parties.flatMap((to, j) => {
    const between = access[i]![j];
    return between === undefined || between.length === 0 ? [] : [[safe(from.name), safe(to.name), accessText(between)]];
  }));
  printTable(['from', 'to', 'ports'], rows);
}

function diffJson({ differences, added, removed }: MatrixDiff): object {
  const side = (pick: 'gained' | 'lost') => differences.filter(d => d[pick].length > 0).map(d => ({ from: d.from, to: d.to, ports: accessText(d[pick]) === 'all' ? ['all'] : accessWords(d[pick]) }));
  return { gained: side('gained'), lost: side('lost'), addedParties: added, removedParties: removed };
}

function printDiff({ differences, added, removed }: MatrixDiff): void {
  const paint = stdoutPaint();
  if (differences.length + added.length + removed.length === 0) return line('no connection gained or lost');
  for (const { from, to, gained } of differences) if (gained.length > 0) line(paint.good(`+ ${safe(from)} → ${safe(to)}: ${accessText(gained)}`));
  for (const { from, to, lost } of differences) if (lost.length > 0) line(paint.bad(`- ${safe(from)} → ${safe(to)}: ${accessText(lost)}`));
  for (const name of added) line(`only in the new: ${safe(name)}`);
  for (const name of removed) line(`only in the old: ${safe(name)}`);
}
