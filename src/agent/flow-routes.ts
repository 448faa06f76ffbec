import { once } from 'node:events';
import type { Endpoint } from '../features/endpoints/endpoint.ts';
import type { FlowPipeline } from '../flows/pipeline.ts';
import type { ServiceMap } from '../flows/watch-map.ts';
import type { LearnedName } from '../model/learned-names.ts';
import type { Table } from '../table/table.ts';
import { answered, type RouteContext, type Routes } from './server.ts';

export interface FlowRoutesParts {
  readonly flows: FlowPipeline;
  readonly map: ServiceMap;
  readonly endpoints: Table<Endpoint>;
}

/** What flows are made of, and what is counted of them. */
export function flowRoutes(parts: FlowRoutesParts): Routes {
  return {
    '/v1/fqdn': () => learnedNames(parts),
    '/v1/map': context => serveMap(parts.map, context),
  };
}

function learnedNames({ flows, endpoints }: FlowRoutesParts): LearnedName[] {
  const pods = new Map([...endpoints.rows()].map(endpoint => [endpoint.id, endpoint] as const));
  const offsetNs = Date.now() * 1e6 - Number(process.hrtime.bigint());
  return [...flows.names.rows()].map(({ endpoint, name, ip, untilNs }) => {
    const pod = pods.get(endpoint);
    return { endpoint, ...(pod && pod.podName !== '' && { namespace: pod.namespace, pod: pod.podName }), name, ip, until: new Date((untilNs + offsetNs) / 1e6).toISOString() };
  });
}

/** JSON lines of `MapInterval`, one a second until the client leaves. A client that does not read loses intervals, not memory. */
async function serveMap(map: ServiceMap, { response }: RouteContext): Promise<typeof answered> {
  const leaving = new AbortController();
  response.on('close', () => leaving.abort());
  response.writeHead(200, { 'content-type': 'application/x-ndjson' });
  response.flushHeaders();
  for await (const interval of map.watch(leaving.signal)) {
    if (!response.write(`${JSON.stringify(interval)}\n`)) await once(response, 'drain', { signal: leaving.signal }).catch(() => {});
  }
  response.end();
  return answered;
}
