import type { Store } from '../store/store.ts';
import { unauthorized } from '../status.ts';
import { adminUser, anonymousUser, serviceAccountUser } from './user.ts';
import type { User } from './user.ts';
import { sameText } from './tokens.ts';
import type { TokenIssuer } from './tokens.ts';

export interface Authenticator { readonly adminToken: string; readonly tokens: TokenIssuer; readonly store: Store; readonly now: () => Date }

/** Who sends a request. The unix socket's permissions have decided already; elsewhere a bearer token does. 401 for a token that nobody knows. */
export function authenticate(header: string | undefined, trustedSocket: boolean, dependencies: Authenticator): User {
  if (header === undefined || header === '') return trustedSocket ? adminUser : anonymousUser;
  const token = /^Bearer +(\S+)$/i.exec(header)?.[1];
  if (token === undefined) throw unauthorized();
  const user = userOfToken(token, dependencies);
  if (!user) throw unauthorized();
  return user;
}

export function userOfToken(token: string, { adminToken, tokens, store, now }: Authenticator): User | undefined {
  if (sameText(token, adminToken)) return adminUser;
  const subject = tokens.check(token, now());
  if (!subject) return undefined;
  // A token ends with its account: a new account of the same name has another UID.
  const account = store.get('serviceaccounts', subject.namespace, subject.name)?.object;
  if (account?.metadata.uid !== subject.uid || account.metadata.deletionTimestamp) return undefined;
  return serviceAccountUser(subject.namespace, subject.name, subject.uid);
}
