import { createHash, randomBytes } from 'node:crypto';

/** What a session may see: everything, or flows with an end in one of these namespaces. */
export interface WebRole {
  readonly namespaces?: readonly string[];
}

/** Who holds a long-lived token of the cluster. Undefined: nobody. */
export type TokenCheck = (token: string) => WebRole | undefined;

const ticketMs = 10 * 60_000;
/** Since it was last used. */
const sessionMs = 12 * 3_600_000;
const maxTickets = 64;
const maxSessions = 1024;

interface Kept {
  /** Asked each time: a token that is taken back ends the sessions it has opened. */
  readonly role: () => WebRole | undefined;
  readonly until: number;
}

/**
 * Tickets and sessions. A ticket is what `cirri ui` puts behind the # of the address: good once, for ten minutes. The page
 * exchanges it, or a token, for a session, whose secret is in a cookie that scripts cannot read. Only digests are kept, so
 * that finding one takes no time that tells of its letters.
 */
export class WebSessions {
  readonly #tickets = new Map<string, Kept>();
  readonly #sessions = new Map<string, Kept>();
  readonly #tokens: TokenCheck;
  readonly #now: () => number;

  constructor(options: { readonly tokens?: TokenCheck; readonly now?: () => number } = {}) {
    this.#tokens = options.tokens ?? (() => undefined);
    this.#now = options.now ?? Date.now;
  }

  ticket(role: WebRole): string {
    return this.#keep(this.#tickets, () => role, ticketMs, maxTickets);
  }

  /** The secret of a new session for a ticket or a token; undefined when it is neither. */
  open(secret: string): string | undefined {
    const key = digest(secret);
    const ticket = this.#tickets.get(key);
    this.#tickets.delete(key);
    const role = ticket && ticket.until > this.#now() ? ticket.role : () => this.#tokens(secret);
    return role() && this.#keep(this.#sessions, role, sessionMs, maxSessions);
  }

  role(secret: string | undefined): WebRole | undefined {
    if (secret === undefined) return undefined;
    const key = digest(secret);
    const session = this.#sessions.get(key);
    if (!session) return undefined;
    this.#sessions.delete(key);
    const role = session.role();
    if (!role || session.until <= this.#now()) return undefined;
    // Last used, last to be forgotten.
    this.#sessions.set(key, { role: session.role, until: this.#now() + sessionMs });
    return role;
  }

  close(secret: string): void {
    this.#sessions.delete(digest(secret));
  }

  #keep(map: Map<string, Kept>, role: Kept['role'], ms: number, most: number): string {
    const secret = randomBytes(24).toString('base64url');
    for (const [key, { until }] of map) if (until <= this.#now() || map.size >= most) map.delete(key);
    map.set(digest(secret), { role, until: this.#now() + ms });
    return secret;
  }
}

function digest(secret: string): string {
  return createHash('sha256').update(secret).digest('base64');
}
