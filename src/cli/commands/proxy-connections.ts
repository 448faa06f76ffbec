import { callLocal } from '../../cluster/local-api.ts';
import type { L7KernelConnection, L7KernelConnections } from '../../model/l7-kernel.ts';
import type { ProxyConnectionStatus } from '../../model/l7-proxy.ts';
import { counted } from '../../std/counted.ts';
import { nodesOf } from '../agents.ts';
import { openContext, type Context } from '../context.ts';
import { bytes, printStructured, printTable } from '../output.ts';
import { workersOf } from './proxy-workers.ts';

/** One line; `place` says who carries it. */
type Row =
  | ProxyConnectionStatus & { readonly node: string; readonly place: 'proxy'; readonly worker: number }
  | L7KernelConnection & { readonly node: string; readonly place: 'kernel' };

/** What one worker, or one node's agent, has listed. */
interface List {
  readonly of: string;
  readonly rows: readonly Row[];
  /** Those that there are; undefined: no answer. */
  readonly total: number | undefined;
}

/** The kernel's are read out of a map of 140 MB. */
const patienceMs = 20_000;

export async function connections(flags: { readonly node?: string; readonly output?: string }): Promise<void> {
  const context = openContext();
  context.client.close();
  const lists = await Promise.all([...byProxies(context, flags.node), ...byKernels(context, flags.node)]);
  for (const { of, rows, total } of lists) {
    if (total === undefined) {
      process.exitCode = 1;
      process.stderr.write(`cirri: ${of} does not answer\n`);
    } else if (total > rows.length) process.stderr.write(`cirri: ${of} lists ${rows.length} of ${counted(total, 'connection')}\n`);
  }
  const rows = nodesOf(context, flags.node).flatMap(node => lists.flatMap(list => list.rows.filter(row => row.node === node)));
  if (printStructured(flags.output, rows)) return;
  printTable(['NODE', 'CARRIED BY', 'CLIENT', 'IDENTITY', 'SERVER', 'IDENTITY', 'EGRESS SET', 'INGRESS SET', 'STATE', 'WAITING', 'IDLE'], rows.map(row => [
    row.node, row.place, row.client, String(row.sourceIdentity), row.server, String(row.destinationIdentity), String(row.egressSet || '-'), String(row.ingressSet || '-'), row.state,
    row.place === 'proxy' ? bytes(row.queuedBytes) : '-', `${(row.idleMs / 1000).toFixed(1)}s`,
  ]));
}

function byProxies(context: Context, node: string | undefined): Promise<List>[] {
  return workersOf(context, node).map(async ({ node: name, number, socket }) => {
    const said = await callLocal<{ readonly connections: readonly ProxyConnectionStatus[]; readonly total: number }>(socket, '/v1/connections');
    return { of: `worker ${number} of the proxy of ${name}`, total: said?.total, rows: (said?.connections ?? []).map(row => ({ node: name, place: 'proxy' as const, worker: number, ...row })) };
  });
}

function byKernels(context: Context, node: string | undefined): Promise<List>[] {
  return nodesOf(context, node).map(async name => {
    const said = await callLocal<L7KernelConnections>(context.paths.node(name).agentSocket, '/v1/l7/kernel/connections', { timeoutMs: patienceMs });
    return { of: `the agent of ${name}`, total: said?.total, rows: (said?.connections ?? []).map(row => ({ node: name, place: 'kernel' as const, ...row })) };
  });
}
