import type { FlowL7 } from '../model/flow.ts';

/** `settings.hubble.redact`. */
export interface RedactSettings {
  readonly enabled: boolean;
  readonly http: {
    readonly urlQuery: boolean;
    readonly userInfo: boolean;
    readonly headers: { readonly allow: readonly string[]; readonly deny: readonly string[] };
  };
}

/** What stands in the place of what may not be told. */
export const redacted = 'HUBBLE_REDACTED';

/** Takes from an L7 record what the settings forbid to tell, as Hubble does: before anybody sees it. */
export function redactor({ enabled, http }: RedactSettings): (l7: FlowL7) => FlowL7 {
  if (!enabled) return l7 => l7;
  const allow = new Set(http.headers.allow.map(name => name.toLowerCase()));
  const deny = new Set(http.headers.deny.map(name => name.toLowerCase()));
  const mayTell = (name: string) => !deny.has(name.toLowerCase()) && (allow.size === 0 || allow.has(name.toLowerCase()));
  return l7 => {
    if (!l7.http) return l7;
    const { url, headers } = l7.http;
    return {
      ...l7,
      http: {
        ...l7.http,
        url: redactUrl(url, http),
        ...(headers && { headers: headers.map(header => (mayTell(header.key) ? header : { key: header.key, value: redacted })) }),
      },
    };
  };
}

/** By its text alone: what is no URL must not get through for that. */
function redactUrl(url: string, settings: RedactSettings['http']): string {
  let text = url;
  if (settings.urlQuery) text = text.replace(/[?#].*$/s, '');
  // RFC 3986 §3.2: the authority ends at the first slash, question mark or number sign; the user at its last "@".
  return settings.userInfo ? text.replace(/^((?:[a-z][a-z0-9+.-]*:)?\/\/)([^/?#]*)@/i, (_, scheme: string, user: string) => `${scheme}${userOf(user)}@`) : text;
}

function userOf(user: string): string {
  const colon = user.indexOf(':');
  return colon < 0 ? user : `${user.slice(0, colon)}:${redacted}`;
}
