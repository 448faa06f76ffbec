import { parse } from 'yaml';
import type { FlowFilter } from '../flows/filter.ts';
import { CirriError } from '../std/errors.ts';
import type { FilteredMetric } from './flow-metrics.ts';
import { checkTogether, metricConfig } from './options.ts';

/** Where upstream's ConfigMap of metrics lies, and its key. */
export const dynamicMetricsPlace = { namespace: 'kube-system', name: 'cilium-dynamic-metrics-config', key: 'dynamic-metrics.yaml' } as const;

/**
 * `metrics: [{name, contextOptions: [{name, values}], includeFilters, excludeFilters}]`. Throws CirriError ERR_METRIC that names
 * the entry and its field.
 */
export function readDynamicMetrics(text: string): FilteredMetric[] {
  const list = mapping(parsed(text), '', ['metrics'])['metrics'] ?? [];
  const metrics = entries(list, 'metrics').map((entry, i) => {
    const where = `metrics[${i}]`;
    const fields = mapping(entry, where, ['name', 'contextOptions', 'includeFilters', 'excludeFilters']);
    if (typeof fields['name'] !== 'string' || fields['name'] === '') throw wrong(`${where}.name`, 'is missing');
    const options = entries(fields['contextOptions'] ?? [], `${where}.contextOptions`).map((option, j) => {
      const at = `${where}.contextOptions[${j}]`;
      const { name, values } = mapping(option, at, ['name', 'values']);
      if (typeof name !== 'string') throw wrong(`${at}.name`, 'is missing');
      return { name, values: entries(values ?? [], `${at}.values`).flatMap(value => String(value).split(/[|,]/)) };
    });
    return { ...metricConfig(fields['name'], options), include: readFilters(fields['includeFilters'], `${where}.includeFilters`), exclude: readFilters(fields['excludeFilters'], `${where}.excludeFilters`) };
  });
  checkTogether(metrics);
  return metrics;
}

/** A list of FlowFilters in a ConfigMap; what is in them is checked where they are compiled. */
export function readFilters(value: unknown, where: string): readonly FlowFilter[] {
  return entries(value ?? [], where).map((filter, i) => mapping(filter, `${where}[${i}]`) as FlowFilter);
}

export function parsed(text: string): unknown {
  try {
    return parse(text) as unknown;
  } catch (error) {
    throw wrong('', `is neither YAML nor JSON: ${(error as Error).message.split('\n')[0]}`);
  }
}

export function entries(value: unknown, where: string): readonly unknown[] {
  if (!Array.isArray(value)) throw wrong(where, 'must be a list');
  return value as readonly unknown[];
}

/** `known`: the fields that there are. */
export function mapping(value: unknown, where: string, known?: readonly string[]): Readonly<Record<string, unknown>> {
  if (value === null || value === undefined) return {};
  if (typeof value !== 'object' || Array.isArray(value)) throw wrong(where, 'must be a mapping of fields');
  const unknown = known && Object.keys(value).find(name => !known.includes(name));
  if (unknown !== undefined) throw wrong(where, `has no field ${unknown}; known are ${known!.join(', ')}`);
  return value as Readonly<Record<string, unknown>>;
}

export function wrong(where: string, what: string): CirriError {
  return new CirriError('ERR_METRIC', where === '' ? what : `${where} ${what}`);
}
