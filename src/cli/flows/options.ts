import type { Command } from 'commander';
import { compileFilters } from '../../flows/filter.ts';
import { filterFlags, filterSwitches, filtersFromFlags, shortFilterFlags, type FlagUse } from '../../flows/flags.ts';
import { parseTime } from '../../flows/query.ts';
import type { HistoryFilter, HistoryGap, HistoryWindow } from '../../model/history.ts';
import { CirriError } from '../../std/errors.ts';
import { gapText } from '../histories.ts';

export interface WindowFlags {
  readonly since?: string;
  readonly until?: string;
}

export function addWindow(command: Command, since?: string): Command {
  return command
    .option('--since <time>', `30s, 5m, 7d ago, or a time${since === undefined ? '' : ` (default ${since})`}`, since)
    .option('--until <time>', 'likewise');
}

/** The filters of observe. `uses` gets them in the order in which they are written. */
export function addFilters(command: Command, uses: FlagUse[]): Command {
  const short = (name: string) => (shortFilterFlags[name] === undefined ? '' : `-${shortFilterFlags[name]}, `);
  for (const [name, value, help] of filterFlags) command.option(`${short(name)}--${name} <${value}>`, help, (given: string) => void uses.push([name, given]));
  for (const [name, help] of filterSwitches) {
    command.option(`${short(name)}--${name}`, help);
    command.on(`option:${name}`, () => void uses.push([name, '']));
  }
  return command;
}

/** Throws before anything is asked when a filter or a time does not parse. */
export function windowOf(flags: WindowFlags, uses: readonly FlagUse[]): HistoryWindow {
  const { whitelist, blacklist } = filtersFromFlags(uses);
  compileFilters(whitelist, blacklist);
  const since = flags.since === undefined ? undefined : parseTime(flags.since);
  const until = flags.until === undefined ? undefined : parseTime(flags.until);
  if (since !== undefined && until !== undefined && since >= until) throw new CirriError('ERR_FLAG', 'that time ends before it begins', { mend: '--since must be before --until' });
  return {
    ...(since !== undefined && { since }), ...(until !== undefined && { until }),
    ...(whitelist.length > 0 && { whitelist: whitelist as readonly HistoryFilter[] }), ...(blacklist.length > 0 && { blacklist: blacklist as readonly HistoryFilter[] }),
  };
}

export function countOf(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new CirriError('ERR_FLAG', `--${name} must be a number from 1, not "${text}"`);
  return Number(text);
}

/** What the record lacks is said where the answer is read, on the other output. */
export function tellGaps(gaps: readonly HistoryGap[]): void {
  for (const gap of gaps.slice(0, 10)) process.stderr.write(`cirri: not in the record: ${gapText(gap)}\n`);
  if (gaps.length > 10) process.stderr.write(`cirri: and ${gaps.length - 10} more gaps: cirri flows status\n`);
}

/** A field of a CSV file (RFC 4180); what a spreadsheet would take for a formula is made text. */
export function csvField(value: unknown): string {
  const text = value === null || value === undefined ? '' : typeof value === 'object' ? JSON.stringify(value) : String(value);
  const harmless = typeof value === 'string' && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}

export const csvLine = (values: readonly unknown[]): string => values.map(csvField).join(',');
