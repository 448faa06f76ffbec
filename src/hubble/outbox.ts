import { MessageBatch } from '../rpc/frames.ts';
import type { Call } from '../rpc/types.ts';

/** What all streams of a process may hold together. */
const totalLimitBytes = 32 * 1024 * 1024;
let totalBytes = 0;

/** What all streams of this process hold now. */
export const heldBytes = (): number => totalBytes;

/** A batch is closed at this size: it goes out as one write. */
const batchBytes = 64 * 1024;
/** What flows take at least, most of them. */
const smallBytes = 1024;

/**
 * Messages on their way to one client, in order and bounded: `push` copies a message and never waits; the client takes them at
 * its own pace. What does not fit is refused, and the owner counts it.
 */
export class Outbox {
  readonly #call: Call;
  readonly #limitBytes: number;
  #batches: Uint8Array[] = [];
  #open = new MessageBatch();
  #bytes = 0;
  #writing: Promise<void> | undefined;
  #onRoom: () => void;

  /** `onRoom` is called when everything was taken. */
  constructor(call: Call, limitBytes: number, onRoom: () => void = () => {}) {
    this.#call = call;
    this.#limitBytes = limitBytes;
    this.#onRoom = onRoom;
    call.signal.addEventListener('abort', () => this.#clear(), { once: true });
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** False when not even a small message would fit: asked before one is made. */
  get hasRoom(): boolean {
    return this.#bytes + smallBytes <= this.#limitBytes && totalBytes + smallBytes <= totalLimitBytes;
  }

  /** False when there is no room. */
  push(message: Uint8Array): boolean {
    const size = message.length + 5;
    if (this.#bytes + size > this.#limitBytes || totalBytes + size > totalLimitBytes) return false;
    if (this.#call.signal.aborted) return true;
    this.#open.append(message);
    this.#bytes += size;
    totalBytes += size;
    if (this.#open.length >= batchBytes) this.#close();
    return true;
  }

  /** Sends what there is; at the end of a turn. */
  flush(): void {
    if (this.#open.length > 0) this.#close();
    if (this.#batches.length > 0) this.#writing ??= this.#write();
  }

  /** Resolves when everything was taken, or the client has left. */
  async drained(): Promise<void> {
    this.flush();
    await this.#writing;
  }

  #close(): void {
    this.#batches.push(this.#open.take());
  }

  async #write(): Promise<void> {
    while (this.#batches.length > 0 && !this.#call.signal.aborted) {
      const batch = this.#batches.shift()!;
      await this.#call.writeFramed(batch);
      if (!this.#call.signal.aborted) this.#took(batch.length);
    }
    this.#writing = undefined;
    if (!this.#call.signal.aborted) this.#onRoom();
  }

  #took(bytes: number): void {
    this.#bytes -= bytes;
    totalBytes -= bytes;
  }

  #clear(): void {
    this.#batches = [];
    this.#open.take();
    this.#took(this.#bytes);
  }
}
