/** The naive evaluator's reading of what is said in a connection: a handful of requests, each compared with what is written. */

/** Asked about wherever something is read. */
export const requests = ['GET /', 'GET /x', 'PUT /x', 'name a.example.com', 'server a.example.com', 'server b.example.com'] as const;

export type Request = (typeof requests)[number];

/** What one entry of `toPorts` lets pass. */
export interface Reads {
  readonly parser: 'http' | 'dns' | 'tls';
  readonly passing: readonly Request[];
}

export interface RulesOfPorts {
  readonly rules?: Readonly<Record<string, readonly object[]>>;
  readonly serverNames?: readonly string[];
}

/** Undefined: only the ports count. */
export function readsOf({ rules = {}, serverNames }: RulesOfPorts): Reads | undefined {
  const http = (rules['http'] ?? []) as readonly { readonly method?: string; readonly path?: string }[];
  const dns = rules['dns'] ?? [];
  if (http.length > 0) {
    return { parser: 'http', passing: requests.filter(request => {
      const [method, path] = request.split(' ');
      return path!.startsWith('/') && http.some(rule => (rule.method ?? method) === method && (rule.path ?? path) === path);
    }) };
  }
  if (dns.length > 0) {
    const names = dns as readonly { readonly matchName?: string }[];
    return { parser: 'dns', passing: requests.filter(request => request.startsWith('name ') && names.some(({ matchName }) => matchName === undefined || `name ${matchName}` === request)) };
  }
  return serverNames && { parser: 'tls', passing: serverNames.map(name => `server ${name}`).filter((name): name is Request => (requests as readonly string[]).includes(name)) };
}

/** All that passes where several read; undefined: they cannot hold together. Where names of servers are asked for beside requests, nobody can read these. */
export function readTogether(all: readonly Reads[]): readonly Request[] | undefined {
  const parsers = [...new Set(all.map(reads => reads.parser))].sort().join();
  if (parsers === 'http,tls') return [];
  return parsers.includes(',') ? undefined : requests.filter(request => all.some(reads => reads.passing.includes(request)));
}
