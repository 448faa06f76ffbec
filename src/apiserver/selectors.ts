import { badRequest } from './status.ts';
import { asArray, asObject, asString, at } from './object.ts';
import type { Json, KubeObject } from './object.ts';
import { labelValue, qualifiedName } from './schema/names.ts';

/** One requirement of a label selector. */
export interface Requirement {
  readonly key: string;
  readonly operator: 'in' | 'notin' | 'exists' | '!' | 'gt' | 'lt';
  readonly values: readonly string[];
}

export type Labels = Readonly<Record<string, string>>;

/**
 * Parses a label selector of a query: `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1,m<2`. Throws 400 with what is wrong.
 * Grammar: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/
 */
export function parseLabelSelector(text: string): Requirement[] {
  const tokens = tokenize(text);
  const requirements: Requirement[] = [];
  let i = 0;
  const fail = (why: string): never => {
    throw badRequest(`unable to parse requirement: ${why} in label selector "${text}"`);
  };
  const next = () => tokens[i++] ?? '';
  const values = (): string[] => {
    if (next() !== '(') fail("expected '('");
    const list: string[] = [];
    for (;;) {
      const token = next();
      if (token === ')') { list.push(''); break; }
      if (token === ',') { list.push(''); continue; }
      if (token === '' || token === '(') fail("expected a value or ')'");
      list.push(token);
      const after = next();
      if (after === ')') break;
      if (after !== ',') fail("expected ',' or ')'");
    }
    return list;
  };
  while (i < tokens.length) {
    const first = next();
    if (first === '!') requirements.push({ key: next(), operator: '!', values: [] });
    else {
      const operator = tokens[i] ?? ',';
      if (operator === ',') requirements.push({ key: first, operator: 'exists', values: [] });
      else {
        i++;
        if (operator === 'in' || operator === 'notin') requirements.push({ key: first, operator, values: values() });
        else if (operator in comparisons) {
          const bare = tokens[i] === ',' || i >= tokens.length;
          requirements.push({ key: first, operator: comparisons[operator]!, values: [bare ? '' : next()] });
        } else fail(`"${operator}" is not an operator`);
      }
    }
    if (i < tokens.length) {
      if (next() !== ',') fail("expected ',' between requirements");
      if (i >= tokens.length) fail('a requirement is missing after the last comma');
    }
  }
  for (const requirement of requirements) checkRequirement(requirement, fail);
  return requirements;
}

const comparisons: Readonly<Record<string, Requirement['operator']>> = { '=': 'in', '==': 'in', '!=': 'notin', '>': 'gt', '<': 'lt' };

function tokenize(text: string): string[] {
  return text.match(/==|!=|[=!<>(),]|[^\s=!<>(),]+/g) ?? [];
}

function checkRequirement({ key, operator, values }: Requirement, fail: (why: string) => never): void {
  const keyProblem = qualifiedName(key);
  if (keyProblem) fail(`invalid key "${key}": ${keyProblem}`);
  for (const value of values) {
    const problem = labelValue(value);
    if (problem) fail(`invalid value "${value}": ${problem}`);
    if ((operator === 'gt' || operator === 'lt') && !/^-?\d+$/.test(value)) fail(`"${value}" must be an integer`);
  }
}

export function matchesLabels(requirements: readonly Requirement[], labels: Labels): boolean {
  return requirements.every(requirement => matchesRequirement(requirement, labels));
}

function matchesRequirement({ key, operator, values }: Requirement, labels: Labels): boolean {
  const present = Object.hasOwn(labels, key);
  const value = labels[key] ?? '';
  switch (operator) {
    case 'in': return present && values.includes(value);
    case 'notin': return !present || !values.includes(value);
    case 'exists': return present;
    case '!': return !present;
    case 'gt': return present && /^-?\d+$/.test(value) && Number(value) > Number(values[0]);
    case 'lt': return present && /^-?\d+$/.test(value) && Number(value) < Number(values[0]);
  }
}

/** The requirements of a LabelSelector object; an empty one has none and matches everything. */
export function selectorRequirements(selector: Json | undefined): Requirement[] {
  const labels = Object.entries(asObject(at(selector, 'matchLabels')) ?? {});
  return [
    ...labels.map(([key, value]): Requirement => ({ key, operator: 'in', values: [String(value)] })),
    ...asArray(at(selector, 'matchExpressions')).map((e): Requirement => ({
      key: asString(at(e, 'key')) ?? '',
      operator: expressionOperators[asString(at(e, 'operator')) ?? ''] ?? '!',
      values: asArray(at(e, 'values')).map(String),
    })),
  ];
}

const expressionOperators: Readonly<Record<string, Requirement['operator']>> = { In: 'in', NotIn: 'notin', Exists: 'exists', DoesNotExist: '!' };

/** The text of a LabelSelector object as tables and scale subresources show it. */
export function formatSelector(selector: Json | undefined): string {
  return selectorRequirements(selector)
    .map(({ key, operator, values }) => {
      switch (operator) {
        case 'in': return values.length === 1 && asObject(at(selector, 'matchLabels'))?.[key] === values[0] ? `${key}=${values[0]}` : `${key} in (${[...values].sort().join(',')})`;
        case 'notin': return `${key} notin (${[...values].sort().join(',')})`;
        case 'exists': return key;
        default: return `!${key}`;
      }
    })
    .join(',');
}

/** One term of a field selector. */
export interface FieldTerm { readonly path: string; readonly negated: boolean; readonly value: string }

/** Parses `metadata.name=x,status.phase!=y` against the fields that the type can be selected by. */
export function parseFieldSelector(text: string, selectable: readonly string[]): FieldTerm[] {
  return splitFieldTerms(text).map(term => {
    const match = /^([^!=]+)(==|!=|=)(.*)$/s.exec(term.trim());
    if (!match) throw badRequest(`invalid field selector "${text}": couldn't understand "${term}"; write path=value or path!=value`);
    const path = match[1]!.trim();
    if (!selectable.includes(path)) throw badRequest(`field label not supported: ${path}; supported are ${selectable.join(', ')}`);
    return { path, negated: match[2] === '!=', value: match[3]!.replaceAll(/\\(.)/g, '$1') };
  });
}

/** Commas separate terms unless a backslash stands before them. */
function splitFieldTerms(text: string): string[] {
  return (text.match(/(?:\\.|[^,\\])+/gs) ?? []).filter(term => term.trim() !== '');
}

export function matchesFields(terms: readonly FieldTerm[], object: KubeObject): boolean {
  return terms.every(({ path, negated, value }) => {
    const actual = at(object, ...path.split('.'));
    const text = actual === undefined || actual === null ? '' : String(actual);
    return (text === value) !== negated;
  });
}
