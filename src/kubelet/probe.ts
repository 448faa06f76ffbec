/** One probe, once: HTTP, TCP, exec or gRPC health, from the node's network namespace as Kubernetes does it. */
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import net from 'node:net';
import type { Container, Handler, HttpGet } from './types.ts';

export interface ProbeContext {
  readonly podIP: string;
  readonly container: Container;
  /** Exit code and output of a command in the container. */
  exec(argv: readonly string[], timeoutMs: number): Promise<{ readonly code: number; readonly output: string; readonly timedOut: boolean }>;
}

export interface ProbeResult {
  readonly ok: boolean;
  readonly output: string;
}

/** Never rejects: what goes wrong is a failed probe. */
export async function runHandler(handler: Handler, context: ProbeContext, timeoutMs: number): Promise<ProbeResult> {
  try {
    if (handler.exec) {
      const done = await context.exec(handler.exec.command ?? [], timeoutMs);
      return done.timedOut ? { ok: false, output: `command timed out after ${timeoutMs} ms` } : { ok: done.code === 0, output: done.output };
    }
    if (handler.httpGet) return await probeHttp(handler.httpGet, context, timeoutMs);
    if (handler.tcpSocket) return await probeTcp(handler.tcpSocket.host ?? context.podIP, portNumber(handler.tcpSocket.port, context.container), timeoutMs);
    if (handler.grpc) return await probeGrpc(context.podIP, handler.grpc.port, handler.grpc.service ?? '', timeoutMs);
    if (handler.sleep) await new Promise(resolve => setTimeout(resolve, Math.min(handler.sleep!.seconds * 1000, timeoutMs)));
    return { ok: true, output: '' };
  } catch (error) {
    return { ok: false, output: (error as Error).message };
  }
}

/** A number, or the name of one of the container's ports. */
export function portNumber(port: number | string, container: Container): number {
  if (typeof port === 'number' || /^\d+$/.test(port)) return Number(port);
  const named = container.ports?.find(p => p.name === port);
  if (!named) throw new Error(`container ${container.name} has no port named "${port}"`);
  return named.containerPort;
}

/** 200 to 399 is a success (Kubernetes' rule); redirects are not followed. */
function probeHttp(get: HttpGet, context: ProbeContext, timeoutMs: number): Promise<ProbeResult> {
  const secure = get.scheme?.toUpperCase() === 'HTTPS';
  const host = get.host ?? context.podIP;
  const headers: Record<string, string> = { 'user-agent': 'kube-probe/1.32', accept: '*/*', connection: 'close' };
  for (const header of get.httpHeaders ?? []) headers[header.name.toLowerCase()] = header.value;
  const path = get.path ?? '/';
  return new Promise((resolve, reject) => {
    const request = (secure ? https : http).request({
      host, port: portNumber(get.port, context.container), path: path.startsWith('/') ? path : `/${path}`, headers, agent: false, rejectUnauthorized: false,
    });
    const timer = setTimeout(() => request.destroy(new Error(`Get "${get.scheme?.toLowerCase() ?? 'http'}://${host}:${get.port}${path}": timeout after ${timeoutMs} ms`)), timeoutMs);
    request.on('response', response => {
      response.resume();
      response.on('close', () => clearTimeout(timer));
      const code = response.statusCode ?? 0;
      resolve(code >= 200 && code < 400 ? { ok: true, output: '' } : { ok: false, output: `HTTP probe failed with statuscode: ${code}` });
      request.destroy();
    });
    request.on('error', error => {
      clearTimeout(timer);
      reject(error);
    });
    request.end();
  });
}

function probeTcp(host: string, port: number, timeoutMs: number): Promise<ProbeResult> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host, port });
    const timer = setTimeout(() => socket.destroy(new Error(`dial tcp ${host}:${port}: timeout after ${timeoutMs} ms`)), timeoutMs);
    socket.on('connect', () => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ ok: true, output: '' });
    });
    socket.on('error', error => {
      clearTimeout(timer);
      reject(error);
    });
  });
}

/** grpc.health.v1.Health/Check: the request is field 1 (service), the answer's field 1 must be 1 (SERVING). */
function probeGrpc(host: string, port: number, service: string, timeoutMs: number): Promise<ProbeResult> {
  const name = Buffer.from(service);
  const message = name.length > 0 ? Buffer.concat([Buffer.from([0x0a, name.length]), name]) : Buffer.alloc(0);
  const frame = Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message]);
  return new Promise((resolve, reject) => {
    const session = http2.connect(`http://${host.includes(':') ? `[${host}]` : host}:${port}`);
    const finish = (run: () => void) => {
      clearTimeout(timer);
      session.destroy();
      run();
    };
    const timer = setTimeout(() => finish(() => reject(new Error(`gRPC health of port ${port}: timeout after ${timeoutMs} ms`))), timeoutMs);
    session.on('error', error => finish(() => reject(error)));
    const stream = session.request({ ':method': 'POST', ':path': '/grpc.health.v1.Health/Check', 'content-type': 'application/grpc', te: 'trailers' });
    const chunks: Buffer[] = [];
    stream.on('error', error => finish(() => reject(error)));
    stream.on('data', (chunk: Buffer) => void (chunks.length < 64 && chunks.push(chunk)));
    stream.on('end', () => {
      const body = Buffer.concat(chunks).subarray(5);
      const serving = body[0] === 0x08 && body[1] === 1;
      finish(() => resolve({ ok: serving, output: serving ? '' : `service unhealthy (status ${body[1] ?? 'unknown'})` }));
    });
    stream.end(frame);
  });
}
