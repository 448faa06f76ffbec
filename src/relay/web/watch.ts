import type { ServerResponse } from 'node:http';
import type { FlowQuery } from '../../flows/query.ts';
import type { Flow } from '../../model/flow.ts';
import type { MapInterval } from '../../model/service-map.ts';
import type { WebFilter, WebMessage } from '../../model/web.ts';
import { delay } from '../../std/async.ts';
import { errorText } from '../../std/errors.ts';
import type { Logger } from '../../std/log.ts';
import { flowFilters, withoutFilters } from './flow-filter.ts';
import type { MapHub } from './map-hub.ts';
import { flowInScope, scopedFlow, scopedInterval, type Scope } from './scope.ts';
import type { WebSources } from './sources.ts';

export interface WatchRequest {
  readonly filter: WebFilter;
  /** Undefined: everything. */
  readonly scope: Scope | undefined;
  readonly flows: boolean;
}

/** More waiting than this for one client, and what comes is counted instead of sent. */
const maxWaitingBytes = 1 << 20;
const clusterEveryMs = 2000;
const flowsPerSecond = 1000;
const recentFlows = 500;
const retryMs = 1000;

/** The stream of one open page, until the client leaves. */
export async function serveWatch(request: WatchRequest, response: ServerResponse, dependencies: { readonly sources: WebSources; readonly hub: MapHub; readonly log: Logger; readonly signal: AbortSignal; readonly isOpen: () => boolean }): Promise<void> {
  const { sources, hub, log } = dependencies;
  const leaving = new AbortController();
  response.on('close', () => leaving.abort());
  const signal = AbortSignal.any([leaving.signal, dependencies.signal]);
  response.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' });
  const line = new Line(response);
  const { scope } = request;
  const named = new Set<string>();
  const seen = (interval: MapInterval) => (scope ? scopedInterval(interval, scope, hub.nodes, named) : interval);
  const hello = () => {
    named.clear();
    const past = hub.intervals.map(seen);
    const nodes = scope ? past.flatMap(interval => interval.nodes) : [...hub.nodes.values()];
    line.send({ type: 'hello', nodes, intervals: past.map(interval => ({ ...interval, nodes: [] })), cluster: sources.nodes() });
  };
  hello();
  let skipped = 0;
  const silence = hub.listen({
    recalled: hello,
    interval(interval) {
      const mine = seen(interval);
      // Names are told once; an interval that names somebody is never left out.
      if (line.isFull && mine.nodes.length === 0) {
        skipped++;
        return;
      }
      if (skipped > 0) line.send({ type: 'skipped', intervals: skipped });
      skipped = 0;
      line.send({ type: 'map', interval: mine });
    },
  });
  try {
    await Promise.all([tellCluster(sources, line, signal, () => dependencies.isOpen() || leaving.abort()), request.flows ? tellFlows(request, line, { sources, log, signal }) : undefined]);
  } finally {
    silence();
    response.end();
  }
}

/** JSON lines to one client. */
class Line {
  readonly #response: ServerResponse;

  constructor(response: ServerResponse) {
    this.#response = response;
  }

  get isFull(): boolean {
    return this.#response.writableLength > maxWaitingBytes;
  }

  send(message: WebMessage): void {
    if (!this.#response.writableEnded && !this.#response.destroyed) this.#response.write(`${JSON.stringify(message)}\n`);
  }
}

/** Whenever it changes; and ends the stream when its session has ended. */
async function tellCluster(sources: WebSources, line: Line, signal: AbortSignal, checkSession: () => void): Promise<void> {
  let told = JSON.stringify(sources.nodes());
  while (!signal.aborted) {
    await delay(clusterEveryMs, signal).catch(() => {});
    checkSession();
    const now = JSON.stringify(sources.nodes());
    if (now === told || signal.aborted) continue;
    told = now;
    line.send({ type: 'cluster', cluster: sources.nodes() });
  }
}

async function tellFlows({ filter, scope }: WatchRequest, line: Line, { sources, log, signal }: { readonly sources: WebSources; readonly log: Logger; readonly signal: AbortSignal }): Promise<void> {
  const whitelist = flowFilters(filter, scope && [...scope]);
  if (whitelist === undefined) return;
  const query: FlowQuery = { whitelist, blacklist: withoutFilters(filter) };
  // What happened between the two is not shown twice: the newest that was told marks the place.
  let newest = '';
  const show = (flows: readonly Flow[]) => {
    const mine = scope ? flows.filter(flow => flowInScope(flow, scope)).map(flow => scopedFlow(flow, scope)) : flows;
    for (const { time } of flows) if (time > newest) newest = time;
    return mine;
  };
  let isFirst = true;
  while (!signal.aborted) {
    try {
      const recent = show(await sources.recentFlows({ ...query, last: recentFlows, ...(!isFirst && newest !== '' && { since: newest }) }));
      if (isFirst || recent.length > 0) line.send({ type: 'flows', flows: recent, left: 0, lost: 0, past: true });
      isFirst = false;
      let left = 0;
      for await (const batch of sources.followFlows({ ...query, perSecond: flowsPerSecond }, signal)) {
        const flows = show(batch.flows);
        if (line.isFull) {
          left += flows.length + batch.left;
          continue;
        }
        line.send({ type: 'flows', flows, left: batch.left + left, lost: batch.lost });
        left = 0;
      }
    } catch (error) {
      if (!signal.aborted) log.warn('flows cannot be followed', { error: errorText(error) });
    }
    await delay(retryMs, signal).catch(() => {});
  }
}
