import { Field, Indexing, kindOfName } from './field.ts';

/** RFC 7541 appendix A, from index 1 on: "name" or "name value". */
const entries = [
  ':authority', ':method GET', ':method POST', ':path /', ':path /index.html', ':scheme http', ':scheme https', ':status 200', ':status 204',
  ':status 206', ':status 304', ':status 400', ':status 404', ':status 500', 'accept-charset', 'accept-encoding gzip, deflate', 'accept-language',
  'accept-ranges', 'accept', 'access-control-allow-origin', 'age', 'allow', 'authorization', 'cache-control', 'content-disposition',
  'content-encoding', 'content-language', 'content-length', 'content-location', 'content-range', 'content-type', 'cookie', 'date', 'etag',
  'expect', 'expires', 'from', 'host', 'if-match', 'if-modified-since', 'if-none-match', 'if-range', 'if-unmodified-since', 'last-modified',
  'link', 'location', 'max-forwards', 'proxy-authenticate', 'proxy-authorization', 'range', 'referer', 'refresh', 'retry-after', 'server',
  'set-cookie', 'strict-transport-security', 'transfer-encoding', 'user-agent', 'vary', 'via', 'www-authenticate',
];

/** Name to the lowest index that has it. */
export const staticNames: ReadonlyMap<string, number> = new Map(entries.map((entry, i) => [entry.split(' ')[0]!, i + 1] as const).reverse());

/** The entry of index i is at i; 0 has none. */
export const staticTable: readonly (Field | undefined)[] = [undefined, ...entries.map((entry, i) => {
  const [name = '', ...value] = entry.split(' ');
  return new Field(name, value.join(' '), Indexing.indexed, kindOfName(name), staticNames.get(name)!, i + 1);
})];

export const staticLength = entries.length;

/** A field of our own making: in the static table, or written out and kept in no table. */
export function ownField(name: string, value: string): Field {
  const staticName = staticNames.get(name) ?? 0;
  for (let i = staticName; i > 0 && i <= staticLength && staticTable[i]!.name === name; i++) {
    if (staticTable[i]!.value === value) return staticTable[i]!;
  }
  return new Field(name, value, Indexing.without, kindOfName(name), staticName);
}
