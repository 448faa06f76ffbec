import { create, fromBinary, toBinary, toJson } from '@bufbuild/protobuf';
import type { Command } from 'commander';
import { safe } from '../../flows/print/safe.ts';
import { ChangeNotificationSchema, ChangeNotificationType, NotifyRequestSchema, type ChangeNotification } from '../../hubble/generated/peer_pb.js';
import { RpcError, RpcStatus } from '../../rpc/types.ts';
import { CirriError } from '../../std/errors.ts';
import { openContext } from '../context.ts';
import { line } from '../output.ts';
import { addServerFlags, callServer, namedServer, plainFlags, type HubbleServer, type ReadFlags, type ServerFlags } from './server.ts';

interface Flags extends ServerFlags {
  readonly output: string;
}

export function registerWatch(program: Command, read: ReadFlags = plainFlags): void {
  const watch = program.command('watch').summary('peers').description('What a Hubble server tells as it happens.');
  const peers = addServerFlags(watch.command('peers').alias('peer'))
    .description('Nodes as they come, change and go, until interrupted. Agents tell them, a relay does not: without --server the first node\'s agent is asked.')
    .option('-o, --output <format>', 'compact or json', 'compact')
    .addHelpText('after', `
Examples:
  ./cirri hubble watch peers`);
  peers.action(() => watchPeers(read<Flags>(peers)));
}

async function watchPeers(flags: Flags): Promise<void> {
  if (flags.output !== 'compact' && flags.output !== 'json') throw new CirriError('ERR_FLAG', `-o ${flags.output}: known are compact and json`);
  const leaving = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => leaving.abort());
  const request = toBinary(NotifyRequestSchema, create(NotifyRequestSchema));
  const server = namedServer(flags) ?? firstAgent();
  await callServer(server, async (client, { metadata }) => {
    try {
      for await (const bytes of client.stream('/peer.Peer/Notify', request, { metadata, signal: leaving.signal })) {
        const notification = fromBinary(ChangeNotificationSchema, bytes);
        line(flags.output === 'json' ? JSON.stringify(toJson(ChangeNotificationSchema, notification, { useProtoFieldName: true })) : peerText(notification));
      }
    } catch (error) {
      if (leaving.signal.aborted) return;
      if (error instanceof RpcError && error.code === RpcStatus.unimplemented) throw new CirriError('ERR_HUBBLE_SERVER', `${server.address} tells nothing of peers`, { mend: 'a relay does not; ask a node: --server unix:///…/hubble.sock' });
      throw error;
    }
  });
}

function firstAgent(): HubbleServer {
  const { paths, record, client } = openContext();
  client.close();
  const socketPath = paths.node(record.nodes[0]!.name).hubbleSocket;
  return { address: `unix://${socketPath}`, target: { socketPath }, metadata: {}, timeoutMs: 5_000, requestTimeoutMs: 12_000 };
}

/** hubble's line: `PEER_ADDED    node1    172.30.0.11:4244 (TLS.ServerName: …)`. */
export function peerText({ type, name, address, tls }: Pick<ChangeNotification, 'type' | 'name' | 'address' | 'tls'>): string {
  const server = tls?.serverName ? ` (TLS.ServerName: ${safe(tls.serverName)})` : '';
  return `${(ChangeNotificationType[type] ?? 'UNKNOWN').padEnd(12)} ${safe(name)} ${safe(address)}${server}`;
}
