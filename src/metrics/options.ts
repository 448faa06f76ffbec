import { CirriError } from '../std/errors.ts';
import { nearestName } from '../std/nearest.ts';
import { contextIdentifiers, contextLabels, type ContextIdentifier, type ContextLabel, type ContextOptions } from './context.ts';
import { plugins } from './plugins/all.ts';

/** One plugin as it is asked for. */
export interface MetricConfig {
  readonly name: string;
  /** The plugin's own, names in lower case. */
  readonly options: ReadonlyMap<string, string>;
  readonly context: ContextOptions;
}

const contextNames = {
  sourcecontext: 'source', sourceegresscontext: 'sourceEgress', sourceingresscontext: 'sourceIngress',
  destinationcontext: 'destination', destinationegresscontext: 'destinationEgress', destinationingresscontext: 'destinationIngress',
} as const;
const contextSpellings = ['sourceContext', 'sourceEgressContext', 'sourceIngressContext', 'destinationContext', 'destinationEgressContext', 'destinationIngressContext', 'labelsContext'];

/**
 * `hubble.metrics.enabled`: a list of `name:option;option=value|value`, or several of them in one text with spaces or commas
 * between. Throws CirriError ERR_METRIC that names the plugin and the option.
 */
export function parseMetricList(entries: readonly string[]): MetricConfig[] {
  const configs = splitEntries(entries).map(parseMetric);
  checkTogether(configs);
  return configs;
}

/** Refuses what is there twice, and plugins that have the same metrics. */
export function checkTogether(configs: readonly { readonly name: string }[]): void {
  const names = new Set<string>();
  for (const { name } of configs) {
    if (names.has(name)) throw refused(name, 'is there twice', 'put its options behind one colon: dns:query;ignoreAAAA');
    names.add(name);
  }
  for (const name of names) {
    const other = plugins.get(name)?.conflictsWith;
    if (other !== undefined && names.has(other)) throw refused(name, `has metrics of the same names as ${other}`, `leave one of them out; httpV2 is the newer one`);
  }
}

/** A comma also stands between the labels of `labelsContext`: what follows it there is one of them. */
function splitEntries(entries: readonly string[]): string[] {
  const split: string[] = [];
  for (const part of entries.flatMap(entry => entry.split(/[\s,]+/)).filter(Boolean)) {
    const belongs = isContextLabel(part.split(';')[0]!) && /;?\blabelsContext=[^;]*$/i.test(split.at(-1) ?? '');
    if (belongs) split.push(`${split.pop()!},${part}`);
    else split.push(part);
  }
  return split;
}

function parseMetric(text: string): MetricConfig {
  const colon = text.indexOf(':');
  const name = colon < 0 ? text : text.slice(0, colon);
  const options = colon < 0 ? [] : text.slice(colon + 1).split(';').filter(Boolean);
  return metricConfig(name, options.map(option => {
    const at = option.indexOf('=');
    return at < 0 ? { name: option, values: [] } : { name: option.slice(0, at), values: option.slice(at + 1).split(/[|,]/) };
  }));
}

/** From names and lists, as the dynamic configuration has them. */
export function metricConfig(name: string, given: readonly { readonly name: string; readonly values: readonly string[] }[]): MetricConfig {
  const plugin = plugins.get(name);
  if (!plugin) {
    throw new CirriError('ERR_METRIC', `there is no metrics plugin "${name}"`, { mend: meant(name, [...plugins.keys()]) });
  }
  const options = new Map<string, string>();
  const context: { -readonly [Name in keyof ContextOptions]: ContextOptions[Name] } = {};
  for (const option of given) {
    const key = option.name.toLowerCase();
    const own = plugin.options[key];
    if (own) options.set(key, ownValue(name, option, own.takes));
    else if (key === 'labelscontext') context.labels = option.values.map(value => contextLabel(name, value));
    else if (key in contextNames) context[contextNames[key as keyof typeof contextNames]] = option.values.length > 0 ? option.values.map(value => identifier(name, option.name, value)) : refuse(name, `${option.name} needs a value`, `one or more of ${contextIdentifiers.join(', ')}, with | between`);
    else {
      const known = [...Object.keys(plugin.options).map(each => (each === 'ignoreaaaa' ? 'ignoreAAAA' : each)), ...contextSpellings];
      throw refused(name, `has no option "${option.name}"`, meant(option.name, known));
    }
  }
  return { name, options, context };
}

function ownValue(plugin: string, option: { readonly name: string; readonly values: readonly string[] }, takes: 'nothing' | 'boolean'): string {
  const value = option.values.join(',');
  if (takes === 'nothing') return value === '' || value === 'true' ? '' : refuse(plugin, `${option.name} takes no value`, `write ${plugin}:${option.name}`);
  return value === 'true' || value === 'false' ? value : refuse(plugin, `${option.name} must be true or false, not "${value}"`, `write ${plugin}:${option.name}=true`);
}

function identifier(plugin: string, option: string, value: string): ContextIdentifier {
  const found = contextIdentifiers.find(each => each === value.toLowerCase());
  if (found) return found;
  if (value === 'pod-short') throw refused(plugin, `${option} knows no "pod-short": it guessed the workload from the pod's name`, 'use workload-name, which knows it, or app');
  throw refused(plugin, `${option} knows no "${value}"`, meant(value, contextIdentifiers));
}

function contextLabel(plugin: string, value: string): ContextLabel {
  if (isContextLabel(value)) return value;
  throw refused(plugin, `labelsContext knows no label "${value}"`, meant(value, contextLabels));
}

function meant(asked: string, known: readonly string[]): string {
  const near = nearestName(asked, known);
  return near === undefined ? `known are ${known.join(', ')}` : `did you mean ${near}?`;
}

function isContextLabel(value: string): value is ContextLabel {
  return contextLabels.some(label => label === value);
}

function refuse(plugin: string, what: string, mend: string): never {
  throw refused(plugin, what, mend);
}

function refused(plugin: string, what: string, mend: string): CirriError {
  return new CirriError('ERR_METRIC', `metrics plugin ${plugin}: ${what}`, { mend });
}
