/** What a rule asks of what is said in a connection, as its author wrote it: Secrets are names still, roles are written out. */
import type { DnsL7Rule, HeaderL7Match, HttpL7Rule, HttpReader, KafkaL7Rule, L7Protocol } from '../model/l7.ts';
import type { Direction } from './policy.ts';

/** A Secret by `namespace/name`. */
export type SecretKey = string;

export interface HeaderRule extends Pick<HeaderL7Match, 'name' | 'value' | 'mismatch'> {
  /** The value is the one entry of this Secret; `value` counts where there is no such Secret. */
  readonly secret?: SecretKey;
}

export interface HttpRule extends Pick<HttpL7Rule, 'method' | 'path' | 'host'> {
  readonly headers: readonly HeaderRule[];
}

export interface KafkaRule extends Omit<KafkaL7Rule, 'rule'> {
  /** As written: `role produce`, `apiKey fetch`. */
  readonly written?: string;
}

export type DnsRule = Omit<DnsL7Rule, 'rule'>;

/** Entries of a Secret by name; those that are not named are the usual ones, as far as they are there. */
export interface TlsContext {
  readonly secret: SecretKey;
  readonly trustedCa?: string;
  readonly certificate?: string;
  readonly key?: string;
}

/** TLS around what is read. */
export interface TlsNeed {
  readonly terminating?: TlsContext;
  readonly originating?: TlsContext;
  readonly serverNames?: readonly string[];
}

export type RuleL7 =
  /** `reader`: as the policy says; absent: as the cluster's settings say. */
  | { readonly protocol: 'http'; readonly rules: readonly HttpRule[]; readonly tls?: TlsNeed; readonly reader?: HttpReader }
  | { readonly protocol: 'kafka'; readonly rules: readonly KafkaRule[]; readonly tls?: TlsNeed }
  | { readonly protocol: 'dns'; readonly rules: readonly DnsRule[]; readonly tls?: undefined }
  /** No rules of a protocol: names of servers, or TLS that the proxy ends. */
  | { readonly protocol: 'tls'; readonly tls: TlsNeed }
  /** Parsers that a user brings along, and listeners of Envoy: nobody carries them out. */
  | { readonly protocol: 'l7proto' | 'listener'; readonly name: string; readonly tls?: TlsNeed };

export type CarriedOut = Extract<RuleL7, { readonly protocol: L7Protocol }>;

export function isCarriedOut(l7: RuleL7): l7 is CarriedOut {
  return l7.protocol !== 'l7proto' && l7.protocol !== 'listener';
}

/** The kernel is to carry the rule out, and it is of those that it can: of requests to pods, in the clear. */
export function wantsKernel({ direction, l7 }: { readonly direction: Direction; readonly l7?: RuleL7 }, otherwise: HttpReader = 'proxy'): boolean {
  return direction === 'ingress' && l7?.protocol === 'http' && l7.tls === undefined && (l7.reader ?? otherwise) === 'kernel';
}

/** The Secrets that a rule names. */
export function secretsOf(l7: RuleL7): readonly SecretKey[] {
  const headers = l7.protocol === 'http' ? l7.rules.flatMap(rule => rule.headers.flatMap(h => h.secret ?? [])) : [];
  return [...headers, ...[l7.tls?.terminating, l7.tls?.originating].flatMap(context => context?.secret ?? [])];
}

/** `HTTP GET /public/.*`, `Kafka role produce, topic orders`, `DNS names *.example.com`, `TLS to api.example.com`. */
export function describeL7(l7: RuleL7): string {
  switch (l7.protocol) {
    case 'http': return `HTTP ${alternatives(l7.rules.map(describeHttp))}${describeTls(l7.tls)}`;
    case 'kafka': return `Kafka ${alternatives(l7.rules.map(describeKafka))}${describeTls(l7.tls)}`;
    case 'dns': return `DNS ${alternatives(l7.rules.map(rule => (rule.pattern === '*' ? 'any name' : rule.pattern)))}`;
    case 'tls': return `TLS${describeTls(l7.tls)}`;
    case 'l7proto': return `parser ${l7.name}`;
    case 'listener': return `listener ${l7.name}`;
  }
}

const maxAlternatives = 5;

function alternatives(texts: readonly string[]): string {
  const all = [...new Set(texts)];
  return all.length <= maxAlternatives ? all.join(' or ') : `${all.slice(0, maxAlternatives).join(' or ')} or ${all.length - maxAlternatives} more`;
}

export function describeHttp({ method, path, host, headers }: HttpRule): string {
  const parts = [method, path, host && `host ${host}`, ...headers.map(describeHeader)].filter(part => part !== undefined && part !== '');
  return parts.length === 0 ? 'any request' : parts.join(' ');
}

function describeHeader({ name, value, secret, mismatch }: HeaderRule): string {
  const what = secret !== undefined ? `: the value of Secret ${secret}` : value !== undefined ? `: ${value}` : '';
  return `header ${name}${what}${mismatch === undefined ? '' : ` (else ${mismatch})`}`;
}

export function describeKafka({ written, apiVersion, clientId, topic }: KafkaRule): string {
  const parts = [written, topic && `topic ${topic}`, clientId && `client ${clientId}`, apiVersion === undefined ? undefined : `version ${apiVersion}`].filter(part => part !== undefined);
  return parts.length === 0 ? 'any request' : parts.join(', ');
}

function describeTls(tls: TlsNeed | undefined): string {
  if (!tls) return '';
  const names = tls.serverNames ? ` to ${alternatives(tls.serverNames)}` : '';
  return `${names}${tls.terminating ? ', TLS ended by the proxy' : ''}${tls.originating ? ', TLS begun by the proxy' : ''}`;
}
