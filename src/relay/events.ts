import { readEnvelope } from './envelope.ts';
import { Merge, type MergeOptions } from './merge.ts';
import type { NodeConnection } from './node.ts';
import type { Nodes } from './nodes.ts';
import type { Timed } from './sort-buffer.ts';
import { RpcError, RpcStatus } from '../rpc/types.ts';
import { Signal } from '../std/async.ts';
import { errorText } from '../std/errors.ts';

/** Where a node's stream is to go on after it broke. */
export interface Resume {
  /** Time of the last event that came, or of the request when none did. */
  readonly seconds: number;
  readonly nanos: number;
}

/** A question to every node whose answers are events with a time: GetFlows and its relatives. */
export interface EventQuery {
  /** `/observer.Observer/GetFlows` */
  readonly path: string;
  readonly follow: boolean;
  /** Whether the past is asked for too. */
  readonly history: boolean;
  /** The request for a node; with `resume`, for all that came after it. */
  request(resume: Resume | undefined): Uint8Array;
  /** What is passed on of an answer; undefined: nothing. */
  readonly scope?: (message: Uint8Array) => Uint8Array | undefined;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly merge?: Partial<MergeOptions>;
}

export type NodeNews = { readonly state: 'connected' | 'unavailable' | 'gone' | 'error'; readonly nodes: readonly string[]; readonly message?: string };

const errorWindowMs = 1_000;

/** What is wrong with a question is wrong at every node: the caller is told, as by one. */
const fatal: ReadonlySet<number> = new Set([RpcStatus.invalidArgument, RpcStatus.unimplemented, RpcStatus.permissionDenied, RpcStatus.unauthenticated, RpcStatus.failedPrecondition]);

/**
 * The events of all nodes in the order of time, in batches, until all have ended, with `follow` until `signal` aborts. Nodes that
 * come later, or come back, are added where they left off. `news` tells of nodes, in their place between the events. Throws
 * RpcError when a node refuses the question itself.
 */
export async function* mergeEvents(
  query: EventQuery, nodes: Nodes, news: (news: NodeNews) => Uint8Array | undefined, signal: AbortSignal,
): AsyncGenerator<Uint8Array[], void, undefined> {
  // Who has no past to tell is not waited for at the beginning.
  const merge = new Merge<Uint8Array>({ follow: query.follow, ...(!query.history && { drainMs: 0 }), ...query.merge });
  const leaving = new AbortController();
  const leave = () => leaving.abort();
  signal.addEventListener('abort', leave, { once: true });
  let refusal: RpcError | undefined;
  const tell = (item: NodeNews) => {
    const message = news(item);
    if (message) merge.tell(message);
  };
  const errors = new ErrorWindow(tell);
  const startedAt = nowResume();
  const readers = new Map<NodeConnection, Reader>();
  const add = (node: NodeConnection) => {
    const reader = new Reader(node, query, merge, errors, startedAt, leaving.signal);
    readers.set(node, reader);
    const letGo = merge.hold();
    reader.run().catch((error: unknown) => {
      if (error instanceof RpcError && fatal.has(error.code)) {
        refusal ??= error;
        leave();
      } else errors.add(node.name, errorText(error));
    }).finally(() => {
      readers.delete(node);
      letGo();
    });
  };
  await nodes.settled(query.follow ? 1_000 : 5_000, leaving.signal);
  const connected = nodes.all.filter(node => node.state === 'connected');
  const unavailable = nodes.all.filter(node => node.state !== 'connected');
  if (connected.length > 0) tell({ state: 'connected', nodes: connected.map(node => node.name) });
  if (unavailable.length > 0) tell({ state: 'unavailable', nodes: unavailable.map(node => node.name) });
  // Held until all are added: with none, the merge would be over.
  const letGo = merge.hold();
  for (const node of query.follow ? nodes.all : connected) add(node);
  const stop = !query.follow ? () => {} : nodes.listen(({ kind, node }) => {
    const reader = readers.get(node);
    if (kind === 'gone' || kind === 'replaced') reader?.stop();
    if (kind === 'replaced') return;
    // That its streams broke was no error of its own.
    if (kind !== 'connected') errors.forget(node.name);
    tell({ state: kind, nodes: [node.name], ...(kind === 'unavailable' && { message: node.error }) });
    if (kind !== 'connected') return;
    if (reader) reader.wake();
    else add(node);
  });
  if (!query.follow) letGo();
  try {
    yield* merge.batches(leaving.signal);
    if (refusal) throw refusal;
    const last = errors.take().map(news).filter(message => message !== undefined);
    if (last.length > 0) yield last;
  } finally {
    stop();
    errors.take();
    letGo();
    leave();
    signal.removeEventListener('abort', leave);
  }
}

/** What many nodes say alike is told once: errors are gathered for a moment, by what they say. */
class ErrorWindow {
  readonly #tell: (news: NodeNews) => void;
  readonly #nodes = new Map<string, Set<string>>();
  #timer: NodeJS.Timeout | undefined;

  constructor(tell: (news: NodeNews) => void) {
    this.#tell = tell;
  }

  add(node: string, message: string): void {
    const nodes = this.#nodes.get(message) ?? new Set();
    this.#nodes.set(message, nodes.add(node));
    this.#timer ??= setTimeout(() => this.take().forEach(this.#tell), errorWindowMs);
  }

  forget(node: string): void {
    for (const [message, nodes] of this.#nodes) if (nodes.delete(node) && nodes.size === 0) this.#nodes.delete(message);
  }

  take(): NodeNews[] {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const news = [...this.#nodes].map(([message, nodes]): NodeNews => ({ state: 'error', nodes: [...nodes].sort(), message }));
    this.#nodes.clear();
    return news;
  }
}

/** One node's part of a merge. */
class Reader {
  readonly #node: NodeConnection;
  readonly #query: EventQuery;
  readonly #merge: Merge<Uint8Array>;
  readonly #errors: ErrorWindow;
  readonly #signal: AbortSignal;
  readonly #gone = new AbortController();
  readonly #awake = new Signal();
  #resume: Resume | undefined;
  /** The events of that very time: what comes again is known by being the same. */
  #last: Uint8Array[] = [];
  readonly #startedAt: Resume;
  #tries = 0;

  constructor(node: NodeConnection, query: EventQuery, merge: Merge<Uint8Array>, errors: ErrorWindow, startedAt: Resume, signal: AbortSignal) {
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
          if (!this.#query.follow) return;
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
    const { path, scope, metadata } = this.#query;
    const again = this.#tries > 0 || this.#resume !== undefined;
    const request = this.#query.request(again ? this.#resume ?? this.#startedAt : undefined);
    const known = again ? this.#last : [];
    for await (const batch of this.#node.client.batches(path, request, { signal: this.#signal, ...(metadata && { metadata }) })) {
      const out: Timed<Uint8Array>[] = [];
      for (const message of batch) {
        const { kind, seconds, nanos } = readEnvelope(message);
        if (kind !== 'lost_events' && kind !== 'node_status' && !this.#note(message, seconds, nanos, known)) continue;
        const item = scope ? scope(message) : message;
        if (item) out.push({ seconds, nanos, item });
      }
      if (out.length > 0) yield out;
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

function nowResume(): Resume {
  const now = Date.now();
  return { seconds: Math.floor(now / 1000), nanos: (now % 1000) * 1_000_000 };
}
