import net from 'node:net';
import type { Command } from 'commander';
import { readRelayRecord } from '../../relay/record.ts';
import { CirriError } from '../../std/errors.ts';
import { openContext } from '../context.ts';
import { line } from '../output.ts';

interface Flags {
  readonly portForward?: string;
}

export function registerPortForward(program: Command): void {
  program.command('port-forward')
    .summary('where the relay listens; a port of this machine to it')
    .description('On this machine the relay needs no forwarding: it listens on the loopback. With a port, that port leads to it until interrupted.')
    .option('--port-forward <port>', 'a port of 127.0.0.1 that is to lead to the relay')
    .addHelpText('after', `
Examples:
  ./cirri hubble port-forward
  ./cirri hubble port-forward --port-forward 4250`)
    .action(run);
}

async function run(flags: Flags): Promise<void> {
  const { paths, client, record } = openContext();
  client.close();
  const grpc = readRelayRecord(paths.hubbleDir).grpc;
  if (!grpc || !(await isListening(grpc.host, grpc.port))) {
    throw new CirriError('ERR_NO_RELAY', 'the relay does not listen', { mend: record.settings.hubble.relay.enabled ? 'cirri status' : 'cirri config set hubble.relay.enabled=true' });
  }
  const wanted = flags.portForward === undefined ? grpc.port : Number(flags.portForward);
  if (!Number.isInteger(wanted) || wanted < 0 || wanted > 65_535) throw new CirriError('ERR_FLAG', `--port-forward ${flags.portForward}: not a port`);
  if (wanted === grpc.port) {
    line(`Hubble Relay is available at ${grpc.host}:${grpc.port}`);
    return;
  }
  const server = net.createServer(socket => join(socket, grpc));
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => reject(new CirriError('ERR_LISTEN', `listening on 127.0.0.1:${wanted}`, { cause, mend: 'take another port: --port-forward PORT' })));
    server.listen({ host: '127.0.0.1', port: wanted }, resolve);
  });
  line(`Hubble Relay is available at 127.0.0.1:${(server.address() as net.AddressInfo).port}`);
  await new Promise<void>(resolve => ['SIGINT', 'SIGTERM'].forEach(signal => process.once(signal, () => resolve())));
  process.exit(0);
}

function join(socket: net.Socket, { host, port }: { readonly host: string; readonly port: number }): void {
  const relay = net.connect({ host, port });
  socket.on('error', () => relay.destroy()).on('close', () => relay.destroy());
  relay.on('error', () => socket.destroy()).on('close', () => socket.destroy());
  socket.pipe(relay).pipe(socket);
}

function isListening(host: string, port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = net.connect({ host, port }, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}
