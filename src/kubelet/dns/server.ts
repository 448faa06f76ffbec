/** DNS over UDP and TCP (RFC 7766: many questions on a connection), with bounds on everything a client can hold. */
import dgram from 'node:dgram';
import net from 'node:net';
import { respond } from './respond.ts';
import type { Responder } from './respond.ts';

export interface DnsServer {
  readonly port: number;
  close(): void;
}

const tcpLimits = { connections: 1_000, idleMs: 10_000, pending: 64 };

/** Listens on both families where the host has them. */
export async function serveDns(options: { readonly port: number; readonly host?: string }, responder: Responder): Promise<DnsServer> {
  const host = options.host ?? '::';
  const tcp = net.createServer({ noDelay: true }, socket => serveConnection(socket, responder));
  tcp.maxConnections = tcpLimits.connections;
  await new Promise<void>((resolve, reject) => tcp.once('error', reject).listen({ port: options.port, host, ipv6Only: false }, resolve));
  const { port } = tcp.address() as net.AddressInfo;
  const udp = dgram.createSocket({ type: host.includes(':') ? 'udp6' : 'udp4' });
  udp.on('message', (message, peer) => {
    void respond(message, false, responder).then(answer => {
      // The asker may be gone by now: its loss.
      if (answer) udp.send(answer, peer.port, peer.address, () => {});
    });
  });
  await new Promise<void>((resolve, reject) => udp.once('error', reject).bind({ port, address: host }, resolve));
  udp.on('error', () => {});
  return {
    port,
    close: () => {
      udp.close();
      tcp.close();
    },
  };
}

function serveConnection(socket: net.Socket, responder: Responder): void {
  let held: Buffer = Buffer.alloc(0);
  let pending = 0;
  socket.setTimeout(tcpLimits.idleMs, () => socket.destroy());
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: Buffer) => {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    while (held.length >= 2 && held.length >= 2 + held.readUInt16BE(0)) {
      const end = 2 + held.readUInt16BE(0);
      const message = held.subarray(2, end);
      held = held.subarray(end);
      if (++pending > tcpLimits.pending) return void socket.destroy();
      void respond(message, true, responder).then(answer => {
        pending--;
        if (!answer) return void socket.destroy();
        if (!socket.destroyed) socket.write(Buffer.concat([Buffer.from([answer.length >> 8, answer.length & 255]), answer]));
      });
    }
  });
}
