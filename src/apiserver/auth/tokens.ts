import { createHmac, timingSafeEqual } from 'node:crypto';

/** Who a service-account token speaks for. */
export interface TokenSubject { readonly namespace: string; readonly name: string; readonly uid: string; readonly audiences: readonly string[]; readonly expires: number }

/** Issues and checks service-account tokens: JWTs signed with a key that never leaves the server (HS256, RFC 7519). */
export class TokenIssuer {
  readonly #key: Buffer;

  constructor(key: Buffer) {
    this.#key = key;
  }

  issue(subject: TokenSubject, now: Date): string {
    const issued = Math.floor(now.getTime() / 1000);
    const claims = {
      iss: issuer, sub: `system:serviceaccount:${subject.namespace}:${subject.name}`, aud: subject.audiences, exp: subject.expires, iat: issued, nbf: issued,
      'kubernetes.io': { namespace: subject.namespace, serviceaccount: { name: subject.name, uid: subject.uid } },
    };
    const text = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(claims)}`;
    return `${text}.${this.#sign(text)}`;
  }

  /** The subject of a token that this server has issued and that has not expired. */
  check(token: string, now: Date): TokenSubject | undefined {
    const parts = token.split('.');
    if (parts.length !== 3) return undefined;
    if (!sameText(parts[2]!, this.#sign(`${parts[0]}.${parts[1]}`))) return undefined;
    // The signature is ours, so the claims are what `issue` wrote.
    const claims = JSON.parse(Buffer.from(parts[1]!, 'base64url').toString('utf8')) as Claims;
    if (claims.exp <= now.getTime() / 1000) return undefined;
    const { namespace, serviceaccount } = claims['kubernetes.io'];
    return { namespace, name: serviceaccount.name, uid: serviceaccount.uid, audiences: claims.aud, expires: claims.exp };
  }

  #sign(text: string): string {
    return createHmac('sha256', this.#key).update(text).digest('base64url');
  }
}

export const issuer = 'https://kubernetes.default.svc';

interface Claims { readonly exp: number; readonly aud: readonly string[]; readonly 'kubernetes.io': { readonly namespace: string; readonly serviceaccount: { readonly name: string; readonly uid: string } } }

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** Comparison whose time tells nothing about where two texts differ. */
export function sameText(a: string, b: string): boolean {
  const left = Buffer.from(a);
  const right = Buffer.from(b);
  return left.length === right.length && timingSafeEqual(left, right);
}
