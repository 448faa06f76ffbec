import type { Command } from 'commander';
import type { HistoryStatus } from '../../model/history.ts';
import { safe } from '../../flows/print/safe.ts';
import { counted } from '../../std/counted.ts';
import { openContext } from '../context.ts';
import { askHistories, gapText } from '../histories.ts';
import { ago, bytes, line, printStructured, printTable } from '../output.ts';

export function registerStatus(flows: Command): void {
  flows.command('status')
    .summary('what the history holds: flows, days, size, gaps, memory')
    .option('--files', 'with each file')
    .option('-o, --output <format>', 'json or yaml')
    .addHelpText('after', `
Examples:
  sudo ./cirri flows status
  sudo ./cirri flows status --files`)
    .action((flags: { readonly files?: boolean; readonly output?: string }) => run(flags));
}

async function run(flags: { readonly files?: boolean; readonly output?: string }): Promise<void> {
  const context = openContext();
  context.client.close();
  const all: HistoryStatus[] = [];
  for await (const { answer } of askHistories(context, { kind: 'status' })) if (answer.kind === 'status') all.push(answer.status);
  if (printStructured(flags.output, all)) return;
  printTable(['NODE', 'STATE', 'FLOWS', 'SINCE', 'NEWEST', 'SIZE', 'BYTES/FLOW', 'KEPT', 'WRITTEN', 'GAPS', 'MEMORY'], all.map(status => [
    status.node, status.state, String(status.flows), status.oldest?.slice(0, 19).replace('T', ' ') ?? '-', status.newest === undefined ? '-' : `${ago(status.newest)} ago`,
    bytes(status.bytes), status.flows === 0 ? '-' : (status.bytes / status.flows).toFixed(0), `${status.retention.days}d, ${status.retention.megabytes} MB`, String(status.written),
    String(status.gaps.length), `${bytes(status.memory.residentBytes)}, at most ${bytes(status.memory.peakBytes)}`,
  ]));
  for (const status of all) {
    if (status.problem !== undefined) line(`${status.node}: ${safe(status.problem)}`);
    for (const name of status.setAside) line(`${status.node}: set aside as damaged: ${safe(name)}`);
    for (const gap of status.gaps.slice(-10)) line(`gap: ${safe(gapText(gap))}`);
    if (status.gaps.length > 10) line(`${status.node}: ${counted(status.gaps.length - 10, 'earlier gap')}: -o json`);
  }
  if (flags.files) {
    line();
    printTable(['NODE', 'FILE', 'SINCE', 'UNTIL', 'FLOWS', 'SIZE', 'CLOSED'], all.flatMap(({ node, partitions }) => partitions.map(part =>
      [node, part.name, part.since.slice(0, 19), part.until.slice(0, 19), String(part.flows), bytes(part.bytes), part.sealed ? 'yes' : 'no'])));
  }
}
