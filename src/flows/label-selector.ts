import { CirriError } from '../std/errors.ts';

/**
 * Kubernetes label selectors over labels that carry a source (`k8s:app=x`, `reserved:world`). A key without a source matches
 * any source; `source:key` matches that one. Grammar: `key`, `!key`, `=`, `==`, `!=`, `in (…)`, `notin (…)`, joined by commas.
 */
export function parseLabelSelector(text: string): (labels: readonly string[]) => boolean {
  if (text.trim() === '') return () => true;
  const requirements = splitTopLevel(text).map(part => parseRequirement(part.trim(), text));
  return labels => requirements.every(requirement => requirement(labels));
}

type Requirement = (labels: readonly string[]) => boolean;

function parseRequirement(part: string, whole: string): Requirement {
  const set = /^(\S+?)\s+(in|notin)\s*\(([^()]*)\)$/.exec(part);
  if (set) {
    const values = new Set(set[3]!.split(',').map(value => value.trim()));
    const wanted = set[2] === 'in';
    return labels => valuesOf(labels, set[1]!).some(value => values.has(value)) === wanted;
  }
  const equal = /^(\S+?)\s*(==|!=|=)\s*(\S*)$/.exec(part);
  if (equal) {
    const [, key, operator, value] = equal as unknown as [string, string, string, string];
    return labels => valuesOf(labels, key).includes(value) === (operator !== '!=');
  }
  const exists = /^(!?)\s*([^\s()!=,]+)$/.exec(part);
  if (exists) return labels => valuesOf(labels, exists[2]!).length > 0 === (exists[1] === '');
  throw new CirriError('ERR_LABEL_SELECTOR', `"${whole}" is not a label selector: "${part}" does not parse`, {
    mend: 'write it as kubectl does: app=web,tier in (a,b),!legacy',
  });
}

function valuesOf(labels: readonly string[], key: string): string[] {
  const colon = key.indexOf(':');
  const [source, name] = colon < 0 ? ['any', key] : [key.slice(0, colon), key.slice(colon + 1)];
  const found: string[] = [];
  for (const label of labels) {
    const equals = label.indexOf('=');
    const left = equals < 0 ? label : label.slice(0, equals);
    const labelColon = left.indexOf(':');
    const [labelSource, labelName] = labelColon < 0 ? ['', left] : [left.slice(0, labelColon), left.slice(labelColon + 1)];
    if (labelName === name && (source === 'any' || source === labelSource)) found.push(equals < 0 ? '' : label.slice(equals + 1));
  }
  return found;
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
