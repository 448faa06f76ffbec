import { create, toBinary } from '@bufbuild/protobuf';
import type { Method } from '../rpc/types.ts';
import { Signal } from '../std/async.ts';
import { ChangeNotificationSchema, ChangeNotificationType, NotifyRequestSchema } from './generated/peer_pb.js';
import { streamMethod } from './method.ts';
import { peerServerName } from './names.ts';

/** A node that serves Hubble's API. */
export interface PeerNode {
  readonly name: string;
  readonly clusterName: string;
  /** `ip:port`. */
  readonly address: string;
  /** Whether it is reached with TLS. */
  readonly tls: boolean;
}

export interface PeerSource {
  /** The nodes there are now, this one too. */
  list(): readonly PeerNode[];
  /** Calls when the list may be another. Returns how to stop it. */
  watch(onChange: () => void): () => void;
}

/** Hubble's peer.Peer: every node at once, then what changes. */
export function peerMethods(source: PeerSource): Method[] {
  return [streamMethod('/peer.Peer/Notify', NotifyRequestSchema, async (_, call) => {
    const changed = new Signal();
    const stop = source.watch(() => changed.mark());
    let told: ReadonlyMap<string, PeerNode> = new Map();
    try {
      while (!call.signal.aborted) {
        const now = new Map(source.list().map(node => [peerName(node), node]));
        await call.write(...peerChanges(told, now));
        told = now;
        await changed.wait({ signal: call.signal });
      }
    } finally {
      stop();
    }
  })];
}

/** Bare within the cluster `default`, `cluster/node` of others. */
export function peerName({ name, clusterName }: Pick<PeerNode, 'name' | 'clusterName'>): string {
  return clusterName === 'default' || clusterName === '' ? name : `${clusterName}/${name}`;
}

function peerChanges(before: ReadonlyMap<string, PeerNode>, now: ReadonlyMap<string, PeerNode>): Uint8Array[] {
  const changes: Uint8Array[] = [];
  for (const [name, node] of before) if (!now.has(name)) changes.push(notification(node, ChangeNotificationType.PEER_DELETED));
  for (const [name, node] of now) {
    const old = before.get(name);
    if (!old) changes.push(notification(node, ChangeNotificationType.PEER_ADDED));
    else if (old.address !== node.address || old.tls !== node.tls) changes.push(notification(node, ChangeNotificationType.PEER_UPDATED));
  }
  return changes;
}

function notification(node: PeerNode, type: ChangeNotificationType): Uint8Array {
  return toBinary(ChangeNotificationSchema, create(ChangeNotificationSchema, {
    name: peerName(node), address: node.address, type, ...(node.tls && { tls: { serverName: peerServerName(node.name, node.clusterName) } }),
  }));
}
