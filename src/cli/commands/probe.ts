import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { safe } from '../../flows/print/fields.ts';
import { CirriError, errorText } from '../../std/errors.ts';
import { openContext } from '../context.ts';
import { line, printTable, stdoutPaint } from '../output.ts';
import { Prober, ruleName, type DetailedResult, type ProbeRequest } from '../probe/probe.ts';
import { Directory } from '../probe/target.ts';

interface Flags {
  readonly from?: string;
  readonly to?: string;
  readonly port?: string;
  readonly protocol: string;
  readonly http?: string;
  readonly header?: readonly string[];
  readonly timeout: string;
  readonly output?: string;
  readonly batch?: string;
  readonly concurrency: string;
  readonly ipv4?: boolean;
  readonly ipv6?: boolean;
}

/** One entry of a batch file; `expect` makes a mismatch a failure. */
interface BatchEntry {
  readonly from: string;
  readonly to: string;
  readonly port?: number;
  readonly protocol?: string;
  readonly http?: string;
  readonly expect?: string;
}

export function register(program: Command): void {
  program.command('probe')
    .summary('try one real connection from a pod, and say why it fails')
    .description("Makes one real connection or datagram from inside a pod, through its network namespace and its socket hooks, and says what became of it. `denied` means that this very packet was seen to be dropped. Exit code 0 when it was allowed, 1 otherwise.")
    .option('--from <origin>', 'NS/POD, NS/WORKLOAD, or a node')
    .option('--to <target>', 'NS/POD, NS/SERVICE, SERVICE.NS, a node, an address, or a name for the cluster DNS')
    .option('--port <port>', 'port (not with ICMP)')
    .option('--protocol <name>', 'TCP, UDP or ICMP', 'TCP')
    .option('--http <request>', "send this request and show the status: 'GET /path'")
    .option('-H, --header <header>', "with --http: 'Name: value' (repeat for more)", (value: string, list: readonly string[] = []) => [...list, value])
    .option('--timeout <ms>', 'milliseconds', '2000')
    .option('-o, --output <format>', 'json')
    .option('-4, --ipv4', "the target's IPv4 address")
    .option('-6, --ipv6', "the target's IPv6 address")
    .option('--batch <file>', 'many at once: a JSON array of {from, to, port, protocol, expect?} (- is standard input)')
    .option('--concurrency <n>', 'with --batch: how many at a time', '128')
    .addHelpText('after', `
Examples:
  sudo ./cirri probe --from demo/frontend --to demo/api --port 80 --http 'GET /'
  sudo ./cirri probe --from demo/stranger --to api.demo.svc.cluster.local --port 80
  sudo ./cirri probe --from node1 --to demo/api --port 8080 -o json
  sudo ./cirri probe --from demo/frontend --to 1.1.1.1 --protocol ICMP`)
    .action(run);
}

async function run(flags: Flags): Promise<void> {
  if (process.getuid?.() !== 0) throw new CirriError('ERR_NOT_ROOT', "entering a pod's network takes root", { mend: 'run the command with sudo' });
  const context = openContext();
  const directory = await Directory.read(context);
  context.client.close();
  const prober = new Prober(context);
  try {
    process.exitCode = flags.batch === undefined ? await runOne(directory, prober, flags) : await runBatch(directory, prober, flags);
  } finally {
    prober.close();
  }
}

async function runOne(directory: Directory, prober: Prober, flags: Flags): Promise<number> {
  if (flags.from === undefined || flags.to === undefined) throw new CirriError('ERR_FLAG', 'a probe needs --from and --to', { mend: 'cirri probe --from demo/frontend --to demo/api --port 80' });
  const request = requestOf(directory, { from: flags.from, to: flags.to, protocol: flags.protocol, ...(flags.port !== undefined && { port: Number(flags.port) }), ...(flags.http !== undefined && { http: flags.http }) }, flags);
  const detailed = await prober.run(request);
  if (flags.output === 'json') line(JSON.stringify(detailed.result));
  else if (flags.output !== undefined) throw new CirriError('ERR_FLAG', `-o ${flags.output}: known is json`);
  else printOne(request, detailed);
  return detailed.result.outcome === 'allowed' ? 0 : 1;
}

function requestOf(directory: Directory, entry: BatchEntry, flags: Flags): ProbeRequest {
  const protocol = entry.protocol?.toUpperCase() ?? 'TCP';
  if (protocol !== 'TCP' && protocol !== 'UDP' && protocol !== 'ICMP') throw new CirriError('ERR_FLAG', `--protocol must be TCP, UDP or ICMP, not "${entry.protocol}"`);
  const port = entry.port ?? 0;
  if (protocol !== 'ICMP' && !(Number.isInteger(port) && port > 0 && port < 65_536)) throw new CirriError('ERR_FLAG', `--port must be 1 to 65535${entry.port === undefined ? ': none is given' : ''}`);
  const timeoutMs = Number(flags.timeout);
  if (!(timeoutMs > 0)) throw new CirriError('ERR_FLAG', `--timeout must be milliseconds, not "${flags.timeout}"`);
  const family = flags.ipv6 ? 6 : flags.ipv4 ? 4 : 0;
  const http = entry.http === undefined ? undefined : parseHttp(entry.http, flags.header ?? [], entry.to, port);
  return { from: directory.origin(entry.from), to: directory.target(entry.to, family), port, protocol, family, timeoutMs, ...(http && { http }) };
}

function parseHttp(text: string, headers: readonly string[], to: string, port: number): NonNullable<ProbeRequest['http']> {
  const match = /^([A-Z]+)\s+(\S+)$/.exec(text.trim()) ?? /^()(\/\S*)$/.exec(text.trim());
  if (!match) throw new CirriError('ERR_FLAG', `--http takes a method and a path, not "${text}"`, { mend: "write it so: --http 'GET /path'" });
  const pairs = headers.map(header => {
    const colon = header.indexOf(':');
    if (colon < 1 || /[\r\n]/.test(header)) throw new CirriError('ERR_FLAG', `-H takes 'Name: value', not "${header}"`);
    return [header.slice(0, colon).trim(), header.slice(colon + 1).trim()] as const;
  });
  const name = to.includes('/') ? to.split('/').reverse().join('.') : to.includes(':') ? `[${to}]` : to;
  return { method: match[1] || 'GET', path: match[2]!, headers: pairs, host: port === 80 ? name : `${name}:${port}` };
}

function printOne(request: ProbeRequest, { result, flow, error }: DetailedResult): void {
  const paint = stdoutPaint();
  const colour = result.outcome === 'allowed' ? paint.good : result.outcome === 'denied' ? paint.bad : paint.careful;
  const end = (at: { ip: string; port: number } | null) => (at === null ? '' : ` (${at.ip.includes(':') ? `[${at.ip}]` : at.ip}${request.protocol === 'ICMP' ? '' : `:${at.port}`})`);
  const to = `${request.to.label}${request.protocol === 'ICMP' ? '' : ` port ${request.port}`}`;
  const status = result.httpStatus === null ? '' : `, HTTP ${result.httpStatus}`;
  line(`${colour(result.outcome)}: ${request.from.label}${end(result.source)} → ${to}${end(result.peer)} ${request.protocol}, ${result.latencyMs.toFixed(1)} ms${status}`);
  if (flow) {
    line(`  ${safe(flow.dropReason ?? 'dropped')} on ${flow.nodeName}, ${flow.direction.toLowerCase()}${flow.rule ? ` by ${paint.strong(safe(ruleName(flow) ?? ''))}` : ''}`);
    if (flow.rule?.because) line(`  ${safe(flow.rule.because)}`);
    line(paint.faint(`  flow ${flow.id}`));
  } else if (error !== null && result.outcome !== 'allowed') {
    line(`  ${safe(error)}`);
  }
}

async function runBatch(directory: Directory, prober: Prober, flags: Flags): Promise<number> {
  const entries = readBatch(flags.batch!);
  const requests = entries.map((entry, i) => {
    try {
      return requestOf(directory, entry, flags);
    } catch (error) {
      throw new CirriError('ERR_BATCH', errorText(error), { where: `${flags.batch}[${i}]`, ...(error instanceof CirriError && error.mend !== undefined && { mend: error.mend }) });
    }
  });
  const startedAt = performance.now();
  const results = new Array<DetailedResult>(requests.length);
  let next = 0;
  const worker = async () => {
    for (let i = next++; i < requests.length; i = next++) results[i] = await prober.run(requests[i]!);
  };
  await Promise.all(Array.from({ length: Math.min(Number(flags.concurrency) || 1, requests.length) }, worker));
  const wrong = entries.filter((entry, i) => entry.expect !== undefined && entry.expect !== results[i]!.result.outcome).length;
  if (flags.output === 'json') line(JSON.stringify(entries.map((entry, i) => ({ ...entry, ...results[i]!.result }))));
  else {
    printTable(
      ['FROM', 'TO', 'PORT', 'PROTOCOL', 'OUTCOME', 'MS', 'RULE'],
      entries.map((entry, i) => {
        const { result } = results[i]!;
        const outcome = entry.expect !== undefined && entry.expect !== result.outcome ? `${result.outcome} (expected ${entry.expect})` : result.outcome;
        return [entry.from, entry.to, String(entry.port ?? '-'), requests[i]!.protocol, outcome, result.latencyMs.toFixed(1), result.drop?.rule ?? result.drop?.reason ?? ''];
      }),
    );
    const seconds = (performance.now() - startedAt) / 1000;
    process.stderr.write(`${entries.length} probes in ${seconds.toFixed(2)} s${wrong > 0 ? `, ${wrong} not as expected` : ''}\n`);
  }
  return wrong > 0 ? 1 : 0;
}

function readBatch(file: string): BatchEntry[] {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file === '-' ? 0 : file, 'utf8'));
  } catch (error) {
    throw new CirriError('ERR_BATCH', `${file} is not JSON`, { cause: error });
  }
  if (!Array.isArray(value) || value.length === 0) throw new CirriError('ERR_BATCH', `${file} must hold an array of {from, to, port, protocol}`);
  for (const [i, entry] of (value as Partial<BatchEntry>[]).entries()) {
    if (typeof entry?.from !== 'string' || typeof entry.to !== 'string') throw new CirriError('ERR_BATCH', 'from and to must be text', { where: `${file}[${i}]` });
  }
  return value as BatchEntry[];
}
