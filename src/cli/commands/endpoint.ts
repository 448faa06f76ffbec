import type { Command } from 'commander';
import type { Endpoint } from '../../features/endpoints/endpoint.ts';
import { safe } from '../../flows/print/fields.ts';
import { askAgents } from '../agents.ts';
import { openContext } from '../context.ts';
import { printStructured, printTable } from '../output.ts';

type Row = Endpoint & { readonly sets?: { readonly ingress: number; readonly egress: number } };

export function register(program: Command): void {
  const endpoint = program.command('endpoint').summary('pods as the datapath knows them').description('Pods as the datapath knows them.');
  endpoint.command('list')
    .description('Endpoints of all nodes with identity, addresses and policy sets.')
    .option('-o, --output <format>', 'json or yaml')
    .addHelpText('after', `
Examples:
  ./cirri endpoint list
  ./cirri endpoint list -o json | jq '.[] | {podName, identity}'`)
    .action(async (flags: { output?: string }) => {
      const context = openContext();
      context.client.close();
      const rows = (await askAgents<Row[]>(context, '/v1/endpoints')).flatMap(({ node, value }) => value.map(row => ({ node, ...row })));
      rows.sort((a, b) => (a.node < b.node ? -1 : a.node > b.node ? 1 : a.id - b.id));
      if (printStructured(flags.output, rows)) return;
      printTable(
        ['NODE', 'ENDPOINT', 'POD', 'IDENTITY', 'IPV4', 'IPV6', 'POLICY', 'LABELS'],
        rows.map(row => [
          row.node, String(row.id), safe(`${row.namespace}/${row.podName}`), String(row.identity), row.ipv4 ?? '-', row.ipv6 ?? '-',
          row.sets ? 'ready' : 'not ready', safe(row.labels.filter(label => !/k8s:io\./.test(label)).join(' ')),
        ]),
      );
    });
}
