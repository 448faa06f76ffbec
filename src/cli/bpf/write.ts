const chunkChars = 1 << 16;

/** Rows as they come: a table may have half a million. JSON is one array. */
export function writeRows<R extends object>(rows: Iterable<R>, options: { readonly json: boolean; readonly text: (row: R) => string; readonly header?: string }): void {
  const { json, text, header } = options;
  let waiting = json ? '[' : header === undefined ? '' : `${header}\n`;
  let first = true;
  for (const row of rows) {
    waiting += json ? `${first ? '\n' : ',\n'}${JSON.stringify(row)}` : `${text(row)}\n`;
    first = false;
    if (waiting.length < chunkChars) continue;
    process.stdout.write(waiting);
    waiting = '';
  }
  process.stdout.write(json ? `${waiting}\n]\n` : waiting);
}
