import { availableParallelism } from 'node:os';
import type { Command } from 'commander';
import { maps } from '../../datapath/generated/maps.ts';
import { compileQuery } from '../../flows/query.ts';
import { filterFlags, filterSwitches, filtersFromFlags, shortFilterFlags, type FlagUse } from '../../flows/flags.ts';
import { messageTypes } from '../../flows/flag-values.ts';
import { monitorJson, monitorLines } from '../../flows/print/monitor.ts';
import { safe, safeJson } from '../../flows/print/safe.ts';
import type { Flow, FlowEndpoint } from '../../model/flow.ts';
import { CirriError } from '../../std/errors.ts';
import { openContext } from '../context.ts';
import { openFlows } from '../hubble/flows.ts';
import { line } from '../output.ts';
import { collect } from '../options.ts';
import { knownNode } from '../agents.ts';

interface Flags {
  readonly type: readonly string[];
  readonly from: readonly string[];
  readonly to: readonly string[];
  readonly relatedTo: readonly string[];
  readonly node?: string;
  readonly verbose: number;
  readonly json?: boolean;
  readonly numeric?: boolean;
  readonly hex?: boolean;
}

/** Types of events that are flows; the agent's own are not told here. */
const flowTypes: readonly string[] = [...messageTypes.keys()].filter(name => name !== 'agent');

export function register(program: Command): void {
  const uses: FlagUse[] = [];
  const command = program.command('monitor')
    .summary("the datapath's events as they happen, in the layout of cilium monitor")
    .description("Events of all nodes as they happen, in the layout of cilium monitor. The filters are hubble observe's.")
    .option('-t, --type <types>', `${[...messageTypes.keys()].join(', ')} (repeat, or join by commas)`, collect, [])
    .option('--from <endpoint>', 'of these endpoints (number or NS/POD; repeat for more)', collect, [])
    .option('--to <endpoint>', 'to these endpoints', collect, [])
    .option('--related-to <endpoint>', 'from or to these endpoints', collect, [])
    .option('--node <name>', 'events of one node')
    .option('-v, --verbose', 'with pods, labels and policies; twice: the whole event in JSON too', (_: string, before: number) => before + 1, 0)
    .option('-j, --json', 'one JSON object a line')
    .option('--numeric', 'numbers instead of names of identities')
    .option('--hex', 'upstream dumps packets with it; events here carry none')
    .addHelpText('after', `
Examples:
  ./cirri monitor --type drop
  ./cirri monitor --type drop,policy-verdict --related-to demo/api -v
  ./cirri monitor --namespace demo -j`);
  for (const [name, value, help] of filterFlags.filter(([name]) => name !== 'type')) {
    command.option(`${shortFilterFlags[name] === undefined ? '' : `-${shortFilterFlags[name]}, `}--${name} <${value}>`, help, (given: string) => void uses.push([name, given]));
  }
  for (const [name, help] of filterSwitches) {
    command.option(`${shortFilterFlags[name] === undefined ? '' : `-${shortFilterFlags[name]}, `}--${name}`, help);
    command.on(`option:${name}`, () => void uses.push([name, '']));
  }
  command.action((flags: Flags) => run(flags, uses));
}

async function run(flags: Flags, uses: readonly FlagUse[]): Promise<void> {
  const types = typesOf(flags.type);
  const context = openContext();
  context.client.close();
  const nodes = flags.node === undefined ? [] : [['node-name', knownNode(context, flags.node)] as const];
  const query = filtersFromFlags([...uses, ...nodes, ...types.map(name => ['type', name] as const)]);
  compileQuery(query);
  const wanted = endpointsOf(flags);
  if (flags.hex) process.stderr.write('cirri: --hex: events carry no bytes of packets here, so there is nothing to dump\n');
  if (!flags.json) preface();
  const leaving = new AbortController();
  const leave = () => leaving.abort();
  process.once('SIGINT', leave);
  process.once('SIGTERM', leave);
  const options = { numeric: flags.numeric === true, verbosity: Math.min(2, flags.verbose) as 0 | 1 | 2 };
  for await (const item of openFlows({ ...query, follow: true }, { context, signal: leaving.signal })) {
    if ('flow' in item) {
      if (!wanted(item.flow)) continue;
      if (flags.json) line(safeJson(monitorJson(item.flow)));
      else monitorLines(item.flow, options).forEach(text => line(text));
    } else if ('lost' in item) {
      const { cpu = 0, count, nodeName } = item.lost;
      line(flags.json ? safeJson({ type: 'lost', node: nodeName, cpu, lost: count }) : `CPU ${String(cpu).padStart(2, '0')}: Lost ${count} events`);
    } else if (item.nodeStatus.state === 'NODE_UNAVAILABLE' || item.nodeStatus.state === 'NODE_ERROR') {
      process.stderr.write(`cirri: ${safe(item.nodeStatus.nodes.join(', '))} is not heard${item.nodeStatus.message === undefined ? '' : `: ${safe(item.nodeStatus.message)}`}\n`);
    }
  }
}

/** Rings of a node, as upstream counts its own: pages of 4,096 bytes. */
function preface(): void {
  const pages = [maps.flowEvents, maps.dropEvents, maps.nameEvents].reduce((sum, { maxEntries }) => sum + maxEntries, 0) / 4096;
  line(`Listening for events on ${availableParallelism()} CPUs with ${pages}x4096 of shared memory`);
  line('Press Ctrl-C to quit');
}

function typesOf(given: readonly string[]): string[] {
  const names = given.flatMap(value => value.split(',')).map(name => name.trim()).filter(name => name !== '');
  const unknown = names.find(name => !messageTypes.has(name) && name !== 'recorder');
  if (unknown !== undefined) throw new CirriError('ERR_FLAG', `--type ${unknown}: not a type of event`, { mend: `known types: ${[...messageTypes.keys()].join(', ')}` });
  const flows = names.filter(name => flowTypes.includes(name));
  if (names.length > 0 && flows.length === 0) throw new CirriError('ERR_FLAG', `--type ${names.join(',')}: events of this type are not told as they happen`, { mend: 'cirri logs AGENT, or cirri get events -A' });
  return flows;
}

/** By number, or by pod: numbers are a node's own. */
function endpointsOf({ from, to, relatedTo }: Flags): (flow: Flow) => boolean {
  const matcher = (names: readonly string[]) => (end: FlowEndpoint) => names.length === 0 || names.some(name =>
    /^\d+$/.test(name) ? end.id === Number(name) : (name.includes('/') ? `${end.namespace}/${end.podName}` : end.podName ?? '').startsWith(name));
  const [isFrom, isTo, isEither] = [from, to, relatedTo].map(names => matcher(names.flatMap(name => name.split(','))));
  return flow => isFrom!(flow.source) && isTo!(flow.destination) && (relatedTo.length === 0 || isEither!(flow.source) || isEither!(flow.destination));
}
