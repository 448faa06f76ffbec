import { ServerResponse, type IncomingMessage, type Server } from 'node:http';
import { Duplex } from 'node:stream';
import { acceptKey, closeFrame, encodeFrame, WebSocketDecoder, WebSocketError, type WebSocketMessage } from '../../std/websocket.ts';
import { badRequest } from '../status.ts';
import type { Call } from './handler.ts';

/** A connection whose client has asked for another protocol (RFC 9110 §7.8), as Node hands it over. */
export interface Upgrade {
  readonly socket: Duplex;
  /** What came behind the request. */
  readonly head: Buffer;
}

type Handler = (request: IncomingMessage, response: ServerResponse, upgrade?: Upgrade) => void;

/** Requests with `Upgrade` go the way of all requests: who takes the connection calls `takeOver`, every other answer is HTTP's. */
export function withUpgrades<S extends Server>(server: S, handler: Handler): S {
  server.on('request', (request, response) => handler(request, response));
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => {});
    const response = new ServerResponse(request);
    response.shouldKeepAlive = false;
    response.assignSocket(socket as Parameters<ServerResponse['assignSocket']>[0]);
    response.on('finish', () => socket.end());
    handler(request, response, { socket, head });
  });
  return server;
}

/** Answers 101 with these headers; from then on the connection is the caller's. */
export function takeOver(call: Call, headers: Readonly<Record<string, string>>): Upgrade {
  const { upgrade, response } = call;
  if (!upgrade) throw badRequest('unable to upgrade: the request has no Upgrade header');
  const { socket } = upgrade;
  response.detachSocket(socket as Parameters<ServerResponse['detachSocket']>[0]);
  const lines = Object.entries({ Connection: 'Upgrade', ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join('')}\r\n`);
  call.signal.addEventListener('abort', () => socket.destroy(), { once: true });
  return upgrade;
}

/** The sub-protocols that a WebSocket's client offers, in its order; undefined when it wants no WebSocket. */
export function offeredProtocols(request: IncomingMessage): string[] | undefined {
  if (request.headers.upgrade?.toLowerCase() !== 'websocket') return undefined;
  return (request.headers['sec-websocket-protocol'] ?? '').split(',').map(name => name.trim()).filter(name => name !== '');
}

const messageLimit = 16 << 20;

/** A WebSocket whose messages go to `onMessage`. Pings are answered here, and so is the client's close. */
export class WebSocket {
  readonly #socket: Duplex;
  #closed = false;

  /** Throws 400 when the handshake is not one (RFC 6455 §4.2.1). `protocol` is one that the client has offered. */
  constructor(call: Call, protocol: string, handlers: { onMessage(message: WebSocketMessage): void; onClose(): void; onDrain?(): void }) {
    const key = call.request.headers['sec-websocket-key'];
    if (key === undefined || call.request.headers['sec-websocket-version'] !== '13') throw badRequest('not a WebSocket handshake of version 13');
    const { socket, head } = takeOver(call, { Upgrade: 'websocket', 'Sec-WebSocket-Accept': acceptKey(key), 'Sec-WebSocket-Protocol': protocol });
    this.#socket = socket;
    const decoder = new WebSocketDecoder(messageLimit);
    const read = (bytes: Buffer) => {
      try {
        for (const message of decoder.push(bytes)) this.#take(message, handlers);
      } catch (error) {
        this.close(error instanceof WebSocketError ? error.code : 1011, error instanceof Error ? error.message : '');
      }
    };
    socket.on('data', read);
    socket.on('drain', () => handlers.onDrain?.());
    // A client that is killed says no more than that it has ended: there is no half of a WebSocket.
    socket.on('end', () => socket.end());
    socket.on('close', () => {
      this.#closed = true;
      handlers.onClose();
    });
    if (head.length > 0) read(head);
  }

  /** False when the client is slow: wait for `onDrain`. */
  send(kind: 'text' | 'binary', data: Uint8Array): boolean {
    return this.#closed || this.#socket.write(encodeFrame(kind, data));
  }

  close(code = 1000, reason = ''): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.end(closeFrame(code, reason));
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  #take(message: WebSocketMessage, { onMessage }: { onMessage(message: WebSocketMessage): void }): void {
    if (message.kind === 'ping') return void (this.#closed || this.#socket.write(encodeFrame('pong', message.data)));
    if (message.kind === 'close') return this.close();
    if (message.kind !== 'pong' && !this.#closed) onMessage(message);
  }
}

/** A WebSocket as a stream of bytes: the binary messages one after the other. */
export function webSocketStream(call: Call, protocol: string): Duplex {
  let drained = () => {};
  const stream = new Duplex({
    read: () => web.resume(),
    write: (data: Buffer, _encoding, done) => {
      if (web.send('binary', data)) done();
      else drained = done;
    },
    final: done => {
      web.close();
      done();
    },
    destroy: (error, done) => {
      web.close(error ? 1002 : 1000, error?.message);
      drained();
      done(error);
    },
  });
  const web = new WebSocket(call, protocol, {
    onMessage: ({ data }) => void (stream.push(data) || web.pause()),
    onClose: () => stream.destroy(),
    onDrain: () => {
      const done = drained;
      drained = () => {};
      done();
    },
  });
  return stream;
}
