import type { HttpLimits } from '../http/limits.ts';
import { newFacts, type RequestFacts, traceIdOf } from '../http/record.ts';
import type { RequestHead } from './message.ts';

/** What flows say of a request that came at `askedUs`, with the headers that they are to bear. */
export function requestFacts(head: RequestHead, { recordedHeaders }: Pick<HttpLimits, 'recordedHeaders'>, askedUs: number): RequestFacts {
  const traceId = traceIdOf(head.traceparent);
  const base = { method: head.method, origin: head.url, path: '', protocol: 'HTTP/2', askedUs, ...(traceId !== undefined && { traceId }) } as const;
  if (recordedHeaders.length === 0) return newFacts(base);
  const headers = recordedHeaders.flatMap(key => {
    const value = head.header(key);
    return value === undefined ? [] : [{ key, value }];
  });
  return newFacts(headers.length === 0 ? base : { ...base, headers });
}
