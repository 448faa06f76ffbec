import { randomBytes } from 'node:crypto';
import { createSecureContext, type SecureContext } from 'node:tls';
import type { L7Tls } from '../../model/l7.ts';
import { CirriError, errorText } from '../../std/errors.ts';

/** What TLS is made with towards the two sides. */
export interface TlsContexts {
  /** Towards the client, as its server. */
  readonly terminating: { readonly cert: string; readonly key: string; readonly ca: string | undefined; readonly ticketKeys: Buffer } | undefined;
  /** Towards the server, as its client. `isPinned`: only what this authority has signed is trusted. */
  readonly originating: { readonly context: SecureContext; readonly isPinned: boolean } | undefined;
  /** Equal for equal secrets. */
  readonly key: string;
}

/** Undefined when nothing is opened: names only. Throws for secrets that are no certificate or key. */
export function compileContexts({ terminating, originating }: L7Tls): TlsContexts | undefined {
  if (!terminating && !originating) return undefined;
  try {
    // Read once here, so that a bad secret is told when the set is loaded and not at each connection.
    if (terminating) createSecureContext({ cert: terminating.certificate, key: terminating.key, ca: terminating.trustedCa });
    return {
      terminating: terminating && { cert: terminating.certificate, key: terminating.key, ca: terminating.trustedCa, ticketKeys: randomBytes(48) },
      originating: originating && { context: createSecureContext({ ca: originating.trustedCa, cert: originating.certificate, key: originating.key }), isPinned: originating.trustedCa !== undefined },
      key: JSON.stringify([terminating, originating]),
    };
  } catch (error) {
    throw new CirriError('ERR_L7_TLS', `a secret for TLS cannot be used: ${errorText(error)}`, { mend: 'put a certificate and its key in PEM into the Secret', cause: error });
  }
}
