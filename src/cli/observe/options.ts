import type { Command } from 'commander';
import { compileQuery, parseTime, type FlowQuery } from '../../flows/query.ts';
import { filterFlags, filterSwitches, filtersFromFlags, shortFilterFlags, type FlagFilters, type FlagUse } from '../../flows/flags.ts';
import { timeFormatter, timeLayouts } from '../../flows/print/go-time.ts';
import { wantsColour } from '../../flows/print/paint.ts';
import { printFormats, type PrinterOptions, type PrintFormat } from '../../flows/print/printer.ts';
import { CirriError } from '../../std/errors.ts';
import { addServerFlags, type ServerFlags } from '../hubble/server.ts';
import { collect } from '../options.ts';
import { defaultMask, maskPaths } from './field-mask.ts';
import { rawFilters } from './raw-filters.ts';

/** Under the name of hubble, the output is hubble's to the byte; under ours, denials name their rule and their id. */
export type Style = 'cirri' | 'hubble';

export interface ObserveFlags extends ServerFlags {
  readonly follow?: boolean;
  readonly last?: string;
  readonly first?: string;
  readonly all?: boolean;
  readonly since?: string;
  readonly until?: string;
  readonly output: string;
  readonly printNodeName?: boolean;
  readonly printPolicyNames?: boolean;
  readonly ipTranslation: string | boolean;
  readonly numeric?: boolean;
  readonly color: string;
  readonly timeFormat: string;
  readonly inputFile?: string;
  /** True with --ids, false with --no-ids; absent: the ids of what was denied. */
  readonly ids?: boolean;
  readonly explain?: boolean;
  readonly allowlist: readonly string[];
  readonly denylist: readonly string[];
  readonly printRawFilters?: boolean;
  readonly fieldMask: readonly string[];
  readonly useDefaultFieldMasks?: string | boolean;
  readonly silentErrors?: boolean;
  readonly debug?: boolean;
}

export function addSelectors(command: Command): Command {
  return command
    .option('-f, --follow', 'and then every new one')
    .option('--last <n>', 'the newest n (default 20 without --follow, --since and --until)')
    .option('--first <n>', 'the oldest n')
    .option('--all', 'all that the nodes remember')
    .option('--since <time>', '30s, 5m, 1h30m ago, or a time')
    .option('--until <time>', 'likewise');
}

export function addFormat(command: Command, style: Style): Command {
  return command
    .option('-o, --output <format>', printFormats.join(', '), 'compact')
    .option('--print-node-name', 'with the node that saw it')
    .option('--time-format <format>', `${Object.keys(timeLayouts).join(', ')}, or a layout in Go's form`, 'StampMilli')
    .option('--color <when>', 'auto, always or never', 'auto')
    .option('-s, --silent-errors', 'say nothing of nodes that are not heard and of lines that cannot be read')
    .option('-D, --debug', style === 'hubble' ? 'with what the relay says of its nodes' : 'with what becomes of each node');
}

/** All of it for flows. `uses` gets the filter flags in the order in which they are written. */
export function addFlowOptions(command: Command, style: Style, uses: FlagUse[]): Command {
  addFormat(addSelectors(command), style)
    .option('--print-policy-names', 'with the names of the policies that decided')
    .option('--ip-translation [bool]', 'names instead of addresses', 'true')
    .option('--numeric', 'addresses instead of names')
    .option('--allowlist <json>', 'a FlowFilter in JSON that shows (repeat for more)', collect, [])
    .option('--denylist <json>', 'a FlowFilter in JSON that hides (repeat for more)', collect, [])
    .option('--print-raw-filters', 'print the filters as --allowlist and --denylist, in YAML, and stop')
    .option('--field-mask <paths>', 'these fields only (time,source.pod_name)', collect, [])
    .option('--use-default-field-masks [bool]', 'the fields that hubble asks for')
    .option('--input-file <file>', 'flows of a file of JSON lines instead (- is standard input)')
    .option('--explain', 'under each denial why, what came nearest, and the smallest change that would allow it');
  if (style === 'cirri') {
    command
      .option('--no-print-policy-names', 'without the names of policies and rules')
      .option('--ids', "with every flow's id, for cirri policy explain (without it: the ids of denials)")
      .option('--no-ids', 'without ids');
  }
  addServerFlags(command);
  const shortFlag = (name: string) => (shortFilterFlags[name] === undefined ? '' : `-${shortFilterFlags[name]}, `);
  for (const [name, value, help] of filterFlags) command.option(`${shortFlag(name)}--${name} <${value}>`, help, (given: string) => void uses.push([name, given]));
  for (const [name, help] of filterSwitches) {
    command.option(`${shortFlag(name)}--${name}`, help);
    command.on(`option:${name}`, () => void uses.push([name, '']));
  }
  return command;
}

/** Filters by flags and by JSON: both lists are alternatives of one. */
export function filtersOf(flags: Pick<ObserveFlags, 'allowlist' | 'denylist'>, uses: readonly FlagUse[]): FlagFilters {
  const { whitelist, blacklist } = filtersFromFlags(uses);
  return { whitelist: [...rawFilters('allowlist', flags.allowlist), ...whitelist], blacklist: [...rawFilters('denylist', flags.denylist), ...blacklist] };
}

const exclusive = [['first', 'last'], ['first', 'all'], ['first', 'follow'], ['last', 'all']] as const;

export type Selection = Pick<ObserveFlags, 'follow' | 'first' | 'last' | 'all' | 'since' | 'until' | 'output' | 'inputFile'>;

/** Which of the remembered ones are shown. Of a file, all. */
export function selectionOf(flags: Selection): Pick<FlowQuery, 'first' | 'last' | 'since' | 'until'> {
  const conflict = exclusive.find(([a, b]) => flags[a] !== undefined && flags[b] !== undefined);
  if (conflict) throw new CirriError('ERR_FLAG', `cannot set both --${conflict[0]} and --${conflict[1]}`);
  if (flags.follow && formatOf(flags.output) === 'table') throw new CirriError('ERR_FLAG', 'table output format is not compatible with follow mode', { mend: 'it needs all rows before it knows its widths: use -o compact' });
  const number = (name: 'last' | 'first') => {
    const text = flags[name];
    if (text !== undefined && !/^\d{1,9}$/.test(text)) throw new CirriError('ERR_FLAG', `--${name} must be a number, not "${text}"`);
    return text === undefined || Number(text) === 0 ? undefined : Number(text);
  };
  const first = number('first');
  const asked = flags.follow || flags.all || flags.since !== undefined || flags.until !== undefined || flags.inputFile !== undefined || first !== undefined;
  const last = number('last') ?? (asked ? undefined : 20);
  return {
    ...(last !== undefined && { last }), ...(first !== undefined && { first }),
    ...(flags.since !== undefined && { since: parseTime(flags.since) }), ...(flags.until !== undefined && { until: parseTime(flags.until) }),
  };
}

/** Throws before anything is opened when a filter cannot be used. */
export function queryOf(flags: ObserveFlags, uses: readonly FlagUse[]): FlowQuery {
  const query = { ...filtersOf(flags, uses), ...selectionOf(flags) };
  compileQuery(query);
  return query;
}

export function formatOf(output: string): PrintFormat {
  const format = output === 'tab' ? 'table' : printFormats.find(name => name === output.toLowerCase());
  if (format === undefined) throw new CirriError('ERR_FLAG', `-o ${output}: known are ${printFormats.join(', ')}`);
  return format;
}

export function printerOptionsOf(flags: ObserveFlags, style: Style, env: Readonly<Record<string, string | undefined>> = process.env): PrinterOptions {
  const format = formatOf(flags.output);
  const ours = style === 'cirri';
  if (flags.explain && format !== 'compact' && format !== 'dict') {
    throw new CirriError('ERR_FLAG', `--explain has no place in -o ${flags.output}`, { mend: 'use -o compact or -o dict; for JSON, give a flow to cirri policy explain - -o json' });
  }
  if (!['auto', 'always', 'never'].includes(flags.color)) throw new CirriError('ERR_FLAG', `--color ${flags.color}: known are auto, always and never`);
  return {
    format, ours,
    colours: wantsColour(flags.color, process.stdout, env),
    nodeNames: flags.printNodeName === true,
    policyNames: flags.printPolicyNames ?? ours,
    names: flags.numeric !== true && String(flags.ipTranslation) !== 'false',
    ids: !ours ? 'none' : flags.ids === undefined ? 'denied' : flags.ids ? 'all' : 'none',
    formatTime: timeFormatter(flags.timeFormat),
    debug: flags.debug === true,
    legacyJson: env['HUBBLE_COMPAT'] === 'legacy-json-output',
  };
}

/** Undefined: all fields. */
export function maskOf(flags: Pick<ObserveFlags, 'fieldMask' | 'useDefaultFieldMasks'>): readonly string[] | undefined {
  const paths = maskPaths(flags.fieldMask);
  const byDefault = flags.useDefaultFieldMasks !== undefined && String(flags.useDefaultFieldMasks) !== 'false';
  return paths.length > 0 ? paths : byDefault ? defaultMask : undefined;
}
