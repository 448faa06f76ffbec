import net from 'node:net';

export interface Place {
  readonly host: string;
  readonly port: number;
}

/** Connections to one address end at the other. Rejects when the first cannot be listened at. */
export async function forwardTcp(from: Place, to: Place): Promise<{ close(): Promise<void> }> {
  const open = new Set<net.Socket>();
  const server = net.createServer({ allowHalfOpen: true }, socket => {
    const other = net.connect({ ...to, allowHalfOpen: true });
    for (const [one, peer] of [[socket, other], [other, socket]] as const) {
      open.add(one);
      one.on('error', () => peer.destroy()).on('close', () => {
        open.delete(one);
        peer.destroy();
      });
    }
    socket.pipe(other).pipe(socket);
  });
  server.maxConnections = 256;
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(from, resolve));
  return {
    close: () => new Promise(resolve => {
      server.close(() => resolve());
      for (const socket of open) socket.destroy();
    }),
  };
}
