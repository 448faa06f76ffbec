import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { cniFailure, CniError, cniErrorCode, parseCniRequest, type CniRequest, type CniResponse } from '../features/endpoints/cni.ts';
import type { EndpointManager } from '../features/endpoints/manager.ts';
import type { Logger } from '../std/log.ts';

const maxRequestBytes = 1 << 20;

/** The socket that the CNI plugin talks to: one JSON line each way, then the connection ends. */
export function startCniServer(options: { readonly socketPath: string }, dependencies: { readonly manager: EndpointManager; readonly log: Logger }): Promise<Server> {
  const { socketPath } = options;
  mkdirSync(dirname(socketPath), { recursive: true });
  rmSync(socketPath, { force: true });
  const server = createServer({ allowHalfOpen: true }, socket => {
    readLine(socket)
      .then(line => answer(line, dependencies.manager))
      .catch((error: unknown): CniResponse => cniFailure(error))
      .then(response => {
        if (response.code !== 0) dependencies.log.warn('CNI call failed', { ...response });
        socket.end(JSON.stringify(response) + '\n');
      })
      .catch(() => socket.destroy());
  });
  return new Promise((resolve, reject) => {
    server.on('error', reject);
    server.listen({ path: socketPath }, () => resolve(server));
  });
}

/** Deletions that the plugin noted down while nobody listened: `pending-deletes/CONTAINERID` beside the socket. */
export async function takePendingDeletes(socketPath: string, manager: EndpointManager): Promise<number> {
  const directory = join(dirname(socketPath), 'pending-deletes');
  if (!existsSync(directory)) return 0;
  const names = readdirSync(directory);
  for (const containerId of names) {
    await manager.delete({ containerId, ifname: 'eth0' });
    rmSync(join(directory, containerId), { force: true });
  }
  return names.length;
}

async function answer(line: string, manager: EndpointManager): Promise<CniResponse> {
  const request = parseCniRequest(line);
  return { code: 0, result: await run(request, manager) };
}

async function run(request: CniRequest, manager: EndpointManager): Promise<unknown> {
  switch (request.command) {
    case 'ADD': return manager.add(request);
    case 'DEL': return manager.delete(request);
    case 'CHECK': return manager.check(request);
    case 'STATUS': return undefined;
    case 'VERSION': return { cniVersion: '1.0.0', supportedVersions: ['0.3.1', '0.4.0', '1.0.0', '1.1.0'] };
    case 'GC': throw new CniError(cniErrorCode.invalidEnvironment, 'GC is not offered: DEL is kept until it succeeds');
  }
}

function readLine(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    socket.setTimeout(10_000, () => socket.destroy(new Error('the plugin sent nothing for 10 s')));
    socket.on('data', chunk => {
      text += chunk.toString('utf8');
      const end = text.indexOf('\n');
      if (end >= 0) resolve(text.slice(0, end));
      else if (text.length > maxRequestBytes) reject(new CniError(cniErrorCode.decodeFailure, 'the CNI request is larger than 1 MiB'));
    });
    socket.on('end', () => resolve(text));
    socket.on('error', reject);
  });
}
