/** What a field's name means to a session: small numbers, found once for each entry of a table. */
export const FieldKind = {
  regular: 0,
  method: 1,
  scheme: 2,
  authority: 3,
  path: 4,
  status: 5,
  protocol: 6,
  host: 7,
  contentLength: 8,
  contentType: 9,
  te: 10,
  traceparent: 11,
  cookie: 12,
  /** Belongs to one hop of HTTP/1.1, and has no place in HTTP/2 (RFC 9113 §8.2.2). */
  connectionSpecific: 13,
  /** A name or a value with characters that no field has. */
  invalid: 14,
} as const;

/** How the sender wrote it, and so how it is passed on (RFC 7541 §6.2). */
export const Indexing = { indexed: 0, without: 1, never: 2 } as const;

/** The last kind that is a pseudo-header; they are 1 to this. */
export const lastPseudo = FieldKind.protocol;

const kinds: ReadonlyMap<string, number> = new Map<string, number>([
  [':method', FieldKind.method], [':scheme', FieldKind.scheme], [':authority', FieldKind.authority], [':path', FieldKind.path],
  [':status', FieldKind.status], [':protocol', FieldKind.protocol], ['host', FieldKind.host], ['content-length', FieldKind.contentLength],
  ['content-type', FieldKind.contentType], ['te', FieldKind.te], ['traceparent', FieldKind.traceparent], ['cookie', FieldKind.cookie],
  ['connection', FieldKind.connectionSpecific], ['proxy-connection', FieldKind.connectionSpecific], ['keep-alive', FieldKind.connectionSpecific],
  ['transfer-encoding', FieldKind.connectionSpecific], ['upgrade', FieldKind.connectionSpecific], ['http2-settings', FieldKind.connectionSpecific],
]);

/**
 * One field line, one byte a character. Entries of a decoder's table are handed out as they are, so that what was found out about a
 * field once holds for all requests that refer to it; `slot` is its place in the table of the one encoder that it is passed on to.
 */
export class Field {
  readonly name: string;
  readonly value: string;
  readonly kind: number;
  readonly indexing: number;
  /** Index of this name in the static table, 0: not there. */
  readonly staticName: number;
  /** Index of name and value in the static table, 0: not there. */
  readonly staticIndex: number;
  /** Octets in a table or a header list (RFC 7541 §4.1). */
  readonly size: number;
  slot = 0;

  constructor(name: string, value: string, indexing: number, kind: number, staticName: number, staticIndex = 0) {
    this.name = name;
    this.value = value;
    this.indexing = indexing;
    this.kind = kind;
    this.staticName = staticName;
    this.staticIndex = staticIndex;
    this.size = name.length + value.length + 32;
  }
}

/** The kind by name alone. */
export function kindOfName(name: string): number {
  const kind = kinds.get(name);
  if (kind !== undefined) return kind;
  return isFieldName(name) ? FieldKind.regular : FieldKind.invalid;
}

/** Of a name, as `nameKind`, with its value. */
export function kindWithValue(nameKind: number, value: string): number {
  return isFieldValue(value) ? nameKind : FieldKind.invalid;
}

const nameCharacters = new Uint8Array(256);
for (const character of '!#$%&\'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz') nameCharacters[character.charCodeAt(0)] = 1;

/** A token in lower case (RFC 9113 §8.2.1). */
function isFieldName(name: string): boolean {
  for (let i = 0; i < name.length; i++) if (nameCharacters[name.charCodeAt(i)] !== 1) return false;
  return name.length > 0;
}

/** No control characters but tabs, no white space at either end (RFC 9113 §8.2.1, RFC 9110 §5.5). */
function isFieldValue(value: string): boolean {
  const { length } = value;
  if (length === 0) return true;
  for (let i = 0; i < length; i++) {
    const code = value.charCodeAt(i);
    if ((code < 0x20 && code !== 0x09) || code === 0x7f) return false;
  }
  return !isSpace(value.charCodeAt(0)) && !isSpace(value.charCodeAt(length - 1));
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/** A token (RFC 9110 §5.6.2). */
export function isToken(text: string): boolean {
  return isFieldName(text.toLowerCase());
}
