import type { Command } from 'commander';
import { callLocal } from '../../cluster/local-api.ts';
import { agentTrouble, supervisorStatus } from '../../cluster/inspect.ts';
import type { ChildStatus } from '../../cluster/child.ts';
import { safe } from '../../flows/print/fields.ts';
import type { AgentStatus, KubeProxyReplacementStatus } from '../../model/status.ts';
import { waitFor } from '../../std/async.ts';
import { CirriError } from '../../std/errors.ts';
import { openContext, type Context } from '../context.ts';
import { hubbleLine, hubbleSummary, type HubbleSummary } from '../hubble/summary.ts';
import { ago, bytes, line, printStructured, stdoutPaint } from '../output.ts';

interface Flags {
  readonly output?: string;
  readonly wait?: boolean;
  readonly timeout: string;
  readonly verbose?: boolean;
}

interface ClusterStatus {
  readonly instance: string;
  readonly ready: boolean;
  readonly api: { readonly ready: boolean; readonly detail: string };
  readonly processes: readonly ChildStatus[];
  /** Absent where Hubble is off. */
  readonly hubble?: HubbleSummary;
  readonly agents: readonly (AgentStatus | { readonly node: string; readonly ready: false; readonly notReady: readonly string[] })[];
}

export function register(program: Command): void {
  program.command('status')
    .summary('how the cluster is')
    .description('Processes, API, agents and the trouble they report. Exit code 0 when all is well.')
    .option('-o, --output <format>', 'json or yaml')
    .option('--wait', 'until all is well')
    .option('--timeout <seconds>', 'how long to wait', '120')
    .option('-v, --verbose', 'features, maps and programs too')
    .addHelpText('after', `
Examples:
  ./cirri status
  ./cirri status --wait --timeout 30
  ./cirri status -o json | jq .agents[0].maps`)
    .action(run);
}

async function run(flags: Flags): Promise<void> {
  const context = openContext();
  if (flags.wait) {
    await waitFor('the cluster to be ready', async () => (await takeStatus(context)).ready, { timeoutMs: Number(flags.timeout) * 1000, everyMs: 100 })
      .catch(() => process.stderr.write(`cirri: not ready after ${flags.timeout} s\n`));
  }
  const status = await takeStatus(context);
  context.client.close();
  if (!printStructured(flags.output, status)) printStatus(context, status, flags.verbose === true);
  process.exitCode = status.ready ? 0 : 1;
}

async function takeStatus(context: Context): Promise<ClusterStatus> {
  const { paths, record, instance } = context;
  const [supervisor, api, hubble, agents] = await Promise.all([
    supervisorStatus(paths),
    apiStatus(context),
    hubbleSummary(context),
    Promise.all(record.nodes.map(async node => {
      const status = await callLocal<AgentStatus>(paths.node(node.name).agentSocket, '/v1/status').catch(() => undefined);
      if (status) return status;
      const trouble = await agentTrouble(paths, node.name).catch((error: Error) => error.message);
      return { node: node.name, ready: false as const, notReady: [trouble ?? 'no answer'] };
    })),
  ]);
  const processes = supervisor?.children ?? [];
  const ready = supervisor !== undefined && processes.every(child => child.state === 'running') && api.ready && agents.every(agent => agent.ready);
  return { instance, ready, api, processes, ...(hubble && { hubble }), agents };
}

async function apiStatus({ client }: Context): Promise<ClusterStatus['api']> {
  try {
    const answer = await client.raw('GET', '/readyz');
    return { ready: true, detail: String(answer).split('\n')[0] ?? 'ok' };
  } catch (error) {
    return { ready: false, detail: error instanceof CirriError ? error.message : String(error) };
  }
}

function printStatus(context: Context, status: ClusterStatus, verbose: boolean): void {
  const paint = stdoutPaint();
  const { record } = context;
  const mark = (ok: boolean) => (ok ? paint.good('✓') : paint.bad('✗'));
  line(`${mark(status.ready)} cluster ${paint.strong(status.instance)}: ${status.ready ? paint.good('ready') : paint.bad('not ready')}, ${record.nodes.length} nodes on ${record.underlay.prefix4}, ${record.routing} routing${record.audit ? paint.careful(', audit: denials pass') : ''}`);
  line(`${mark(status.api.ready)} Kubernetes API: https://127.0.0.1:${record.apiserver.port} ${status.api.ready ? '' : safe(status.api.detail)}`.trimEnd());
  if (status.processes.length === 0) line(`${mark(false)} supervisor: not running ${paint.faint('→ cirri up starts it again')}`);
  const fallen = status.processes.filter(child => child.state !== 'running');
  if (status.processes.length > 0) {
    const restarts = status.processes.reduce((sum, child) => sum + child.restarts, 0);
    line(`${mark(fallen.length === 0)} processes: ${status.processes.length - fallen.length} of ${status.processes.length} running${restarts > 0 ? `, ${restarts} ${restarts === 1 ? 'restart' : 'restarts'}` : ''}`);
  }
  for (const child of fallen) line(`    ${paint.bad(child.name)} ${child.state}: ${child.lastExit ?? ''} ${paint.faint(`→ ${context.paths.logs}/${child.name}.log`)}`);
  if (status.hubble) {
    const histories = status.agents.flatMap(agent => ('features' in agent ? agent.features.filter(({ name }) => name === 'flow history') : []));
    const { ok, text } = hubbleLine(status.hubble, histories);
    line(`${ok ? mark(true) : paint.careful('!')} ${safe(text)}`);
  }
  const audit = record.audit ? '' : auditText(status.agents);
  if (audit !== '') line(`${paint.careful('!')} audit: denials pass ${paint.careful(safe(audit))}`);
  for (const agent of status.agents) printAgent(agent, verbose);
}

/** Where audit is on, by name: a policy that only reports must not look like one that restricts. */
export function auditText(agents: ClusterStatus['agents']): string {
  const said = agents.flatMap(agent => ('audit' in agent ? [agent.audit] : []));
  const named = (what: string, names: readonly string[]) => (names.length === 0 ? [] : [`${what} ${names.slice(0, 10).join(', ')}${names.length > 10 ? ` and ${names.length - 10} more` : ''}`]);
  const distinct = (lists: readonly (readonly string[])[]) => [...new Set(lists.flat())].sort();
  return [...named('in namespace', distinct(said.map(audit => audit.namespaces))), ...named('for pod', distinct(said.map(audit => audit.pods)))].join('; ');
}

function printAgent(agent: ClusterStatus['agents'][number], verbose: boolean): void {
  const paint = stdoutPaint();
  const mark = agent.ready ? paint.good('✓') : paint.bad('✗');
  if (!('endpoints' in agent)) {
    line(`${mark} ${paint.strong(agent.node)}: ${agent.notReady.map(safe).join('; ')}`);
    return;
  }
  const { endpoints, policies, events, addresses } = agent;
  line(`${mark} ${paint.strong(agent.node)}: ${agent.ready ? 'ready' : agent.notReady.map(safe).join('; ')} ${paint.faint(`(pid ${agent.pid}, up ${ago(agent.startedAt)}, ${bytes(agent.memoryRssBytes)})`)}`);
  line(`    endpoints ${endpoints.ready}/${endpoints.total} ready · ${agent.identities} identities · ${agent.services} services · ${addresses.ipv4.allocated}/${addresses.ipv4.capacity} addresses of ${addresses.ipv4.cidr}`);
  line(`    policies ${policies.total}${policies.invalid > 0 ? paint.bad(` (${policies.invalid} invalid)`) : ''}${policies.degraded > 0 ? paint.careful(` (${policies.degraded} not fully enforced)`) : ''}, ${policies.sets} sets in the kernel`);
  for (const { address, error } of policies.notEnforced) line(`    ${paint.bad('not in force')} ${safe(address.replace('//', '/'))}: ${safe(error)}`);
  const lost = ([[events.lostDrops, 'drops'], [events.lostFlows, 'other flows'], [events.lostNames ?? 0, 'DNS messages'], [events.vanished ?? 0, 'ends of connections (the table was full)']] as const).filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
  line(`    flows ${events.flows} seen, ${events.drops} dropped${lost.length > 0 ? paint.careful(`; lost: ${lost.join(', ')}`) : ''}`);
  if (!agent.kubernetes.connected) line(`    ${paint.careful(`Kubernetes API away${agent.kubernetes.error ? `: ${safe(agent.kubernetes.error)}` : ''}; the datapath goes on`)}`);
  line(`    KubeProxyReplacement: True ${devicesText(agent.kubeProxyReplacement)}`);
  for (const feature of agent.features) if (feature.state === 'degraded' || verbose) line(`    ${feature.state === 'degraded' ? paint.careful('degraded') : feature.state.padEnd(8)} ${feature.name}: ${safe(feature.detail)}`);
  for (const { warning } of agent.maps) if (warning !== undefined) line(`    ${paint.careful('nearly full')} ${safe(warning)}`);
  for (const error of agent.errors) line(`    ${paint.bad('error')} ${safe(error.where)}: ${safe(error.message)} ${paint.faint(`(${error.attempts} attempts since ${ago(error.since)})`)}`);
  const { policyAudit } = agent;
  if (policyAudit.differences > 0 || policyAudit.failure !== undefined || verbose) {
    line(`    policy tables: ${policyAudit.compared} entries compared in ${policyAudit.rounds} rounds, ${policyAudit.differences > 0 ? paint.bad(`${policyAudit.differences} were not as meant and were mended`) : 'all as meant'}${policyAudit.failure === undefined ? '' : paint.bad(`; not compared: ${safe(policyAudit.failure)}`)}`);
  }
  for (const difference of policyAudit.last.slice(0, verbose ? undefined : 3)) line(`      ${paint.faint(ago(difference.time))} ${safe(difference.text)}`);
  if (!verbose) return;
  printReplacement(agent.kubeProxyReplacement);
  line('    MTU by path:');
  for (const { path, ipv4, ipv6, spent } of agent.mtu) line(`      ${ipv4 === ipv6 ? String(ipv4) : `${ipv4} IPv4, ${ipv6} IPv6`} ${path}${spent === '' ? '' : paint.faint(` (less ${spent})`)}`);
  for (const map of agent.maps) line(`    map ${map.name}: ${map.used} of ${map.max}`);
  for (const table of agent.tables) line(`    table ${table.name}: ${table.rows} rows${table.pending > 0 ? `, ${table.pending} pending` : ''}${table.failed > 0 ? `, ${table.failed} failed` : ''}${table.synced ? '' : ', not synced'}`);
  for (const program of agent.programs) line(`    program ${program.name} on ${program.attachedTo} (${program.tag})`);
}

function devicesText({ devices }: KubeProxyReplacementStatus): string {
  return `[${devices.map(({ name, addresses, directRouting }) => `${name} ${addresses.join(' ')}${directRouting ? ' (Direct Routing)' : ''}`).join(', ')}]`;
}

/** The block of `cilium-dbg status --verbose`. */
function printReplacement(status: KubeProxyReplacementStatus): void {
  const rows: readonly (readonly [string, string])[] = [
    ['Status', 'True'],
    ['Socket LB', status.socketLB],
    ['Socket LB Coverage', status.socketLBCoverage],
    ['Devices', devicesText(status).slice(1, -1)],
    ['Mode', status.mode],
    ...(status.dsrDispatchMode === undefined ? [] : [['  DSR Dispatch Mode', status.dsrDispatchMode] as const]),
    ['Backend Selection', status.backendSelection],
    ['Session Affinity', 'Enabled'],
    ['Graceful Termination', 'Enabled'],
    ['Without Backends', status.noBackends],
    ['NAT46/64 Support', 'Services: TCP, UDP; Gateway: Disabled'],
    ['XDP Acceleration', status.xdpAcceleration],
  ];
  line('    KubeProxyReplacement Details:');
  for (const [name, value] of rows) line(`      ${`${name}:`.padEnd(24)}${safe(value)}`);
  line('      Services:');
  for (const [type, value] of Object.entries(status.services)) line(`      ${`- ${type}:`.padEnd(24)}${safe(value)}`);
}
