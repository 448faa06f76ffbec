/** One request, asked of a layer 7 set: whether it passes, by which rule, and if not, what kept it. */
import type { KafkaL7Rule, L7Set, L7Tls } from '../model/l7.ts';
import type { Subject } from './compile.ts';
import { evaluate } from './evaluate.ts';
import type { PeerView, World } from './evaluate.ts';
import { namePattern, qualifyName } from './fqdn.ts';
import { kafkaApiKeys } from './kafka-keys.ts';
import { compileHttpRules, viewOf } from './l7-match.ts';
import type { HttpMiss } from './l7-match.ts';
import type { Direction } from './policy.ts';

export interface HttpRequest {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly host?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface KafkaRequest {
  readonly apiKey: number;
  readonly apiVersion?: number;
  readonly clientId?: string;
  /** Empty: the request is about none. */
  readonly topics: readonly string[];
}

export type L7Request =
  | { readonly http: HttpRequest }
  | { readonly kafka: KafkaRequest }
  /** A name that is asked for. */
  | { readonly dns: string }
  /** A name in a TLS handshake. */
  | { readonly serverName: string };

export interface L7Answer {
  readonly passes: boolean;
  /** Id of the rule that lets it pass, or comes nearest. */
  readonly rule?: number;
  /** Of a refusal: `path: /admin, not /public/.*`. */
  readonly why?: string;
}

export function askL7(set: L7Set, request: L7Request): L7Answer {
  if (set.protocol === 'dns' && set.learn) return passed(set.rules[0]!.rule);
  if (set.protocol !== 'dns' && set.tls?.fault !== undefined) return { passes: false, why: set.tls.fault };
  if (set.protocol === 'http' && 'http' in request) return refusedName(set.tls, request.http.host) ?? askHttp(set, request.http);
  if (set.protocol === 'kafka' && 'kafka' in request) return askKafka(set.rules, request.kafka);
  if (set.protocol === 'dns' && 'dns' in request) return askNames(set.rules.map(rule => ({ rule: rule.rule, patterns: [rule.pattern] })), request.dns);
  if (set.protocol === 'tls' && 'serverName' in request) return askNames(set.rules.map(rule => ({ rule: rule.rule, patterns: rule.serverNames })), request.serverName);
  return { passes: false, why: `${words[set.protocol]} is read there, and this is ${'http' in request ? 'HTTP' : 'kafka' in request ? 'Kafka' : 'dns' in request ? 'DNS' : 'TLS'}` };
}

/** Any rule at the point may let the request pass; where nothing is read, it passes. */
export function requestPasses(world: World, subject: Subject, direction: Direction, peer: PeerView | undefined, protocol: number, port: number, request: HttpRequest): boolean {
  const { l7 } = evaluate(world, subject, direction, peer, protocol, port);
  return l7 !== undefined && askL7(l7, { http: request }).passes;
}

/** What matching says in the place of a Secret's value. */
const redacted = '[redacted]';

const words = { http: 'HTTP', kafka: 'Kafka', dns: 'DNS', tls: 'TLS' } as const;

function passed(rule: number): L7Answer {
  return { passes: true, rule };
}

function refusedName(tls: L7Tls | undefined, host: string | undefined): L7Answer | undefined {
  if (!tls?.serverNames) return undefined;
  const name = host?.replace(/:\d+$/, '') ?? '';
  const answer = askNames([{ rule: 0, patterns: tls.serverNames }], name);
  return answer.passes ? undefined : { passes: false, why: answer.why! };
}

function askHttp({ rules }: Extract<L7Set, { readonly protocol: 'http' }>, request: HttpRequest): L7Answer {
  const matcher = compileHttpRules(rules);
  const view = viewOf(request);
  const answer = matcher.match(view);
  if (answer.passes) return passed(answer.rule);
  const miss = matcher.nearest(view);
  return miss ? { passes: false, rule: miss.rule, why: missText(miss) } : { passes: false, why: 'no rule there lets any request pass' };
}

function missText({ field, name, wanted, actual }: HttpMiss): string {
  const what = field === 'header' ? `header ${name}` : field;
  if (wanted === redacted) return `${what}: ${actual === undefined ? 'it is missing' : 'it is not the value of the Secret'}`;
  return actual === undefined ? `${what}: ${wanted === undefined ? 'it is missing' : `${wanted} is wanted, and it is missing`}` : `${what}: ${actual}, not ${wanted}`;
}

/** Each topic must pass by some rule; a request about none passes by its other fields. */
function askKafka(rules: readonly KafkaL7Rule[], request: KafkaRequest): L7Answer {
  const heading = rules.filter(rule => headingMiss(rule, request) === undefined);
  if (heading.length === 0) {
    const [first] = rules;
    return { passes: false, ...(first && { rule: first.rule }), why: first ? headingMiss(first, request)! : 'no rule there lets any request pass' };
  }
  const refused = request.topics.find(topic => !heading.some(rule => rule.topic === undefined || rule.topic === topic));
  if (refused !== undefined) return { passes: false, rule: heading[0]!.rule, why: `topic: ${refused}, not ${[...new Set(heading.map(rule => rule.topic))].join(' or ')}` };
  return passed(heading.find(rule => request.topics.length === 0 || rule.topic === undefined || rule.topic === request.topics[0])!.rule);
}

function headingMiss({ apiKeys, apiVersion, clientId }: KafkaL7Rule, request: KafkaRequest): string | undefined {
  if (apiKeys && !apiKeys.includes(request.apiKey)) return `apiKey: ${keyName(request.apiKey)}, not ${apiKeys.map(keyName).join(' or ')}`;
  if (apiVersion !== undefined && request.apiVersion !== apiVersion) return `apiVersion: ${request.apiVersion ?? 'none'}, not ${apiVersion}`;
  if (clientId !== undefined && request.clientId !== clientId) return `clientID: ${request.clientId ?? 'none'}, not ${clientId}`;
  return undefined;
}

function keyName(key: number): string {
  return kafkaApiKeys[key] ?? String(key);
}

function askNames(rules: readonly { readonly rule: number; readonly patterns: readonly string[] | undefined }[], name: string): L7Answer {
  const asked = qualifyName(name);
  const rule = rules.find(({ patterns }) => patterns === undefined || patterns.some(pattern => namePattern(pattern).test(asked)));
  if (rule) return passed(rule.rule);
  const all = rules.flatMap(({ patterns }) => patterns ?? []);
  return { passes: false, ...(rules[0] && { rule: rules[0].rule }), why: `name: ${name === '' ? 'none' : name}, not ${all.slice(0, 5).join(' or ')}${all.length > 5 ? ` or ${all.length - 5} more` : ''}` };
}
