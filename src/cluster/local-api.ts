import { request } from 'node:http';
import { CirriError } from '../std/errors.ts';

/** One call of a local API over its unix socket. Undefined when nobody listens. */
export async function callLocal<T>(socketPath: string, path: string, options: { readonly method?: string; readonly timeoutMs?: number; readonly signal?: AbortSignal } = {}): Promise<T | undefined> {
  const { method = 'GET', timeoutMs = 5_000, signal } = options;
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, path, method, timeout: timeoutMs, agent: false, signal }, response => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        if (response.statusCode !== 200) {
          reject(new CirriError('ERR_LOCAL_API', `${method} ${path} at ${socketPath}: status ${response.statusCode}: ${text.trim().slice(0, 300)}`));
          return;
        }
        resolve((text === '' ? undefined : JSON.parse(text)) as T);
      });
    });
    call.on('timeout', () => call.destroy(new CirriError('ERR_LOCAL_API', `${path} at ${socketPath}: no answer in ${timeoutMs} ms`)));
    call.on('error', (error: NodeJS.ErrnoException) => {
      // Nobody there, or it went away in the middle: both mean "not now".
      if (['ENOENT', 'ECONNREFUSED', 'ECONNRESET', 'EPIPE'].includes(error.code ?? '')) resolve(undefined);
      else reject(error);
    });
    call.end();
  });
}
