import type { WebError } from '../../../src/model/web.ts';

export class ApiError extends Error {
  readonly status: number;
  readonly mend: string | undefined;

  constructor(status: number, message: string, mend?: string) {
    super(message);
    this.status = status;
    this.mend = mend;
  }
}

/** The server's JSON. Throws ApiError; status 0 where nobody answers. */
export async function getJson<T>(path: string, signal?: AbortSignal): Promise<T> {
  return await (await call(path, { signal: signal ?? null })).json() as T;
}

export async function postJson<T>(path: string, body: object): Promise<T> {
  return await (await call(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })).json() as T;
}

export async function call(path: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, { ...init, credentials: 'same-origin', cache: 'no-store' });
  } catch (error) {
    if ((error as Error).name === 'AbortError') throw error;
    throw new ApiError(0, 'the server does not answer');
  }
  if (response.ok) return response;
  const said = await response.json().catch(() => ({ error: response.statusText })) as WebError;
  throw new ApiError(response.status, said.error, said.mend);
}

/** The lines of a stream of JSON lines, as they come. */
export async function* jsonLines<T>(response: Response): AsyncGenerator<T[], void, undefined> {
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split('\n');
    rest = parts.pop()!;
    if (parts.length > 0) yield parts.map(part => JSON.parse(part) as T);
  }
}
