import { createServer } from 'node:net';

/** Below the ports that the kernel gives to connections, the proxy's too; processes that run at the same time begin far from each other. */
const [firstPort, ports] = [13_000, 3_000];
let tried = 0;

/** A TCP port that nobody listens at, at any address, and that nobody gets who asks for any port. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = firstPort + (process.pid * 97 + tried++) % ports;
    const isFree = await new Promise<boolean>((resolve, reject) => {
      const server = createServer();
      server.on('error', (error: NodeJS.ErrnoException) => (error.code === 'EADDRINUSE' ? resolve(false) : reject(error)));
      server.listen(port, () => server.close(() => resolve(true)));
    });
    if (isFree) return port;
  }
}
