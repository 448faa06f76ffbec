import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CirriError } from '../std/errors.ts';

/** What somebody may see. */
export interface Access {
  /** The token's name; `root` where none is needed. */
  readonly name: string;
  /** Flows with an end in one of these namespaces, and nothing else. Undefined: everything. */
  readonly namespaces: readonly string[] | undefined;
}

/** Whoever reaches a unix socket of root's, or the loopback of a machine that is not told otherwise. */
export const rootAccess: Access = { name: 'root', namespaces: undefined };

export interface TokenInfo extends Access {
  /** RFC 3339. */
  readonly created: string;
  readonly expires: string | undefined;
}

interface StoredToken extends TokenInfo {
  /** SHA-256 of the token, hexadecimal. A token is 32 random bytes: there is nothing to guess, so no slower hash is needed. */
  readonly sha256: string;
}

const namePattern = /^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/;

/**
 * Who may look at flows over the network: `tokens.json` in the Hubble folder, 0600, hashes only. Read again whenever it has
 * changed, so that a token that was deleted is refused from then on.
 */
export class AccessTokens {
  readonly #path: string;
  readonly #now: () => Date;
  #known: readonly StoredToken[] = [];
  #readAs = '';

  constructor(hubbleDir: string, now: () => Date = () => new Date()) {
    this.#path = join(hubbleDir, 'tokens.json');
    this.#now = now;
  }

  /** What the bearer of this token may see; undefined when nobody has given it out, or its time is over. */
  check(token: string | undefined): Access | undefined {
    if (token === undefined || token === '') return undefined;
    const hash = hashOf(token);
    const found = this.#stored().find(stored => timingSafeEqual(Buffer.from(stored.sha256, 'hex'), Buffer.from(hash, 'hex')));
    if (!found || this.#isOver(found)) return undefined;
    return { name: found.name, namespaces: found.namespaces };
  }

  /** Makes a token. It is told here once and kept nowhere. Throws ERR_TOKEN for a name that is taken or not a name. */
  create(name: string, options: { readonly namespaces?: readonly string[]; readonly lifetimeMs?: number } = {}): string {
    const { namespaces, lifetimeMs } = options;
    for (const each of [name, ...(namespaces ?? [])]) {
      if (!namePattern.test(each)) throw new CirriError('ERR_TOKEN', `"${each}" is not a name`, { mend: 'small letters, digits, dashes and dots' });
    }
    if (namespaces?.length === 0) throw new CirriError('ERR_TOKEN', 'a token for no namespace sees nothing', { mend: 'name a namespace, or leave them out for everything' });
    const kept = this.#stored().filter(stored => !this.#isOver(stored));
    if (kept.some(stored => stored.name === name)) throw new CirriError('ERR_TOKEN', `there is a token ${name} already`, { mend: `cirri hubble token delete ${name}` });
    const token = `cirri-${randomBytes(32).toString('base64url')}`;
    const now = this.#now();
    this.#write([...kept, {
      name, namespaces: namespaces === undefined ? undefined : [...new Set(namespaces)].sort(), created: now.toISOString(),
      expires: lifetimeMs === undefined ? undefined : new Date(now.getTime() + lifetimeMs).toISOString(), sha256: hashOf(token),
    }]);
    return token;
  }

  list(): TokenInfo[] {
    return this.#stored().map(({ sha256: _, ...info }) => info);
  }

  /** False when there was none of this name. */
  delete(name: string): boolean {
    const stored = this.#stored();
    const kept = stored.filter(each => each.name !== name);
    if (kept.length === stored.length) return false;
    this.#write(kept);
    return true;
  }

  #isOver({ expires }: StoredToken): boolean {
    return expires !== undefined && Date.parse(expires) <= this.#now().getTime();
  }

  #stored(): readonly StoredToken[] {
    let version: string;
    try {
      const { mtimeNs, size, ino } = statSync(this.#path, { bigint: true });
      version = `${ino}-${size}-${mtimeNs}`;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      this.#readAs = '';
      return (this.#known = []);
    }
    if (version === this.#readAs) return this.#known;
    this.#known = parseTokens(readFileSync(this.#path, 'utf8'), this.#path);
    this.#readAs = version;
    return this.#known;
  }

  /** Whole or not at all, and never readable by others. */
  #write(tokens: readonly StoredToken[]): void {
    mkdirSync(join(this.#path, '..'), { recursive: true, mode: 0o700 });
    const next = `${this.#path}.${process.pid}.new`;
    writeFileSync(next, `${JSON.stringify({ tokens }, undefined, 2)}\n`, { mode: 0o600 });
    renameSync(next, this.#path);
    this.#readAs = '';
  }
}

/** The token of an `authorization` header or metadata entry: `Bearer TOKEN`. */
export function bearerToken(authorization: string | undefined): string | undefined {
  return /^Bearer +(\S+) *$/i.exec(authorization ?? '')?.[1];
}

/** Whether a flow between these namespaces may be seen. An end outside of the cluster has none. */
export function maySee(access: Access, source: string | undefined, destination: string | undefined): boolean {
  const { namespaces } = access;
  if (namespaces === undefined) return true;
  return (source !== undefined && namespaces.includes(source)) || (destination !== undefined && namespaces.includes(destination));
}

function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}

/** A file that is not what it should be lets nobody in, and says so. */
function parseTokens(text: string, path: string): StoredToken[] {
  const broken = (cause?: unknown) => new CirriError('ERR_TOKENS', `the token file ${path} is damaged: no token is accepted`, { cause, mend: 'delete the file and make new tokens: cirri hubble token create' });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw broken(error);
  }
  const { tokens } = (value ?? {}) as { tokens?: unknown };
  if (!Array.isArray(tokens)) throw broken();
  return (tokens as unknown[]).map(entry => {
    const { name, namespaces, created, expires, sha256 } = entry as Record<string, unknown>;
    const isList = namespaces === undefined || (Array.isArray(namespaces) && namespaces.every(each => typeof each === 'string'));
    if (typeof name !== 'string' || typeof sha256 !== 'string' || !/^[0-9a-f]{64}$/.test(sha256) || !isList) throw broken();
    if (expires !== undefined && (typeof expires !== 'string' || Number.isNaN(Date.parse(expires)))) throw broken();
    return { name, namespaces: namespaces as string[] | undefined, created: String(created), expires, sha256 };
  });
}
