import type { Socket } from 'node:net';

/** What goes over the history's socket: length (4 bytes, little-endian, of what follows), kind (1 byte), content. */
export const FrameKind = {
  /** feed → store, JSON `FeedHello`; the answer is `welcome`. */
  hello: 1,
  /** store → feed, JSON `StoreWelcome`. */
  welcome: 2,
  /** feed → store, JSON `DictionaryEntries`: what the numbers of the following batches stand for. */
  dictionary: 3,
  /** feed → store: columns (batch.ts). */
  batch: 4,
  /** store → feed, JSON `Committed`. */
  committed: 5,
  /** client → store, JSON `HistoryQuery`; answered by `answer` frames, the last of kind `end` or `error`. */
  query: 6,
  answer: 7,
  /** feed → store: the agent ends as it should, nothing more is to come. */
  bye: 8,
} as const;

export interface FeedHello {
  readonly version: number;
  readonly node: string;
  /** Of one life of an agent. */
  readonly session: string;
}

export interface StoreWelcome {
  /** The last batch of this session that is on the disk; 0: none. */
  readonly committed: number;
}

export interface Committed {
  readonly sequence: number;
  /** Why nothing is written at the moment. */
  readonly problem?: string;
}

export const feedVersion = 2;
const headerBytes = 5;
/** Larger than any batch or answer; who announces more is not one of us. */
const longestFrame = 64 << 20;

export function frame(kind: number, content: Uint8Array | string): Buffer {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  return Buffer.concat([frameHead(kind, bytes.byteLength), bytes]);
}

/** What stands before so many bytes of content: for who has much and does not copy it. */
export function frameHead(kind: number, length: number): Buffer {
  const head = Buffer.allocUnsafe(headerBytes);
  head.writeUInt32LE(length + 1, 0);
  head[4] = kind;
  return head;
}

export function jsonFrame(kind: number, value: unknown): Buffer {
  return frame(kind, JSON.stringify(value));
}

/** Cuts a stream of bytes into frames. `content` is valid during the call only. Throws on what cannot be a frame. */
export class FrameReader {
  readonly #onFrame: (kind: number, content: Buffer) => void;
  #pieces: Buffer[] = [];
  #held = 0;
  /** Bytes needed before there is anything to cut. */
  #needed = 4;

  constructor(onFrame: (kind: number, content: Buffer) => void) {
    this.#onFrame = onFrame;
  }

  push(bytes: Buffer): void {
    this.#pieces.push(bytes);
    this.#held += bytes.length;
    if (this.#held < this.#needed) return;
    let data = this.#pieces.length === 1 ? bytes : Buffer.concat(this.#pieces);
    this.#needed = 4;
    while (data.length >= 4) {
      const length = data.readUInt32LE(0);
      if (length === 0 || length > longestFrame) throw new Error(`a frame of ${length} bytes`);
      if (data.length < 4 + length) {
        this.#needed = 4 + length;
        break;
      }
      this.#onFrame(data[4]!, data.subarray(headerBytes, 4 + length));
      data = data.subarray(4 + length);
    }
    this.#pieces = data.length === 0 ? [] : [data];
    this.#held = data.length;
  }
}

/** Writes, and waits while the other side does not read. False when the socket is gone. */
export async function writeFrame(socket: Socket, bytes: Buffer): Promise<boolean> {
  if (socket.destroyed) return false;
  if (socket.write(bytes)) return true;
  await new Promise<void>(resolve => {
    const done = () => {
      socket.off('drain', done);
      socket.off('close', done);
      resolve();
    };
    socket.on('drain', done);
    socket.on('close', done);
  });
  return !socket.destroyed;
}
