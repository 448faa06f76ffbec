/** Sockets with a path in the file system: the client's end, and a server that makes nothing for what arrives. */
import { rmSync } from 'node:fs';
import { KernelError, check } from './errno.ts';
import { stable } from './memory.ts';
import { accept4, bind, close, connect, lastErrno, listen, recvAt, send, socket, watchReadable } from './native.ts';
import { errno } from './streams.ts';

/** AF_UNIX; SOCK_STREAM; SOCK_NONBLOCK | SOCK_CLOEXEC. */
const [UNIX, STREAM, NONBLOCK_CLOEXEC] = [1, 1, 0o2004000] as const;
const backlog = 128;
/** Without descriptors or memory nobody can be let in: those who wait are looked at again after so long. */
const againMs = 100;

/** A socket that is connected to a path of the file system; undefined where nobody listens. */
export function connectUnix(path: string): number | undefined {
  const fd = check(socket(UNIX, STREAM | NONBLOCK_CLOEXEC, 0), 'socket', 'making a socket');
  const address = addressOf(path);
  if (connect(fd, address, address.length) === 0) return fd;
  close(fd);
  return undefined;
}

/** The server's side of one connection. */
export interface UnixPeer {
  /** What has arrived and was not done with before, valid during the call. Returns how much of it is done with; undefined: this is nobody to listen to. */
  take(bytes: Buffer): number | undefined;
  /** It is over, whoever ended it. Not called when the server closes. */
  gone(): void;
}

/**
 * Listens at a path that only its owner may open. Each connection has room of `roomBytes` that is used again and again; one that fills
 * it with what is not done with is ended.
 */
export class UnixServer {
  readonly #path: string;
  readonly #fd: number;
  readonly #roomBytes: number;
  readonly #serve: (greet: (text: string) => void) => UnixPeer;
  readonly #connections = new Set<Connection>();
  #watch: { stop(): void } | undefined;
  #again: NodeJS.Timeout | undefined;

  /** `serve` may greet once, before anything is read. Throws KernelError where the path cannot be listened at; what was there before is removed. */
  constructor(path: string, roomBytes: number, serve: (greet: (text: string) => void) => UnixPeer) {
    [this.#path, this.#roomBytes, this.#serve] = [path, roomBytes, serve];
    rmSync(path, { force: true });
    this.#fd = check(socket(UNIX, STREAM | NONBLOCK_CLOEXEC, 0), 'socket', 'making a socket');
    const address = addressOf(path);
    const mask = process.umask(0o177);
    try {
      check(bind(this.#fd, address, address.length), 'bind', `making the socket ${path}`);
      check(listen(this.#fd, backlog), 'listen', `listening at ${path}`);
    } catch (error) {
      close(this.#fd);
      throw error;
    } finally {
      process.umask(mask);
    }
    this.#listen();
  }

  close(): void {
    this.#watch?.stop();
    clearTimeout(this.#again);
    close(this.#fd);
    for (const connection of this.#connections) connection.end();
    rmSync(this.#path, { force: true });
  }

  #listen(): void {
    this.#watch = watchReadable(this.#fd, () => this.#accept());
  }

  #accept(): void {
    for (;;) {
      const fd = accept4(this.#fd, 0, 0, NONBLOCK_CLOEXEC);
      if (fd >= 0) this.#admit(fd);
      else if (lastErrno() === errno.again) return;
      else if (lastErrno() !== errno.interrupted) return this.#pause();
    }
  }

  #pause(): void {
    this.#watch?.stop();
    this.#again = setTimeout(() => this.#listen(), againMs);
  }

  #admit(fd: number): void {
    const peer = this.#serve(text => void send(fd, Buffer.from(text), Buffer.byteLength(text), 0));
    const connection: Connection = new Connection(fd, this.#roomBytes, peer, () => this.#connections.delete(connection));
    this.#connections.add(connection);
  }
}

class Connection {
  readonly #fd: number;
  readonly #peer: UnixPeer;
  readonly #room;
  readonly #buffer: Buffer;
  readonly #ended: () => void;
  readonly #watch: { stop(): void };
  /** Of the room, with what is not done with. */
  #length = 0;

  constructor(fd: number, roomBytes: number, peer: UnixPeer, ended: () => void) {
    [this.#fd, this.#peer, this.#ended] = [fd, peer, ended];
    this.#room = stable(roomBytes);
    this.#buffer = Buffer.from(this.#room.bytes.buffer);
    this.#watch = watchReadable(fd, () => this.#read());
  }

  end(): void {
    this.#watch.stop();
    close(this.#fd);
    this.#ended();
  }

  /** Once for each turn of the event loop, so that one who sends much leaves others theirs. */
  #read(): void {
    const count = recvAt(this.#fd, this.#room.address + this.#length, this.#buffer.length - this.#length, 0);
    if (count < 0 && (lastErrno() === errno.again || lastErrno() === errno.interrupted)) return;
    if (count <= 0) return this.#gone();
    this.#length += count;
    const done = this.#peer.take(this.#buffer.subarray(0, this.#length));
    if (done === undefined || (done === 0 && this.#length === this.#buffer.length)) return this.#gone();
    if (done > 0) this.#buffer.copyWithin(0, done, this.#length);
    this.#length -= done;
  }

  #gone(): void {
    this.end();
    this.#peer.gone();
  }
}

/** struct sockaddr_un (linux/un.h). */
function addressOf(path: string): Buffer {
  const length = Buffer.byteLength(path);
  if (length > 107) throw new KernelError({ errno: 'ENAMETOOLONG', syscall: 'bind', doing: `using the socket ${path}`, mend: 'the path of a socket has 107 bytes at most: choose a shorter folder' });
  const address = Buffer.alloc(3 + length);
  address.writeUInt16LE(UNIX, 0);
  address.write(path, 2);
  return address;
}
