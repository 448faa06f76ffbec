import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { LineSplitter } from '../../kube/lines.ts';
import { CirriError } from '../../std/errors.ts';

const timeoutMs = 10_000;
const maxAnswerBytes = 64 << 20;

/** One answer of an agent's local API. Undefined when nobody is there. */
export async function askAgent<T>(socketPath: string, path: string): Promise<T | undefined> {
  const response = await open(socketPath, path, AbortSignal.timeout(timeoutMs)).catch(notThere);
  if (!response) return undefined;
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxAnswerBytes) throw new CirriError('ERR_AGENT', `${path} of an agent is larger than can be shown`);
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString('utf8');
  if (response.statusCode !== 200) throw new CirriError('ERR_AGENT', `an agent refused ${path.split('?')[0]}: ${errorIn(text)}`);
  return JSON.parse(text) as T;
}

/** JSON lines of an agent's local API, until it ends or the signal aborts. Throws when nobody is there or it is refused. */
export async function* followAgent<T>(socketPath: string, path: string, signal: AbortSignal): AsyncGenerator<T, void, undefined> {
  const response = await open(socketPath, path, signal);
  if (response.statusCode !== 200) throw new CirriError('ERR_AGENT', `an agent refused ${path.split('?')[0]} with status ${response.statusCode}`);
  const lines = new LineSplitter();
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) for (const text of lines.push(chunk)) yield JSON.parse(text) as T;
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    response.destroy();
  }
}

async function open(socketPath: string, path: string, signal: AbortSignal): Promise<IncomingMessage> {
  const call = request({ socketPath, path, agent: false, signal });
  call.end();
  const [response] = await once(call, 'response') as [IncomingMessage];
  // An abort after the answer has begun ends the reading above; the call's own error is the same news.
  call.on('error', () => {});
  return response;
}

function notThere(error: NodeJS.ErrnoException): undefined {
  if (['ENOENT', 'ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ABORT_ERR'].includes(error.code ?? '') || error.name === 'TimeoutError') return undefined;
  throw error;
}

function errorIn(text: string): string {
  try {
    return (JSON.parse(text) as { error: string }).error;
  } catch {
    return text.slice(0, 200);
  }
}
