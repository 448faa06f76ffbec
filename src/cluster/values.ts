import { CirriError } from '../std/errors.ts';

/** One value that somebody chose, and where it was written: `--set maglev.tableSize` or `values.yaml:7`. */
export interface Assignment {
  /** With dots, as Helm names it. */
  readonly path: string;
  /** A scalar, a list of scalars, or null, which takes a choice back. */
  readonly value: unknown;
  readonly where: string;
}

/**
 * Helm's `--set a.b=1,c={x,y}`: a comma ends a value unless it stands in braces or after a backslash. Helm refuses what stands
 * between two commas without "="; here it belongs to the value before it, so that `nodePort.range=30000,32767` is what was meant.
 */
export function parseSet(text: string): Assignment[] {
  const parts: string[] = [];
  for (const part of splitAtCommas(text)) {
    if (/^[^={}]+=/.test(part) || parts.length === 0) parts.push(part);
    else parts.push(`${parts.pop()!},${part}`);
  }
  return parts.map(part => {
    const at = part.indexOf('=');
    const path = at < 0 ? '' : part.slice(0, at).trim();
    if (!/^[\w-]+(\.[\w-]+)*$/.test(path)) {
      throw new CirriError('ERR_SETTING', `--set takes KEY=VALUE, not "${part}"`, { mend: 'for example: --set loadBalancer.algorithm=maglev,maglev.tableSize=4093' });
    }
    return { path, value: readValue(part.slice(at + 1)), where: `--set ${path}` };
  });
}

/** The leaves of a tree of values, in order; a mapping without entries says nothing. */
export function flattenValues(tree: unknown, whereOf: (path: readonly string[]) => string, path: readonly string[] = []): Assignment[] {
  if (typeof tree === 'object' && tree !== null && !Array.isArray(tree)) {
    return Object.entries(tree).flatMap(([key, value]) => flattenValues(value, whereOf, [...path, key]));
  }
  if (path.length === 0) {
    if (tree === null || tree === undefined) return [];
    throw new CirriError('ERR_SETTING', 'values are a mapping of names to values', { where: whereOf(path) });
  }
  return [{ path: path.join('.'), value: tree, where: whereOf(path) }];
}

function splitAtCommas(text: string): string[] {
  const parts = [''];
  let braces = 0;
  for (let i = 0; i < text.length; i++) {
    const letter = text[i]!;
    if (letter === '\\' && i + 1 < text.length) parts[parts.length - 1] += letter + text[++i]!;
    else if (letter === ',' && braces === 0) parts.push('');
    else {
      if (letter === '{') braces++;
      if (letter === '}') braces = Math.max(0, braces - 1);
      parts[parts.length - 1] += letter;
    }
  }
  return parts.filter(part => part.trim() !== '');
}

function readValue(text: string): unknown {
  const list = /^\{(.*)\}$/s.exec(text.trim());
  if (list) return splitAtCommas(list[1]!).map(readScalar);
  return readScalar(text);
}

function readScalar(text: string): unknown {
  const plain = text.replace(/\\(.)/g, '$1').trim();
  if (plain === 'true' || plain === 'false') return plain === 'true';
  if (plain === 'null') return null;
  return /^-?\d{1,15}$/.test(plain) ? Number(plain) : plain;
}
