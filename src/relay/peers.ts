import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { ChangeNotificationSchema, ChangeNotificationType, NotifyRequestSchema, type ChangeNotification } from '../hubble/generated/peer_pb.js';
import { RpcClient } from '../rpc/client.ts';
import type { RpcTarget, RpcTls } from '../rpc/types.ts';
import { backoffMs, delay } from '../std/async.ts';
import { errorText } from '../std/errors.ts';
import type { Logger } from '../std/log.ts';
import type { Peer } from './node.ts';
import type { Nodes } from './nodes.ts';

export interface PeerOptions {
  /** Who knows the nodes: any node does, so the next is asked when one is away. */
  readonly services: readonly RpcTarget[];
  /** For nodes that tell a name for their certificate. */
  readonly tls: (serverName: string) => RpcTls;
}

/** Of a new subscription all nodes come at once; what has not been named by then is no more. */
const namedWithinMs = 2_000;

/** Peer.Notify of one node after the other, for as long as `signal` lets it: keeps `nodes` to what they tell. */
export async function watchPeers(options: PeerOptions, dependencies: { readonly nodes: Nodes; readonly log: Logger }, signal: AbortSignal): Promise<void> {
  const { nodes, log } = dependencies;
  for (let attempt = 0, turn = 0; !signal.aborted; turn++) {
    const target = options.services[turn % options.services.length]!;
    const client = new RpcClient(target, { userAgent: 'hubble-relay', keepAliveMs: 10_000 });
    try {
      await followPeers(client, options, nodes, signal, () => (attempt = 0));
    } catch (error) {
      if (!signal.aborted) log.debug('the list of nodes is asked for elsewhere', { at: target, error: errorText(error) });
    } finally {
      client.close();
    }
    // All have been asked once before anybody is asked again.
    if ((turn + 1) % options.services.length === 0) await delay(backoffMs(attempt++, { baseMs: 50, maxMs: 5_000 }), signal).catch(() => {});
  }
}

async function followPeers(client: RpcClient, options: PeerOptions, nodes: Nodes, signal: AbortSignal, heard: () => void): Promise<void> {
  const named = new Set<string>();
  let timer: NodeJS.Timeout | undefined;
  try {
    for await (const bytes of client.stream('/peer.Peer/Notify', toBinary(NotifyRequestSchema, create(NotifyRequestSchema)), { signal })) {
      heard();
      timer ??= setTimeout(() => nodes.all.filter(node => !named.has(node.name)).forEach(node => nodes.remove(node.name)), namedWithinMs);
      const notification = fromBinary(ChangeNotificationSchema, bytes);
      if (notification.type === ChangeNotificationType.PEER_DELETED) {
        named.delete(notification.name);
        nodes.remove(notification.name);
        continue;
      }
      named.add(notification.name);
      const peer = peerOf(notification, options.tls);
      if (peer) nodes.upsert(peer);
    }
  } finally {
    clearTimeout(timer);
  }
}

/** Undefined for an address that nobody can connect to. */
export function peerOf({ name, address, tls }: Pick<ChangeNotification, 'name' | 'address' | 'tls'>, certificates: (serverName: string) => RpcTls): Peer | undefined {
  const serverName = tls?.serverName === undefined || tls.serverName === '' ? undefined : tls.serverName;
  if (address.startsWith('unix://')) return { name, address, serverName: undefined, target: () => ({ socketPath: address.slice('unix://'.length) }) };
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(address);
  if (!match) return undefined;
  const host = match[1] ?? match[2]!;
  const port = Number(match[3]);
  return { name, address, serverName, target: () => ({ host, port, ...(serverName !== undefined && { tls: certificates(serverName) }) }) };
}
