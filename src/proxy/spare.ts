import { connect, type Socket } from 'node:net';
import { closeSocket } from '../sys/net.ts';
import { openPidfd, takeFd } from '../sys/process.ts';
import { eachLine } from './handover.ts';

/**
 * A process that has started and waits for another's end, over `POST /v1/spare?pid=PID` of the one that works. It holds duplicates of the
 * listening sockets, so new connections wait in them, and takes them from there as soon as the other is gone: nothing need be started.
 *
 *     working: {pid, listeners, protocols} … {protocols} …        its end: the spare's turn, unless another answers at the socket
 */
interface FromWorking {
  readonly pid?: number;
  readonly listeners?: readonly number[];
  /** Names of those that sets have asked for: loaded here too. */
  readonly protocols: readonly string[];
}

/** Between two looks whether somebody works. */
const lookEveryMs = 100;

/** The one that works: those that stand by beside it. */
export class Spares {
  readonly #sockets = new Map<Socket, number>();
  #told = '';

  /** Of the first, if there is one. */
  get pid(): number | undefined {
    return this.#sockets.values().next().value;
  }

  add(socket: Socket, about: { readonly pid: number; readonly listeners: readonly number[]; readonly protocols: readonly string[] }): void {
    const { pid, listeners, protocols } = about;
    this.#sockets.set(socket, pid);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('end', () => socket.destroy());
    socket.resume();
    write(socket, { pid: process.pid, listeners, protocols });
  }

  /** Now and then: what has been loaded since. */
  tell(protocols: readonly string[]): void {
    const told = protocols.join();
    if (told === this.#told) return;
    this.#told = told;
    for (const socket of this.#sockets.keys()) write(socket, { protocols });
  }

  /** Another process works from now on: they go to that one. */
  release(): void {
    for (const socket of this.#sockets.keys()) socket.destroy();
  }
}

export interface StandByParts {
  readonly load: (protocol: string) => void;
  readonly signal: AbortSignal;
}

/** Waits for its turn: the listening sockets of the one that worked; none where nobody ever did, but SIGUSR2 says that it is time. */
export function standBy(socketPath: string, { load, signal }: StandByParts): Promise<readonly number[]> {
  return new Promise((resolve, reject) => {
    let held: readonly number[] = [];
    let socket: Socket | undefined;
    let timer: NodeJS.Timeout | undefined;
    let isOver = false;
    const leave = () => {
      isOver = true;
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
      socket?.destroy();
    };
    const begin = () => {
      if (isOver) return;
      leave();
      resolve(held);
    };
    const abort = () => {
      leave();
      reject(signal.reason as Error);
    };
    const hear = (line: FromWorking) => {
      if (line.pid !== undefined && line.listeners) {
        held.forEach(closeSocket);
        held = duplicates(line.pid, line.listeners);
      }
      line.protocols.forEach(load);
    };
    const attach = () => {
      let isAttached = false;
      let code: string | undefined;
      socket = connect(socketPath, () => socket!.write(`POST /v1/spare?pid=${process.pid} HTTP/1.1\r\nhost: proxy\r\n\r\n`));
      socket.on('error', (error: NodeJS.ErrnoException) => (code = error.code));
      eachLine(socket, text => {
        if (!text.startsWith('{')) return;
        isAttached = true;
        hear(JSON.parse(text) as FromWorking);
      });
      socket.on('close', () => {
        if (isOver) return;
        const isGone = code === 'ECONNREFUSED' || code === 'ENOENT';
        if (isAttached) attach();
        else if (isGone && held.length > 0) begin();
        else timer = setTimeout(attach, lookEveryMs);
      });
    };
    // For good: it also comes when all is done already, and would end who does not listen for it.
    process.on('SIGUSR2', begin);
    signal.addEventListener('abort', abort, { once: true });
    attach();
  });
}

/** None when it has ended meanwhile. */
function duplicates(pid: number, fds: readonly number[]): readonly number[] {
  using working = openPidfd(pid);
  try {
    return working ? fds.map(fd => takeFd(working, fd)) : [];
  } catch {
    return [];
  }
}

function write(socket: Socket, line: FromWorking): void {
  socket.write(JSON.stringify(line) + '\n');
}
