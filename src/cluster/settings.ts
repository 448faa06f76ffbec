import { checkExportSetting } from '../metrics/export/config.ts';
import { parseMetricList } from '../metrics/options.ts';
import { defaultSettings, localPorts, masqueradePorts, type Settings } from '../model/settings.ts';
import { CirriError } from '../std/errors.ts';
import { isAddr, parsePrefix } from '../std/ip.ts';
import { nearestName } from '../std/nearest.ts';
import { always, isUpstreamName, otherNames, upstreamNames } from './upstream-names.ts';
import type { Assignment } from './values.ts';

/** All of a cluster that its operator chooses by name: a part of its record. */
export interface Choices {
  readonly settings: Settings;
  readonly routing: 'tunnel' | 'native';
  readonly policyMode: 'default' | 'always' | 'never';
  readonly audit: boolean;
}

export const defaultChoices: Choices = { settings: defaultSettings, routing: 'tunnel', policyMode: 'default', audit: false };

interface Knob {
  /** The value as it is kept. Throws a sentence that says what it must be. */
  readonly read: (value: unknown) => unknown;
  /** Where it is kept in `Choices`; below `settings` under its own name when left out. */
  readonly at?: string;
  /** Why it cannot change in a cluster that is made. */
  readonly fixed?: string;
  /** What a change costs in a cluster that is up. */
  readonly cost?: string;
}

/** The sizes for which upstream has proved its tables: primes, each a good hundred times as many backends as are even. */
export const maglevSizes = [251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521, 131071] as const;

const knobs: Readonly<Record<string, Knob>> = {
  'loadBalancer.mode': { read: oneOf('snat', 'dsr', 'hybrid') },
  'loadBalancer.algorithm': { read: oneOf('random', 'maglev') },
  'loadBalancer.acceleration': { read: oneOf('disabled', 'native', 'best-effort', 'generic') },
  'loadBalancer.serviceNoBackendResponse': { read: oneOf('reject', 'drop') },
  'maglev.tableSize': { read: maglevSize },
  'maglev.hashSeed': { read: hashSeed },
  'nodePort.range': { read: portRange },
  'nodePort.addresses': { read: prefixes },
  'socketLB.hostNamespaceOnly': { read: boolean },
  'sockmap.enabled': { read: boolean },
  'bpf.lbExternalClusterIP': { read: boolean },
  'bpf.lbSourceRangeAllTypes': { read: boolean },
  'bpf.lbMapMax': { read: entries },
  'bpf.ctMax': { read: entries, cost: 'connections are tracked anew: each is judged again, and those to services packet by packet may break' },
  'bpf.natMax': { read: entries, cost: 'masqueraded connections and those of clients outside break: their mappings begin anew' },
  'bpf.monitorAggregation': { read: oneOf('none', 'low', 'medium', 'max') },
  'hubble.enabled': { read: boolean },
  'hubble.relay.enabled': { read: boolean },
  'hubble.relay.listenHost': { read: hostAddress },
  'hubble.relay.listenPort': { read: numberFrom(1, 65_535) },
  'hubble.ui.enabled': { read: boolean },
  'hubble.metrics.enabled': { read: metricList },
  'hubble.metrics.serviceMonitor.enabled': { read: boolean },
  'hubble.eventBufferCapacity': { read: numberFrom(1024, 1 << 20) },
  'hubble.tls.enabled': { read: boolean },
  'hubble.redact.enabled': { read: boolean },
  'hubble.redact.http.urlQuery': { read: boolean },
  'hubble.redact.http.userInfo': { read: boolean },
  'hubble.redact.http.headers.allow': { read: words },
  'hubble.redact.http.headers.deny': { read: words },
  'hubble.history.enabled': { read: boolean },
  'hubble.history.days': { read: numberFrom(1, 3650) },
  'hubble.history.maxMegabytes': { read: numberFrom(64, 1 << 20) },
  'hubble.export.filePath': { read: exported('filePath', String) },
  'hubble.export.fileMaxSizeMb': { read: numberFrom(1, 1 << 16) },
  'hubble.export.fileMaxBackups': { read: numberFrom(0, 1000) },
  'hubble.export.fileCompress': { read: boolean },
  'hubble.export.allowlist': { read: exported('allowlist', texts) },
  'hubble.export.denylist': { read: exported('denylist', texts) },
  'hubble.export.fieldMask': { read: exported('fieldMask', words) },
  'hubble.export.otlpEndpoint': { read: exported('otlpEndpoint', String) },
  'dns.minTTL': { read: numberFrom(0, 604_800) },
  'dns.rejectResponse': { read: oneOf('refused', 'nameError') },
  'l7.http': { read: oneOf('proxy', 'kernel') },
  'l7.workers': { read: numberFrom(0, 16) },
  'l7.spare': { read: boolean },
  'l7.maxConnections': { read: numberFrom(16, 1 << 20) },
  'l7.idleTimeoutSeconds': { read: numberFrom(1, 86_400 * 7) },
  'l7.accessLog': { read: exported('filePath', String) },
  'l7.headers': { read: words },
  'externalIPs.allowed': { read: prefixes },
  'localRedirectPolicies.addressMatcherCIDRs': { read: prefixes },
  'ipMasqAgent.enabled': { read: boolean },
  'ipMasqAgent.config.nonMasqueradeCIDRs': { read: prefixes },
  'ipMasqAgent.config.masqLinkLocal': { read: boolean },
  'ipMasqAgent.config.masqLinkLocalIPv6': { read: boolean },
  'routingMode': { read: oneOf('tunnel', 'native'), at: 'routing', fixed: 'the devices and addresses of all pods follow from it' },
  'policyEnforcementMode': { read: oneOf('default', 'always', 'never'), at: 'policyMode' },
  'policyAuditMode': { read: boolean, at: 'audit' },
};

export const settingNames: readonly string[] = Object.keys(knobs);

/** The value of a setting. */
export function settingOf(choices: Choices, name: string): unknown {
  return placeOf(name).reduce<unknown>((tree, step) => (tree as Readonly<Record<string, unknown>>)[step], choices);
}

/** What changing these costs in a cluster that is up, a sentence for each that costs something. */
export function costsOf(names: readonly string[]): string[] {
  return names.flatMap(name => (knobs[name]!.cost === undefined ? [] : [`${name}: ${knobs[name]!.cost}`]));
}

/** As it is written after --set. */
export function settingText(value: unknown): string {
  return Array.isArray(value) ? value.join(',') || '(none)' : String(value);
}

/** Settings whose values differ. */
export function changedSettings(before: Choices, after: Choices): string[] {
  return settingNames.filter(name => JSON.stringify(settingOf(before, name)) !== JSON.stringify(settingOf(after, name)));
}

/** Why a setting cannot change any more once the cluster is made; undefined when it can. */
export function whyFixed(name: string): string | undefined {
  return knobs[name]!.fixed;
}

/**
 * What was chosen, put over what is there: of the same name the last wins. Pure. Throws CirriError for names that neither we nor
 * upstream have, and for values that cannot be; upstream's names for what is not built here are warnings.
 */
export function choose(base: Choices, defaults: Choices, assignments: readonly Assignment[]): { readonly choices: Choices; readonly warnings: readonly string[] } {
  const choices = structuredClone(base) as unknown as Record<string, unknown>;
  const warnings: string[] = [];
  const given = new Map<string, Assignment>();
  const notBuilt: Assignment[] = [];
  for (const assignment of assignments) for (const known of toKnown(assignment, warnings, notBuilt)) given.set(known.path, known);
  warnings.push(...withoutEffect(notBuilt));
  mergeConntrackSizes(given);
  for (const [name, assignment] of given) {
    const value = assignment.value === null ? settingOf(defaults, name) : readValue(name, assignment);
    const place = placeOf(name);
    const parent = place.slice(0, -1).reduce((tree, step) => tree[step] as Record<string, unknown>, choices);
    parent[place.at(-1)!] = value;
  }
  const result = choices as unknown as Choices;
  checkTogether(result, given);
  const { enabled, config } = result.settings.ipMasqAgent;
  if (!enabled && config.nonMasqueradeCIDRs.length > 0) warnings.push('ipMasqAgent.config has no effect while ipMasqAgent.enabled is false');
  return { choices: result, warnings: [...new Set(warnings)] };
}

/** Our names for one assignment; none where it is only worth a warning, or is so anyway. */
function toKnown(assignment: Assignment, warnings: string[], notBuilt: Assignment[]): readonly Assignment[] {
  const { path, value, where } = assignment;
  if (path in knobs || path in conntrackParts) return [assignment];
  const other = otherNames[path];
  if (other) {
    const known = other(value);
    if (typeof known !== 'string') return known.map(each => ({ ...each, where }));
    warnings.push(`${where}: ${known}`);
    return [];
  }
  if (path in always) {
    if (value !== null && !always[path]!.includes(value)) warnings.push(`${where}: ${path} is ${always[path]![0]} here, whatever is asked for`);
    return [];
  }
  if (isUpstreamName(path)) {
    if (asksForSomething(value)) notBuilt.push(assignment);
    return [];
  }
  const near = nearestName(path, [...settingNames, ...Object.keys(otherNames), ...Object.keys(always)]) ?? nearestName(path.split('.')[0]!, upstreamNames);
  throw new CirriError('ERR_SETTING', `there is no setting ${path}`, { where, mend: near === undefined ? 'cirri config view shows all' : `did you mean ${near}?` });
}

/** A chart's values name hundreds of things that are off. */
function asksForSomething(value: unknown): boolean {
  return ![undefined, null, false, 'false', ''].includes(value as string) && !(Array.isArray(value) && value.length === 0);
}

/** One sentence for each section of the chart: a values file has many names of one. */
function withoutEffect(notBuilt: readonly Assignment[]): string[] {
  const sections = Map.groupBy(notBuilt, ({ path }) => path.split('.')[0]!);
  return [...sections.values()].map(list => {
    const names = [...new Set(list.map(({ path }) => path))];
    const shown = `${names.slice(0, 3).join(', ')}${names.length > 3 ? ` and ${names.length - 3} more` : ''}`;
    return `${list[0]!.where}: ${shown} ${names.length === 1 ? 'has no effect here: what it turns on' : 'have no effect here: what they turn on'} is not built`;
  });
}

/** Upstream has one map for TCP and one for the rest; here one holds both. */
const conntrackParts: Readonly<Record<string, true>> = { 'bpf.ctTcpMax': true, 'bpf.ctAnyMax': true };

function mergeConntrackSizes(given: Map<string, Assignment>): void {
  const parts = Object.keys(conntrackParts).flatMap(name => given.get(name) ?? []);
  for (const { path } of parts) given.delete(path);
  const chosen = parts.filter(({ value }) => value !== null);
  if (chosen.length === 0 || given.has('bpf.ctMax')) return;
  const value = chosen.reduce((sum, part) => sum + (readWith(entries, part) as number), 0);
  given.set('bpf.ctMax', { path: 'bpf.ctMax', value, where: chosen.at(-1)!.where });
}

function readValue(name: string, assignment: Assignment): unknown {
  return readWith(knobs[name]!.read, assignment);
}

function readWith(read: Knob['read'], { path, value, where }: Assignment): unknown {
  try {
    return read(value);
  } catch (error) {
    throw new CirriError('ERR_SETTING', `${path} ${(error as Error).message}, not ${JSON.stringify(value)}`, { where });
  }
}

function checkTogether({ settings }: Choices, given: ReadonlyMap<string, Assignment>): void {
  const [min, max] = settings.nodePort.range;
  for (const [what, [low, high]] of [["the ports of the node's own connections", localPorts], ['the ports of masqueraded connections', masqueradePorts]] as const) {
    if (min > high || max < low) continue;
    const where = given.get('nodePort.range')?.where;
    throw new CirriError('ERR_SETTING', `nodePort.range ${min},${max} overlaps ${what}, ${low} to ${high}`, {
      ...(where !== undefined && { where }), mend: 'take a range within 30000 to 32767, or below 10000',
    });
  }
}

function placeOf(name: string): readonly string[] {
  return (knobs[name]!.at ?? `settings.${name}`).split('.');
}

// ---- values ----

function oneOf(...words: readonly string[]): Knob['read'] {
  return value => {
    const word = words.find(each => each.toLowerCase() === String(value).toLowerCase());
    if (word === undefined) throw new Error(`must be ${words.slice(0, -1).join(', ')} or ${words.at(-1)}`);
    return word;
  };
}

function boolean(value: unknown): boolean {
  if (value === true || value === 'true') return true;
  if (value === false || value === 'false') return false;
  throw new Error('must be true or false');
}

function wholeNumber(value: unknown): number | undefined {
  const number = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value;
  return typeof number === 'number' && Number.isInteger(number) ? number : undefined;
}

/** The bounds are upstream's for its maps. */
function numberFrom(min: number, max: number): Knob['read'] {
  return value => {
    const number = wholeNumber(value);
    if (number === undefined || number < min || number > max) throw new Error(`must be a number from ${min} to ${max}`);
    return number;
  };
}

/** An IP address, or nothing. */
function hostAddress(value: unknown): string {
  const text = value === null ? '' : String(value).trim();
  if (text !== '' && !isAddr(text)) throw new Error('must be an IP address of this machine, or empty');
  return text;
}

/** A list, or words with commas or spaces between them. Null, as in upstream's chart, is none. */
function words(value: unknown): readonly string[] {
  if (value === null) return [];
  return Array.isArray(value) ? value.map(String) : String(value).split(/[,\s]+/).filter(part => part !== '');
}

/** Kept as it was written: each agent reads it again. */
function metricList(value: unknown): readonly string[] {
  const list = words(value);
  usable(() => parseMetricList(list));
  return list;
}

function exported<T extends string | readonly string[]>(name: Parameters<typeof checkExportSetting>[0], read: (value: unknown) => T): Knob['read'] {
  return value => {
    const given = read(value);
    usable(() => checkExportSetting(name, given));
    return given;
  };
}

/** What whoever uses it says of it, as part of a sentence about the setting. */
function usable(check: () => void): void {
  try {
    check();
  } catch (error) {
    const { message, mend } = error as CirriError;
    throw new Error(`cannot be used: ${message}${mend === undefined ? '' : ` (${mend})`}`, { cause: error });
  }
}

/** A list of texts that may hold commas themselves; one alone is a list of one. */
function texts(value: unknown): readonly string[] {
  if (value === null || value === '') return [];
  return Array.isArray(value) ? value.map(item => (typeof item === 'string' ? item : JSON.stringify(item))) : [typeof value === 'string' ? value : JSON.stringify(value)];
}

function entries(value: unknown): number {
  const count = wholeNumber(value);
  if (count === undefined || count < 1024 || count > 1 << 24) throw new Error('must be a number of entries from 1024 to 16777216');
  return count;
}

function maglevSize(value: unknown): number {
  const size = wholeNumber(value);
  if (size === undefined || !maglevSizes.some(known => known === size)) throw new Error(`must be one of ${maglevSizes.join(', ')}`);
  return size;
}

function hashSeed(value: unknown): string {
  const text = String(value);
  if (!/^[A-Za-z0-9+/]{16}$/.test(text)) throw new Error('must be 12 bytes in base64: head -c12 /dev/urandom | base64 -w0');
  return text;
}

function portRange(value: unknown): readonly [number, number] {
  const parts = Array.isArray(value) ? value : String(value).split(/[,-]/);
  const [min, max, more] = parts.map(part => wholeNumber(typeof part === 'string' ? part.trim() : part));
  if (min === undefined || max === undefined || more !== undefined || parts.length !== 2 || min < 1 || min > max || max > 65_535) throw new Error('must be two ports, the lower first, as "30000,32767"');
  return [min, max];
}

function prefixes(value: unknown): readonly string[] {
  const list = Array.isArray(value) ? value as unknown[] : String(value).split(/[,\s]+/).filter(part => part !== '');
  return list.map(item => {
    const text = String(item);
    if (!isAddr(text.split('/')[0]!)) throw new Error('must be a list of prefixes as 10.0.0.0/8 or fd00::/8');
    try {
      parsePrefix(text);
    } catch (error) {
      throw new Error(`must be a list of prefixes (${(error as Error).message})`);
    }
    return text;
  });
}
