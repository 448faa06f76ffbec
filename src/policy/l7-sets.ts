/**
 * From the rules of a point to the one set that says what passes there.
 *
 *     RuleL7 ──► resolveL7 (Secrets read) ──► L7Set of one rule ──► mergeL7 ──► L7Set, or why the rules cannot hold together
 */
import type { HeaderL7Match, HttpL7Rule, KafkaL7Rule, L7Set, L7Tls, TlsL7Rule } from '../model/l7.ts';
import type { CarriedOut, HeaderRule, HttpRule, KafkaRule, SecretKey, TlsContext, TlsNeed } from './l7-rules.ts';

/** A Secret's entries as text; undefined: there is none, or it may not be read. */
export type Secrets = (key: SecretKey) => Readonly<Record<string, string>> | undefined;

/** What one rule lets pass; its parts bear the rule's id. `kernel`: it wants the kernel to carry it out (wantsKernel). */
export function resolveL7(l7: CarriedOut, rule: number, secrets: Secrets, kernel = false): L7Set {
  const tls = l7.tls && resolveTls(l7.tls, secrets);
  const names = l7.tls?.serverNames;
  switch (l7.protocol) {
    case 'http': return { protocol: 'http', rules: l7.rules.map(r => resolveHttp(r, rule, secrets)), ...around(tls, names), ...(kernel && { kernel }) };
    case 'kafka': return { protocol: 'kafka', rules: l7.rules.map(r => resolveKafka(r, rule)), ...around(tls, names) };
    case 'dns': return { protocol: 'dns', rules: l7.rules.map(({ pattern }) => ({ rule, pattern })) };
    case 'tls': return { protocol: 'tls', rules: [{ rule, ...(names && { serverNames: [...new Set(names)].sort() }) }], ...(tls && { tls }) };
  }
}

function around(tls: L7Tls | undefined, names: readonly string[] | undefined): { readonly tls?: L7Tls } {
  return tls || names ? { tls: { ...tls, ...(names && { serverNames: [...new Set(names)].sort() }) } } : {};
}

function resolveHttp({ method, path, host, headers }: HttpRule, rule: number, secrets: Secrets): HttpL7Rule {
  return {
    rule, ...(method !== undefined && { method }), ...(path !== undefined && { path }), ...(host !== undefined && { host }),
    headers: headers.map(header => resolveHeader(header, secrets)),
  };
}

/** A Secret for a header holds one entry, whatever its name; where there is none, a value beside it counts. */
function resolveHeader({ name, value, secret, mismatch }: HeaderRule, secrets: Secrets): HeaderL7Match {
  const base = { name: name.toLowerCase(), ...(mismatch !== undefined && { mismatch }) };
  if (secret === undefined) return { ...base, ...(value !== undefined && { value }) };
  const entries = Object.values(secrets(secret) ?? {});
  if (entries.length === 1) return { ...base, value: entries[0]!, secret: true };
  return value === undefined ? { ...base, missing: true, secret: true } : { ...base, value };
}

function resolveKafka({ apiKeys, apiVersion, clientId, topic }: KafkaRule, rule: number): KafkaL7Rule {
  return { rule, ...(apiKeys && { apiKeys }), ...(apiVersion !== undefined && { apiVersion }), ...(clientId !== undefined && { clientId }), ...(topic !== undefined && { topic }) };
}

// ---- TLS ----

function resolveTls({ terminating, originating }: TlsNeed, secrets: Secrets): L7Tls | undefined {
  if (!terminating && !originating) return undefined;
  const faults: string[] = [];
  const read = (context: TlsContext) => new SecretReader(context, secrets, faults);
  const result: { terminating?: L7Tls['terminating']; originating?: L7Tls['originating'] } = {};
  if (terminating) {
    const reader = read(terminating);
    const [certificate, key] = [reader.entry(terminating.certificate, 'tls.crt', true), reader.entry(terminating.key, 'tls.key', true)];
    // Who ends TLS asks for the client's certificate only when the author named the authority.
    const trustedCa = terminating.trustedCa === undefined ? undefined : reader.entry(terminating.trustedCa, '', true);
    if (certificate !== undefined && key !== undefined) result.terminating = { certificate, key, ...(trustedCa !== undefined && { trustedCa }) };
  }
  if (originating) {
    const reader = read(originating);
    const trustedCa = reader.entry(originating.trustedCa, 'ca.crt', false);
    const [certificate, key] = [reader.entry(originating.certificate, 'tls.crt', false), reader.entry(originating.key, 'tls.key', false)];
    if ((certificate === undefined) !== (key === undefined)) faults.push(`Secret ${originating.secret} has a certificate or a private key, not both`);
    result.originating = { ...(trustedCa !== undefined && { trustedCa }), ...(certificate !== undefined && { certificate }), ...(key !== undefined && { key }) };
  }
  return faults.length > 0 ? { fault: [...new Set(faults)].join('; ') } : result;
}

class SecretReader {
  readonly #context: TlsContext;
  readonly #entries: Readonly<Record<string, string>> | undefined;
  readonly #faults: string[];

  constructor(context: TlsContext, secrets: Secrets, faults: string[]) {
    this.#context = context;
    this.#faults = faults;
    this.#entries = secrets(context.secret);
    if (!this.#entries) faults.push(`there is no Secret ${context.secret}`);
  }

  /** What is named must be there; what is not named, only if `needed`. */
  entry(named: string | undefined, usual: string, needed: boolean): string | undefined {
    const name = named ?? usual;
    const value = this.#entries && Object.hasOwn(this.#entries, name) ? this.#entries[name] : undefined;
    if (value === undefined && this.#entries && (needed || named !== undefined)) this.#faults.push(`Secret ${this.#context.secret} has no ${name}`);
    return value;
  }
}

// ---- merging ----

export type Merged = { readonly set: L7Set } | { readonly conflict: string };

/**
 * One set out of those of the rules at a point: what any of them lets pass passes. `tls` beside `http` becomes `http`; other pairs
 * of protocols, and two TLS contexts that differ, cannot hold together. Names of servers are asked of everyone as soon as one
 * rule asks for them (upstream). The kernel carries it out where all want it, and nobody asks for TLS.
 */
export function mergeL7(sets: readonly L7Set[]): Merged {
  const protocol = mergedProtocol(new Set(sets.map(s => s.protocol)));
  if (typeof protocol !== 'string') return protocol;
  if (protocol === 'dns') return { set: { protocol, rules: distinct(sets.flatMap(s => (s.protocol === 'dns' ? s.rules : []))) } };
  const tls = mergeTls(sets);
  if ('conflict' in tls) return tls;
  const found = tls.tls && { tls: tls.tls };
  if (protocol === 'tls') return { set: { protocol, rules: distinct(sets.flatMap(s => (s.protocol === 'tls' ? s.rules : []))), ...found } };
  const names = mergedNames(sets);
  const context: { readonly tls?: L7Tls } = names || tls.tls ? { tls: { ...tls.tls, ...(names && { serverNames: names }), ...unreadable(tls.tls, names) } } : {};
  if (protocol === 'kafka') return { set: { protocol, rules: distinct(sets.flatMap(s => (s.protocol === 'kafka' ? s.rules : []))), ...context } };
  const any = (rule: TlsL7Rule): HttpL7Rule => ({ rule: rule.rule, headers: [] });
  const kernel = context.tls === undefined && sets.every(s => s.protocol === 'http' && s.kernel);
  return { set: { protocol: 'http', rules: distinct(sets.flatMap(s => (s.protocol === 'http' ? s.rules : s.protocol === 'tls' ? s.rules.map(any) : []))), ...context, ...(kernel && { kernel }) } };
}

function mergedProtocol(protocols: ReadonlySet<L7Set['protocol']>): L7Set['protocol'] | { readonly conflict: string } {
  const all = [...protocols].sort();
  if (all.length === 1) return all[0]!;
  return all.join() === 'http,tls' ? 'http' : { conflict: `cannot merge conflicting L7 parsers (${all.join('/')})` };
}

function tlsOf(set: L7Set): L7Tls | undefined {
  return set.protocol === 'dns' ? undefined : set.tls;
}

function mergeTls(sets: readonly L7Set[]): { readonly tls?: L7Tls } | { readonly conflict: string } {
  const contexts = sets.flatMap(set => tlsOf(set) ?? []);
  const fault = contexts.find(c => c.fault !== undefined)?.fault;
  if (fault !== undefined) return { tls: { fault } };
  const merged: { terminating?: L7Tls['terminating']; originating?: L7Tls['originating'] } = {};
  for (const side of ['terminating', 'originating'] as const) {
    const different = distinct(contexts.flatMap(c => c[side] ?? []));
    if (different.length > 1) return { conflict: `cannot merge different ${side}TLS contexts` };
    if (different.length === 1) Object.assign(merged, { [side]: different[0] });
  }
  return merged.terminating || merged.originating ? { tls: merged } : {};
}

function mergedNames(sets: readonly L7Set[]): readonly string[] | undefined {
  const lists = sets.flatMap(set => (set.protocol === 'tls' ? set.rules.map(r => r.serverNames) : [tlsOf(set)?.serverNames])).filter(l => l !== undefined);
  return lists.length === 0 ? undefined : [...new Set(lists.flat())].sort();
}

/** Where names of servers are asked for, all is TLS: nobody can read requests in it without ending it. */
function unreadable(tls: L7Tls | undefined, names: readonly string[] | undefined): Pick<L7Tls, 'fault'> {
  return names && !tls?.terminating && tls?.fault === undefined ? { fault: 'serverNames beside rules on requests need terminatingTLS' } : {};
}

function distinct<T>(values: readonly T[]): T[] {
  return [...new Map(values.map(value => [canonicalText(value), value] as const)).values()];
}

/** JSON with sorted keys: equal values have equal texts. */
export function canonicalText(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) => (typeof item === 'object' && item !== null && !Array.isArray(item)
    ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1))) : item));
}
