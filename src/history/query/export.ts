import { mkdirSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { HistoryAnswer } from '../../model/history.ts';
import { CirriError } from '../../std/errors.ts';
import { literal } from '../database.ts';
import type { Reader } from './reader.ts';
import { createViews } from './views.ts';

const pieceBytes = 256 << 10;

/** A Parquet file of the flows in the window, written in the history's own folder, sent in pieces and removed. */
export async function answerExport(reader: Reader, folder: string, send: (answer: HistoryAnswer) => Promise<void>): Promise<void> {
  if (reader.slices.some(({ filter }) => filter.residual !== undefined)) {
    throw new CirriError('ERR_FLOW_FILTER', 'a Parquet file cannot be narrowed by this filter', { mend: 'export --format jsonl takes every filter' });
  }
  if (reader.slices.length === 0) throw new CirriError('ERR_HISTORY_EMPTY', 'there are no flows in this time');
  const exports = join(folder, 'export');
  mkdirSync(exports, { recursive: true, mode: 0o700 });
  const path = join(exports, `${randomUUID()}.parquet`);
  try {
    await createViews(reader.connection, reader.slices);
    await reader.connection.run(`COPY (SELECT * FROM flows) TO ${literal(path)} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 20480)`);
    await using file = await open(path);
    const piece = Buffer.alloc(pieceBytes);
    for (;;) {
      const { bytesRead } = await file.read(piece, 0, pieceBytes);
      if (bytesRead === 0 || reader.signal.aborted) return;
      await send({ kind: 'file', data: piece.toString('base64', 0, bytesRead) });
    }
  } finally {
    rmSync(path, { force: true });
  }
}
