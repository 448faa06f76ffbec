import { CirriError } from '../std/errors.ts';

/** One requirement of a selector. `source` is `any` where the key names none. */
export interface LabelRequirement {
  readonly source: string;
  readonly key: string;
  readonly operator: 'exists' | 'absent' | 'in' | 'notin' | '>' | '<';
  readonly values: readonly string[];
}

/**
 * Kubernetes label selectors over labels that carry a source (`k8s:app=x`, `reserved:world`). A key without a source matches
 * any source; `source:key` matches that one. Grammar: `key`, `!key`, `=`, `==`, `!=`, `in (…)`, `notin (…)`, `>`, `<` (whole
 * numbers), joined by commas. Empty selects everything. Throws CirriError ERR_LABEL_SELECTOR.
 */
export function parseLabelSelector(text: string): (labels: readonly string[]) => boolean {
  const requirements = parseRequirements(text);
  if (requirements.length === 0) return () => true;
  return labels => requirements.every(requirement => meets(labels, requirement));
}

export function parseRequirements(text: string): readonly LabelRequirement[] {
  if (text.trim() === '') return [];
  if (text.length > longestSelector) throw selectorError(`${text.slice(0, 40)}…`, `it is longer than ${longestSelector} characters`);
  return splitTopLevel(text).map(part => parseRequirement(part.trim(), text));
}

const longestSelector = 8192;
const keyPattern = /^[A-Za-z0-9]([-A-Za-z0-9_./:]*[A-Za-z0-9])?$/;

function parseRequirement(part: string, whole: string): LabelRequirement {
  const set = /^([^\s()=!<>]+)\s+(in|notin)\s*\(([^()]*)\)$/.exec(part);
  if (set) return { ...keyOf(set[1]!, whole), operator: set[2] as 'in' | 'notin', values: set[3]!.split(',').map(value => value.trim()) };
  const compared = /^([^\s()=!<>]+)\s*(==|!=|=|>|<)\s*([^\s()=!<>]*)$/.exec(part);
  if (compared) {
    const [, key, operator, value] = compared as unknown as [string, string, string, string];
    if ((operator === '>' || operator === '<') && !/^-?\d{1,18}$/.test(value)) throw selectorError(whole, `"${value}" is not a whole number`);
    const word = operator === '>' || operator === '<' ? operator : operator === '!=' ? 'notin' : 'in';
    return { ...keyOf(key, whole), operator: word, values: [value] };
  }
  const exists = /^(!?)\s*([^\s()=!<>,]+)$/.exec(part);
  if (exists) return { ...keyOf(exists[2]!, whole), operator: exists[1] === '' ? 'exists' : 'absent', values: [] };
  throw selectorError(whole, `"${part}" does not parse`);
}

function keyOf(text: string, whole: string): { source: string; key: string } {
  const parts = text.split(':');
  if (parts.length > 2) throw selectorError(whole, `"${text}" has too many colons`);
  if (!keyPattern.test(text)) throw selectorError(whole, `"${text}" is not a label key`);
  return parts.length === 1 ? { source: 'any', key: text } : { source: parts[0]!, key: parts[1]! };
}

/** Kubernetes' way with what is absent: `!=` and `notin` hold, all others but `!key` do not. */
function meets(labels: readonly string[], { source, key, operator, values }: LabelRequirement): boolean {
  let present = false;
  let found = false;
  for (const label of labels) {
    const value = valueOf(label, source, key);
    if (value === undefined) continue;
    present = true;
    if (operator === '>') found ||= Number(value) > Number(values[0]);
    else if (operator === '<') found ||= Number(value) < Number(values[0]);
    else found ||= values.includes(value);
  }
  switch (operator) {
    case 'exists': return present;
    case 'absent': return !present;
    case 'notin': return !found;
    default: return found;
  }
}

/** The label's value when it is of this source and key; `source:key=value`, `key=value` and `key` are all labels. */
function valueOf(label: string, source: string, key: string): string | undefined {
  const equals = label.indexOf('=');
  const left = equals < 0 ? label : label.slice(0, equals);
  const colon = left.indexOf(':');
  if ((colon < 0 ? left : left.slice(colon + 1)) !== key) return undefined;
  if (source !== 'any' && source !== (colon < 0 ? '' : left.slice(0, colon))) return undefined;
  return equals < 0 ? '' : label.slice(equals + 1);
}

function splitTopLevel(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '(') depth++;
    else if (text[i] === ')') depth--;
    else if (text[i] === ',' && depth === 0) {
      parts.push(text.slice(start, i));
      start = i + 1;
    }
  }
  parts.push(text.slice(start));
  return parts;
}

function selectorError(whole: string, why: string): CirriError {
  return new CirriError('ERR_LABEL_SELECTOR', `"${whole}" is not a label selector: ${why}`, { mend: 'write it as kubectl does: app=web,tier in (a,b),!legacy' });
}
