import { closeSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import type { Command } from 'commander';
import type { FlagUse } from '../../flows/flags.ts';
import { flowToJson } from '../../flows/jsonpb.ts';
import { safeJson } from '../../flows/print/safe.ts';
import type { HistoryGap, HistoryWindow } from '../../model/history.ts';
import { CirriError } from '../../std/errors.ts';
import { openContext, type Context } from '../context.ts';
import { askHistories } from '../histories.ts';
import { line } from '../output.ts';
import { addFilters, addWindow, tellGaps, windowOf, type WindowFlags } from './options.ts';

interface ExportFlags extends WindowFlags {
  readonly format: string;
  readonly file?: string;
}

export function registerExport(flows: Command): void {
  const uses: FlagUse[] = [];
  const command = flows.command('export')
    .summary('write flows of the past into a file')
    .description('Flows of all nodes: JSON lines as observe -o jsonpb writes them, node after node, or one Parquet file for each node with the columns of the view flows.')
    .option('--format <format>', 'jsonl or parquet', 'jsonl')
    .option('-f, --file <file>', 'where to (jsonl: standard output without it; parquet: FILE-NODE.parquet when there are several nodes)')
    .addHelpText('after', `
Examples:
  sudo ./cirri flows export --since 7d --to-namespace payments -f payments.jsonl
  sudo ./cirri flows export --since 30d --format parquet -f flows.parquet`);
  addFilters(addWindow(command), uses).action(() => run(command.opts<ExportFlags>(), uses));
}

async function run(flags: ExportFlags, uses: readonly FlagUse[]): Promise<void> {
  const window = windowOf(flags, uses);
  const context = openContext();
  context.client.close();
  if (flags.format === 'jsonl') return exportLines(context, window, flags.file);
  if (flags.format !== 'parquet') throw new CirriError('ERR_FLAG', `--format ${flags.format}: known are jsonl and parquet`);
  if (flags.file === undefined) throw new CirriError('ERR_FLAG', 'a Parquet file needs a name', { mend: '-f FILE' });
  return exportParquet(context, window, flags.file);
}

async function exportLines(context: Context, window: HistoryWindow, file: string | undefined): Promise<void> {
  const gaps: HistoryGap[] = [];
  let count = 0;
  using out = file === undefined ? undefined : new NewFile(file);
  for await (const { answer } of askHistories(context, { kind: 'flows', ...window })) {
    if (answer.kind === 'end') gaps.push(...answer.gaps);
    if (answer.kind !== 'flows') continue;
    count += answer.flows.length;
    const text = answer.flows.map(flow => safeJson(flowToJson(flow)) + '\n').join('');
    if (out) out.write(Buffer.from(text));
    else if (!process.stdout.write(text)) await new Promise(resolve => process.stdout.once('drain', resolve));
  }
  out?.keep();
  tellGaps(gaps);
  if (file !== undefined) line(`${count} flows in ${file}`);
}

async function exportParquet(context: Context, window: HistoryWindow, file: string): Promise<void> {
  const gaps: HistoryGap[] = [];
  for (const node of context.record.nodes) {
    const path = context.record.nodes.length === 1 ? file : `${file.replace(/\.parquet$/, '')}-${node.name}.parquet`;
    using out = new NewFile(path);
    let size = 0;
    try {
      for await (const { answer } of askHistories({ ...context, record: { ...context.record, nodes: [node] } }, { kind: 'export', format: 'parquet', ...window })) {
        if (answer.kind === 'end') gaps.push(...answer.gaps);
        if (answer.kind !== 'file') continue;
        const bytes = Buffer.from(answer.data, 'base64');
        out.write(bytes);
        size += bytes.length;
      }
    } catch (error) {
      if (!(error instanceof CirriError) || error.code !== 'ERR_HISTORY_EMPTY') throw error;
      line(`${node.name}: no flows in this time`);
      continue;
    }
    out.keep();
    line(`${path}: ${size} bytes`);
  }
  tellGaps(gaps);
}

/** A file that is there when it is whole, and not before. */
class NewFile implements Disposable {
  readonly #path: string;
  readonly #part: string;
  readonly #file: number;
  #kept = false;

  constructor(path: string) {
    this.#path = path;
    this.#part = `${path}.part`;
    this.#file = openSync(this.#part, 'w', 0o600);
  }

  write(bytes: Buffer): void {
    for (let at = 0; at < bytes.length;) at += writeSync(this.#file, bytes, at);
  }

  keep(): void {
    renameSync(this.#part, this.#path);
    this.#kept = true;
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
    if (!this.#kept) rmSync(this.#part, { force: true });
  }
}
