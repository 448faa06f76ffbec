import type { ServerResponse } from 'node:http';
import { canonicalTime } from '../../flows/query.ts';
import type { WebSession, WebTimeline } from '../../model/web.ts';
import { CirriError } from '../../std/errors.ts';
import type { Logger } from '../../std/log.ts';
import { flowFilters, webFilterOf, withoutFilters } from './flow-filter.ts';
import type { MapHub } from './map-hub.ts';
import { flowInScope, scopedExplanation, scopedFlow, scopedInterval, scopedPolicies, type Scope } from './scope.ts';
import type { WebRole } from './sessions.ts';
import type { PastQuery, WebHistory, WebSources } from './sources.ts';
import { serveWatch } from './watch.ts';

export interface ApiContext {
  readonly sources: WebSources;
  readonly hub: MapHub;
  readonly role: WebRole;
  /** Whether the caller's session or token is good still. */
  readonly isOpen: () => boolean;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

const maxBuckets = 400;
const maxHistoryFlows = 5000;

/** What `GET /api/…` answers (src/model/web.ts has the shapes); undefined: there is no such thing. */
export async function answerApi(url: URL, response: ServerResponse, context: ApiContext): Promise<object | 'streamed' | undefined> {
  const { sources, role } = context;
  const scope: Scope | undefined = role.namespaces && new Set(role.namespaces);
  const params = url.searchParams;
  const [, , noun, ...rest] = url.pathname.split('/');
  const id = decodeURIComponent(rest.join('/'));
  switch (noun) {
    case 'session': return { cluster: sources.cluster.name, version: sources.cluster.version, ...(role.namespaces && { namespaces: role.namespaces }), history: sources.history !== undefined } satisfies WebSession;
    case 'watch':
      await serveWatch({ filter: webFilterOf(params), scope, flows: params.get('flows') === '1' }, response, context);
      return 'streamed';
    case 'flow': case 'explain': return flowAnswer(noun, id, sources, scope);
    case 'policies': {
      const policies = await sources.policies();
      return scope ? scopedPolicies(policies, scope) : policies;
    }
    case 'matrix': return matrixAnswer(rest[0], params, sources, scope);
    case 'timeline': case 'past-map': case 'past-flows': return sources.history && historyAnswer(noun, params, sources.history, scope);
    default: return undefined;
  }
}

async function flowAnswer(noun: 'flow' | 'explain', id: string, sources: WebSources, scope: Scope | undefined): Promise<object | undefined> {
  const flow = await sources.findFlow(id);
  // Not there and not yours look the same.
  if (!flow || (scope && !flowInScope(flow, scope))) return undefined;
  if (noun === 'flow') return scope ? scopedFlow(flow, scope) : flow;
  const explanation = await sources.explain(flow);
  return scope ? scopedExplanation(explanation, scope) : explanation;
}

async function matrixAnswer(which: string | undefined, params: URLSearchParams, sources: WebSources, scope: Scope | undefined): Promise<object | undefined> {
  const namespace = params.get('namespace') ?? '';
  if (scope && !scope.has(namespace)) return undefined;
  return which === 'why' ? sources.why(namespace, params.get('from') ?? '', params.get('to') ?? '') : sources.matrix(namespace);
}

async function historyAnswer(noun: 'timeline' | 'past-map' | 'past-flows', params: URLSearchParams, history: WebHistory, scope: Scope | undefined): Promise<object> {
  const time = (name: string) => canonicalTime(params.get(name) ?? '');
  const filter = webFilterOf(params);
  const whitelist = flowFilters(filter, scope && [...scope]);
  const query: PastQuery = { since: time('since'), until: time('until'), whitelist: whitelist ?? [], blacklist: withoutFilters(filter) };
  const isNothing = whitelist === undefined;
  switch (noun) {
    case 'timeline': {
      const buckets = count(params, 'buckets', 120, maxBuckets);
      if (isNothing) return { since: query.since, until: query.until, bucketMs: (Date.parse(query.until) - Date.parse(query.since)) / buckets, buckets: Array.from({ length: buckets }, () => ({ forwarded: 0, dropped: 0, audited: 0, other: 0 })) } satisfies WebTimeline;
      return history.timeline({ ...query, buckets });
    }
    case 'past-map': {
      // Filters of the page are applied there, as they are to the live map; what may be seen is decided here.
      const interval = scope?.size === 0 ? { ...query, nodes: [], edges: [] } : await history.map({ since: query.since, until: query.until, whitelist: flowFilters({ events: 'all' }, scope && [...scope]) ?? [] });
      return scope ? scopedInterval(interval, scope, new Map(interval.nodes.map(node => [node.id, node] as const)), new Set()) : interval;
    }
    case 'past-flows': {
      const flows = isNothing ? [] : await history.flows({ ...query, last: count(params, 'last', 1000, maxHistoryFlows) });
      return { flows: scope ? flows.filter(flow => flowInScope(flow, scope)).map(flow => scopedFlow(flow, scope)) : flows };
    }
  }
}

function count(params: URLSearchParams, name: string, fallback: number, most: number): number {
  const text = params.get(name) ?? String(fallback);
  if (!/^\d{1,6}$/.test(text) || Number(text) < 1) throw new CirriError('ERR_QUERY', `${name} is a number`);
  return Math.min(most, Number(text));
}
