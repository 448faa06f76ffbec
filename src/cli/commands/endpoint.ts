import type { Command } from 'commander';
import { safe } from '../../flows/print/fields.ts';
import { openContext, type Context } from '../context.ts';
import { endpointReports, oneEndpoint, type EndpointReport } from '../endpoints.ts';
import { line, printStructured, printTable } from '../output.ts';
import { registerConfig } from './endpoint-config.ts';

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
      const rows = await endpointReports(closedContext());
      if (printStructured(flags.output, rows)) return;
      printTable(
        ['NODE', 'ENDPOINT', 'POD', 'IDENTITY', 'IPV4', 'IPV6', 'POLICY', 'LABELS'],
        rows.map(row => [
          row.node, String(row.id), safe(`${row.namespace}/${row.podName}`), String(row.identity), row.ipv4 ?? '-', row.ipv6 ?? '-',
          policyText(row), safe(row.labels.filter(label => !/k8s:io\./.test(label)).join(' ')),
        ]),
      );
    });
  endpoint.command('get')
    .description('One endpoint, by pod, number, address or container.')
    .argument('<endpoint>', 'NS/POD, ID, ipv4:ADDRESS, ipv6:ADDRESS, pod-name:NS:POD, cep-name:NS/POD, container-id:ID')
    .option('-o, --output <format>', 'json or yaml')
    .addHelpText('after', `
Examples:
  ./cirri endpoint get demo/api-0
  ./cirri endpoint get ipv4:10.244.1.7 -o json`)
    .action(async (name: string, flags: { output?: string }) => {
      const row = oneEndpoint(await endpointReports(closedContext()), name);
      if (printStructured(flags.output, row)) return;
      const shown = [
        ['pod', `${row.namespace}/${row.podName}`], ['node', row.node], ['endpoint', String(row.id)], ['identity', String(row.identity)],
        ['addresses', [row.ipv4, row.ipv6].filter(text => text !== undefined).join(', ')], ['policy', policyText(row)], ['labels', row.labels.join(' ')],
      ] as const;
      for (const [key, value] of shown) line(`${key.padEnd(10)} ${safe(value)}`);
    });
  registerConfig(endpoint);
}

function policyText({ sets, audit }: EndpointReport): string {
  return `${sets ? 'ready' : 'not ready'}${audit === undefined ? '' : ' (Audit)'}`;
}

function closedContext(): Context {
  const context = openContext();
  context.client.close();
  return context;
}
