import { type Field, FieldKind, isToken, lastPseudo } from './field.ts';

/** A request as its header block has it, and as rules see it; all texts are one byte a character. */
export class RequestHead {
  /** Of an extended CONNECT GET, as its counterpart in HTTP/1.1 has it: rules for WebSockets hold for both. */
  method = '';
  scheme = '';
  /** With the query; empty for CONNECT. */
  path = '';
  /** `:authority`, or the Host field where there is none; empty when there is neither. */
  host = '';
  /** Of an extended CONNECT (RFC 8441): "websocket". */
  protocol = '';
  /** −1: not said. */
  contentLength = -1;
  contentType = '';
  traceparent: string | undefined;
  readonly fields: readonly Field[];

  constructor(fields: readonly Field[]) {
    this.fields = fields;
  }

  /** All values of a field, joined with "," ("; " between crumbs of a cookie). Host and `:authority` are one. */
  header(name: string): string | undefined {
    if (name === 'host' || name === ':authority') return this.host === '' ? undefined : this.host;
    if (name === ':method') return this.method;
    if (name === 'upgrade' && this.protocol !== '') return this.protocol;
    let value: string | undefined;
    for (const field of this.fields) {
      if (field.name !== name) continue;
      value = value === undefined ? field.value : `${value}${name === 'cookie' ? '; ' : ','}${field.value}`;
    }
    return value;
  }

  /** As gRPC says it: application/grpc, with a suffix or parameters; not application/grpc-web. */
  get grpc(): boolean {
    const type = this.contentType;
    if (!type.startsWith('application/grpc')) return false;
    return type.length === 16 || type[16] === '+' || type[16] === ';' || type[16] === ' ';
  }

  /** What comes after the head is no message: its length is not announced, on either side. */
  get tunnel(): boolean {
    return this.method === 'CONNECT' || this.protocol !== '';
  }

  get url(): string {
    return this.path === '' ? this.host : `${this.scheme}://${this.host}${this.path}`;
  }
}

/** Why a block is malformed (RFC 9113 §8.1.1), in words. */
export type Malformed = string;

/** `extendedConnect`: the server has said that it takes it. */
export function readRequest(fields: readonly Field[], extendedConnect: boolean): RequestHead | Malformed {
  const head = new RequestHead(fields);
  let seen = 0;
  let regular = false;
  let host: string | undefined;
  for (let i = 0; i < fields.length; i++) {
    const { kind, value } = fields[i]!;
    if (kind !== FieldKind.regular && kind <= lastPseudo) {
      if (regular) return 'a pseudo-header after a field';
      if (seen & (1 << kind)) return `${fields[i]!.name} twice`;
      seen |= 1 << kind;
    } else regular = true;
    switch (kind) {
      case FieldKind.regular: case FieldKind.cookie: break;
      case FieldKind.method: head.method = value; break;
      case FieldKind.scheme: head.scheme = value; break;
      case FieldKind.authority: head.host = value; break;
      case FieldKind.path: head.path = value; break;
      case FieldKind.protocol: head.protocol = value; break;
      case FieldKind.status: return ':status in a request';
      case FieldKind.host:
        if (host !== undefined) return 'host twice';
        host = value;
        break;
      case FieldKind.contentLength:
        if (head.contentLength >= 0) return 'content-length twice';
        head.contentLength = readLength(value);
        if (head.contentLength < 0) return 'content-length that is no number';
        break;
      case FieldKind.contentType: head.contentType = value; break;
      case FieldKind.traceparent: head.traceparent = value; break;
      case FieldKind.te:
        if (value !== 'trailers') return 'te other than trailers';
        break;
      default: return faultOf(fields[i]!);
    }
  }
  return authorityFault(head, seen, host) ?? lineFault(head, seen, extendedConnect) ?? head;
}

/** Takes the authority of Host where there is no other. */
function authorityFault(head: RequestHead, seen: number, host: string | undefined): Malformed | undefined {
  const has = (seen & (1 << FieldKind.authority)) !== 0;
  if (has && host !== undefined && host.toLowerCase() !== head.host.toLowerCase()) return ':authority and host differ';
  if (!has && host !== undefined) head.host = host;
  const authority = head.host;
  for (let i = 0; i < authority.length; i++) if (!authorityCharacters[authority.charCodeAt(i)]) return 'an authority with characters that it cannot have';
  if (has && authority === '') return 'an empty :authority';
  return undefined;
}

function lineFault(head: RequestHead, seen: number, extendedConnect: boolean): Malformed | undefined {
  const has = (kind: number) => (seen & (1 << kind)) !== 0;
  if (!has(FieldKind.method)) return 'no :method';
  if (!isToken(head.method)) return 'a method that is no token';
  if (has(FieldKind.protocol)) {
    if (head.method !== 'CONNECT') return ':protocol without CONNECT';
    if (!extendedConnect) return ':protocol, which the server does not take';
    if (!isToken(head.protocol)) return 'a :protocol that is no token';
    if (head.contentLength >= 0) return 'CONNECT with content-length';
    head.method = 'GET';
  } else if (head.method === 'CONNECT') {
    if (has(FieldKind.scheme) || has(FieldKind.path)) return 'CONNECT with :scheme or :path';
    if (!has(FieldKind.authority)) return 'CONNECT without :authority';
    return head.contentLength >= 0 ? 'CONNECT with content-length' : undefined;
  }
  if (!has(FieldKind.scheme)) return 'no :scheme';
  if (head.scheme !== 'http' && head.scheme !== 'https') return 'a :scheme other than http and https';
  if (!has(FieldKind.path)) return 'no :path';
  return pathFault(head.path, head.method);
}

function pathFault(path: string, method: string): Malformed | undefined {
  if (path === '*' && method === 'OPTIONS') return undefined;
  if (path.charCodeAt(0) !== 0x2f) return 'a :path that does not begin with a slash';
  for (let i = 1; i < path.length; i++) if (!pathCharacters[path.charCodeAt(i)]) return 'a :path with characters that no path has';
  return undefined;
}

/**
 * Printable, no space, no fragment: a server might cut at "#" what was judged with it (CVE-2021-32779); no backslash: some take it
 * for a slash.
 */
const pathCharacters = new Uint8Array(256);
for (let code = 0x21; code < 0x7f; code++) pathCharacters[code] = 1;
pathCharacters['#'.charCodeAt(0)] = pathCharacters['\\'.charCodeAt(0)] = 0;

/** Of RFC 3986, without user information (RFC 9113 §8.3.1). */
const authorityCharacters = new Uint8Array(256);
for (const character of 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~%!$&\'()*+,;=:[]') authorityCharacters[character.charCodeAt(0)] = 1;

function faultOf({ kind, name }: Field): Malformed {
  return kind === FieldKind.connectionSpecific ? `${name}, which belongs to one hop` : 'a field with characters that it cannot have';
}

/** At most 15 digits: exact as a number. −1: it is not one. */
function readLength(text: string): number {
  if (text.length === 0 || text.length > 15) return -1;
  let value = 0;
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}

export interface AnswerHead {
  readonly status: number;
  /** −1: not said. */
  readonly contentLength: number;
}

export function readAnswer(fields: readonly Field[]): AnswerHead | Malformed {
  let status = 0;
  let contentLength = -1;
  let regular = false;
  for (let i = 0; i < fields.length; i++) {
    const { kind, value } = fields[i]!;
    if (kind === FieldKind.status) {
      if (regular || status > 0) return ':status twice, or after a field';
      if (!/^[1-5]\d\d$/.test(value)) return 'a :status that is none';
      status = Number(value);
      continue;
    }
    regular = true;
    if (kind !== FieldKind.regular && kind <= lastPseudo) return `${fields[i]!.name} in an answer`;
    if (kind >= FieldKind.connectionSpecific) return faultOf(fields[i]!);
    if (kind !== FieldKind.contentLength) continue;
    if (contentLength >= 0) return 'content-length twice';
    contentLength = readLength(value);
    if (contentLength < 0) return 'content-length that is no number';
  }
  if (status === 0) return 'no :status';
  if (status === 101) return '101, which HTTP/2 does not have';
  return { status, contentLength };
}

/**
 * Trailers: no pseudo-headers, nothing that frames or routes the message, and none of the fields that were judged (`judged`), as
 * there are servers that add trailers to them.
 */
export function trailerFault(fields: readonly Field[], judged?: readonly string[]): Malformed | undefined {
  for (let i = 0; i < fields.length; i++) {
    const field = fields[i]!;
    if (field.kind !== FieldKind.regular && field.kind <= lastPseudo) return 'a pseudo-header in trailers';
    if (field.kind >= FieldKind.connectionSpecific) return faultOf(field);
    const framing = field.kind === FieldKind.contentLength || field.kind === FieldKind.host;
    if (framing || (judged !== undefined && (field.kind !== FieldKind.regular || judged.includes(field.name)))) return `${field.name} in trailers`;
  }
  return undefined;
}
