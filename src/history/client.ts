import { connect } from 'node:net';
import { timeOfFlowId } from '../flows/flow-id.ts';
import { canonicalTime } from '../flows/query.ts';
import type { FlowsQuery, HistoryAnswer, HistoryQuery } from '../model/history.ts';
import { CirriError, errorText } from '../std/errors.ts';
import { FrameKind, FrameReader, jsonFrame } from './frames.ts';

/** Answers to one question, as raw JSON: to be passed on without being read. The last is of kind `end` or `error`. */
export async function* queryBytes(socketPath: string, query: HistoryQuery | Uint8Array, signal?: AbortSignal): AsyncGenerator<Buffer> {
  const socket = connect(socketPath);
  const stop = () => socket.destroy(signal!.reason as Error);
  signal?.addEventListener('abort', stop, { once: true });
  let waiting: Buffer[] = [];
  const reader = new FrameReader((kind, content) => {
    if (kind !== FrameKind.answer) throw new Error(`a frame of kind ${kind} where an answer was expected`);
    waiting.push(Buffer.from(content));
  });
  try {
    socket.write(query instanceof Uint8Array ? rawQuery(query) : jsonFrame(FrameKind.query, query));
    for await (const bytes of socket) {
      reader.push(bytes as Buffer);
      const answers = waiting;
      waiting = [];
      for (const answer of answers) {
        yield answer;
        if (isLast(answer)) return;
      }
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ECONNREFUSED') throw new CirriError('ERR_HISTORY_AWAY', 'the flow history does not answer', { cause: error, mend: 'cirri status; is hubble.history.enabled set?' });
    throw error;
  } finally {
    signal?.removeEventListener('abort', stop);
    socket.destroy();
  }
  throw new CirriError('ERR_HISTORY_AWAY', 'the flow history broke off in the middle of an answer');
}

/** Answers to one question. Throws CirriError with the code of an answer of kind `error`. */
export async function* queryHistory(socketPath: string, query: HistoryQuery, signal?: AbortSignal): AsyncGenerator<Exclude<HistoryAnswer, { readonly kind: 'error' }>> {
  for await (const bytes of queryBytes(socketPath, query, signal)) {
    const answer = parseAnswer(bytes);
    if (answer.kind === 'error') throw new CirriError(answer.code, answer.message, answer.mend === undefined ? {} : { mend: answer.mend });
    yield answer;
  }
}

export function parseAnswer(bytes: Uint8Array): HistoryAnswer {
  try {
    return JSON.parse(Buffer.from(bytes).toString()) as HistoryAnswer;
  } catch (error) {
    throw new CirriError('ERR_HISTORY_ANSWER', `an answer that is no JSON: ${errorText(error)}`);
  }
}

function rawQuery(bytes: Uint8Array): Buffer {
  // Parsed and written again: what a client sends over gRPC is JSON or nothing.
  return jsonFrame(FrameKind.query, JSON.parse(Buffer.from(bytes).toString()));
}

/** `kind` is the first field of every answer. */
function isLast(answer: Buffer): boolean {
  const start = answer.toString('latin1', 0, 16);
  return start.startsWith('{"kind":"end"') || start.startsWith('{"kind":"error"');
}

/** The question for one flow by its id, which holds its time; undefined for what is no id. */
export function questionForFlow(id: string): (FlowsQuery & Required<Pick<FlowsQuery, 'since' | 'until' | 'last' | 'whitelist'>>) | undefined {
  const time = timeOfFlowId(id)?.getTime();
  if (time === undefined) return undefined;
  const around = (offsetMs: number) => canonicalTime(new Date(time + offsetMs).toISOString());
  return { kind: 'flows', since: around(-1000), until: around(1000), whitelist: [{ uuid: [id] }], last: 1 };
}
