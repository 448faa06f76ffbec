import { parseAddr } from '../std/ip.ts';
import { connectTo, listenOn, type StreamOptions } from '../sys/streams.ts';
import type { Admission } from './host.ts';

/** MARK_FROM_PROXY of bpf/lib/proxy.h. */
const mark = 0x0a00;
/**
 * PROXY_PORT_MIN to PROXY_PORT_MAX of bpf/lib/proxy.h in two halves, for clients of this node and for others: where both ends' nodes
 * carry a connection, the second proxy never has the port of the first.
 */
const ports = { ofLocal: [16_384, 23_191], ofOthers: [23_192, 29_999] } as const;
/** The node itself: what it is sent under a client's address would not leave the loopback device. */
const hostIdentity = 1;

const options: StreamOptions = { transparent: true, mark, userTimeoutMs: 120_000 };

/** Two sockets that redirected connections are given to, for IPv4 and IPv6. Nothing reaches them by their own addresses but this node. */
export function listenForRedirects(): readonly number[] {
  return ['127.0.0.1', '::1'].map(address => listenOn({ addr: parseAddr(address), port: 0 }, options));
}

/** Begins to connect to a connection's server as its client. Throws KernelError. */
export function connectAsClient({ client, server, row }: Admission): number {
  return connectTo(server, row.destinationIdentity === hostIdentity ? options : { ...options, from: client.addr, ports: row.sourceEndpoint !== 0 ? ports.ofLocal : ports.ofOthers });
}
