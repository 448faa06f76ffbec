import type { L7Set } from '../../model/l7.ts';
import { CirriError } from '../../std/errors.ts';
import type { Layers, Protocol, Session, Wire } from '../protocol.ts';
import { loadProtocol, type AnyProtocol } from '../protocols.ts';
import { compileContexts } from './contexts.ts';
import type { TlsContexts } from './contexts.ts';
import { compileNameRules } from './names.ts';
import type { NameRules } from './names.ts';
import { NamesSession } from './names-session.ts';
import { directionsOf, recordFault } from './record.ts';
import { openRelay } from './relay.ts';
import { TerminatedSession } from './terminated-session.ts';

/** A set with anything about TLS. */
export interface TlsRules {
  readonly names: NameRules | undefined;
  readonly contexts: TlsContexts | undefined;
  /** What is within TLS; undefined: bytes. */
  readonly inner: { readonly protocol: AnyProtocol; readonly compiled: unknown; readonly isHttp: boolean } | undefined;
}

/** TLS, as docs/l7/tls.md tells: names of servers, and sets whose requests are within TLS. */
export const tls: Protocol<L7Set, TlsRules> = {
  compile(set) {
    if (set.protocol === 'dns') throw new CirriError('ERR_L7_TLS', 'DNS within TLS is not read');
    const contexts = set.tls && compileContexts(set.tls);
    if (set.protocol === 'tls') return { names: compileNameRules(set.rules), contexts, inner: undefined };
    if (!contexts) throw new CirriError('ERR_L7_TLS', `rules on ${set.protocol} within TLS need terminatingTLS`);
    const { tls: { serverNames } = {}, ...plain } = set;
    const protocol = loadProtocol(plain);
    return { names: serverNames && compileNameRules([{ rule: 0, serverNames }]), contexts, inner: { protocol, compiled: protocol.compile(plain), isHttp: set.protocol === 'http' } };
  },
  open(wire) {
    const names = () => layersOf(wire.layers(), rules => rules.names);
    const { egress, ingress } = wire.layers();
    const contexts = egress?.contexts ?? ingress?.contexts;
    if (!contexts) return new NamesSession(wire, names);
    const inner = egress?.inner ?? ingress?.inner;
    const isOne = (rules: TlsRules | undefined) => (rules?.contexts === undefined || rules.contexts.key === contexts.key) && (rules?.inner === undefined || rules.inner.protocol === inner?.protocol);
    if (!isOne(egress) || !isOne(ingress)) return refused(wire);
    return new TerminatedSession(wire, {
      contexts, names, isHttp: inner?.isHttp ?? false,
      layers: innerLayers(wire, isOne),
      openInner: within => (inner ? inner.protocol.open(within) : openRelay(within)),
    });
  },
};

function layersOf<T>({ egress, ingress }: Layers<TlsRules>, part: (rules: TlsRules) => T | undefined): Layers<T> {
  const [out, into] = [egress && part(egress), ingress && part(ingress)];
  return { ...(out !== undefined && { egress: out }), ...(into !== undefined && { ingress: into }) };
}

/** The same object for as long as the wire gives the same one. Undefined once policy asks for other keys or another protocol. */
function innerLayers(wire: Wire<TlsRules>, isOne: (rules: TlsRules | undefined) => boolean): () => Layers<unknown> | undefined {
  let known: Layers<TlsRules> | undefined;
  let layers: Layers<unknown> | undefined;
  return () => {
    const current = wire.layers();
    if (current !== known) {
      known = current;
      layers = isOne(current.egress) && isOne(current.ingress) ? layersOf(current, rules => rules.inner?.compiled) : undefined;
    }
    return layers;
  };
}

/** Two ends that ask for different keys, or for different protocols within. */
function refused(wire: Wire<TlsRules>): Session {
  const close = () => wire.close('written');
  return {
    data() {
      recordFault(wire, undefined, directionsOf(wire.layers()));
      close();
    },
    ended: close, serverFailed: close, timeout: () => {}, closed: () => {}, idle: true,
  };
}
