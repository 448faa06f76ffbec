import type { Http2Stream } from 'node:http2';
import { MessageParser } from './frames.ts';
import { RpcError, RpcStatus } from './types.ts';

/** Bytes of whole messages that wait for their reader before the other side is held up. */
const highWaterBytes = 256 * 1024;

/**
 * The messages that come in on a stream, taken at the reader's pace: while more than `highWaterBytes` wait, HTTP/2's flow
 * control holds the sender.
 */
export class IncomingMessages {
  readonly #stream: Http2Stream;
  readonly #parser: MessageParser;
  #queue: Uint8Array[] = [];
  #bytes = 0;
  #ended = false;
  #isComplete = false;
  #error: Error | undefined;
  #waiting: (() => void) | undefined;

  constructor(stream: Http2Stream, parser: MessageParser) {
    this.#stream = stream;
    this.#parser = parser;
    stream.on('data', (chunk: Buffer) => this.#push(chunk));
    stream.once('end', () => {
      if (!this.#parser.isWhole) this.fail(new RpcError(RpcStatus.internal, 'the stream ends within a message'));
      this.#isComplete = true;
      this.end();
    });
  }

  /** Whether all that the other side sends has come. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** All that waits, at least one message; undefined at the end. Throws what went wrong after what came before it. */
  async batch(): Promise<Uint8Array[] | undefined> {
    while (this.#queue.length === 0) {
      if (this.#error) throw this.#error;
      if (this.#ended) return undefined;
      await new Promise<void>(resolve => { this.#waiting = resolve; });
    }
    const batch = this.#queue;
    this.#queue = [];
    this.#taken(this.#bytes);
    return batch;
  }

  async next(): Promise<Uint8Array | undefined> {
    while (this.#queue.length === 0) {
      if (this.#error) throw this.#error;
      if (this.#ended) return undefined;
      await new Promise<void>(resolve => { this.#waiting = resolve; });
    }
    const message = this.#queue.shift()!;
    this.#taken(message.length);
    return message;
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  fail(error: Error): void {
    this.#error ??= error;
    this.#wake();
  }

  #push(chunk: Buffer): void {
    if (this.#error) return;
    try {
      for (const message of this.#parser.push(chunk)) {
        this.#queue.push(message);
        this.#bytes += message.length + 64;
      }
    } catch (error) {
      this.fail(error as Error);
      this.#stream.pause();
      return;
    }
    if (this.#bytes > highWaterBytes) this.#stream.pause();
    if (this.#queue.length > 0) this.#wake();
  }

  #taken(bytes: number): void {
    this.#bytes = this.#queue.length === 0 ? 0 : this.#bytes - bytes - 64;
    if (this.#bytes <= highWaterBytes && !this.#error && this.#stream.isPaused()) this.#stream.resume();
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.();
  }
}
