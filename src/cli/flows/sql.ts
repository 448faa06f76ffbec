import type { Command } from 'commander';
import { readFileSync } from 'node:fs';
import { parseDuration } from '../../flows/query.ts';
import { safe, safeJson } from '../../flows/print/safe.ts';
import { CirriError } from '../../std/errors.ts';
import { openContext } from '../context.ts';
import { askHistories } from '../histories.ts';
import { line, printTable } from '../output.ts';
import { countOf, csvLine } from './options.ts';

interface SqlFlags {
  readonly node?: string;
  readonly limit: string;
  readonly timeout: string;
  readonly output?: string;
}

export function registerSql(flows: Command): void {
  flows.command('sql')
    .summary('ask the history in SQL')
    .description('One SELECT over the views flows and gaps (docs/history.md has their columns), answered by each node; the rows carry the node. Nothing else is answered: no files, no settings, nothing that writes.')
    .argument('<sql>', 'the SELECT; - reads it from standard input')
    .option('--node <name>', 'ask only this node')
    .option('--limit <n>', 'rows of each node at most', '10000')
    .option('--timeout <duration>', 'how long a node may think', '30s')
    .option('-o, --output <format>', 'table, json or csv', 'table')
    .addHelpText('after', `
Examples:
  sudo ./cirri flows sql "SELECT source_workload, count(*) AS n FROM flows WHERE verdict = 'DROPPED' GROUP BY ALL ORDER BY n DESC LIMIT 10"
  sudo ./cirri flows sql "SELECT time_bucket(INTERVAL 1 HOUR, time) AS hour, sum(bytes_out) FROM flows GROUP BY ALL ORDER BY hour" -o csv`)
    .action((sql: string, flags: SqlFlags) => run(sql === '-' ? readFileSync(0, 'utf8') : sql, flags));
}

async function run(sql: string, flags: SqlFlags): Promise<void> {
  const limit = countOf('limit', flags.limit)!;
  const timeoutMs = parseDuration(flags.timeout);
  if (timeoutMs === undefined || timeoutMs <= 0) throw new CirriError('ERR_FLAG', `--timeout ${flags.timeout}: not a duration`, { mend: 'write 10s or 2m' });
  if (!['table', 'json', 'csv'].includes(flags.output ?? 'table')) throw new CirriError('ERR_FLAG', `-o ${flags.output!}: known are table, json and csv`);
  const context = openContext();
  context.client.close();
  const nodes = context.record.nodes.filter(({ name }) => flags.node === undefined || name === flags.node);
  if (nodes.length === 0) throw new CirriError('ERR_FLAG', `--node ${flags.node!}: there is no such node`, { mend: `use one of ${context.record.nodes.map(({ name }) => name).join(', ')}` });
  let header: readonly string[] | undefined;
  const rows: (readonly unknown[])[] = [];
  for await (const { node, answer } of askHistories({ ...context, record: { ...context.record, nodes } }, { kind: 'sql', sql, limit, timeoutMs })) {
    if (answer.kind === 'columns') header ??= [...(nodes.length > 1 ? ['_node'] : []), ...answer.columns.map(({ name }) => name)];
    if (answer.kind === 'rows') for (const row of answer.rows) rows.push(nodes.length > 1 ? [node, ...row] : row);
    if (answer.kind === 'end' && answer.more) process.stderr.write(`cirri: ${node} has more rows than --limit ${limit}\n`);
  }
  const names = header ?? [];
  if (flags.output === 'json') rows.forEach(row => line(safeJson(Object.fromEntries(names.map((name, i) => [name, row[i]])))));
  else if (flags.output === 'csv') [names, ...rows].forEach(row => line(csvLine(row)));
  else printTable(names.map(name => safe(name)), rows.map(row => row.map(value => safe(value === null ? '-' : typeof value === 'object' ? JSON.stringify(value) : String(value)))));
}
