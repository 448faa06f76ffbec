import { isAbsolute, normalize } from 'node:path';
import { compileFilters, type FlowFilter } from '../../flows/filter.ts';
import type { Settings } from '../../model/settings.ts';
import { CirriError } from '../../std/errors.ts';
import { logsUrl } from '../otlp/sender.ts';
import { entries, mapping, parsed, readFilters, wrong } from '../dynamic.ts';
import type { ExporterOptions } from './exporter.ts';
import { compileMask } from './mask.ts';

/** Where upstream's ConfigMap of flow logs lies, and its key. */
export const flowLogPlace = { namespace: 'kube-system', name: 'cilium-flowlog-config', key: 'flowlogs.yaml' } as const;

/**
 * Folders below which a ConfigMap may name files. Agents write as root: whoever may change a ConfigMap is not thereby to write
 * wherever they like. `hubble.export.filePath` is the operator's own, and free.
 */
const allowedFolders = ['/var/run/cilium/hubble/', '/var/log/cilium/', '/var/log/cirri/'];

const fields = ['name', 'filePath', 'fieldMask', 'fieldAggregate', 'aggregationInterval', 'includeFilters', 'excludeFilters', 'fileMaxSizeMb', 'fileMaxBackups', 'fileCompress', 'end'];

/** `flowLogs: [{name, filePath, …}]`. Throws CirriError that names the entry and its field. */
export function readFlowLogs(text: string): ExporterOptions[] {
  const list = mapping(parsed(text), '', ['flowLogs'])['flowLogs'] ?? [];
  const logs = entries(list, 'flowLogs').map((entry, i) => readFlowLog(mapping(entry, `flowLogs[${i}]`, fields), `flowLogs[${i}]`));
  for (const [i, log] of logs.entries()) {
    if (logs.findIndex(other => other.name === log.name) !== i) throw wrong(`flowLogs[${i}].name`, `"${log.name}" is there twice`);
    if (log.filePath !== 'stdout' && logs.findIndex(other => other.filePath === log.filePath) !== i) throw wrong(`flowLogs[${i}].filePath`, `${log.filePath} is another flow log's too`);
  }
  return logs;
}

function readFlowLog(entry: Readonly<Record<string, unknown>>, where: string): ExporterOptions {
  const { name, filePath } = entry;
  if (typeof name !== 'string' || name === '') throw wrong(`${where}.name`, 'is missing');
  if (typeof filePath !== 'string' || filePath === '') throw wrong(`${where}.filePath`, 'is missing');
  const path = normalize(filePath);
  if (path !== 'stdout' && !allowedFolders.some(folder => path.startsWith(folder) && path.length > folder.length)) throw wrong(`${where}.filePath`, `must be stdout or lie below ${allowedFolders.join(', ')}`);
  const words = (field: string) => entries(entry[field] ?? [], `${where}.${field}`).map(String);
  const number = (field: string, usual: number, min: number) => {
    const value = entry[field] ?? usual;
    return typeof value === 'number' && Number.isInteger(value) && value >= min ? value : refuse(`${where}.${field}`, `must be a number from ${min}`);
  };
  const { fileCompress = false, end } = entry;
  if (typeof fileCompress !== 'boolean') throw wrong(`${where}.fileCompress`, 'must be true or false');
  const endsAt = end === undefined || end === null ? undefined : Date.parse(String(end));
  if (endsAt !== undefined && Number.isNaN(endsAt)) throw wrong(`${where}.end`, 'must be a time as 2026-12-31T23:59:00Z');
  return {
    name, filePath: path, fileMaxSizeMb: number('fileMaxSizeMb', 10, 1), fileMaxBackups: number('fileMaxBackups', 5, 0), fileCompress,
    include: readFilters(entry['includeFilters'], `${where}.includeFilters`), exclude: readFilters(entry['excludeFilters'], `${where}.excludeFilters`),
    fieldMask: words('fieldMask'), fieldAggregate: words('fieldAggregate'), aggregationIntervalMs: durationMs(entry['aggregationInterval'], `${where}.aggregationInterval`),
    ...(endsAt === undefined ? {} : { end: endsAt }),
  };
}

/** Go's form: `1m30s`. */
function durationMs(value: unknown, where: string): number {
  if (value === undefined || value === null || value === 0 || value === '') return 60_000;
  const text = String(value);
  const units: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  const sum = parts.reduce((total, [, count, unit]) => total + Number(count) * units[unit!]!, 0);
  if (parts.map(([part]) => part).join('') !== text || sum < 1_000) throw wrong(where, 'must be a duration of at least 1s, as 30s or 1m');
  return sum;
}

/** What `hubble.export` asks for; undefined when no file is named. Several nodes of one machine share its files: each gets its own name. */
export function staticExporter(settings: Settings['hubble']['export'], node: { readonly name: string; readonly shared: boolean }): ExporterOptions | undefined {
  const { filePath, fileMaxSizeMb, fileMaxBackups, fileCompress, allowlist, denylist, fieldMask } = settings;
  if (filePath === '') return undefined;
  checkPath(filePath);
  return {
    name: 'static', filePath: filePath === 'stdout' || !node.shared ? filePath : ownPath(filePath, node.name), fileMaxSizeMb, fileMaxBackups, fileCompress, fieldMask,
    include: filterList(allowlist, 'hubble.export.allowlist'), exclude: filterList(denylist, 'hubble.export.denylist'), fieldAggregate: [], aggregationIntervalMs: 60_000,
  };
}

/** `/var/log/flows.log` → `/var/log/flows-node1.log`. */
export function ownPath(path: string, node: string): string {
  const slash = path.lastIndexOf('/');
  const dot = path.lastIndexOf('.');
  return dot > slash + 1 ? `${path.slice(0, dot)}-${node}${path.slice(dot)}` : `${path}-${node}`;
}

/** Throws CirriError where one of the settings under `hubble.export` cannot be used, by its name below that. */
export function checkExportSetting(name: 'filePath' | 'allowlist' | 'denylist' | 'fieldMask' | 'otlpEndpoint', value: string | readonly string[]): void {
  if (name === 'fieldMask') compileMask(value as readonly string[]);
  else if (name === 'otlpEndpoint') void (value === '' || logsUrl(String(value)));
  else if (name === 'filePath') checkPath(String(value));
  else compileFilters(filterList(value as readonly string[], `hubble.export.${name}`), []);
}

function checkPath(filePath: string): void {
  if (filePath !== '' && filePath !== 'stdout' && !isAbsolute(filePath)) throw new CirriError('ERR_EXPORT', `hubble.export.filePath must be stdout or an absolute path, not ${filePath}`);
}

/** FlowFilters in JSON: one a text, or several in one, as `hubble observe --print-raw-filters` prints them. */
function filterList(texts: readonly string[], setting: string): FlowFilter[] {
  return texts.flatMap(splitObjects).map(text => {
    try {
      return JSON.parse(text) as FlowFilter;
    } catch (error) {
      throw new CirriError('ERR_EXPORT', `${setting}: ${text} is not JSON: ${(error as Error).message}`, { mend: `a filter is {"source_pod":["shop/"]}: hubble observe … --print-raw-filters writes them` });
    }
  });
}

/** `{…} {…}` → each for itself; commas and spaces between them are nothing. */
function splitObjects(text: string): string[] {
  const found: string[] = [];
  let depth = 0;
  let start = 0;
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const letter = text[i]!;
    if (letter === '\\' && quoted) i++;
    else if (letter === '"') quoted = !quoted;
    else if (!quoted && letter === '{' && depth++ === 0) start = i;
    else if (!quoted && letter === '}' && --depth === 0) found.push(text.slice(start, i + 1));
  }
  return found.length > 0 || text.trim() === '' ? found : [text];
}

function refuse(where: string, what: string): never {
  throw wrong(where, what);
}
