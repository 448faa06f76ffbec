import { stringify } from 'yaml';
import { compileFilters, type FlowFilter } from '../../flows/filter.ts';
import type { FlagFilters } from '../../flows/flags.ts';
import { CirriError } from '../../std/errors.ts';

/** `--allowlist`, `--denylist`: FlowFilters in JSON, with flow.proto's names or proto3 JSON's (`sourcePod`). One or several objects a value. */
export function rawFilters(flag: 'allowlist' | 'denylist', values: readonly string[]): FlowFilter[] {
  return values.flatMap(value => {
    let parsed: unknown;
    try {
      parsed = JSON.parse(`[${value.replace(/\}\s*\{/g, '},{')}]`);
    } catch (error) {
      throw new CirriError('ERR_FLAG', `--${flag}: not a flow filter in JSON: ${(error as Error).message}`, { mend: `write it as --${flag} '{"source_pod":["kube-system/"]}'` });
    }
    const filters = (parsed as unknown[]).flat().map(entry => snakeNames(entry)) as FlowFilter[];
    for (const filter of filters) {
      if (typeof filter !== 'object' || filter === null) throw new CirriError('ERR_FLAG', `--${flag}: a flow filter is an object, not ${JSON.stringify(filter)}`);
    }
    compileFilters(filters, []);
    return filters;
  });
}

/** `sourcePod` → `source_pod`; the names of TCP flags stay. */
function snakeNames(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(snakeNames);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, entry]) => [/^[A-Z]+$/.test(name) ? name : name.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`), snakeNames(entry)]));
}

/** `--print-raw-filters`: YAML that `--config` takes back. */
export function rawFiltersYaml({ whitelist, blacklist }: FlagFilters): string {
  const texts = (filters: readonly FlowFilter[]) => filters.map(filter => JSON.stringify(filter));
  const lists = { ...(whitelist.length > 0 && { allowlist: texts(whitelist) }), ...(blacklist.length > 0 && { denylist: texts(blacklist) }) };
  return Object.keys(lists).length === 0 ? '{}\n' : stringify(lists, { indent: 4, lineWidth: 0, singleQuote: true });
}
