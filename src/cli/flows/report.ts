import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { Command } from 'commander';
import { parseTime } from '../../flows/query.ts';
import { mergeGroups } from '../../history/merge.ts';
import { reportGroups, reportHtml, type ReportData } from '../../history/report.ts';
import type { GroupsQuery, HistoryFilter, HistoryGap, HistoryGroup } from '../../model/history.ts';
import { CirriError, errorText } from '../../std/errors.ts';
import { openContext, type Context } from '../context.ts';
import { askHistories } from '../histories.ts';
import { line } from '../output.ts';
import { addWindow, countOf } from './options.ts';

interface ReportFlags {
  readonly since: string;
  readonly until?: string;
  readonly output: string;
  readonly file?: string;
  readonly rows: string;
}

const chromiumPaths = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const chromiumPatienceMs = 60_000;

export function registerReport(flows: Command): void {
  addWindow(flows.command('report'), '30d')
    .summary('an audit report of a namespace: who talked to it, what was denied, by which policy')
    .description('A page of its own, to be read, printed or handed on: who talked to the namespace and whom it talked to, what was denied and why, which policies decided, and what the record lacks.')
    .argument('<namespace>')
    .option('-o, --output <format>', 'html or pdf', 'html')
    .option('-f, --file <file>', 'where to (default NAMESPACE-flows.html)')
    .option('--rows <n>', 'rows of each table at most', '500')
    .addHelpText('after', `
Examples:
  sudo ./cirri flows report payments
  sudo ./cirri flows report payments --since 7d -o pdf -f payments.pdf`)
    .action((namespace: string, flags: ReportFlags) => run(namespace, flags));
}

async function run(namespace: string, flags: ReportFlags): Promise<void> {
  if (!/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(namespace)) throw new CirriError('ERR_FLAG', `"${namespace}" is no name of a namespace`);
  if (flags.output !== 'html' && flags.output !== 'pdf') throw new CirriError('ERR_FLAG', `-o ${flags.output}: known are html and pdf`);
  // Before a long question is asked.
  const chromium = flags.output === 'pdf' ? findChromium() : undefined;
  const context = openContext();
  context.client.close();
  const html = reportHtml(await gather(context, namespace, flags));
  const file = flags.file ?? `${namespace}-flows.${flags.output}`;
  if (chromium === undefined) writeFileSync(file, html, { mode: 0o600 });
  else await printPdf(chromium, html, file);
  line(`${file} is written`);
}

async function gather(context: Context, namespace: string, flags: ReportFlags): Promise<ReportData> {
  const since = parseTime(flags.since);
  const until = parseTime(flags.until ?? '0s');
  if (since >= until) throw new CirriError('ERR_FLAG', 'that time ends before it begins', { mend: '--since must be before --until' });
  const rows = countOf('rows', flags.rows)!;
  const [to, from] = [{ destination_pod: [`${namespace}/`] }, { source_pod: [`${namespace}/`] }];
  const gaps = new Map<string, HistoryGap>();
  let cut = false;
  const ask = async (name: keyof typeof reportGroups, whitelist: readonly HistoryFilter[], order: 'flows' | 'connections'): Promise<HistoryGroup[]> => {
    const query: GroupsQuery = { kind: 'groups', since, until, by: reportGroups[name], order, top: 10_000, whitelist };
    const answers: (readonly HistoryGroup[])[] = [];
    for await (const { answer } of askHistories(context, query)) {
      if (answer.kind === 'groups') answers.push(answer.groups);
      if (answer.kind !== 'end') continue;
      for (const gap of answer.gaps) gaps.set(JSON.stringify(gap), gap);
      cut ||= answer.more === true;
    }
    const merged = mergeGroups(answers, order);
    cut ||= name !== 'days' && merged.length > rows;
    return name === 'days' ? merged : merged.slice(0, rows);
  };
  const data = {
    incoming: await ask('incoming', [{ ...to, reply: [false] }], 'connections'),
    outgoing: await ask('outgoing', [{ ...from, reply: [false] }], 'connections'),
    denied: await ask('denied', [{ ...to, event_type: [{ type: 1 }] }, { ...from, event_type: [{ type: 1 }] }], 'flows'),
    policies: await ask('policies', [{ ...to, event_type: [{ type: 5 }] }, { ...from, event_type: [{ type: 5 }] }], 'flows'),
    days: await ask('days', [to, from], 'flows'),
  };
  let recordedSince: string | undefined;
  for await (const { answer } of askHistories(context, { kind: 'status' })) {
    if (answer.kind === 'status' && answer.status.oldest !== undefined && (recordedSince === undefined || answer.status.oldest < recordedSince)) recordedSince = answer.status.oldest;
  }
  return {
    namespace, cluster: context.record.clusterName, nodes: context.record.nodes.map(({ name }) => name), since, until, recordedSince, madeAt: new Date().toISOString(),
    ...data, gaps: [...gaps.values()].sort((a, b) => (a.since < b.since ? -1 : 1)), cut,
  };
}

function findChromium(): string {
  const found = chromiumPaths.find(path => existsSync(path));
  if (found === undefined) throw new CirriError('ERR_NO_CHROMIUM', 'a PDF is printed by Chromium, which is not there', { mend: 'apt install chromium; or -o html, and print it from a browser' });
  return found;
}

async function printPdf(chromium: string, html: string, file: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'cirri-report-'));
  try {
    const page = join(folder, 'report.html');
    writeFileSync(page, html, { mode: 0o600 });
    // The page is ours, without script, and may fetch nothing; root has no sandbox in Chromium.
    await promisify(execFile)(chromium, ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-extensions', `--user-data-dir=${join(folder, 'profile')}`, '--no-pdf-header-footer', `--print-to-pdf=${resolve(file)}`, `file://${page}`], { timeout: chromiumPatienceMs });
    if (!existsSync(file)) throw new Error('no file was written');
  } catch (error) {
    throw new CirriError('ERR_PDF', `Chromium did not print the report: ${errorText(error)}`, { mend: '-o html, and print it from a browser' });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
