import { MessageBatch } from '../rpc/frames.ts';
import { RpcError, RpcStatus, type Call } from '../rpc/types.ts';
import { errorText } from '../std/errors.ts';

/** What answers from the history may hold together while their clients take them: a whole history of the usual size, several times. */
const totalLimitBytes = 64 * 1024 * 1024;
let totalBytes = 0;

/** What all answers of this process hold now. */
export const heldHistoryBytes = (): number => totalBytes;

const batchBytes = 64 * 1024;
/** A client that takes nothing for so long has lost interest. */
const patienceMs = 30_000;

/**
 * Flows of the history on their way to one client, encoded at the moment they were asked for: what happens to the history while
 * the client takes them is of no matter. Bounded in bytes, over all clients, and in time.
 */
export class EncodedHistory {
  readonly #patienceMs: number;
  #batches: Uint8Array[] = [];
  #open = new MessageBatch();
  #bytes = 0;

  constructor(options: { readonly patienceMs?: number } = {}) {
    this.#patienceMs = options.patienceMs ?? patienceMs;
  }

  /** Copies the message. Throws RpcError RESOURCE_EXHAUSTED when others hold too much already. */
  push(message: Uint8Array): void {
    const size = message.length + 5;
    if (totalBytes + size > totalLimitBytes) throw new RpcError(RpcStatus.resourceExhausted, 'too many clients are reading the history; ask for fewer flows or try again');
    this.#open.append(message);
    this.#bytes += size;
    totalBytes += size;
    if (this.#open.length >= batchBytes) this.#batches.push(this.#open.take());
  }

  /** Resolves when the client has all of it. Throws RpcError RESOURCE_EXHAUSTED when it takes nothing for too long. */
  async send(call: Call): Promise<void> {
    if (this.#open.length > 0) this.#batches.push(this.#open.take());
    for (let batch = this.#batches.shift(); batch && !call.signal.aborted; batch = this.#batches.shift()) {
      await this.#patiently(call.writeFramed(batch));
      this.#free(batch.length);
    }
  }

  /** To be called at the end, whatever it was. */
  close(): void {
    this.#free(this.#bytes);
    this.#batches = [];
  }

  #free(bytes: number): void {
    this.#bytes -= bytes;
    totalBytes -= bytes;
  }

  async #patiently(written: Promise<void>): Promise<void> {
    const waiting = Promise.withResolvers<void>();
    const timer = setTimeout(() => waiting.reject(new RpcError(RpcStatus.resourceExhausted, `the client took nothing for ${this.#patienceMs / 1000} seconds`)), this.#patienceMs);
    try {
      await Promise.race([written, waiting.promise]);
    } catch (error) {
      throw error instanceof RpcError ? error : new RpcError(RpcStatus.internal, errorText(error));
    } finally {
      clearTimeout(timer);
    }
  }
}
