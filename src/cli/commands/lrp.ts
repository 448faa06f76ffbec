import type { Command } from 'commander';
import type { LocalRedirectRow } from '../../features/local-redirect/derive.ts';
import { safe } from '../../flows/print/fields.ts';
import { askAgents, knownNode } from '../agents.ts';
import { openContext } from '../context.ts';
import { line, printStructured, stdoutPaint } from '../output.ts';

export function register(program: Command): void {
  const lrp = program.command('lrp').summary('local redirect policies on each node').description('CiliumLocalRedirectPolicies as the nodes follow them.');
  lrp.command('list')
    .description("Policies with their frontends and the pods of the node behind them, in upstream's layout.")
    .option('--node <name>', 'only this node')
    .option('-o, --output <format>', 'json or yaml')
    .addHelpText('after', `
Examples:
  ./cirri lrp list
  ./cirri lrp list --node node1 -o json`)
    .action(list);
}

async function list(flags: { node?: string; output?: string }): Promise<void> {
  const context = openContext();
  context.client.close();
  const { node } = flags;
  if (node !== undefined) knownNode(context, node);
  const answers = (await askAgents<LocalRedirectRow[]>(context, '/v1/local-redirects')).filter(answer => node === undefined || answer.node === node);
  if (printStructured(flags.output, answers.flatMap(answer => answer.value.map(row => ({ node: answer.node, ...row }))))) return;
  const paint = stdoutPaint();
  for (const answer of answers) {
    if (answers.length > 1) line(paint.strong(answer.node));
    line(columns('LRP namespace', 'LRP name', 'FrontendType', 'Matching Service'));
    for (const row of answer.value) printPolicy(row);
  }
}

function printPolicy({ namespace, name, matches, frontends, troubles }: LocalRedirectRow): void {
  const paint = stdoutPaint();
  const service = /^service (.*)$/.exec(matches)?.[1];
  line(columns(safe(namespace), safe(name), service === undefined ? 'IP + port' : 'clusterIP', service === undefined ? '' : safe(service)));
  for (const { address, port, protocol, backends } of frontends) {
    line(columns('', '|', `${hostPort(safe(address), port)}/${safe(protocol)} -> ${backends.map(backend => hostPort(safe(backend.address), backend.port)).join(', ')}`));
  }
  if (frontends.length === 0 && troubles.length === 0) line(columns('', '|', 'no ready pod on this node: nothing is redirected'));
  for (const trouble of troubles) line(columns('', '|', paint.careful(safe(trouble))));
}

function columns(...cells: readonly string[]): string {
  return cells.map((cell, i) => (i === cells.length - 1 ? cell : cell.padEnd([16, 20, 28][i]!))).join('').trimEnd();
}

function hostPort(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
