import type { Socket } from 'node:net';
import { errorText } from '../std/errors.ts';
import type { Logger } from '../std/log.ts';
import { delay, Signal } from '../std/async.ts';
import { decodeBatch, type Batch } from './batch.ts';
import type { DictionaryEntries } from './dictionary.ts';
import { feedVersion, FrameKind, jsonFrame, type Committed, type FeedHello, type StoreWelcome } from './frames.ts';
import type { HistoryStore, StoreWrite } from './store.ts';
import { FeedDictionary } from './writer.ts';

/** Batches, and what their numbers stand for, that wait for the disk before the feed is no longer read. A feed sends no more than this without an answer. */
const mostWaiting = 32;
/** Commits are at least so far apart: each is a write that waits for the disk. */
const commitEveryMs = 200;
const retryMs = 2_000;

/** One agent's connection: what it sends, in its order. */
class Feed {
  readonly socket: Socket;
  readonly session: string;
  /** The connection is closed; what it sent is written all the same. */
  isOver = false;
  saidBye = false;
  readonly #store: HistoryStore;
  readonly #dictionary = new FeedDictionary();
  #items: (Batch | DictionaryEntries)[] = [];
  /** Batches that are being written. */
  #taken: Batch[] = [];

  constructor(socket: Socket, session: string, store: HistoryStore) {
    this.socket = socket;
    this.session = session;
    this.#store = store;
  }

  get hasWork(): boolean {
    return this.#items.length + this.#taken.length > 0;
  }

  take(kind: number, content: Buffer): void {
    if (kind === FrameKind.dictionary) this.#items.push(JSON.parse(content.toString()) as DictionaryEntries);
    else if (kind === FrameKind.batch) this.#items.push(decodeBatch(content));
    else if (kind === FrameKind.bye) this.saidBye = true;
    else throw new Error(`a frame of kind ${kind} from a feed`);
    if (this.#items.length >= mostWaiting) this.socket.pause();
  }

  /** The next batches, with what their numbers stand for; up to where numbers are given anew. The same ones until `done`. */
  prepare(): StoreWrite[] {
    while (this.#items.length > 0) {
      const item = this.#items[0]!;
      if ('rows' in item) this.#taken.push(item);
      else if (item.reset && this.#taken.length > 0) break;
      else this.#dictionary.add(item);
      this.#items.shift();
    }
    if (this.socket.isPaused()) this.socket.resume();
    const committed = this.#store.committed(this.session);
    this.#taken = this.#taken.filter(({ sequence }) => sequence > committed);
    return this.#taken.map(batch => ({ session: this.session, dictionary: this.#dictionary, batch }));
  }

  done(): void {
    this.#taken = [];
  }

  tell(problem?: string): void {
    if (this.isOver) return;
    const committed: Committed = { sequence: this.#store.committed(this.session), ...(problem !== undefined && { problem }) };
    this.socket.write(jsonFrame(FrameKind.committed, committed));
  }
}

export interface Ingest {
  /** A feed's hello was read; what else comes of the socket goes to the answer's `take`. */
  join(socket: Socket, hello: FeedHello): Promise<(kind: number, content: Buffer) => void>;
  stop(): Promise<void>;
}

/** Takes what feeds send and has it written, several batches at a time, one transaction after another. */
export function startIngest(store: HistoryStore, { log, signal }: { readonly log: Logger; readonly signal: AbortSignal }): Ingest {
  const feeds = new Map<Socket, Feed>();
  const work = new Signal();
  const running = run();

  async function run(): Promise<void> {
    for (;;) {
      const isLast = signal.aborted;
      let pauseMs = commitEveryMs;
      for (const feed of [...feeds.values()]) if (!(await drain(feed))) pauseMs = retryMs;
      if (isLast) return;
      await delay(pauseMs, signal).catch(() => {});
      await work.wait({ signal });
    }
  }

  /** False when it could not be written; it stays. */
  async function drain(feed: Feed): Promise<boolean> {
    while (feed.hasWork) {
      const writes = feed.prepare();
      if (writes.length > 0 && !(await store.write(writes))) {
        feed.tell(store.problem);
        work.mark();
        return false;
      }
      feed.done();
      feed.tell();
    }
    if (feed.isOver) {
      if (feed.saidBye) await store.goodbye(feed.session);
      feeds.delete(feed.socket);
    }
    return true;
  }

  return {
    join: async (socket, hello) => {
      if (hello.version !== feedVersion) throw new Error(`a feed of version ${hello.version}; this store understands ${feedVersion}`);
      // The same agent came back: what its former connection still holds will be sent again.
      for (const [other, feed] of feeds) if (feed.session === hello.session) feeds.delete(other);
      const leaving = new Set([...feeds.values()].filter(({ saidBye }) => saidBye).map(({ session }) => session));
      const committed = await store.welcome(hello.session, leaving);
      const feed = new Feed(socket, hello.session, store);
      feeds.set(socket, feed);
      const welcome: StoreWelcome = { committed };
      socket.write(jsonFrame(FrameKind.welcome, welcome));
      socket.on('close', () => {
        feed.isOver = true;
        work.mark();
      });
      log.info('a feed has come', { session: hello.session, committed });
      return (kind, content) => {
        feed.take(kind, content);
        work.mark();
      };
    },
    stop: async () => {
      work.mark();
      await running.catch((error: unknown) => log.error('writing ended badly', { error: errorText(error) }));
    },
  };
}
