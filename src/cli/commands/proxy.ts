import type { Command } from 'commander';
import { proxyName } from '../../cluster/children.ts';
import { callLocal } from '../../cluster/local-api.ts';
import type { L7KernelStatus } from '../../model/l7-kernel.ts';
import type { ProxyStatus } from '../../model/l7-proxy.ts';
import { waitFor } from '../../std/async.ts';
import { counted } from '../../std/counted.ts';
import { CirriError } from '../../std/errors.ts';
import { nodesOf } from '../agents.ts';
import { openContext } from '../context.ts';
import { ago, bytes, line, printStructured, printTable } from '../output.ts';
import { connections } from './proxy-connections.ts';
import { workersOf } from './proxy-workers.ts';

interface Flags {
  readonly node?: string;
  readonly output?: string;
}

export function register(program: Command): void {
  const proxy = program.command('proxy').summary('the layer 7 proxies of the nodes').description('The layer 7 proxies of the nodes: what they carry, and restarting them.');
  proxy.command('status')
    .description('Each worker: its process, connections, requests, sets, memory, and what it refused and why. Exit code 1 when one is missing or degraded.')
    .option('--node <name>', 'of this node')
    .option('-o, --output <format>', 'json or yaml')
    .action(status);
  proxy.command('connections')
    .description('The connections whose layer 7 the nodes look into: those that the proxies carry, and those whose HTTP the kernel carries. Of each worker and of each kernel 10,000 are listed; exit code 1 when one does not answer.')
    .option('--node <name>', 'of this node')
    .option('-o, --output <format>', 'json or yaml')
    .action(connections);
  proxy.command('sets')
    .description('Where the rules on HTTP are carried out, set by set: in the kernel, or by the proxy, and why not where policy wants them. Exit code 1 when one is not.')
    .option('--node <name>', 'of this node')
    .option('-o, --output <format>', 'json or yaml')
    .action(sets);
  proxy.command('restart')
    .description('Starts each worker anew. The new process takes over the listening sockets and, as they come to rest, the connections of the old one: no request fails.')
    .option('--node <name>', 'of this node')
    .addHelpText('after', `
Examples:
  sudo ./cirri proxy status
  sudo ./cirri proxy restart --node node1`)
    .action(restart);
}

async function status(flags: Flags): Promise<void> {
  const context = openContext();
  context.client.close();
  const answers = await Promise.all(workersOf(context, flags.node).map(async worker => ({ worker, said: await callLocal<ProxyStatus>(worker.socket, '/v1/status') })));
  for (const { worker, said } of answers) if (!said) process.stderr.write(`cirri: worker ${worker.number} of the proxy of ${worker.node} does not answer\n`);
  if (answers.some(({ said }) => !said || said.faults.length > 0)) process.exitCode = 1;
  const rows = answers.flatMap(({ worker, said }) => (said ? [{ node: worker.node, ...said }] : []));
  if (printStructured(flags.output, rows)) return;
  printTable(['NODE', 'WORKER', 'PID', 'AGE', 'CONNECTIONS', 'ACCEPTED', 'REQUESTS', 'DENIED', 'SETS', 'MEMORY', 'SPARE', 'TOLD', 'REFUSED'], rows.map(row => [
    row.node, String(row.worker), String(row.pid), ago(row.since), String(row.connections), String(row.accepted), String(row.requests), String(row.denied), String(row.sets), bytes(row.rssBytes),
    row.spare ? `${row.spare.pid}, ${bytes(row.spare.rssBytes)}` : '-',
    `${row.records.sent}${row.records.lost > 0 ? `, ${row.records.lost} lost` : ''}`,
    Object.entries(row.refused).filter(([, count]) => count > 0).map(([why, count]) => `${count} ${why}`).join(', ') || '-',
  ]));
  for (const row of rows) for (const fault of row.faults) line(`${row.node}: ${fault}`);
}

async function sets(flags: Flags): Promise<void> {
  const context = openContext();
  context.client.close();
  const answers = await Promise.all(nodesOf(context, flags.node).map(async node => ({ node, said: await callLocal<L7KernelStatus>(context.paths.node(node).agentSocket, '/v1/l7/kernel') })));
  for (const { node, said } of answers) if (!said) process.stderr.write(`cirri: the agent of ${node} does not answer\n`);
  const known = answers.flatMap(({ node, said }) => (said ? [{ node, ...said }] : []));
  if (known.length < answers.length || known.some(({ sets: all, failedPods }) => failedPods.length > 0 || all.some(set => set.reason !== undefined))) process.exitCode = 1;
  if (printStructured(flags.output, known)) return;
  printTable(['NODE', 'SET', 'RULES', 'WANTED', 'CARRIED OUT', 'WHY'], known.flatMap(({ node, sets: all }) => all.map(set => [
    node, String(set.number), String(set.rules), set.wanted, set.place, set.reason ?? '-',
  ])));
  for (const { node, pods, failedPods, connections: open, counts } of known) {
    if (pods.length > 0) line(`${node}: in the kernel for ${pods.join(', ')}: ${counted(open, 'connection')}, ${counted(counts.requests, 'request')}, ${counts.denied} denied, ${counts.faults} not understood`);
    for (const { pod, reason } of failedPods) line(`${node}: by the proxy for ${pod}: ${reason}`);
  }
}

const patienceMs = 20_000;

async function restart(flags: Flags): Promise<void> {
  const context = openContext();
  context.client.close();
  for (const { node, number, socket } of workersOf(context, flags.node)) {
    const before = (await callLocal<ProxyStatus>(socket, '/v1/status'))?.pid;
    const name = proxyName(node, number);
    const answer = await callLocal(`${context.paths.run}/supervisor.sock`, `/v1/restart/${name}`, { method: 'POST', timeoutMs: patienceMs });
    if (answer === undefined) throw new CirriError('ERR_NO_SUPERVISOR', 'the supervisor does not answer', { mend: 'cirri up starts it again' });
    const next = await waitFor(`the new process of ${name}`, async () => {
      const said = await callLocal<ProxyStatus>(socket, '/v1/status').catch(() => undefined);
      return said && said.pid !== before ? said : undefined;
    }, { timeoutMs: patienceMs });
    line(`${name}: ${before === undefined ? 'started' : `${before} → ${next.pid}`}, ${counted(next.takenOver, 'connection')} taken over so far`);
  }
}
