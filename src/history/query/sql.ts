import { StatementType, type DuckDBConnection } from '@duckdb/node-api';
import type { HistoryAnswer, SqlQuery } from '../../model/history.ts';
import { CirriError } from '../../std/errors.ts';
import type { HistoryStore } from '../store.ts';
import { guardSql } from './sql-guard.ts';
import { openReader } from './reader.ts';
import { createViews } from './views.ts';

const mostRows = 1_000_000;
const longestMs = 300_000;

/** One SELECT of a user's own. Returns whether there were more rows than asked for. */
export async function answerSql(store: HistoryStore, connection: DuckDBConnection, query: SqlQuery, send: (answer: HistoryAnswer) => Promise<void>, signal: AbortSignal): Promise<boolean> {
  const { sql, limit = 10_000, timeoutMs = 30_000 } = query;
  if (!Number.isInteger(limit) || limit < 1 || limit > mostRows) throw new CirriError('ERR_HISTORY_SQL', `at most ${mostRows} rows, not ${limit}`);
  await guardSql(connection, sql);
  await createViews(connection, (await openReader(store, connection, {}, signal)).slices);
  const extracted = await connection.extractStatements(sql);
  if (extracted.count !== 1) throw new CirriError('ERR_HISTORY_SQL', `SQL: ${extracted.count} statements; one is answered`);
  const prepared = await extracted.prepare(0);
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    connection.interrupt();
  }, Math.min(longestMs, Math.max(1, timeoutMs)));
  try {
    if (prepared.statementType !== StatementType.SELECT) throw new CirriError('ERR_HISTORY_SQL', 'SQL: not a SELECT');
    const result = await prepared.stream();
    await send({ kind: 'columns', columns: result.columnNames().map((name, i) => ({ name, type: result.columnType(i).toString() })) });
    let sent = 0;
    for await (const rows of result.yieldRowsJson()) {
      if (signal.aborted) return false;
      const some = rows.slice(0, limit - sent);
      await send({ kind: 'rows', rows: some });
      sent += some.length;
      if (some.length < rows.length) return true;
    }
    return false;
  } catch (error) {
    if (timedOut) throw new CirriError('ERR_HISTORY_SQL', `SQL: no answer in ${timeoutMs} ms`, { mend: 'narrow it by time, or give --timeout' });
    throw error instanceof CirriError ? error : new CirriError('ERR_HISTORY_SQL', `SQL: ${(error as Error).message}`, { cause: undefined });
  } finally {
    clearTimeout(timer);
    prepared.destroySync();
  }
}
