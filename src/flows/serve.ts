import type { IncomingMessage, ServerResponse } from 'node:http';
import { once } from 'node:events';
import type { Flow } from '../model/flow.ts';
import { errorText } from '../std/errors.ts';
import type { LostFlows } from './consumer.ts';
import type { FlowPipeline } from './pipeline.ts';
import { queryFromParams } from './query.ts';

/** A line of `GET /v1/flows` that is not a flow: so many were lost there, because this reader or the agent was too slow. */
export interface LostLine {
  readonly lost: LostFlows & { readonly time: string };
}

/**
 * `GET /v1/flows?follow=1&last=N&since=T&until=T&whitelist=JSON&blacklist=JSON` → JSON lines of `Flow`, oldest first; with
 * `follow` the history that was asked for, then new ones until the client leaves, with no gap between the two.
 */
export async function serveFlows(pipeline: FlowPipeline, request: IncomingMessage, response: ServerResponse): Promise<void> {
  let query: ReturnType<typeof queryFromParams>;
  let history: Flow[];
  const leaving = new AbortController();
  response.on('close', () => leaving.abort());
  let follower;
  try {
    query = queryFromParams(new URL(request.url ?? '/', 'http://agent').searchParams);
    // History first, in the same turn of the loop as the follower begins: nothing can come between them. A query drains the
    // rings, so a follower made before it would see those flows twice.
    const wantsHistory = !query.follow || query.last !== undefined || query.first !== undefined || query.since !== undefined;
    history = wantsHistory ? pipeline.query(query) : (pipeline.drain(), []);
    follower = query.follow ? pipeline.follow({ ...query, since: undefined }, leaving.signal) : undefined;
  } catch (error) {
    return refuseQuery(response, error);
  }
  beginLines(response);
  await writeLines(response, history, leaving.signal);
  while (follower && !leaving.signal.aborted) {
    const batch = await follower.next();
    const time = new Date().toISOString();
    await writeLines(response, batch.map(one => ('flow' in one ? one.flow : { lost: { ...one.lost, time } })), leaving.signal);
  }
  response.end();
}

/** The question does not parse. */
export function refuseQuery(response: ServerResponse, error: unknown): void {
  response.writeHead(400, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ error: errorText(error) }));
}

/** JSON lines follow; the client may read from now on. */
export function beginLines(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'application/x-ndjson' });
  response.flushHeaders();
}

async function writeLines(response: ServerResponse, lines: readonly (Flow | LostLine)[], signal: AbortSignal): Promise<void> {
  for (let i = 0; i < lines.length && !signal.aborted; i += 256) {
    const text = lines.slice(i, i + 256).map(line => JSON.stringify(line) + '\n').join('');
    if (!response.write(text)) await once(response, 'drain', { signal }).catch(() => {});
  }
}
