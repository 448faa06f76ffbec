import { isObject } from './object.ts';
import type { Json } from './object.ts';

/** Steps of the JSONPath subset that printer columns use: fields, indices, wildcards and equality filters. */
type Step =
  | { readonly kind: 'field'; readonly name: string }
  | { readonly kind: 'index'; readonly index: number }
  | { readonly kind: 'all' }
  | { readonly kind: 'filter'; readonly path: readonly string[]; readonly operator: string; readonly value: string };

/** Compiles `.status.conditions[?(@.type=="Ready")].status` and its like. Undefined where the text is not understood. */
export function compileJsonPath(text: string): ((value: Json) => Json[]) | undefined {
  const steps = parseSteps(text.replace(/^\{|\}$/g, '').replace(/^\$/, ''));
  if (!steps) return undefined;
  return value => steps.reduce<Json[]>((values, step) => values.flatMap(v => take(v, step)), [value]);
}

function parseSteps(text: string): Step[] | undefined {
  const steps: Step[] = [];
  const pattern = /\.?\[\?\(@\.?([\w.\-/\\]+)\s*(==|!=)\s*['"]?([^'")]*)['"]?\)\]|\.?\[['"]([^'"]+)['"]\]|\.?\[(\d+|\*)\]|\.((?:\\.|[\w\-/@$])+|\*)/gy;
  let position = 0;
  while (position < text.length) {
    pattern.lastIndex = position;
    const match = pattern.exec(text);
    if (!match) return undefined;
    position = pattern.lastIndex;
    const [, filterPath, operator, filterValue, quoted, index, field] = match;
    if (filterPath !== undefined) steps.push({ kind: 'filter', path: filterPath.split('.'), operator: operator!, value: filterValue ?? '' });
    else if (quoted !== undefined) steps.push({ kind: 'field', name: quoted });
    else if (index === '*' || field === '*') steps.push({ kind: 'all' });
    else if (index !== undefined) steps.push({ kind: 'index', index: Number(index) });
    else steps.push({ kind: 'field', name: field!.replaceAll(/\\(.)/g, '$1') });
  }
  return steps;
}

function take(value: Json, step: Step): Json[] {
  const present = (v: Json | undefined): Json[] => (v === undefined ? [] : [v]);
  switch (step.kind) {
    case 'field': return isObject(value) && Object.hasOwn(value, step.name) ? present(value[step.name]) : [];
    case 'index': return Array.isArray(value) ? present(value[step.index]) : [];
    case 'all': return Array.isArray(value) ? value : isObject(value) ? Object.values(value).flatMap(present) : [];
    case 'filter': return Array.isArray(value) ? value.filter(item => fits(item, step)) : [];
  }
}

function fits(item: Json, { path, operator, value }: Extract<Step, { kind: 'filter' }>): boolean {
  let current: Json | undefined = item;
  for (const part of path) current = isObject(current) && Object.hasOwn(current, part) ? current[part] : undefined;
  const equal = current !== undefined && current !== null && String(current) === value;
  return operator === '==' ? equal : !equal;
}
