import { once } from 'node:events';
import type { Writable } from 'node:stream';

const chunkChars = 1 << 16;

export interface WriteOptions<R> {
  readonly json: boolean;
  readonly text: (row: R) => string;
  readonly header?: string;
}

/** Rows as they come, no faster than the reader takes them: a table may have half a million. JSON is one array. */
export async function writeRows<R extends object>(rows: Iterable<R>, options: WriteOptions<R>, to: Writable = process.stdout): Promise<void> {
  const { json, text, header } = options;
  let waiting = json ? '[' : header === undefined ? '' : `${header}\n`;
  let first = true;
  for (const row of rows) {
    waiting += json ? `${first ? '\n' : ',\n'}${JSON.stringify(row)}` : `${text(row)}\n`;
    first = false;
    if (waiting.length < chunkChars) continue;
    if (!to.write(waiting)) await once(to, 'drain');
    waiting = '';
  }
  to.write(json ? `${waiting}\n]\n` : waiting);
}
