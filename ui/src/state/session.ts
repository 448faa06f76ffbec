import type { WebSession } from '../../../src/model/web.ts';
import { ApiError, getJson, postJson } from './api.ts';
import { Store } from './store.ts';

export type SessionState =
  | { readonly state: 'opening' }
  | { readonly state: 'signed-out'; readonly problem?: string }
  | { readonly state: 'unreachable' }
  | { readonly state: 'open'; readonly session: WebSession };

export const session = new Store<SessionState>({ state: 'opening' });

const retryMs = 2000;

/** Exchanges the token behind the # for a session: it stands in the address for a moment only, and in no log. */
export async function openSession(): Promise<void> {
  const token = new URLSearchParams(location.hash.slice(1)).get('token');
  if (location.hash !== '') history.replaceState(null, '', location.pathname + location.search);
  let problem: string | undefined;
  if (token !== null) problem = await signIn(token);
  await look(problem);
}

async function look(problem?: string): Promise<void> {
  try {
    session.set({ state: 'open', session: await getJson<WebSession>('/api/session') });
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) return session.set({ state: 'signed-out', ...(problem !== undefined && { problem }) });
    session.set({ state: 'unreachable' });
    setTimeout(() => void look(problem), retryMs);
  }
}

/** What is wrong with the token; undefined when it was good. */
export async function signIn(token: string): Promise<string | undefined> {
  try {
    await postJson('/api/login', { token });
    return undefined;
  } catch (error) {
    return error instanceof ApiError && error.status === 401 ? 'This token is not good, or was used already.' : (error as Error).message;
  }
}

export async function signInAndLook(token: string): Promise<void> {
  await look(await signIn(token));
}

export async function signOut(): Promise<void> {
  await postJson('/api/logout', {}).catch(() => {});
  session.set({ state: 'signed-out' });
}
