import type { Command } from 'commander';
import { safe } from '../../flows/print/fields.ts';
import { parseSamples, type Sample } from '../../metrics/parse.ts';
import { CirriError } from '../../std/errors.ts';
import { knownNode } from '../agents.ts';
import { openContext, type Context } from '../context.ts';
import { printStructured, printTable } from '../output.ts';

interface Flags {
  readonly node?: string;
  readonly matchPattern?: string;
  readonly output?: string;
}

interface Row extends Sample {
  readonly node: string;
}

/** The agent's own metrics, and Hubble's. */
const ports = [9962, 9965];
const timeoutMs = 5_000;

export function register(program: Command): void {
  const metrics = program.command('metrics').summary('metrics of the agents: list, get').description("What Prometheus would read now: the agents' metrics (port 9962) and Hubble's (9965) of each node.");
  const listing = (name: string, argument: string, description: string) => metrics.command(name).description(description)
    .argument(argument, 'a regular expression, anywhere in the name')
    .option('--node <name>', 'only this node')
    .option('-p, --match-pattern <pattern>', 'the same as the argument, as upstream has it')
    .option('-o, --output <format>', 'json or yaml');
  listing('list', '[pattern]', 'All samples whose metric matches; buckets of histograms only in json and yaml.')
    .addHelpText('after', `
Examples:
  sudo ./cirri metrics list
  sudo ./cirri metrics list drop
  sudo ./cirri metrics list '^hubble_' --node node1 -o json`)
    .action((pattern: string | undefined, flags: Flags) => show(pattern ?? flags.matchPattern ?? '', flags, false));
  listing('get', '<pattern>', 'The samples of metrics, buckets too; fails when there are none.')
    .addHelpText('after', `
Examples:
  sudo ./cirri metrics get cilium_drop_count_total
  sudo ./cirri metrics get policy_implementation_delay`)
    .action((pattern: string, flags: Flags) => show(pattern, flags, true));
}

async function show(pattern: string, flags: Flags, all: boolean): Promise<void> {
  const wanted = compile(pattern);
  const context = openContext();
  context.client.close();
  const rows = (await samplesOf(context, flags.node)).filter(row => wanted.test(row.name));
  if (all && rows.length === 0) throw new CirriError('ERR_NO_METRIC', `no metric matches ${pattern}`, { mend: 'cirri metrics list shows all' });
  if (printStructured(flags.output, rows)) return;
  const shown = all ? rows : rows.filter(row => !row.name.endsWith('_bucket'));
  printTable(['NODE', 'METRIC', 'LABELS', 'VALUE'], shown.map(({ node, name, labels, value }) => [node, name, safe(Object.entries(labels).map(([key, text]) => `${key}="${text}"`).join(' ')), numberText(value)]));
}

function compile(pattern: string): RegExp {
  try {
    return new RegExp(pattern);
  } catch (error) {
    throw new CirriError('ERR_FLAG', `"${pattern}" is no regular expression: ${(error as Error).message}`);
  }
}

async function samplesOf(context: Context, node: string | undefined): Promise<Row[]> {
  const nodes = node === undefined ? context.record.nodes : context.record.nodes.filter(each => each.name === knownNode(context, node));
  const answers = await Promise.all(nodes.flatMap(({ name, underlay4 }) => ports.map(port => scrape(name, `http://${underlay4}:${port}/metrics`))));
  if (answers.every(answer => answer === undefined)) throw new CirriError('ERR_NO_AGENT', 'no agent answers', { mend: 'cirri status' });
  return answers.flatMap(answer => answer ?? []);
}

/** Undefined, and a word on stderr, where nobody answers: Hubble may be off. */
async function scrape(node: string, url: string): Promise<Row[] | undefined> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs), headers: { accept: 'text/plain' } });
    return parseSamples(await response.text()).map(sample => ({ node, ...sample }));
  } catch {
    process.stderr.write(`cirri: ${node} does not answer at ${url}\n`);
    return undefined;
  }
}

function numberText(value: number): string {
  if (Number.isInteger(value) || !Number.isFinite(value)) return String(value);
  return Math.abs(value) >= 1e6 ? value.toFixed(0) : String(Number(value.toPrecision(6)));
}
