/**
 * What passes at layer 7. A verdict "redirect" names a set by its number; the set has all that whoever carries it out must know,
 * so that it needs no one else. Equal contents have one number on a node; a number never changes its meaning.
 */

/** Who carries out rules on HTTP where both could: the node's proxy reads every request, the kernel as its packets pass. */
export type HttpReader = 'proxy' | 'kernel';

/** `tls` reads names only; what is within stays closed. */
export type L7Protocol = 'http' | 'kafka' | 'dns' | 'tls';

/** What is there passes when one of the rules lets it; no rules of a kind that has them: nothing passes. */
export type L7Set =
  /** `kernel`: all who ask for it want it carried out there, where the kernel can; else, and where it cannot, the proxy does. */
  | { readonly protocol: 'http'; readonly rules: readonly HttpL7Rule[]; readonly tls?: L7Tls; readonly kernel?: true }
  | { readonly protocol: 'kafka'; readonly rules: readonly KafkaL7Rule[]; readonly tls?: L7Tls }
  /** `learn`: the policy lets everything pass here; names are read for the sake of toFQDNs, and what is no DNS passes too. */
  | { readonly protocol: 'dns'; readonly rules: readonly DnsL7Rule[]; readonly learn?: true }
  /** Server names; with `terminating` or `originating` the bytes within pass as they are. */
  | { readonly protocol: 'tls'; readonly rules: readonly TlsL7Rule[]; readonly tls?: L7Tls };

/** All that is set must match. `rule`: the id of the policy's rule, which flows bear. */
export interface HttpL7Rule {
  readonly rule: number;
  /** RE2, over the whole of the method, the path with its query, the authority. */
  readonly method?: string;
  readonly path?: string;
  readonly host?: string;
  readonly headers: readonly HeaderL7Match[];
}

export interface HeaderL7Match {
  /** In lower case. */
  readonly name: string;
  /** Exactly this; absent: the header is there. */
  readonly value?: string;
  /** What to do with a request that lacks it: the rule does not match (absent), or it matches and the header is mended. */
  readonly mismatch?: 'LOG' | 'ADD' | 'DELETE' | 'REPLACE';
  /** The value came from a Secret that could not be read: never matches. */
  readonly missing?: true;
  /** The value came from a Secret: it is not logged. */
  readonly secret?: true;
}

export interface KafkaL7Rule {
  readonly rule: number;
  /** Numbers of the protocol; absent: any. Roles are written out. */
  readonly apiKeys?: readonly number[];
  readonly apiVersion?: number;
  readonly clientId?: string;
  readonly topic?: string;
}

/** `pattern` is a matchName or a matchPattern, in lower case, without a final dot. */
export interface DnsL7Rule {
  readonly rule: number;
  readonly pattern: string;
}

export interface TlsL7Rule {
  readonly rule: number;
  /** Patterns of server names; absent: any. */
  readonly serverNames?: readonly string[];
}

/** PEM, out of Secrets: the proxy as the server for the client (`terminating`), and as a client of the server (`originating`). */
export interface L7Tls {
  /** Of `http` and `kafka`: the client must begin TLS and ask for one of these; absent: any, or none. */
  readonly serverNames?: readonly string[];
  readonly terminating?: { readonly certificate: string; readonly key: string; readonly trustedCa?: string };
  readonly originating?: { readonly trustedCa?: string; readonly certificate?: string; readonly key?: string };
  /** Why it cannot be carried out: "Secret shop/tls has no tls.key". Then nothing passes. */
  readonly fault?: string;
}
