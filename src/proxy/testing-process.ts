import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
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
      eachLine(socket, line => this.#take(JSON.parse(line) as ProxyHello | { readonly status: unknown } | unknown[]));
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

  #take(line: ProxyHello | { readonly status: unknown } | unknown[]): void {
    this.lines.push(line);
    if (Array.isArray(line) || !('hello' in line)) return;
    using process = openPidfd(line.hello.pid);
    this.listeners = line.hello.listeners.map(fd => takeFd(process!, fd));
  }
}

export interface TestingProxy {
  readonly child: ChildProcess;
  readonly socket: string;
  readonly exited: Promise<unknown>;
  /** Its log so far. */
  said(): string;
}

/** Processes of the proxy in front of one server each, in a folder of their own. */
export class TestingProxies implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'cirri-proxy-'));
  readonly #children: ChildProcess[] = [];

  /** Those of one name take each other's place. Until it works, or stands by. */
  async start(name: string, listen: string, upstream: number, ...more: readonly string[]): Promise<TestingProxy> {
    const socket = join(this.folder, `${name}.sock`);
    const child = spawn(process.execPath, ['--max-semi-space-size=2', '--expose-gc', '--single-threaded-gc', main, ...more, '--listen', listen, '--upstream', `127.0.0.1:${upstream}`, '--socket', socket, '--records', join(this.folder, `${name}-l7.sock`)], { stdio: ['ignore', 'inherit', 'pipe'] });
    this.#children.push(child);
    const exited = once(child, 'exit');
    let text = '';
    await new Promise<void>((resolve, reject) => {
      child.stderr!.on('data', chunk => {
        text += String(chunk);
        if (text.includes('"ready"') || text.includes('"stands by"')) resolve();
      });
      child.once('exit', () => reject(new Error(`the proxy ended: ${text}`)));
    });
    return { child, socket, exited, said: () => text };
  }

  [Symbol.dispose](): void {
    for (const child of this.#children) if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }
}

const main = fileURLToPath(new URL('./main.ts', import.meta.url));
