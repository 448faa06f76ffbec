import { once } from 'node:events';
import { request } from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';
import type { ProxyHello } from '../model/l7-proxy.ts';
import { closeSocket } from '../sys/net.ts';
import { openPidfd, takeFd } from '../sys/process.ts';
import { eachLine } from './handover.ts';

/** JSON from a unix socket. */
export async function ask<T>(socketPath: string, path: string): Promise<T> {
  const call = request({ socketPath, path });
  call.end();
  const [response] = (await once(call, 'response')) as [NodeJS.ReadableStream];
  let text = '';
  for await (const chunk of response) text += String(chunk);
  return JSON.parse(text) as T;
}

/** What the agent does for a proxy: hears its lines, and keeps its listening sockets. */
export class KeptForTests {
  readonly lines: unknown[] = [];
  listeners: number[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  static async start(path: string): Promise<KeptForTests> {
    const kept = new KeptForTests();
    kept.#server.listen(path);
    await once(kept.#server, 'listening');
    return kept;
  }

  private constructor() {
    this.#server = createServer(socket => {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.write(JSON.stringify({ pid: process.pid, listeners: { 0: this.listeners } }) + '\n');
      eachLine(socket, line => this.#take(JSON.parse(line) as ProxyHello | unknown[]));
    });
  }

  async waitForListeners(): Promise<void> {
    while (this.listeners.length === 0) await new Promise(resolve => setTimeout(resolve, 5));
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    this.listeners.splice(0).forEach(fd => closeSocket(fd));
  }

  #take(line: ProxyHello | unknown[]): void {
    this.lines.push(line);
    if (Array.isArray(line)) return;
    using process = openPidfd(line.hello.pid);
    this.listeners = line.hello.listeners.map(fd => takeFd(process!, fd));
  }
}
