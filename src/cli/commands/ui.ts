import { spawn } from 'node:child_process';
import { request } from 'node:http';
import { connect, createServer } from 'node:net';
import { json } from 'node:stream/consumers';
import { once } from 'node:events';
import type { Command } from 'commander';
import type { WebTicket } from '../../relay/web/server.ts';
import { CirriError } from '../../std/errors.ts';
import { openContext } from '../context.ts';
import { line, printStructured } from '../output.ts';

interface Flags {
  readonly open?: boolean;
  readonly port?: string;
  readonly namespace?: readonly string[];
  readonly output?: string;
}

export function register(program: Command): void {
  program.command('ui')
    .summary('the web UI: live service map, flows, policies, the past')
    .description("Prints the address of the web UI, with a ticket that is good once, for ten minutes; the browser keeps a session for twelve hours after its last use. The relay serves it on this machine's loopback only: from elsewhere, ssh -L 12000:127.0.0.1:12000 and the same address.")
    .option('--open', 'open it in the browser')
    .option('-p, --port <port>', 'serve it on this port of the loopback too, until interrupted')
    .option('-n, --namespace <ns>', 'a session that sees these namespaces only (repeat for more)', (value: string, list: readonly string[] = []) => [...list, value])
    .option('-o, --output <format>', 'json or yaml')
    .addHelpText('after', `
Examples:
  ./cirri ui
  ./cirri ui --open
  ./cirri ui -n shop -n shop-staging       an address for a team: its namespaces and nothing else
  ./cirri ui --port 8080
  curl -s http://127.0.0.1:12000/api/session -H "Authorization: Bearer $(./cirri hubble token create ci)"`)
    .action(run);
}

async function run(flags: Flags): Promise<void> {
  const { client, paths, record } = openContext();
  client.close();
  const wanted = flags.port === undefined ? undefined : Number(flags.port);
  if (wanted !== undefined && !(Number.isInteger(wanted) && wanted > 0 && wanted < 65_536)) throw new CirriError('ERR_FLAG', `--port ${flags.port} is not a port`);
  const { ticket, host, port } = await askTicket(paths.webSocket, flags.namespace, record.settings.hubble.enabled && record.settings.hubble.ui.enabled);
  const forward = wanted === undefined || wanted === port ? undefined : await forwardPort(wanted, host, port);
  const url = `http://${host}:${forward ? wanted : port}/#token=${ticket}`;
  if (!printStructured(flags.output, { url, host, port: forward ? wanted : port })) line(url);
  if (flags.open) openBrowser(url);
  if (forward) await once(forward, 'close');
}

async function askTicket(socketPath: string, namespaces: readonly string[] | undefined, isEnabled: boolean): Promise<WebTicket> {
  const call = request({ socketPath, path: '/api/tickets', method: 'POST', agent: false, timeout: 5000, headers: { 'content-type': 'application/json' } });
  call.end(JSON.stringify(namespaces === undefined ? {} : { namespaces }));
  let response;
  try {
    [response] = await once(call, 'response');
  } catch (error) {
    throw new CirriError('ERR_NO_UI', isEnabled ? 'the web UI is not served: the relay does not answer' : 'the web UI is switched off', {
      cause: error, mend: isEnabled ? 'cirri status says how the relay is; its log: logs/relay.log in the cluster\'s folder' : 'cirri config set hubble.enabled=true hubble.ui.enabled=true',
    });
  }
  return await json(response) as WebTicket;
}

/** Bytes as they come: the server knows every port of the loopback as its own. */
async function forwardPort(from: number, host: string, to: number): Promise<ReturnType<typeof createServer>> {
  const server = createServer(socket => {
    const other = connect({ host, port: to });
    socket.pipe(other).pipe(socket);
    socket.on('error', () => other.destroy());
    other.on('error', () => socket.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', error => reject(new CirriError('ERR_PORT', `port ${from} cannot be served`, { cause: error, mend: 'choose another one: --port' })));
    server.listen({ host, port: from }, resolve);
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(0));
  return server;
}

function openBrowser(url: string): void {
  const child = spawn('xdg-open', [url], { stdio: 'ignore', detached: true });
  child.on('error', () => process.stderr.write('cirri: xdg-open is not there; open the address by hand\n'));
  child.unref();
}
