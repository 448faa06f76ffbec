import { Merge, type MergeOptions } from './merge.ts';
import { plainReason, type NodeConnection } from './node.ts';
import type { Nodes } from './nodes.ts';
import { fatal, NodeReader } from './reader.ts';
import { RpcError } from '../rpc/types.ts';
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
  /** With `follow`: a time at which nodes end their streams by themselves. */
  readonly ends?: boolean;
  /** Whether the past is asked for too. */
  readonly history: boolean;
  /** The request for a node; with `resume`, for all that came after it. */
  request(resume: Resume | undefined): Uint8Array;
  /** What is passed on of an answer; undefined: nothing. */
  readonly scope?: (message: Uint8Array) => Uint8Array | undefined;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly merge?: Partial<MergeOptions>;
  /** Without `follow`: a node that says nothing for so long is given up. */
  readonly quietMs?: number;
}

export type NodeNews = { readonly state: 'connected' | 'unavailable' | 'gone' | 'error'; readonly nodes: readonly string[]; readonly message?: string };

const errorWindowMs = 1_000;

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
  const readers = new Map<NodeConnection, NodeReader>();
  const add = (node: NodeConnection) => {
    const reader = new NodeReader(node, query, merge, errors, startedAt, leaving.signal);
    readers.set(node, reader);
    const letGo = merge.hold();
    reader.run().catch((error: unknown) => {
      if (error instanceof RpcError && fatal.has(error.code)) {
        refusal ??= error;
        leave();
      } else errors.add(node.name, plainReason(errorText(error)));
    }).finally(() => {
      readers.delete(node);
      letGo();
      if (query.ends && readers.size === 0) letAllGo();
    });
  };
  await nodes.settled(query.follow ? 1_000 : 5_000, leaving.signal);
  const connected = nodes.all.filter(node => node.state === 'connected');
  const unavailable = nodes.all.filter(node => node.state !== 'connected');
  if (connected.length > 0) tell({ state: 'connected', nodes: connected.map(node => node.name) });
  if (unavailable.length > 0) tell({ state: 'unavailable', nodes: unavailable.map(node => node.name) });
  // Held until all are added: with none, the merge would be over.
  const letAllGo = merge.hold();
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
  if (!query.follow) letAllGo();
  try {
    yield* merge.batches(leaving.signal);
    if (refusal) throw refusal;
    const last = errors.take().map(news).filter(message => message !== undefined);
    if (last.length > 0) yield last;
  } finally {
    stop();
    errors.take();
    letAllGo();
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

function nowResume(): Resume {
  const now = Date.now();
  return { seconds: Math.floor(now / 1000), nanos: (now % 1000) * 1_000_000 };
}
