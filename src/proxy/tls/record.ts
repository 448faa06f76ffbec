import type { SessionRecord, Wire } from '../protocol.ts';
import type { NameOpinion } from './names.ts';

/**
 * Hubble has no flow for TLS. A connection is told as what it comes to, a request to be connected with a server: method CONNECT,
 * protocol TLS, the server's name as its URL.
 */
export function recordName(wire: Wire<unknown>, serverName: string | undefined, opinions: readonly NameOpinion[]): void {
  for (const { direction, passes, rule } of opinions) wire.record({ verdict: passes ? 'FORWARDED' : 'DROPPED', direction, rule, l7: connectTo(serverName) });
}

/** Of what could not be carried out: a fault of the bytes, a certificate that is not trusted. */
export function recordFault(wire: Wire<unknown>, serverName: string | undefined, directions: readonly NameOpinion['direction'][]): void {
  for (const direction of directions) wire.record({ verdict: 'ERROR', direction, rule: 0, l7: connectTo(serverName) });
}

function connectTo(serverName: string | undefined): SessionRecord['l7'] {
  return { type: 'REQUEST', http: { method: 'CONNECT', url: `//${serverName ?? ''}`, protocol: 'TLS' } };
}

export function directionsOf({ egress, ingress }: { readonly egress?: unknown; readonly ingress?: unknown }): readonly NameOpinion['direction'][] {
  return [...(egress ? ['EGRESS' as const] : []), ...(ingress ? ['INGRESS' as const] : [])];
}
