import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Command } from 'commander';
import { compileQuery, parseTime, type FlowQuery } from '../../flows/query.ts';
import { filterFlags, filterSwitches, filtersFromFlags, shortFilterFlags, type FlagUse } from '../../flows/flags.ts';
import { flowFromJson } from '../../flows/jsonpb-read.ts';
import { wantsColour } from '../../flows/print/paint.ts';
import { createPrinter, printFormats, type FlowPrinter, type PrintFormat } from '../../flows/print/printer.ts';
import type { Flow } from '../../model/flow.ts';
import { delay } from '../../std/async.ts';
import { CirriError, errorText } from '../../std/errors.ts';
import { openContext, type Context } from '../context.ts';
import { openFlowStream } from '../flow-stream.ts';
import { line } from '../output.ts';

export interface ObserveFlags {
  readonly follow?: boolean;
  readonly last?: string;
  readonly first?: string;
  readonly all?: boolean;
  readonly since?: string;
  readonly until?: string;
  readonly output: string;
  readonly printNodeName?: boolean;
  readonly printPolicyNames: boolean;
  readonly ipTranslation: string;
  readonly color: string;
  readonly timeFormat?: string;
  readonly inputFile?: string;
  /** True with --ids, false with --no-ids; absent: the ids of what was denied. */
  readonly ids?: boolean;
}

export function register(program: Command): void {
  describeObserve(program.command('observe')
    .summary('see flows: what was allowed and denied, and by which rule')
    .description("Flows of all nodes, in the order of time. The filters are hubble observe's: repeated ones are alternatives, different ones must all match.")
    .addHelpText('after', `
Examples:
  ./cirri observe                                                     the last 20 flows
  ./cirri observe --verdict DROPPED -f                                denials, as they happen; [flow ID] is for:
  ./cirri policy explain ID                                           why, and what would allow it
  ./cirri observe --namespace demo --to-port 8080 --since 5m -o table
  ./cirri observe --from-pod demo/stranger --not --verdict FORWARDED -o jsonpb`), {});
}

/** Adds flags and action; `forced` are flags that the command stands for. */
export function describeObserve(command: Command, forced: Partial<ObserveFlags>): void {
  const uses: FlagUse[] = [];
  command
    .option('-f, --follow', 'and then every new flow')
    .option('--last <n>', 'the newest n (default 20 without --follow and --since)')
    .option('--first <n>', 'the oldest n')
    .option('--all', 'all that the nodes remember')
    .option('--since <time>', '30s, 5m, 1h30m ago, or a time')
    .option('--until <time>', 'likewise')
    .option('-o, --output <format>', printFormats.join(', '), 'compact')
    .option('--print-node-name', 'with the node that saw it')
    .option('--no-print-policy-names', 'without the names of policies and rules')
    .option('--ids', "with every flow's id, for cirri policy explain (without it: the ids of denials)")
    .option('--no-ids', 'without ids')
    .option('--ip-translation <bool>', 'names instead of addresses', 'true')
    .option('--color <when>', 'auto, always or never', 'auto')
    .option('--time-format <format>', 'StampMilli or RFC3339Milli')
    .option('--input-file <file>', 'flows of a file of JSON lines instead (- is standard input)');
  for (const [name, value, help] of filterFlags) command.option(`${shortFlag(name)}--${name} <${value}>`, help, (given: string) => void uses.push([name, given]));
  for (const [name, help] of filterSwitches) {
    command.option(`${shortFlag(name)}--${name}`, help);
    command.on(`option:${name}`, () => void uses.push([name, '']));
  }
  command.action(() => runObserve({ ...command.opts<ObserveFlags>(), ...forced }, uses));
}

const shortFlag = (name: string) => (shortFilterFlags[name] === undefined ? '' : `-${shortFilterFlags[name]}, `);

async function runObserve(flags: ObserveFlags, uses: readonly FlagUse[]): Promise<void> {
  const query = queryOf(flags, uses);
  compileQuery(query);
  const printer = printerOf(flags);
  if (flags.inputFile !== undefined) return replay(flags.inputFile, query, printer);
  const context = openContext();
  context.client.close();
  const leaving = new AbortController();
  process.once('SIGINT', () => leaving.abort());
  process.once('SIGTERM', () => leaving.abort());
  if (flags.follow) await followAll(context, query, printer, leaving.signal);
  else await showAll(context, query, printer, leaving.signal);
  printer.end();
}

function queryOf(flags: ObserveFlags, uses: readonly FlagUse[]): FlowQuery {
  const conflict = ([['first', 'last'], ['first', 'all'], ['first', 'follow'], ['last', 'all']] as const).find(([a, b]) => flags[a] !== undefined && flags[b] !== undefined);
  if (conflict) throw new CirriError('ERR_FLAG', `--${conflict[0]} and --${conflict[1]} exclude each other`);
  if (flags.follow && flags.output === 'table') throw new CirriError('ERR_FLAG', '-o table needs all rows before it knows its widths: it cannot follow', { mend: 'use -o compact' });
  const { whitelist, blacklist } = filtersFromFlags(uses);
  const number = (name: 'last' | 'first') => {
    const text = flags[name];
    if (text === undefined) return undefined;
    if (!/^\d{1,9}$/.test(text)) throw new CirriError('ERR_FLAG', `--${name} must be a number, not "${text}"`);
    return Number(text);
  };
  const first = number('first');
  const last = number('last') ?? (flags.follow || flags.all || flags.since !== undefined || first !== undefined ? undefined : 20);
  return {
    whitelist, blacklist,
    ...(last !== undefined && { last }),
    ...(first !== undefined && { first }),
    ...(flags.since !== undefined && { since: parseTime(flags.since) }),
    ...(flags.until !== undefined && { until: parseTime(flags.until) }),
  };
}

function printerOf(flags: ObserveFlags): FlowPrinter {
  const format = flags.output === 'tab' ? 'table' : printFormats.find(name => name === flags.output);
  if (format === undefined) throw new CirriError('ERR_FLAG', `-o ${flags.output}: known are ${printFormats.join(', ')}`);
  const formatTime = flags.timeFormat === 'RFC3339Milli' ? (time: string) => `${time.slice(0, 23)}Z` : undefined;
  return createPrinter({
    format: format as PrintFormat,
    colours: wantsColour(flags.color, process.stdout, process.env),
    nodeNames: flags.printNodeName === true,
    policyNames: flags.printPolicyNames,
    names: flags.ipTranslation !== 'false',
    ids: flags.ids === undefined ? 'denied' : flags.ids ? 'all' : 'none',
    ...(formatTime && { formatTime }),
  }, line);
}

/** History of all nodes, merged. A node that does not answer is named on stderr; the others are shown. */
async function showAll(context: Context, query: FlowQuery, printer: FlowPrinter, signal: AbortSignal): Promise<void> {
  const flows: Flow[] = [];
  const streams = context.record.nodes.map(async node => {
    try {
      await openFlowStream(context.paths.node(node.name).agentSocket, query, { onFlows: batch => flows.push(...batch) }, signal).ended;
    } catch (error) {
      process.stderr.write(`cirri: ${node.name} is not heard: ${errorText(error)}\n`);
      return true;
    }
    return false;
  });
  const silent = (await Promise.all(streams)).filter(Boolean).length;
  if (silent === context.record.nodes.length) throw new CirriError('ERR_FLOWS', 'no agent answers', { mend: 'cirri status' });
  flows.sort(byTime);
  const shown = query.last !== undefined ? flows.slice(-query.last) : query.first !== undefined ? flows.slice(0, query.first) : flows;
  shown.forEach(flow => printer.flow(flow));
}

/** Long enough for the slower of two agents' timers, short enough that nobody notices. */
const sortWindowMs = 40;
const reconnectMs = 250;

/** New flows of all nodes; held for a moment so that they can be put in order. An agent that goes away is followed again when it is back. */
async function followAll(context: Context, query: FlowQuery, printer: FlowPrinter, signal: AbortSignal): Promise<void> {
  let waiting: Flow[] = [];
  let timer: NodeJS.Timeout | undefined;
  const flush = () => {
    timer = undefined;
    waiting.sort(byTime).forEach(flow => printer.flow(flow));
    waiting = [];
  };
  const onFlows = (flows: Flow[]) => {
    for (const flow of flows) waiting.push(flow);
    timer ??= setTimeout(flush, sortWindowMs);
  };
  await Promise.all(context.record.nodes.map(async node => {
    const { agentSocket } = context.paths.node(node.name);
    let wanted: FlowQuery = query;
    let lastSeen = '';
    let complained = false;
    while (!signal.aborted) {
      try {
        const stream = openFlowStream(agentSocket, { ...wanted, follow: true }, {
          onFlows: flows => {
            lastSeen = flows.at(-1)!.time;
            onFlows(flows);
          },
          onLost: (count, time) => printer.lost({ source: 'HUBBLE_RING_BUFFER', count, nodeName: node.name, time }),
        }, signal);
        await stream.opened;
        if (complained) process.stderr.write(`cirri: ${node.name} is heard again\n`);
        complained = false;
        await stream.ended;
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof CirriError) throw error;
        if (!complained) process.stderr.write(`cirri: ${node.name} is not heard: ${errorText(error)}; trying again\n`);
        complained = true;
      }
      const { last, first, ...rest } = query;
      wanted = lastSeen === '' ? rest : { ...rest, since: lastSeen };
      await delay(reconnectMs, signal).catch(() => {});
    }
  }));
  clearTimeout(timer);
  flush();
}

async function replay(file: string, query: FlowQuery, printer: FlowPrinter): Promise<void> {
  const matches = compileQuery(query);
  const input = file === '-' ? process.stdin : createReadStream(file);
  const found: Flow[] = [];
  for await (const text of createInterface({ input })) {
    if (text.trim() === '') continue;
    const flow = flowFromJson(JSON.parse(text));
    if (matches(flow)) found.push(flow);
  }
  const shown = query.last !== undefined ? found.slice(-query.last) : query.first !== undefined ? found.slice(0, query.first) : found;
  shown.forEach(flow => printer.flow(flow));
  printer.end();
}

function byTime(a: Flow, b: Flow): number {
  return a.time < b.time ? -1 : a.time > b.time ? 1 : 0;
}
