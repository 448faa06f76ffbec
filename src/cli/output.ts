import { stringify } from 'yaml';
import { createPaint, wantsColour, type Paint } from '../flows/print/paint.ts';
import { alignColumns } from '../flows/print/table.ts';
import { CirriError } from '../std/errors.ts';

export const line = (text = ''): void => void process.stdout.write(text + '\n');

export function stdoutPaint(): Paint {
  return createPaint(wantsColour('auto', process.stdout, process.env));
}

/** Header in capitals, then rows. */
export function printTable(header: readonly string[], rows: readonly (readonly string[])[]): void {
  for (const text of alignColumns([header, ...rows])) line(text.trimEnd());
}

/** `-o json`, `-o yaml`; false when the caller is to print it itself. */
export function printStructured(format: string | undefined, value: unknown): boolean {
  if (format === undefined) return false;
  if (format === 'json') line(JSON.stringify(value, undefined, 2));
  else if (format === 'yaml') process.stdout.write(stringify(value));
  else throw new CirriError('ERR_FLAG', `-o ${format}: known are json and yaml`);
  return true;
}

/** `3 days`, `12 min`: how long ago, in one unit. */
export function ago(time: string | undefined, now = Date.now()): string {
  const seconds = Math.max(0, Math.round((now - Date.parse(time ?? '')) / 1000));
  if (!Number.isFinite(seconds)) return '-';
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)}h` : `${Math.floor(seconds / 86_400)}d`;
}

export function bytes(count: number): string {
  if (count < 1024) return `${count} B`;
  return count < 1 << 20 ? `${Math.round(count / 1024)} KiB` : `${Math.round(count / (1 << 20))} MiB`;
}
