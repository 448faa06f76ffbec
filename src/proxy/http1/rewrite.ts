/** A head written anew: the same bytes but for the header fields that policy changes, or that end a connection. */
import type { HeaderMutation } from '../../policy/l7-match.ts';
import { lineFeed, tokenLower } from './bytes.ts';

/** `head` is whole and well-formed, with its empty line. `dropH2c` takes the wish for HTTP/2 out. */
export function rewriteHead(head: Buffer, mutations: readonly HeaderMutation[], dropH2c: boolean): Buffer {
  const lines = linesOf(head);
  const [requestLine, ...fields] = lines;
  let kept = fields.map(line => ({ name: nameOf(line), line }));
  if (dropH2c) kept = kept.flatMap(({ name, line }) => (name === 'upgrade' || name === 'http2-settings' ? [] : name === 'connection' ? withoutUpgrade(line) : [{ name, line }]));
  for (const { op, name, value } of mutations) {
    if (op !== 'add') kept = kept.filter(field => field.name !== name);
    if (op !== 'delete') kept.push({ name, line: Buffer.from(`${name}: ${value ?? ''}\r\n`, 'latin1') });
  }
  return Buffer.concat([requestLine!, ...kept.map(({ line }) => line), Buffer.from('\r\n')]);
}

/** Each with its CR LF; the empty one at the end is left out. */
function linesOf(head: Buffer): readonly Buffer[] {
  const lines: Buffer[] = [];
  let start = 0;
  for (let at = head.indexOf(lineFeed); at >= 0; at = head.indexOf(lineFeed, start)) {
    if (at - start > 1) lines.push(head.subarray(start, at + 1));
    start = at + 1;
  }
  return lines;
}

function nameOf(line: Buffer): string {
  let end = 0;
  while (tokenLower[line[end]!] !== 0) end++;
  return line.toString('latin1', 0, end).toLowerCase();
}

function withoutUpgrade(line: Buffer): { name: string; line: Buffer }[] {
  const value = line.toString('latin1', line.indexOf(58) + 1).trim();
  const options = value.split(',').map(option => option.trim()).filter(option => option !== '' && !['upgrade', 'http2-settings'].includes(option.toLowerCase()));
  return options.length === 0 ? [] : [{ name: 'connection', line: Buffer.from(`Connection: ${options.join(', ')}\r\n`, 'latin1') }];
}
