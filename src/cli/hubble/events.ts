import { create, fromBinary, toBinary, toJson, type DescMessage, type JsonObject } from '@bufbuild/protobuf';
import type { FlowQuery } from '../../flows/query.ts';
import { GetAgentEventsRequestSchema, GetAgentEventsResponseSchema, GetDebugEventsRequestSchema, GetDebugEventsResponseSchema } from '../../hubble/generated/observer_pb.js';
import { mergeEvents } from '../../relay/events.ts';
import { timestampOf, timeOf } from './flows.ts';
import { serverError } from './server.ts';
import { openSources, type SourceOptions } from './sources.ts';

const kinds = {
  'agent-events': { path: '/observer.Observer/GetAgentEvents', request: GetAgentEventsRequestSchema, response: GetAgentEventsResponseSchema },
  'debug-events': { path: '/observer.Observer/GetDebugEvents', request: GetDebugEventsRequestSchema, response: GetDebugEventsResponseSchema },
} as const;

/**
 * What agents tell of themselves, of all nodes in the order of time: GetAgentEventsResponse or GetDebugEventsResponse in
 * protobuf's JSON with the names of the .proto files. `last` and `first` count for each node. Throws a CirriError when nobody answers.
 */
export async function* openEvents(
  kind: keyof typeof kinds, query: Pick<FlowQuery, 'since' | 'until' | 'first' | 'last'> & { readonly follow?: boolean }, options: SourceOptions,
): AsyncGenerator<JsonObject, void, undefined> {
  const { path, request: schema, response } = kinds[kind];
  const { since, until, first, last, follow = false } = query;
  const request = {
    number: BigInt(first ?? last ?? 0), first: first !== undefined, follow,
    ...(since !== undefined && { since: timestampOf(timeOf(since)) }), ...(until !== undefined && { until: timestampOf(timeOf(until)) }),
  };
  const sources = await openSources(options);
  try {
    const events = {
      path, follow, ends: until !== undefined, history: !follow || request.number > 0n || since !== undefined, metadata: sources.metadata,
      request: (resume?: { readonly seconds: number; readonly nanos: number }) => toBinary(schema as DescMessage, create(schema as DescMessage, resume ? { ...request, number: 0n, first: false, since: timestampOf(resume) } : request)),
    };
    for await (const batch of mergeEvents(events, sources.nodes, () => undefined, options.signal)) {
      for (const bytes of batch) yield toJson(response as DescMessage, fromBinary(response as DescMessage, bytes), { useProtoFieldName: true }) as JsonObject;
    }
  } catch (error) {
    throw sources.server ? serverError(sources.server, error) : error;
  } finally {
    sources.close();
  }
}
