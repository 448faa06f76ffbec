import type { Command } from 'commander';
import type { FlagUse } from '../../flows/flags.ts';
import { parseDuration, parseTime } from '../../flows/query.ts';
import { flowToJson } from '../../flows/jsonpb.ts';
import { wantsColour } from '../../flows/print/paint.ts';
import { createPrinter, printFormats, type PrintFormat } from '../../flows/print/printer.ts';
import { safe, safeJson } from '../../flows/print/safe.ts';
import { mergeFlows, mergeGroups } from '../../history/merge.ts';
import { inForce } from '../../history/in-force.ts';
import type { Flow } from '../../model/flow.ts';
import { groupDimensions, type GroupDimension, type GroupMeasure, type GroupsQuery, type HistoryGap, type HistoryGroup, type HistoryWindow } from '../../model/history.ts';
import { CirriError } from '../../std/errors.ts';
import { openContext } from '../context.ts';
import { askHistories } from '../histories.ts';
import { bytes, line, printTable } from '../output.ts';
import { addFilters, addWindow, countOf, csvLine, tellGaps, windowOf, type WindowFlags } from './options.ts';

interface QueryFlags extends WindowFlags {
  readonly last?: string;
  readonly first?: string;
  readonly all?: boolean;
  readonly at?: string;
  readonly within: string;
  readonly bytes?: boolean;
  readonly groupBy?: string;
  readonly top?: string;
  readonly by: string;
  readonly output?: string;
  readonly color: string;
}

export function registerQuery(flows: Command): void {
  const uses: FlagUse[] = [];
  const command = flows.command('query')
    .summary('flows of the past: listed, grouped, or as of a moment')
    .description("Flows from all nodes' history. The filters are observe's; --group-by adds up instead of listing.")
    .option('--last <n>', 'the newest n (default 20 without --since and --until)')
    .option('--first <n>', 'the oldest n')
    .option('--all', 'all there are')
    .option('--at <time>', 'who could reach whom at that moment: the last verdict on each connection, with the policy and the labels of then')
    .option('--within <duration>', 'how long before --at a verdict may lie', '1h')
    .option('--group-by <what>', `one or more of ${groupDimensions.join(', ')}, with commas`)
    .option('--top <n>', 'groups at most, the largest first', '50')
    .option('--bytes', 'with the bytes of connections that ended')
    .option('--by <measure>', 'largest by flows, connections or bytes', 'connections')
    .option('-o, --output <format>', `${printFormats.join(', ')}; csv`)
    .option('--color <when>', 'auto, always or never', 'auto')
    .addHelpText('after', `
Examples:
  sudo ./cirri flows query --to-namespace payments --since 7d --group-by source-workload
  sudo ./cirri flows query --verdict DROPPED --since 24h --group-by source,destination,port,policy --top 20
  sudo ./cirri flows query --at 2026-11-20T03:12:00Z --to-namespace payments
  sudo ./cirri flows query --pod shop/cart --since 1h -o jsonpb
  sudo ./cirri flows query --since 30d --group-by day,verdict -o csv`);
  addFilters(addWindow(command), uses).action(() => run(command.opts<QueryFlags>(), uses));
}

async function run(flags: QueryFlags, uses: readonly FlagUse[]): Promise<void> {
  const window = windowOf(flags, uses);
  if (flags.at !== undefined && (flags.since !== undefined || flags.until !== undefined || flags.groupBy !== undefined)) throw new CirriError('ERR_FLAG', '--at has its own time and its own order', { mend: 'leave out --since, --until and --group-by' });
  if (flags.at !== undefined) return showAt(flags, window);
  if (flags.groupBy !== undefined) return showGroups(flags, window);
  return showFlows(flags, window);
}

async function showGroups(flags: QueryFlags, window: HistoryWindow): Promise<void> {
  const by = flags.groupBy!.split(',').map(name => name.trim()).map(name => {
    if (!(groupDimensions as readonly string[]).includes(name)) throw new CirriError('ERR_FLAG', `--group-by ${name}: known are ${groupDimensions.join(', ')}`);
    return name as GroupDimension;
  });
  const order = (['flows', 'connections', 'bytes'] as const).find(name => name === flags.by);
  if (!order) throw new CirriError('ERR_FLAG', `--by ${flags.by}: known are flows, connections and bytes`);
  const withBytes = flags.bytes === true || order === 'bytes';
  const top = countOf('top', flags.top)!;
  // What is small on each node may be large in all: each tells more of its groups than are shown.
  const query: GroupsQuery = { kind: 'groups', ...window, by, order, ...(withBytes && { bytes: true }), top: Math.min(100_000, Math.max(1000, top * 10)) };
  const answers: (readonly HistoryGroup[])[] = [];
  const gaps: HistoryGap[] = [];
  let more = false;
  const context = openContext();
  context.client.close();
  for await (const { answer } of askHistories(context, query)) {
    if (answer.kind === 'groups') answers.push(answer.groups);
    if (answer.kind === 'end') {
      gaps.push(...answer.gaps);
      more ||= answer.more === true;
    }
  }
  const all = mergeGroups(answers, order);
  printGroups(all.slice(0, top), by, withBytes, flags.output);
  if (all.length > top || more) process.stderr.write(`cirri: ${more ? 'many' : all.length - top} more groups; --top ${top * 10} shows more\n`);
  tellGaps(gaps);
}

function printGroups(groups: readonly HistoryGroup[], by: readonly GroupDimension[], withBytes: boolean, output: string | undefined): void {
  if (output === 'json' || output === 'jsonpb') return groups.forEach(({ key, bytes: total, ...rest }) => line(safeJson({ ...Object.fromEntries(by.map((name, i) => [name, key[i]!])), ...rest, ...(withBytes && { bytes: total }) })));
  if (output === 'csv') {
    line(csvLine([...by, 'flows', 'connections', ...(withBytes ? ['bytes'] : []), 'first', 'last']));
    return groups.forEach(({ key, flows, connections, bytes: total, first, last }) => line(csvLine([...key, flows, connections, ...(withBytes ? [total] : []), first, last])));
  }
  if (output !== undefined && output !== 'table') throw new CirriError('ERR_FLAG', `-o ${output}: groups are printed as table, json or csv`);
  if (groups.length === 0) return line('no flows');
  printTable([...by.map(name => name.toUpperCase()), 'CONNECTIONS', 'FLOWS', ...(withBytes ? ['BYTES'] : []), 'FIRST', 'LAST'], groups.map(({ key, flows, connections, bytes: total, first, last }) =>
    [...key.map(text => (text === '' ? '-' : safe(text))), String(connections), String(flows), ...(withBytes ? [bytes(total)] : []), shortTime(first), shortTime(last)]));
}

const shortTime = (time: string) => time.slice(0, 19).replace('T', ' ');

async function showFlows(flags: QueryFlags, window: HistoryWindow): Promise<void> {
  const first = countOf('first', flags.first);
  const asked = flags.all === true || window.since !== undefined || window.until !== undefined || first !== undefined;
  const last = countOf('last', flags.last) ?? (asked ? undefined : 20);
  if (first !== undefined && last !== undefined) throw new CirriError('ERR_FLAG', 'cannot set both --first and --last');
  const limits = { ...(last !== undefined && { last }), ...(first !== undefined && { first }) };
  const answers: Flow[][] = [];
  const gaps: HistoryGap[] = [];
  const context = openContext();
  context.client.close();
  for await (const { node, answer } of askHistories(context, { kind: 'flows', ...window, ...limits })) {
    if (answer.kind === 'flows') (answers[context.record.nodes.findIndex(({ name }) => name === node)] ??= []).push(...answer.flows);
    if (answer.kind === 'end') gaps.push(...answer.gaps);
  }
  const flows = mergeFlows(answers.filter(list => list !== undefined), limits);
  if (flags.output === 'csv') printCsv(flows);
  else {
    const format = printFormats.find(name => name === (flags.output ?? 'compact'));
    if (!format) throw new CirriError('ERR_FLAG', `-o ${flags.output!}: known are ${printFormats.join(', ')} and csv`);
    const printer = createPrinter({ format: format as PrintFormat, colours: wantsColour(flags.color, process.stdout, process.env), policyNames: true, nodeNames: context.record.nodes.length > 1 }, line);
    flows.forEach(flow => printer.flow(flow));
    printer.end();
  }
  tellGaps(gaps);
}

function printCsv(flows: readonly Flow[]): void {
  line(csvLine(['time', 'node', 'type', 'verdict', 'direction', 'source', 'source_ip', 'source_port', 'destination', 'destination_ip', 'destination_port', 'protocol', 'reason', 'policy', 'summary']));
  const name = ({ namespace, podName, names }: Flow['source']) => (podName === undefined ? names?.[0] ?? '' : `${namespace}/${podName}`);
  for (const flow of flows) {
    const policy = flow.rule ? `${flow.rule.namespace ? `${flow.rule.namespace}/` : ''}${flow.rule.name}` : '';
    line(csvLine([flow.time, flow.nodeName, flow.type, flow.verdict, flow.direction, name(flow.source), flow.source.ip, flow.sourcePort, name(flow.destination), flow.destination.ip, flow.destinationPort, flow.protocol, flow.dropReason, policy, flow.summary]));
  }
}

/** What was decided last on each connection before a moment. */
async function showAt(flags: QueryFlags, window: HistoryWindow): Promise<void> {
  const until = parseTime(flags.at!);
  const withinMs = parseDuration(flags.within);
  if (withinMs === undefined || withinMs <= 0) throw new CirriError('ERR_FLAG', `--within ${flags.within}: not a duration`, { mend: 'write 5m, 1h or 1d' });
  const since = new Date(Date.parse(until) - withinMs).toISOString();
  const decided: Flow[] = [];
  const gaps: HistoryGap[] = [];
  const context = openContext();
  context.client.close();
  for await (const { answer } of askHistories(context, { kind: 'flows', ...window, since, until })) {
    if (answer.kind === 'flows') for (const flow of answer.flows) if (flow.type === 'policy-verdict' && flow.shadow === undefined) decided.push(flow);
    if (answer.kind === 'end') gaps.push(...answer.gaps);
  }
  const rows = inForce(decided);
  if (flags.output === 'json' || flags.output === 'jsonpb') rows.forEach(({ flow }) => line(safeJson(flowToJson(flow))));
  else if (rows.length === 0) line(`no verdict was recorded within ${flags.within} before ${until}; --within looks further back`);
  else printTable(['LAST SEEN', 'SOURCE', 'DESTINATION', 'PORT', 'DIRECTION', 'VERDICT', 'BY', 'REVISION'], rows.map(({ flow, source, destination, port, policy, revision }) =>
    [shortTime(flow.time), ...[source, destination, port, flow.direction.toLowerCase(), flow.verdict, policy, revision].map(text => safe(text))]));
  tellGaps(gaps);
}
