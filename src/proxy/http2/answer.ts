import type { Field } from './field.ts';
import { ownField } from './static-table.ts';

/** An answer of our own. */
export interface OwnAnswer {
  /** Of HTTP: what a flow bears. Of gRPC the answer's own is always 200. */
  readonly status: number;
  readonly plain: { readonly withBody: readonly Field[]; readonly bare: readonly Field[]; readonly body: Buffer };
  /** Trailers only: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md. */
  readonly grpc: readonly Field[];
}

function own(status: number, text: string, grpcStatus: number): OwnAnswer {
  const body = Buffer.from(`${text}\r\n`, 'latin1');
  const code = ownField(':status', String(status));
  return {
    status,
    plain: {
      withBody: [code, ownField('content-length', String(body.length)), ownField('content-type', 'text/plain')],
      bare: [code, ownField('content-length', '0')],
      body,
    },
    grpc: [ownField(':status', '200'), ownField('content-type', 'application/grpc'), ownField('grpc-status', String(grpcStatus)), ownField('grpc-message', text)],
  };
}

/** PERMISSION_DENIED, as Envoy translates 403 for gRPC. */
export const accessDenied = own(403, 'Access denied', 7);
/** INTERNAL, as Envoy translates 400. */
export const badRequest = own(400, 'Bad request', 13);
/** RESOURCE_EXHAUSTED. */
export const fieldsTooLarge = own(431, 'Request header fields too large', 8);
/** UNAVAILABLE. */
export const serverGarbled = own(502, 'Bad gateway', 14);
export const serverUnreachable = own(503, 'Service unavailable', 14);
