import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import type { HistoryAnswer, HistoryQuery } from '../model/history.ts';
import { errorText } from '../std/errors.ts';
import type { Logger } from '../std/log.ts';
import { FrameKind, FrameReader, jsonFrame, writeFrame, type FeedHello } from './frames.ts';
import { startIngest } from './ingest.ts';
import { answerQuery } from './query/answer.ts';
import type { HistoryStore } from './store.ts';

/** Questions answered at the same time; DuckDB's memory is one for all. */
const mostQueries = 2;
const tidyEveryMs = 10_000;
/** Between two steps, so that inserts and questions come in between. */
const tidySoonMs = 500;

export interface HistoryServer {
  close(): Promise<void>;
}

/** Feeds and questions over one socket that only root may open: the first frame says which it is. */
export async function serveHistory(store: HistoryStore, socketPath: string, { log, signal }: { readonly log: Logger; readonly signal: AbortSignal }): Promise<HistoryServer> {
  const ingest = startIngest(store, { log, signal });
  const sockets = new Set<Socket>();
  const queries = new QueryGate(mostQueries);
  const server = createServer(socket => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', error => log.debug('a connection broke', { error: errorText(error) }));
    take(socket);
  });

  function take(socket: Socket): void {
    let feed: ((kind: number, content: Buffer) => void) | undefined;
    const reader = new FrameReader((kind, content) => {
      if (feed) return feed(kind, content);
      if (kind === FrameKind.hello) {
        socket.pause();
        const hello = JSON.parse(content.toString()) as FeedHello;
        ingest.join(socket, hello).then(
          joined => {
            feed = joined;
            socket.resume();
          },
          (error: unknown) => {
            log.warn('a feed was turned away', { error: errorText(error) });
            socket.destroy();
          },
        );
        return;
      }
      if (kind !== FrameKind.query) throw new Error(`a frame of kind ${kind} where a question was expected`);
      const query = JSON.parse(content.toString()) as HistoryQuery;
      void answer(socket, query);
    });
    socket.on('data', (bytes: Buffer) => {
      try {
        reader.push(bytes);
      } catch (error) {
        log.warn('a connection was closed', { error: errorText(error) });
        socket.destroy();
      }
    });
  }

  async function answer(socket: Socket, query: HistoryQuery): Promise<void> {
    const leaving = new AbortController();
    socket.once('close', () => leaving.abort(new Error('the client has left')));
    await using _place = await queries.enter();
    const send = async (message: HistoryAnswer) => {
      if (!(await writeFrame(socket, jsonFrame(FrameKind.answer, message)))) leaving.abort(new Error('the client has left'));
    };
    try {
      await answerQuery(store, query, send, leaving.signal);
    } catch (error) {
      log.warn('a question was not answered', { error: errorText(error) });
      socket.destroy();
    }
  }

  mkdirSync(dirname(socketPath), { recursive: true, mode: 0o700 });
  rmSync(socketPath, { force: true });
  await listen(server, socketPath);
  let tidying = setTimeout(() => void tidy(), tidyEveryMs);
  async function tidy(): Promise<void> {
    const more = await store.tidy(signal).catch((error: unknown) => {
      log.warn('housekeeping failed; it is tried again', { error: errorText(error) });
      return false;
    });
    if (!signal.aborted) tidying = setTimeout(() => void tidy(), more ? tidySoonMs : tidyEveryMs);
  }
  return {
    close: async () => {
      clearTimeout(tidying);
      await ingest.stop();
      server.close();
      for (const socket of sockets) socket.destroy();
      rmSync(socketPath, { force: true });
    },
  };
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const mask = process.umask(0o177);
    server.once('error', reject);
    server.listen(path, () => {
      process.umask(mask);
      chmodSync(path, 0o600);
      resolve();
    });
  });
}

/** So many at a time; the others wait in their order. */
class QueryGate {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(places: number) {
    this.#free = places;
  }

  async enter(): Promise<AsyncDisposable> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>(resolve => this.#waiting.push(resolve));
    return {
      [Symbol.asyncDispose]: () => {
        const next = this.#waiting.shift();
        if (next) next();
        else this.#free++;
        return Promise.resolve();
      },
    };
  }
}
