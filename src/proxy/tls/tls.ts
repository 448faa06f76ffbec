import type { L7Set } from '../../model/l7.ts';
import { CirriError } from '../../std/errors.ts';
import type { Layers, Protocol, Wire } from '../protocol.ts';
import { compileNameRules } from './names.ts';
import type { NameRules } from './names.ts';
import { NamesSession } from './names-session.ts';

/** A set with anything about TLS. */
export interface TlsRules {
  readonly names: NameRules | undefined;
}

function namesOf({ egress, ingress }: Layers<TlsRules>): Layers<NameRules> {
  return { ...(egress?.names && { egress: egress.names }), ...(ingress?.names && { ingress: ingress.names }) };
}

/** TLS, as docs/l7/tls.md tells: names of servers, and sets whose requests are within TLS. */
export const tls: Protocol<L7Set, TlsRules> = {
  compile(set) {
    if (set.protocol !== 'tls' || set.tls?.terminating || set.tls?.originating) throw new CirriError('ERR_L7_TLS', 'terminatingTLS and originatingTLS are not carried out yet');
    return { names: compileNameRules(set.rules) };
  },
  open: (wire: Wire<TlsRules>) => new NamesSession(wire, () => namesOf(wire.layers())),
};
