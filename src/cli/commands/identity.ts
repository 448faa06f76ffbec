import type { Command } from 'commander';
import { safe } from '../../flows/print/fields.ts';
import { reservedIdentities } from '../../model/identity.ts';
import { CirriError } from '../../std/errors.ts';
import { askAgents } from '../agents.ts';
import { openContext } from '../context.ts';
import { line, printStructured, printTable } from '../output.ts';

interface Row {
  readonly id: number;
  readonly labels: readonly string[];
  readonly prefix?: string;
}

export function register(program: Command): void {
  const identity = program.command('identity').summary('identities and their labels').description('Numbers that stand for sets of labels.');
  identity.command('list')
    .description('All identities: reserved, of pods, and of address ranges that policies name.')
    .option('-o, --output <format>', 'json or yaml')
    .addHelpText('after', `
Examples:
  ./cirri identity list
  ./cirri identity get 12345`)
    .action(async (flags: { output?: string }) => {
      const rows = await identities();
      if (printStructured(flags.output, rows)) return;
      printTable(['ID', 'LABELS'], rows.map(row => [String(row.id), safe([...row.labels, ...(row.prefix ? [`(${row.prefix})`] : [])].join(' '))]));
    });
  identity.command('get')
    .description('The labels of one identity.')
    .argument('<id>')
    .option('-o, --output <format>', 'json or yaml')
    .action(async (id: string, flags: { output?: string }) => {
      const row = (await identities()).find(candidate => String(candidate.id) === id);
      if (!row) throw new CirriError('ERR_NO_IDENTITY', `there is no identity ${id}`, { mend: 'cirri identity list' });
      if (!printStructured(flags.output, row)) for (const label of row.labels) line(safe(label));
    });
}

async function identities(): Promise<Row[]> {
  const context = openContext();
  context.client.close();
  const answers = await askAgents<Row[]>(context, '/v1/identities');
  const reserved = reservedIdentities.map(({ id, labels }) => ({ id, labels: labels.array }));
  const byId = new Map([...reserved, ...answers.flatMap(({ value }) => value)].map(row => [row.id, row]));
  return [...byId.values()].sort((a, b) => a.id - b.id);
}
