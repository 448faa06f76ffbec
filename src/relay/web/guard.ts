import type { IncomingMessage, ServerResponse } from 'node:http';

/**
 * What every answer says. Nothing but this origin's own files runs, nothing is asked of anybody else, nobody may frame the
 * page or read its answers: there are no CORS headers at all (CVE-2025-23047 was the lack of this). Scripts may not make markup
 * of text either (trusted types), whatever a flow's names hold.
 */
export const securityHeaders: Readonly<Record<string, string>> = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types cirri",
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), microphone=(), geolocation=(), clipboard-read=()',
};

/**
 * Why a request is not one of our own page, undefined when it is: its Host is none of ours (DNS rebinding makes a foreign page
 * the "same origin" with an address of ours, but cannot change the name it was loaded by), or a foreign page sent it.
 */
export function foreignRequest(request: IncomingMessage, names: ReadonlySet<string>): string | undefined {
  const host = request.headers.host ?? '';
  if (!names.has(nameOf(host))) return `this server is not ${JSON.stringify(host)}`;
  const origin = request.headers.origin;
  if (origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`) return 'requests of other origins are not answered';
  const site = request.headers['sec-fetch-site'];
  // The page itself may be opened from anywhere: it holds no data.
  if (site !== undefined && site !== 'same-origin' && site !== 'none' && request.headers['sec-fetch-mode'] !== 'navigate') return 'requests of other sites are not answered';
  return undefined;
}

/** Of any port: a forwarded one (ssh -L) has another number here than there, and it is the name that rebinding cannot choose. */
function nameOf(host: string): string {
  return host.toLowerCase().replace(/:\d+$/, '');
}

/** Names under which a listener on this address is reached. */
export function ownNames(address: string, more: readonly string[] = []): ReadonlySet<string> {
  return new Set(['127.0.0.1', 'localhost', '[::1]', address.includes(':') ? `[${address}]` : address, ...more].map(name => name.toLowerCase()));
}

export function cookieOf(request: IncomingMessage, name: string): string | undefined {
  for (const part of (request.headers.cookie ?? '').split(';')) {
    const at = part.indexOf('=');
    if (part.slice(0, at).trim() === name) return part.slice(at + 1).trim();
  }
  return undefined;
}

export function setCookie(response: ServerResponse, name: string, value: string, options: { readonly secure: boolean; readonly gone?: boolean }): void {
  response.setHeader('set-cookie', `${name}=${value}; Path=/; HttpOnly; SameSite=Strict${options.secure ? '; Secure' : ''}${options.gone ? '; Max-Age=0' : ''}`);
}
