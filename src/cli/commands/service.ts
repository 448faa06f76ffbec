import type { Command } from 'commander';
import { safe } from '../../flows/print/fields.ts';
import { askAgents } from '../agents.ts';
import { openContext } from '../context.ts';
import { printStructured, printTable } from '../output.ts';

export function register(program: Command): void {
  const service = program.command('service').summary('services as the datapath knows them').description('Services as the datapath knows them.');
  service.command('list')
    .description('Frontends and backends in the kernel. Without --node, of the first node: all have the same.')
    .option('--node <name>', 'of this node')
    .option('-o, --output <format>', 'json or yaml')
    .addHelpText('after', `
Examples:
  ./cirri service list
  ./cirri service list --node node2 -o json`)
    .action(async (flags: { node?: string; output?: string }) => {
      const context = openContext();
      context.client.close();
      const answers = await askAgents<Record<string, unknown>[]>(context, '/v1/services');
      const answer = answers.find(({ node }) => flags.node === undefined || node === flags.node);
      const rows = answer?.value ?? [];
      if (!printStructured(flags.output, rows)) printRows(rows);
    });
}

/** Rows whose fields only the agent knows: its names are the columns. */
export function printRows(rows: readonly Record<string, unknown>[]): void {
  const fields = [...new Set(rows.flatMap(row => Object.keys(row)))];
  printTable(fields.map(field => field.replace(/([A-Z])/g, ' $1').toUpperCase()), rows.map(row => fields.map(field => cell(row[field]))));
}

function cell(value: unknown): string {
  if (value === undefined || value === null) return '-';
  if (Array.isArray(value)) return value.map(cell).join(', ') || '-';
  if (typeof value === 'object') {
    const { namespace, name, ip, address, port, protocol } = value as Record<string, unknown>;
    const host = ip ?? address;
    if (host !== undefined && port !== undefined) return safe(`${String(host).includes(':') ? `[${host}]` : host}:${port}${protocol === undefined ? '' : `/${protocol}`}`);
    if (host !== undefined) return safe(String(host));
    if (name !== undefined) return safe(namespace === undefined ? String(name) : `${namespace}/${name}`);
    return safe(JSON.stringify(value));
  }
  return safe(String(value));
}
