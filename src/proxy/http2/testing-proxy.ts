import { createServer, connect, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';
import type { Layers, Session, SessionRecord, Side, Wire } from '../protocol.ts';

/** A small loop over node:net, for tests of sessions between real clients and servers. */
export interface TestProxy {
  readonly port: number;
  readonly records: readonly SessionRecord[];
  readonly connections: number;
  /** The first thing that was thrown in a session. */
  readonly fault: unknown;
  close(): Promise<void>;
}

export async function startTestProxy<Compiled>(serverPort: number, layers: () => Layers<Compiled>, open: (wire: Wire<Compiled>) => Session): Promise<TestProxy> {
  const records: SessionRecord[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;
  let fault: unknown;
  const server = createServer({ allowHalfOpen: true, noDelay: true }, client => {
    connections++;
    const pair = new SocketPair(client, serverPort, layers, record => records.push(record), open, error => { fault ??= error; });
    for (const socket of pair.sockets) {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
    }
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    records,
    get connections() { return connections; },
    get fault() { return fault; },
    close: () => new Promise(resolve => {
      for (const socket of sockets) socket.destroy();
      server.close(() => resolve());
    }),
  };
}

class SocketPair<Compiled> implements Wire<Compiled> {
  readonly sockets: readonly [Socket, Socket];
  readonly #session: Session;
  readonly #layers: () => Layers<Compiled>;
  readonly #record: (record: SessionRecord) => void;
  readonly #guard: <T>(call: () => T) => void;
  #timer: NodeJS.Timeout | undefined;
  #raw = false;

  constructor(client: Socket, serverPort: number, layers: () => Layers<Compiled>, record: (record: SessionRecord) => void, open: (wire: Wire<Compiled>) => Session, failed: (error: unknown) => void) {
    this.#layers = layers;
    this.#record = record;
    const server = connect({ port: serverPort, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    this.sockets = [client, server];
    this.#session = open(this);
    this.#guard = call => {
      try {
        call();
      } catch (error) {
        failed(error);
        this.close('once');
      }
    };
    this.#serve('client', client, server);
    this.#serve('server', server, client);
  }

  #serve(side: Side, socket: Socket, other: Socket): void {
    socket.on('data', (data: Buffer) => {
      if (this.#raw) other.write(data);
      else this.#guard(() => this.#session.data(side, data, 0, data.length));
      if (other.writableLength > 65_536) {
        socket.pause();
        other.once('drain', () => socket.resume());
      }
    });
    socket.on('end', () => (this.#raw ? other.end() : this.#guard(() => this.#session.ended(side))));
    socket.on('error', error => { if (side === 'server') this.#guard(() => this.#session.serverFailed((error as NodeJS.ErrnoException).code ?? '')); });
    socket.on('close', () => {
      clearTimeout(this.#timer);
      other.destroySoon();
    });
  }

  #socket(side: Side): Socket {
    return side === 'client' ? this.sockets[0] : this.sockets[1];
  }

  layers(): Layers<Compiled> {
    return this.#layers();
  }

  send(to: Side, data: Buffer, start: number, end: number): void {
    const socket = this.#socket(to);
    if (!socket.destroyed) socket.write(Buffer.from(data.subarray(start, end)));
  }

  end(to: Side): void {
    this.#socket(to).end();
  }

  close(at: 'once' | 'written'): void {
    for (const socket of this.sockets) {
      if (at === 'once') socket.destroy();
      else socket.destroySoon();
    }
  }

  passAll(): void {
    this.#raw = true;
  }

  pass(): void {
    throw new Error('not in this loop');
  }

  pause(from: Side, on: boolean): void {
    if (on) this.#socket(from).pause();
    else this.#socket(from).resume();
  }

  wake(ms: number): void {
    clearTimeout(this.#timer);
    if (ms > 0) this.#timer = setTimeout(() => this.#guard(() => this.#session.timeout()), ms);
  }

  now(): number {
    return performance.now() * 1000;
  }

  record(record: SessionRecord): void {
    this.#record(record);
  }
}
