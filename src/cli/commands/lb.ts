import type { Command } from 'commander';
import { callLocal } from '../../cluster/local-api.ts';
import { safe } from '../../flows/print/fields.ts';
import { maglevReport, type MaglevReport } from '../../lb/maglev-report.ts';
import type { ServiceListing } from '../../model/service-listing.ts';
import { CirriError } from '../../std/errors.ts';
import { KernelMaps } from '../bpf/kernel-maps.ts';
import { backendAddresses, frontendText } from '../bpf/lb.ts';
import { maglevTables } from '../bpf/maglev.ts';
import { openContext, type Context } from '../context.ts';
import { line, printStructured, printTable, stdoutPaint } from '../output.ts';
import { servicesNamed } from './service.ts';

interface Flags {
  readonly node?: string;
  readonly output?: string;
}

interface Shown extends MaglevReport {
  readonly id: number;
  readonly frontend: string;
  /** `namespace/name`; undefined while no agent says it. */
  readonly service?: string;
}

export function register(program: Command): void {
  const lb = program.command('lb').summary('how services choose their backends').description('How services choose their backends.');
  lb.command('maglev')
    .description('Maglev tables as the kernel has them: each backend\'s share beside what its weight promises, and how many of the other connections would move if it were lost.')
    .argument('[service]', 'NAMESPACE/NAME, ID or address, as for service get; without, all that have a table')
    .option('--node <name>', 'of this node (default: the first)')
    .option('-o, --output <format>', 'json or yaml')
    .addHelpText('after', `
Examples:
  sudo ./cirri lb maglev
  sudo ./cirri lb maglev demo/api`)
    .action(maglev);
}

async function maglev(asked: string | undefined, flags: Flags): Promise<void> {
  const context = openContext();
  context.client.close();
  using maps = new KernelMaps(context, flags.node);
  // Names and weights are the agent's; while it is away shares are shown without them.
  const listed = (await callLocal<ServiceListing[]>(context.paths.node(maps.node).agentSocket, '/v1/services', { timeoutMs: 60_000 }).catch(() => undefined)) ?? [];
  const wanted = asked === undefined ? undefined : new Set(wantedFrontends(listed, maps, asked));
  const rows = [...maps.open('services').entries()]
    .map(([key, service]) => ({ frontend: frontendText(key), service }))
    .filter(({ frontend, service }) => service.maglev > 0 && (wanted === undefined || wanted.has(frontend)))
    .sort((a, b) => (a.frontend < b.frontend ? -1 : 1));
  if (asked !== undefined && rows.length === 0) {
    throw new CirriError('ERR_NO_TABLE', `${asked} has no Maglev table on ${maps.node}: it chooses at random, or has no backend`, { mend: 'annotate the service: service.cilium.io/lb-algorithm=maglev' });
  }
  const reports = rows.flatMap(({ frontend, service }) => report(context, maps, listed.find(row => row.frontend === frontend), frontend, service.id));
  if (printStructured(flags.output, reports)) return;
  if (asked === undefined) printSummary(reports);
  else for (const alike of groupAlike(reports)) printReport(alike);
}

function wantedFrontends(listed: readonly ServiceListing[], maps: KernelMaps, asked: string): string[] {
  if (listed.length > 0) return servicesNamed(listed, asked).map(row => row.frontend);
  return [...maps.open('services').entries()].filter(([key, { id }]) => String(id) === asked || frontendText(key).startsWith(asked)).map(([key]) => frontendText(key));
}

function report({ record }: Context, maps: KernelMaps, listing: ServiceListing | undefined, frontend: string, id: number): Shown[] {
  const [table] = maglevTables(maps, id);
  if (!table) return [];
  const addressOf = backendAddresses(maps);
  const entries = table.entries.map(addressOf);
  const active = listing?.backends.filter(({ state }) => state === 'active').map(({ address, weight }) => ({ name: address, weight: weight ?? 1 }));
  const backends = active && active.length > 0 ? active : [...new Set(entries)].filter(name => name !== undefined).map(name => ({ name, weight: 1 }));
  const { hashSeed } = record.settings.maglev;
  return [{ id, frontend, ...(listing && { service: `${listing.namespace}/${listing.name}` }), ...maglevReport(entries, backends, { tableSize: entries.length, hashSeed }) }];
}

const percent = (part: number) => `${(part * 100).toFixed(2)} %`;

function printSummary(reports: readonly Shown[]): void {
  if (reports.length === 0) return line('no service here has a Maglev table: loadBalancer.algorithm=maglev gives one to what clients outside use, the annotation service.cilium.io/lb-algorithm=maglev to the whole service');
  printTable(['FRONTEND', 'SERVICE', 'ENTRIES', 'BACKENDS', 'LARGEST SHARE', 'SMALLEST', 'MOST MOVED BY A LOSS'], reports.map(row => [
    safe(row.frontend), safe(row.service ?? '-'), String(row.tableSize), String(row.backends.length), `${row.most.toFixed(3)} × fair`, `${row.least.toFixed(3)} × fair`,
    row.backends.some(each => each.movedIfLost !== undefined) ? percent(Math.max(...row.backends.map(each => each.movedIfLost ?? 0))) : '-',
  ]));
}

const barWidth = 24;

/** A service has a table for each of its addresses, and most are alike. */
function groupAlike(reports: readonly Shown[]): Shown[][] {
  const groups = new Map<string, Shown[]>();
  for (const row of reports) {
    const key = JSON.stringify([row.service, row.tableSize, row.asComputed, row.backends]);
    groups.set(key, [...(groups.get(key) ?? []), row]);
  }
  return [...groups.values()];
}

function printReport(alike: readonly Shown[]): void {
  const paint = stdoutPaint();
  const row = alike[0]!;
  for (const { frontend, service, id, tableSize, asComputed } of alike) {
    line(`${paint.strong(safe(frontend))}${service === undefined ? '' : `  ${safe(service)}`}  id ${id}, ${tableSize} entries${asComputed ? '' : paint.bad(', NOT the table that its backends give')}`);
  }
  const largest = Math.max(...row.backends.map(({ share, expected }) => Math.max(share, expected)), Number.EPSILON);
  printTable(['  BACKEND', 'WEIGHT', 'SHARE', 'FAIR', '', 'IF LOST, OTHERS MOVE'], row.backends.map(({ name, weight, share, expected, movedIfLost }) => [
    `  ${safe(name)}`, String(weight), percent(share), percent(expected), bar(share / largest, expected / largest), movedIfLost === undefined ? '-' : percent(movedIfLost),
  ]));
}

/** How long the share is, with a mark where the fair one ends. */
function bar(share: number, fair: number): string {
  const cells: string[] = Array.from({ length: barWidth }, (_, i) => (i < Math.round(share * barWidth) ? '█' : '·'));
  const mark = Math.min(barWidth - 1, Math.max(0, Math.round(fair * barWidth) - 1));
  cells[mark] = cells[mark] === '█' ? '▓' : '│';
  return cells.join('');
}
