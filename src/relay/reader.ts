import { RpcError, RpcStatus } from '../rpc/types.ts';
import { Signal } from '../std/async.ts';
import { readEnvelope } from './envelope.ts';
import type { EventQuery, Resume } from './events.ts';
import type { Merge } from './merge.ts';
import type { NodeConnection } from './node.ts';
import type { Timed } from './sort-buffer.ts';

/** What is wrong with a question is wrong at every node: the caller is told, as by one. */
export const fatal: ReadonlySet<number> = new Set([RpcStatus.invalidArgument, RpcStatus.unimplemented, RpcStatus.permissionDenied, RpcStatus.unauthenticated, RpcStatus.failedPrecondition]);

const quietMs = 15_000;

/** Where errors of nodes are told. */
interface ErrorSink {
  add(node: string, message: string): void;
}

/** A node that has more to tell and says nothing is not waited for without end. The time in which nobody asks it does not count. */
class Silence {
  readonly #ms: number | undefined;
  readonly #over = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  constructor(ms: number | undefined) {
    this.#ms = ms;
  }

  get signal(): AbortSignal {
    return this.#over.signal;
  }

  begin(): void {
    if (this.#ms !== undefined) this.#timer = setTimeout(() => this.#over.abort(), this.#ms);
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}

/** One node's part of a merge. */
export class NodeReader {
  readonly #node: NodeConnection;
  readonly #query: EventQuery;
  readonly #merge: Merge<Uint8Array>;
  readonly #errors: ErrorSink;
  readonly #signal: AbortSignal;
  readonly #gone = new AbortController();
  readonly #awake = new Signal();
  #resume: Resume | undefined;
  /** The events of that very time: what comes again is known by being the same. */
  #last: Uint8Array[] = [];
  readonly #startedAt: Resume;
  #tries = 0;

  constructor(node: NodeConnection, query: EventQuery, merge: Merge<Uint8Array>, errors: ErrorSink, startedAt: Resume, signal: AbortSignal) {
    this.#node = node;
    this.#query = query;
    this.#merge = merge;
    this.#errors = errors;
    this.#startedAt = startedAt;
    this.#signal = AbortSignal.any([signal, this.#gone.signal]);
  }

  /** The node is there again. */
  wake(): void {
    this.#awake.mark();
  }

  stop(): void {
    this.#gone.abort();
  }

  /** Without `follow`, once; else for as long as the node is one. Rejects with what a node that answers has refused. */
  async run(): Promise<void> {
    for (; !this.#signal.aborted; this.#tries++) {
      if (this.#node.state === 'connected') {
        try {
          await this.#merge.add(`${this.#node.name}#${this.#tries}`, this.#stream(), this.#signal);
          if (!this.#query.follow || this.#query.ends) return;
        } catch (error) {
          if (this.#signal.aborted) return;
          if (!(error instanceof RpcError) || !this.#query.follow || fatal.has(error.code)) throw error;
          if (error.code !== RpcStatus.unavailable) this.#errors.add(this.#node.name, error.message);
        }
        this.#node.doubt();
      } else if (!this.#query.follow) return;
      // Until it is connected again; a server that ended the stream and is still there is asked again after a moment.
      await this.#awake.wait({ signal: this.#signal, timeoutMs: 500 });
    }
  }

  async *#stream(): AsyncGenerator<Timed<Uint8Array>[], void, undefined> {
    const { path, metadata } = this.#query;
    const again = this.#tries > 0 || this.#resume !== undefined;
    const request = this.#query.request(again ? this.#resume ?? this.#startedAt : undefined);
    const known = again ? this.#last : [];
    const silence = new Silence(this.#query.follow ? undefined : this.#query.quietMs ?? quietMs);
    const signal = AbortSignal.any([this.#signal, silence.signal]);
    try {
      yield* this.#told(this.#node.client.batches(path, request, { signal, ...(metadata && { metadata }) }), silence, known);
    } catch (error) {
      throw silence.signal.aborted ? new RpcError(RpcStatus.deadlineExceeded, 'the node has stopped answering') : error;
    } finally {
      silence.end();
    }
  }

  async *#told(batches: AsyncIterable<readonly Uint8Array[]>, silence: Silence, known: readonly Uint8Array[]): AsyncGenerator<Timed<Uint8Array>[], void, undefined> {
    const { scope } = this.#query;
    silence.begin();
    for await (const batch of batches) {
      silence.end();
      const out: Timed<Uint8Array>[] = [];
      for (const message of batch) {
        const { kind, seconds, nanos } = readEnvelope(message);
        if (kind !== 'lost_events' && kind !== 'node_status' && !this.#note(message, seconds, nanos, known)) continue;
        const item = scope ? scope(message) : message;
        if (item) out.push({ seconds, nanos, item });
      }
      if (out.length > 0) yield out;
      silence.begin();
    }
  }

  /** Remembers where the stream is. False for an event that had come before it broke. */
  #note(message: Uint8Array, seconds: number, nanos: number, known: readonly Uint8Array[]): boolean {
    const at = this.#resume;
    if (at && seconds === at.seconds && nanos === at.nanos) {
      if (known.some(each => sameBytes(each, message))) return false;
      if (this.#query.follow) this.#last.push(message);
      return true;
    }
    if (!at || seconds > at.seconds || (seconds === at.seconds && nanos > at.nanos)) {
      this.#resume = { seconds, nanos };
      if (this.#query.follow) this.#last = [message];
    }
    return true;
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
