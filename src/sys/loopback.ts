/** TCP connections within another network namespace. */
import net from 'node:net';
import { check } from './errno.ts';
import * as native from './native.ts';
import { openNetns, withNetns } from './netns.ts';

/** AF_INET, AF_INET6; SOCK_STREAM with SOCK_NONBLOCK and SOCK_CLOEXEC. */
const families = { '127.0.0.1': 2, '::1': 10 } as const;
const stream = 1 | 0o4000 | 0o2000000;

/**
 * Connects to a port on the loopback of the namespace at `netns`: IPv4 first, then IPv6. A socket stays in the namespace that
 * it was made in, so the connection goes on when this thread has long been back. Rejects as `connect` does.
 */
export async function connectLoopback(netns: string, port: number): Promise<net.Socket> {
  try {
    return await connectIn(netns, '127.0.0.1', port);
  } catch (error) {
    return connectIn(netns, '::1', port).catch(() => {
      throw error;
    });
  }
}

function connectIn(netns: string, host: keyof typeof families, port: number): Promise<net.Socket> {
  using namespace = openNetns(netns);
  const fd = withNetns(namespace.fd, () => check(native.socket(families[host], stream, 0), 'socket', `making a socket in ${netns}`));
  // Nothing can be read of a socket that is not connected yet.
  const options = { fd, allowHalfOpen: true, pauseOnCreate: true };
  const socket = new net.Socket(options);
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.connect({ host, port }, () => {
      socket.off('error', reject);
      resolve(socket);
    });
  });
}
