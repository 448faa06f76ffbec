import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { JsonMessageSchema } from '../hubble/generated/cirri_pb.js';
import { encodeJson } from '../hubble/json-method.ts';
import { readRequest } from '../hubble/method.ts';
import { mergeIntervals } from '../model/map-merge.ts';
import type { MapInterval, MapNode } from '../model/service-map.ts';
import { RpcError, RpcStatus, type Call, type Method } from '../rpc/types.ts';
import { delay, Signal } from '../std/async.ts';
import { errorText } from '../std/errors.ts';
import type { Access } from './access.ts';
import type { NodeConnection } from './node.ts';
import type { Nodes } from './nodes.ts';
import { scopedInterval } from './web/scope.ts';

export interface CirriFlowsOptions {
  readonly nodes: Nodes;
  readonly access: (call: Call) => Access;
}

/** Nodes tell their second at different moments: what comes within this time is one interval. */
const togetherMs = 300;
const retryMs = 1000;
const atMostWaiting = 64;

/** `cirri.Flows` over all nodes. */
export function cirriFlowsMethods({ nodes, access }: CirriFlowsOptions): Method[] {
  return [
    {
      path: '/cirri.Flows/WatchMap', kind: 'server-stream',
      handle: async call => {
        const { namespaces } = access(call);
        await readRequest(call, JsonMessageSchema);
        const scope = namespaces && new Set(namespaces);
        const all = new Map<string, MapNode>();
        const named = new Set<string>();
        for await (const interval of watchMap(nodes, call.signal)) {
          for (const node of interval.nodes) all.set(node.id, node);
          await call.write(encodeJson(scope ? scopedInterval(interval, scope, all, named) : interval));
        }
      },
    },
    {
      path: '/cirri.Flows/QueryHistory', kind: 'server-stream',
      handle: async call => {
        if (access(call).namespaces !== undefined) throw new RpcError(RpcStatus.permissionDenied, 'the history holds all namespaces: this token is for some');
        await queryHistory(nodes, await readRequest(call, JsonMessageSchema).then(({ json }) => json), call);
      },
    },
  ];
}

/** An interval a second, of all nodes together, until the signal aborts. A node that is away or slow is left out, and joins again when it can. */
export async function* watchMap(nodes: Nodes, signal: AbortSignal): AsyncGenerator<MapInterval, void, undefined> {
  const news = new Signal();
  let waiting: MapInterval[] = [];
  const followers = new Map<NodeConnection, AbortController>();
  const follow = (node: NodeConnection) => {
    if (followers.has(node)) return;
    const leaving = new AbortController();
    followers.set(node, leaving);
    void followMap(node, AbortSignal.any([signal, leaving.signal]), interval => {
      waiting.push(interval);
      // Whoever reads slowly gets longer intervals.
      if (waiting.length > atMostWaiting) waiting = [mergeIntervals(waiting)];
      news.mark();
    });
  };
  const stop = nodes.listen(({ kind, node }) => {
    if (kind === 'connected') return follow(node);
    if (kind === 'unavailable') return;
    followers.get(node)?.abort();
    followers.delete(node);
  });
  try {
    nodes.all.forEach(follow);
    while (!signal.aborted) {
      await news.wait({ signal });
      await delay(togetherMs, signal).catch(() => {});
      const intervals = waiting;
      waiting = [];
      if (intervals.length > 0 && !signal.aborted) yield intervals.length === 1 ? intervals[0]! : mergeIntervals(intervals);
    }
  } finally {
    stop();
    for (const leaving of followers.values()) leaving.abort();
  }
}

async function followMap(node: NodeConnection, signal: AbortSignal, tell: (interval: MapInterval) => void): Promise<void> {
  while (!signal.aborted) {
    try {
      for await (const bytes of node.client.stream('/cirri.Flows/WatchMap', new Uint8Array(), { signal })) tell(jsonOf(bytes) as MapInterval);
    } catch {
      node.doubt();
    }
    await delay(retryMs, signal).catch(() => {});
  }
}

/**
 * The query to every node at once; their answers as they come, each with its node's name. A node that does not answer, or whose
 * history does not, has an answer of the kind `error`.
 */
async function queryHistory(nodes: Nodes, json: Uint8Array, call: Call): Promise<void> {
  const request = toBinary(JsonMessageSchema, create(JsonMessageSchema, { json }));
  await nodes.settled(1_000, call.signal);
  await Promise.all(nodes.all.map(async node => {
    try {
      for await (const batch of node.client.batches('/cirri.Flows/QueryHistory', request, { signal: call.signal })) {
        await call.write(...batch.map(bytes => withNode(bytes, node.name)));
      }
    } catch (error) {
      if (call.signal.aborted) return;
      node.doubt();
      if (error instanceof RpcError && error.code === RpcStatus.invalidArgument) throw error;
      await call.write(encodeJson({ kind: 'error', node: node.name, code: 'ERR_NODE', message: errorText(error) }));
    }
  }));
}

function jsonOf(bytes: Uint8Array): unknown {
  return JSON.parse(Buffer.from(fromBinary(JsonMessageSchema, bytes).json).toString('utf8'));
}

/** Puts `node` into an object without reading it: many flows may be in there. What has one already keeps its own, being the later. */
function withNode(bytes: Uint8Array, node: string): Uint8Array {
  const { json } = fromBinary(JsonMessageSchema, bytes);
  // An object with nothing in it cannot take a comma.
  if (json[0] !== 0x7b || json.length < 3) return bytes;
  return toBinary(JsonMessageSchema, create(JsonMessageSchema, { json: Buffer.concat([Buffer.from(`{"node":${JSON.stringify(node)},`), json.subarray(1)]) }));
}
