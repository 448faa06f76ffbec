import type { DuckDBConnection } from '@duckdb/node-api';
import type { HistoryAnswer, HistoryEnd, HistoryQuery } from '../../model/history.ts';
import { CirriError, errorText } from '../../std/errors.ts';
import { isDamage } from '../partition.ts';
import type { HistoryStore } from '../store.ts';
import { answerExport } from './export.ts';
import { answerFlows } from './flows.ts';
import { answerGroups } from './groups.ts';
import { answerMap } from './map.ts';
import { answerPairs } from './pairs.ts';
import { openReader, type Reader } from './reader.ts';
import { answerSql } from './sql.ts';
import { answerTimeline } from './timeline.ts';

type Send = (answer: HistoryAnswer) => Promise<void>;

/** Answers one question; what goes wrong is the answer's end. A damaged file is set aside, and the question asked again of the rest. */
export async function answerQuery(store: HistoryStore, query: HistoryQuery, send: Send, signal: AbortSignal): Promise<void> {
  const startedAt = performance.now();
  const { node } = store.options;
  let sent = 0;
  const counting: Send = answer => {
    sent++;
    return send(answer);
  };
  try {
    let end: Pick<HistoryEnd, 'gaps' | 'more'>;
    try {
      end = await answerOnce(store, query, counting, signal);
    } catch (error) {
      if (!isDamage(error) || sent > 0 || (await store.findDamage()) === 0) throw error;
      end = await answerOnce(store, query, counting, signal);
    }
    await send({ kind: 'end', node, ...end, tookMs: Math.round((performance.now() - startedAt) * 10) / 10 });
  } catch (error) {
    if (signal.aborted) return;
    const { code, message, mend } = asAnswer(error);
    await send({ kind: 'error', node, code, message, ...(mend !== undefined && { mend }) });
  }
}

function asAnswer(error: unknown): Pick<CirriError, 'code' | 'message' | 'mend'> {
  const message = errorText(error);
  if (/Out of Memory/i.test(message)) return { code: 'ERR_HISTORY_MEMORY', message: 'the question needs more memory than the history may take', mend: 'ask about a shorter time, or group by less' };
  return error instanceof CirriError ? { code: error.code, message, mend: error.mend } : { code: 'ERR_HISTORY', message, mend: undefined };
}

async function answerOnce(store: HistoryStore, query: HistoryQuery, send: Send, signal: AbortSignal): Promise<Pick<HistoryEnd, 'gaps' | 'more'>> {
  if (query.kind === 'status') {
    await send({ kind: 'status', status: await store.status() });
    return { gaps: [] };
  }
  const connection = await store.connect();
  const stop = () => connection.interrupt();
  signal.addEventListener('abort', stop, { once: true });
  try {
    return await answerWith(store, connection, query, send, signal);
  } finally {
    signal.removeEventListener('abort', stop);
    connection.closeSync();
  }
}

async function answerWith(store: HistoryStore, connection: DuckDBConnection, query: HistoryQuery, send: Send, signal: AbortSignal): Promise<Pick<HistoryEnd, 'gaps' | 'more'>> {
  if (query.kind === 'status') throw new CirriError('ERR_HISTORY_QUERY', 'a status has no reader');
  if (query.kind === 'sql') {
    const more = await answerSql(store, connection, query, send, signal);
    return { gaps: [], ...(more && { more }) };
  }
  const reader = await openReader(store, connection, query, signal);
  const more = await answerKind(reader, query, send, store.options);
  return { gaps: await store.gaps(reader.since, reader.until), ...(more && { more }) };
}

async function answerKind(reader: Reader, query: Exclude<HistoryQuery, { readonly kind: 'status' | 'sql' }>, send: Send, { folder, nodeName }: HistoryStore['options']): Promise<boolean> {
  switch (query.kind) {
    case 'flows': return answerFlows(reader, query, send);
    case 'groups': {
      const { groups, more } = await answerGroups(reader, query);
      await send({ kind: 'groups', groups });
      return more;
    }
    case 'pairs': return answerPairs(reader, query, send);
    case 'timeline':
      await send({ kind: 'timeline', buckets: await answerTimeline(reader, query) });
      return false;
    case 'map':
      await send({ kind: 'map', interval: await answerMap(reader, nodeName) });
      return false;
    case 'export':
      await answerExport(reader, folder, send);
      return false;
    default: throw new CirriError('ERR_HISTORY_QUERY', `no question of kind "${(query as { kind: string }).kind}"`);
  }
}
