import { useEffect, useState } from 'preact/hooks';
import { ApiError, getJson } from '../state/api.ts';
import { session } from '../state/session.ts';

export type Answer<T> =
  | { readonly state: 'loading'; readonly value?: T }
  | { readonly state: 'there'; readonly value: T }
  | { readonly state: 'failed'; readonly error: string; readonly mend?: string | undefined; readonly status: number; readonly value?: T };

/** What the server says to a path, asked again when that changes and, where `everyMs` says so, from time to time. */
export function useAnswer<T>(path: string | undefined, everyMs?: number): Answer<T> {
  const [answer, setAnswer] = useState<{ readonly path: string | undefined; readonly answer: Answer<T> }>({ path, answer: { state: 'loading' } });
  useEffect(() => {
    if (path === undefined) return;
    const leaving = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const ask = async () => {
      try {
        const value = await getJson<T>(path, leaving.signal);
        setAnswer({ path, answer: { state: 'there', value } });
      } catch (error) {
        if (leaving.signal.aborted) return;
        if (error instanceof ApiError && error.status === 401) return session.set({ state: 'signed-out' });
        const failure = { state: 'failed' as const, error: (error as Error).message, status: error instanceof ApiError ? error.status : 0, mend: error instanceof ApiError ? error.mend : undefined };
        setAnswer(before => ({ path, answer: { ...failure, ...(before.path === path && before.answer.value !== undefined && { value: before.answer.value }) } }));
      }
      if (everyMs !== undefined && !leaving.signal.aborted) timer = setTimeout(() => void ask(), everyMs);
    };
    void ask();
    return () => {
      leaving.abort();
      clearTimeout(timer);
    };
  }, [path, everyMs]);
  return answer.path === path ? answer.answer : { state: 'loading' };
}
