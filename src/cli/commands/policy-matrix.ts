import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { safe } from '../../flows/print/fields.ts';
import { accessText, accessWords } from '../../policy/access.ts';
import { leg } from '../../policy/connection.ts';
import { matrixHtml } from '../../policy/matrix-page.ts';
import { groupCell, groupsOf } from '../../policy/matrix-groups.ts';
import { matrixSvg, pictureParties } from '../../policy/matrix-picture.ts';
import { computeMatrix, type Matrix, type Party } from '../../policy/matrix.ts';
import type { World } from '../../policy/world.ts';
import { CirriError } from '../../std/errors.ts';
import { line, printStructured, printTable, stdoutPaint } from '../output.ts';
import { readable } from '../../model/readable.ts';
import { addSourceOptions, loadWorld, type SourceFlags } from './policy-world.ts';

interface MatrixFlags extends SourceFlags {
  readonly only?: string;
  readonly entities?: boolean;
  readonly list?: boolean;
  readonly svg?: string;
  readonly html?: string;
}

/** Wider tables than this are lists. */
const tableColumns = 12;

export function register(policy: Command): void {
  addSourceOptions(policy.command('matrix'))
    .summary('who may talk to whom, as a table or a picture')
    .description('Who may talk to whom, by workload and port: exact for all ports of TCP, UDP, SCTP and ICMP. Pods of a workload that policies tell apart have rows of their own; large clusters are shown by namespace.')
    .option('--only <namespaces>', 'workloads of these namespaces (with commas)')
    .option('--entities', 'with host, remote-node and kube-apiserver')
    .option('--list', 'one connection a line instead of a table (more than 12 parties are listed, more than 60 summed up by namespace)')
    .option('--svg <file>', 'write a picture')
    .option('--html <file>', 'write a page to look into: by namespace, with the reason of each denial')
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
      if (flags.html !== undefined) write(flags.html, matrixHtml(matrix, title, { why: (from, to) => whyNot(world, from, to) }));
      if (printStructured(flags.output, matrixJson(matrix))) return;
      if (flags.svg !== undefined || flags.html !== undefined) return;
      if (!flags.list && matrix.parties.length > pictureParties) printByNamespace(matrix);
      else if (flags.list || matrix.parties.length > tableColumns) printList(matrix);
      else printTable(['from \\ to', ...matrix.parties.map(p => safe(p.name))], matrix.parties.map((from, i) => [safe(from.name), ...matrix.access[i]!.map(access => (access === undefined ? '·' : accessText(access)))]));
    });
}

/** The ends that deny on the first port, which where nothing is allowed stands for all. */
function whyNot(world: World, from: Party, to: Party): string {
  return leg(world, from.end, to.end, 6, 0).steps.filter(step => step.verdict === 'deny').map(step => `${step.direction}: ${readable(step.rule.because)}`).join('; ');
}

function write(file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (error) {
    throw new CirriError('ERR_FILE', `${file} cannot be written`, { cause: error });
  }
  process.stderr.write(`cirri: wrote ${file}\n`);
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

/** Too many for a list that anybody reads: a line for each two namespaces between which something is allowed. */
function printByNamespace(matrix: Matrix): void {
  const groups = groupsOf(matrix.parties);
  const rows = groups.flatMap(from => groups.flatMap(to => {
    const { kind, allowed, total } = groupCell(matrix, from, to);
    if (kind === 'same' || kind === 'none') return [];
    return [[safe(from.name), safe(to.name), kind === 'all' ? 'all' : `${allowed} of ${total} pairs on some port`]];
  }));
  printTable(['from', 'to', 'allowed'], rows);
  line(stdoutPaint().faint(`${matrix.parties.length} parties in ${groups.length} groups; each connection: --list, --only NAMESPACE, --html FILE, -o json`));
}
