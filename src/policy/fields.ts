/**
 * Reading unknown objects field by field: every helper checks one thing, reports into one list with the path of the field,
 * and gives `undefined` where the value cannot be used. A field that the grammar does not know is an error: dropping
 * a mistyped `fromEndpoint` would turn "from these" into "from anyone".
 */
import type { PolicyError } from './policy.ts';

export type Fields = Readonly<Record<string, unknown>>;

/** More errors than anybody reads at once; the texts of an object from outside are cut too. */
const maxErrors = 100;
const maxTextLength = 400;

export class FieldReader {
  readonly errors: PolicyError[] = [];
  readonly #known = new Set<string>();

  fail(path: string, message: string, mend: string): undefined {
    const error = { path: clip(path), message: clip(message), mend: clip(mend) };
    const key = `${error.path}\n${error.message}`;
    if (this.errors.length > maxErrors || this.#known.has(key)) return undefined;
    this.#known.add(key);
    this.errors.push(this.errors.length < maxErrors ? error : { path: error.path, message: `there are more than ${maxErrors} errors, of which these are the first`, mend: 'mend these, then try again' });
    return undefined;
  }

  /** An object with no fields but these; null and absent give undefined without an error. */
  object(value: unknown, path: string, known: readonly string[]): Fields | undefined {
    if (value === undefined || value === null) return undefined;
    if (typeof value !== 'object' || Array.isArray(value)) return this.fail(path, `must be an object, not ${typeName(value)}`, 'write it as a mapping of fields');
    const fields = value as Fields;
    for (const key of Object.keys(fields)) {
      if (known.includes(key)) continue;
      const near = nearest(key, known);
      this.fail(join(path, key), `unknown field "${key}"`, near ? `did you mean "${near}"?` : `remove it; known here: ${known.join(', ')}`);
    }
    return fields;
  }

  /** A list; null and absent give undefined without an error. */
  list(value: unknown, path: string): readonly unknown[] | undefined {
    if (value === undefined || value === null) return undefined;
    if (!Array.isArray(value)) return this.fail(path, `must be a list, not ${typeName(value)}`, 'write it as a list, each entry after "- "');
    return value;
  }

  string(value: unknown, path: string): string | undefined {
    if (value === undefined || value === null) return undefined;
    if (typeof value !== 'string') return this.fail(path, `must be a string, not ${typeName(value)}`, `write it in quotes: "${show(value)}"`);
    return value;
  }

  strings(value: unknown, path: string): readonly string[] | undefined {
    return this.list(value, path)?.flatMap((item, i) => {
      const text = this.string(item, `${path}[${i}]`);
      if (text === undefined && (item === undefined || item === null)) this.fail(`${path}[${i}]`, 'must not be empty', 'write a value or remove the entry');
      return text === undefined ? [] : [text];
    });
  }

  boolean(value: unknown, path: string): boolean | undefined {
    if (value === undefined || value === null) return undefined;
    if (typeof value !== 'boolean') return this.fail(path, `must be true or false, not ${typeName(value)}`, 'write true or false without quotes');
    return value;
  }

  integer(value: unknown, path: string, minimum: number, maximum: number): number | undefined {
    if (value === undefined || value === null) return undefined;
    if (typeof value !== 'number' || !Number.isInteger(value)) return this.fail(path, `must be a whole number, not ${typeName(value)}`, 'write it without quotes and fraction');
    if (value < minimum || value > maximum) return this.fail(path, `must be between ${minimum} and ${maximum}, inclusive`, `${value} is outside`);
    return value;
  }

  oneOf<T extends string>(value: unknown, path: string, allowed: readonly T[]): T | undefined {
    const text = this.string(value, path);
    if (text === undefined) return undefined;
    if (!(allowed as readonly string[]).includes(text)) return this.fail(path, `unsupported value "${text}"`, `one of: ${allowed.join(', ')}`);
    return text as T;
  }
}

/** A scalar as it was written, anything else by its kind: text from outside is never asked to describe itself. */
export function show(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? String(value).slice(0, 100) : typeName(value);
}

/** The beginning and the end of a text that is too long. */
function clip(text: string): string {
  return text.length <= maxTextLength ? text : `${text.slice(0, maxTextLength * 0.75)}…${text.slice(-maxTextLength / 5)}`;
}

export function join(path: string, key: string): string {
  return path === '' ? key : `${path}.${key}`;
}

function typeName(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'a list' : typeof value;
}

function nearest(key: string, known: readonly string[]): string | undefined {
  const lower = key.toLowerCase();
  return known.find(k => k.toLowerCase() === lower || `${k.toLowerCase()}s` === lower || k.toLowerCase() === `${lower}s`)
    ?? known.find(k => k.length > 4 && (k.toLowerCase().startsWith(lower) || lower.startsWith(k.toLowerCase())));
}
