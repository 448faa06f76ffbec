import { rmSync, mkdirSync } from 'node:fs';
import { createSecureServer, createServer, type Http2SecureServer, type Http2Server, type IncomingHttpHeaders, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { dirname } from 'node:path';
import { errorText } from '../std/errors.ts';
import type { Logger } from '../std/log.ts';
import { ServerCall, type CallOptions } from './call.ts';
import { encodeMessage } from './frames.ts';
import { RpcStatus, type Method, type RpcTarget, type RpcTls } from './types.ts';

export interface RpcServerOptions {
  /** Port 0 takes a free one. A unix socket is for its owner alone (0600). */
  readonly listen: RpcTarget;
  readonly methods: readonly Method[];
  /** Sent with every answer. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly limits?: Partial<RpcLimits>;
}

/** What one client, and all of them, can make the server keep. */
export interface RpcLimits {
  readonly maxConnections: number;
  readonly maxStreamsPerConnection: number;
  readonly maxMessageBytes: number;
  /** A unary request must have come in whole within this time. */
  readonly requestTimeoutMs: number;
  /** A connection that does not answer a ping for twice as long is closed. */
  readonly keepAliveMs: number;
}

export interface RpcServer {
  /** Where it listens, with the port that was taken. */
  readonly address: { readonly socketPath: string } | { readonly host: string; readonly port: number };
  readonly connections: number;
  /** Other certificates for connections from now on. */
  renew(tls: RpcTls): void;
  /** Ends all calls and connections. */
  close(): Promise<void>;
}

const defaultLimits: RpcLimits = { maxConnections: 256, maxStreamsPerConnection: 128, maxMessageBytes: 4 * 1024 * 1024, requestTimeoutMs: 20_000, keepAliveMs: 30_000 };
/** How long connections have to take the last answers at the end. */
const graceMs = 500;

/**
 * gRPC over node:http2, framed by hand: messages that are ready together go out in one write, which is what makes a stream of
 * flows cheap. Rejects when the address cannot be listened at.
 */
export async function startRpcServer(options: RpcServerOptions, dependencies: { readonly log: Logger }): Promise<RpcServer> {
  const { listen } = options;
  const { log } = dependencies;
  const limits = { ...defaultLimits, ...options.limits };
  const methods = new Map(options.methods.map(method => [method.path, method]));
  const sessions = new Set<ServerHttp2Session>();
  const calls = new Set<ServerCall>();
  const callOptions: CallOptions = { headers: options.headers ?? {}, maxMessageBytes: limits.maxMessageBytes, requestTimeoutMs: limits.requestTimeoutMs };

  const server = createHttp2(listen, limits);
  server.on('session', session => {
    sessions.add(session);
    const stopPings = keepAlive(session, limits.keepAliveMs);
    session.once('close', () => {
      sessions.delete(session);
      stopPings();
    });
    session.on('error', (error: unknown) => log.debug('a gRPC connection failed', { error: errorText(error) }));
  });
  // A peer that speaks something else, or breaks off, is no event for the server: its connection ends.
  for (const event of ['sessionError', 'clientError', 'tlsClientError']) server.on(event, (error: unknown) => log.debug('a gRPC connection failed', { event, error: errorText(error) }));
  server.on('unknownProtocol', (socket: { destroy(): void }) => socket.destroy());
  server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    const refusal = refusalOf(headers);
    if (refusal !== undefined) return refuse(stream, refusal);
    const call = new ServerCall(stream, headers, callOptions);
    calls.add(call);
    stream.once('close', () => calls.delete(call));
    const method = methods.get(String(headers[':path']));
    if (method) void call.run(method, log);
    else call.finish(RpcStatus.unimplemented, unknownMethod(String(headers[':path']), options.methods));
  });
  await listenAt(server, listen);

  return {
    address: addressOf(server, listen),
    get connections() {
      return sessions.size;
    },
    renew: tls => {
      if ('setSecureContext' in server) server.setSecureContext(contextOf(tls));
    },
    close: () => new Promise(resolve => {
      server.close(() => resolve());
      for (const call of calls) call.finish(RpcStatus.unavailable, 'the server is stopping');
      for (const session of sessions) session.close();
      const timer = setTimeout(() => sessions.forEach(session => session.destroy()), graceMs);
      server.once('close', () => clearTimeout(timer));
    }),
  };
}

function createHttp2(listen: RpcTarget, limits: RpcLimits): Http2Server | Http2SecureServer {
  const common = {
    settings: { maxConcurrentStreams: limits.maxStreamsPerConnection, maxHeaderListSize: 16 * 1024, enablePush: false },
    // Beyond these a session of Node's is closed: header blocks and frames without end, floods of pings and settings.
    maxSessionMemory: 16, maxHeaderListPairs: 64, maxOutstandingPings: 4, maxSettings: 8, maxSessionInvalidFrames: 16, maxSessionRejectedStreams: 64,
  };
  const server = 'tls' in listen && listen.tls
    ? createSecureServer({ ...common, ...contextOf(listen.tls), ALPNProtocols: ['h2'], allowHTTP1: false, handshakeTimeout: 10_000, requestCert: listen.tls.requireClient ?? false, rejectUnauthorized: listen.tls.requireClient ?? false })
    : createServer(common);
  server.maxConnections = limits.maxConnections;
  return server;
}

function contextOf(tls: RpcTls) {
  return { ca: tls.ca, cert: tls.cert, key: tls.key, minVersion: 'TLSv1.3' as const };
}

function listenAt(server: Http2Server | Http2SecureServer, listen: RpcTarget): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    const listening = () => {
      server.off('error', reject);
      resolve();
    };
    if (!('socketPath' in listen)) return void server.listen({ host: listen.host, port: listen.port }, listening);
    mkdirSync(dirname(listen.socketPath), { recursive: true, mode: 0o700 });
    rmSync(listen.socketPath, { force: true });
    // The socket is bound before `listen` returns: nobody else can open it at any moment.
    const mask = process.umask(0o177);
    try {
      server.listen({ path: listen.socketPath }, listening);
    } finally {
      process.umask(mask);
    }
  });
}

function addressOf(server: Http2Server | Http2SecureServer, listen: RpcTarget): RpcServer['address'] {
  return 'socketPath' in listen ? { socketPath: listen.socketPath } : { host: listen.host, port: (server.address() as AddressInfo).port };
}

/** Pings until the session ends; a ping that is still unanswered when the next is due ends it. */
function keepAlive(session: ServerHttp2Session, everyMs: number): () => void {
  let waiting = false;
  const timer = setInterval(() => {
    if (waiting) return session.destroy();
    waiting = true;
    if (!session.destroyed && !session.ping(() => { waiting = false; })) waiting = true;
  }, everyMs);
  timer.unref();
  return () => clearInterval(timer);
}

/** HTTP's status for a request that is no gRPC. */
function refusalOf(headers: IncomingHttpHeaders): number | undefined {
  if (headers[':method'] !== 'POST') return 405;
  return /^application\/grpc(?:$|[+;])/.test(String(headers['content-type'])) ? undefined : 415;
}

function refuse(stream: ServerHttp2Stream, status: number): void {
  stream.on('error', () => {});
  stream.respond({ ':status': status, 'grpc-status': String(RpcStatus.internal), 'grpc-message': encodeMessage('this is a gRPC server: POST with content-type application/grpc') }, { endStream: true });
}

/** As grpc-go words it. */
function unknownMethod(path: string, methods: readonly Method[]): string {
  const [, service = '', name = ''] = path.split('/');
  return methods.some(method => method.path.startsWith(`/${service}/`)) ? `unknown method ${name} for service ${service}` : `unknown service ${service}`;
}
