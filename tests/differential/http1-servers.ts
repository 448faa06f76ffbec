/** Two servers that are not ours, asked what requests they see in a stream of bytes: Node's (llhttp, strict) and nginx. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { connect } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Seen {
  /** `GET /path` of each request, in order, as far as the server saw a whole head. */
  readonly requests: readonly string[];
  /** All that it answered. */
  readonly answers: string;
}

export interface Oracle {
  readonly name: string;
  ask(bytes: Buffer): Promise<Seen>;
  close(): Promise<void>;
}

export async function nodeServer(): Promise<Oracle> {
  const seen = new Map<number, string[]>();
  const sees: RequestListener = (request, response) => {
    seen.get(request.socket.remotePort!)?.push(`${request.method} ${pathOf(request.url ?? '')}`);
    request.resume();
    response.writeHead(200, { 'content-length': 0 }).end();
  };
  const server = createServer({ insecureHTTPParser: false, keepAliveTimeout: 5000 }, sees);
  // Of what it knows nothing about, too: it has read the request.
  server.on('checkExpectation', sees);
  // Tunnels are none here: a server that does not change the protocol answers.
  server.on('connect', (request, socket) => {
    seen.get((socket as import('node:net').Socket).remotePort!)?.push(`CONNECT ${request.url}`);
    socket.end('HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n');
  });
  server.on('clientError', (_error, socket) => (socket.writable ? socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n') : socket.destroy()));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    name: 'node',
    ask: async bytes => {
      const requests: string[] = [];
      const answers = await exchange(port, bytes, local => seen.set(local, requests));
      return { requests, answers };
    },
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

export async function nginxServer(): Promise<Oracle> {
  const folder = mkdtempSync(join(tmpdir(), 'cirri-nginx-'));
  const port = 20_000 + (process.pid % 9000);
  writeFileSync(join(folder, 'nginx.conf'), `
    daemon off; master_process off; pid ${folder}/pid; error_log ${folder}/error.log crit;
    events { worker_connections 256; }
    http {
      access_log off; keepalive_timeout 2s; keepalive_requests 100000; lingering_close off; client_header_timeout 2s; client_body_timeout 2s;
      client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy; fastcgi_temp_path ${folder}/fastcgi; uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi;
      server { listen 127.0.0.1:${port}; add_header X-Seen "$request_method $request_uri" always; return 200 "ok"; }
    }`);
  const child = spawn('nginx', ['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', join(folder, 'error.log')], { stdio: 'ignore' });
  await until(() => exchange(port, Buffer.from('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'), () => {}).then(text => text.includes('X-Seen'), () => false));
  return {
    name: 'nginx',
    ask: async bytes => {
      const answers = await exchange(port, bytes, () => {});
      return { requests: [...answers.matchAll(/^X-Seen: (\S+) (.+)\r$/gm)].map(([, method, url]) => `${method} ${pathOf(url!)}`), answers };
    },
    close: async () => {
      child.kill();
      if (child.exitCode === null) await once(child, 'exit');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The path of what stands in a request line. */
export function pathOf(url: string): string {
  const absolute = /^https?:\/\/[^/?]*(.*)$/is.exec(url);
  if (!absolute) return url;
  return absolute[1]!.startsWith('/') ? absolute[1]! : `/${absolute[1]}`;
}

/** All that comes back for the bytes until the server ends the connection. */
function exchange(port: number, bytes: Buffer, connected: (localPort: number) => void): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1' });
    let text = '';
    socket.on('connect', () => {
      connected(socket.localPort!);
      socket.end(bytes);
    });
    socket.on('data', data => (text += data.toString('latin1')));
    socket.on('error', error => ((error as NodeJS.ErrnoException).code === 'ECONNRESET' ? resolve(text) : reject(error)));
    socket.on('close', () => resolve(text));
    socket.setTimeout(8000, () => socket.destroy());
  });
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error('nginx does not answer');
    await new Promise(resolve => setTimeout(resolve, 50));
  }
}
