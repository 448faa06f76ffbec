import { createRequire } from 'node:module';
import type { L7Set } from '../model/l7.ts';
import { CirriError } from '../std/errors.ts';
import type { Protocol } from './protocol.ts';

/** A protocol whose types the loop does not know: it gives a protocol its own compiled sets back. */
export type AnyProtocol = Protocol<unknown, unknown>;

export interface ProtocolLoader {
  (set: L7Set): AnyProtocol;
  /** Ahead of a set that needs it. */
  named(name: string): AnyProtocol;
  readonly loaded: ReadonlyMap<string, AnyProtocol>;
}

export interface ProtocolOptions {
  /** Names of headers that flows bear, in lower case. */
  readonly headers: readonly string[];
}

const require = createRequire(import.meta.url);

/** Where each protocol is. Loaded when a set asks for it: a proxy without Kafka rules has no Kafka in its memory. */
const modules: Readonly<Record<string, (options: ProtocolOptions) => AnyProtocol>> = {
  http: ({ headers }) => (require('./http/http.ts') as typeof import('./http/http.ts')).httpTelling(headers),
  dns: () => (require('./dns/dns.ts') as typeof import('./dns/dns.ts')).dns as AnyProtocol,
  kafka: () => (require('./kafka/kafka.ts') as typeof import('./kafka/kafka.ts')).kafka as AnyProtocol,
  tls: () => (require('./tls/tls.ts') as typeof import('./tls/tls.ts')).tls as AnyProtocol,
};

/** Gives a set's protocol, of one kind always the same object; throws where this proxy has none for it. */
export function protocolLoader(options: ProtocolOptions): ProtocolLoader {
  const loaded = new Map<string, AnyProtocol>();
  const named = (name: string) => {
    const known = loaded.get(name);
    if (known) return known;
    const load = modules[name];
    if (!load) throw new CirriError('ERR_L7_PROTOCOL', `this proxy knows no protocol ${name}`);
    const protocol = load(options);
    loaded.set(name, protocol);
    return protocol;
  };
  return Object.assign((set: L7Set) => named(set.protocol !== 'dns' && set.tls ? 'tls' : set.protocol), { named, loaded });
}

export const loadProtocol = protocolLoader({ headers: [] });
