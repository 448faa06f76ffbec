import { request } from 'node:http';
import type { LostLine } from '../../flows/serve.ts';
import { queryToParams, type FlowQuery } from '../../flows/query.ts';
import { LineSplitter } from '../../kube/lines.ts';
import type { Flow } from '../../model/flow.ts';
import { Merge } from '../../relay/merge.ts';
import type { Timed } from '../../relay/sort-buffer.ts';
import { delay } from '../../std/async.ts';
import { CirriError, errorText } from '../../std/errors.ts';
import type { Context } from '../context.ts';

/** One thing that a stream of flows tells. */
export type FlowItem = { readonly flow: Flow } | { readonly lost: LostEvents } | { readonly nodeStatus: NodeStatus };

/** Flows that nobody will see; flow.LostEvent. */
export interface LostEvents {
  readonly source: 'UNKNOWN_LOST_EVENT_SOURCE' | 'PERF_EVENT_RING_BUFFER' | 'OBSERVER_EVENTS_QUEUE' | 'HUBBLE_RING_BUFFER';
  readonly count: number;
  readonly cpu?: number;
  /** RFC 3339: when the first and the last of them were lost. */
  readonly first?: string;
  readonly last?: string;
  readonly nodeName: string;
  readonly time: string;
}

/** relay.NodeStatusEvent: from whom the stream comes, and who is missing. */
export interface NodeStatus {
  readonly state: 'UNKNOWN_NODE_STATE' | 'NODE_CONNECTED' | 'NODE_UNAVAILABLE' | 'NODE_GONE' | 'NODE_ERROR';
  readonly nodes: readonly string[];
  /** Of an error. */
  readonly message?: string;
  /** Who says it: the relay's name, where there is one. */
  readonly nodeName: string;
  readonly time: string;
}

export interface FlowOptions {
  readonly context: Context;
  readonly signal: AbortSignal;
}

const reconnectMs = 250;

/**
 * Flows of all nodes in the order of time, oldest first: those of the past that the query asks for, then, with `follow`, every
 * new one until `signal` aborts. `last` and `first` count over all nodes. Node states come when they change, ahead of flows.
 * Throws a CirriError when nobody answers or the query is refused.
 */
export async function* openFlows(query: FlowQuery & { readonly follow?: boolean }, options: FlowOptions): AsyncGenerator<FlowItem, void, undefined> {
  const merge = new Merge<FlowItem>({ follow: query.follow === true });
  const leaving = new AbortController();
  const leave = () => leaving.abort();
  options.signal.addEventListener('abort', leave, { once: true });
  const nodes = options.context.record.nodes.map(node => node.name);
  const failures: unknown[] = [];
  const refused: CirriError[] = [];
  for (const node of nodes) {
    const letGo = merge.hold();
    followNode(node, query, options.context, merge, leaving.signal)
      .catch((error: unknown) => {
        if (error instanceof CirriError) refused.push(error);
        failures.push(error);
        merge.tell({ nodeStatus: { state: 'NODE_UNAVAILABLE', nodes: [node], message: errorText(error), nodeName: '', time: new Date().toISOString() } });
      })
      .finally(letGo);
  }
  try {
    yield* counted(merge.batches(leaving.signal), query);
    if (refused.length > 0) throw refused[0];
    if (failures.length === nodes.length) throw new CirriError('ERR_FLOWS', 'no agent answers', { mend: 'cirri status' });
  } finally {
    leaving.abort();
    options.signal.removeEventListener('abort', leave);
  }
}

/** The newest or oldest n over all nodes: each node has told its own n. */
async function* counted(batches: AsyncIterable<FlowItem[]>, { last, first, follow }: FlowQuery & { readonly follow?: boolean }): AsyncGenerator<FlowItem, void, undefined> {
  const kept: FlowItem[] = [];
  let told = 0;
  for await (const batch of batches) {
    for (const item of batch) {
      if (!('flow' in item)) yield item;
      else if (first !== undefined && told++ >= first) return;
      else if (last !== undefined && !follow) {
        kept.push(item);
        if (kept.length > 2 * last) kept.splice(0, kept.length - last);
      } else yield item;
    }
  }
  yield* last === undefined ? [] : kept.slice(kept.length - Math.min(kept.length, last));
}

async function followNode(node: string, query: FlowQuery & { readonly follow?: boolean }, { paths }: Context, merge: Merge<FlowItem>, signal: AbortSignal): Promise<void> {
  const { agentSocket } = paths.node(node);
  let wanted = query;
  let complained = false;
  for (;;) {
    let lastSeen: string | undefined;
    const seen = (time: string) => (lastSeen = time);
    const state = (name: NodeStatus['state'], message?: string) => merge.tell({ nodeStatus: { state: name, nodes: [node], ...(message !== undefined && { message }), nodeName: '', time: new Date().toISOString() } });
    try {
      await merge.add(node, agentStream(agentSocket, node, wanted, () => {
        if (complained) state('NODE_CONNECTED');
        complained = false;
      }, seen, signal), signal);
    } catch (error) {
      if (signal.aborted) return;
      if (!query.follow || error instanceof CirriError) throw error;
      if (!complained) state('NODE_UNAVAILABLE', errorText(error));
      complained = true;
    }
    if (!query.follow || signal.aborted) return;
    const { last, first, ...rest } = query;
    wanted = lastSeen === undefined ? rest : { ...rest, since: lastSeen };
    await delay(reconnectMs, signal).catch(() => {});
    if (signal.aborted) return;
  }
}

async function* agentStream(
  socketPath: string, node: string, query: FlowQuery & { readonly follow?: boolean }, onOpen: () => void, seen: (time: string) => void, signal: AbortSignal,
): AsyncGenerator<Timed<FlowItem>[], void, undefined> {
  const response = await new Promise<import('node:http').IncomingMessage>((resolve, reject) => {
    request({ socketPath, path: `/v1/flows?${queryToParams(query)}`, agent: false, signal }, resolve).on('error', reject).end();
  });
  const splitter = new LineSplitter();
  if (response.statusCode !== 200) {
    const text: Buffer[] = [];
    for await (const chunk of response as AsyncIterable<Buffer>) text.push(chunk);
    throw new CirriError('ERR_FLOWS', `the agent refused: ${Buffer.concat(text).toString('utf8').slice(0, 300)}`);
  }
  onOpen();
  for await (const chunk of response as AsyncIterable<Buffer>) {
    for (const text of splitter.push(chunk)) {
      const item = JSON.parse(text) as Flow | LostLine;
      if ('lost' in item) {
        const { count, source, time } = item.lost;
        yield [{ ...timeOf(time), item: { lost: { source, count, nodeName: node, time } } }];
      } else {
        seen(item.time);
        yield [{ ...timeOf(item.time), item: { flow: item } }];
      }
    }
  }
}

function timeOf(time: string): { seconds: number; nanos: number } {
  const fraction = /\.(\d{1,9})/.exec(time)?.[1] ?? '';
  return { seconds: Math.floor(Date.parse(time) / 1000), nanos: Number(fraction.padEnd(9, '0')) };
}
