import { readFileSync } from 'node:fs';
import { LineCounter, parseDocument } from 'yaml';
import { CirriError } from '../std/errors.ts';
import { flattenValues, type Assignment } from './values.ts';

/** A values file as Helm takes it. Throws CirriError with file and line. */
export function readValuesFile(file: string): Assignment[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new CirriError('ERR_SETTING', `${file} cannot be read`, { cause: error });
  }
  return parseValues(file, text);
}

export function parseValues(file: string, text: string): Assignment[] {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true });
  const at = (offset: number) => `${file}:${lines.linePos(offset).line}`;
  const [broken] = document.errors;
  if (broken) throw new CirriError('ERR_SETTING', broken.message.split('\n')[0]!.replace(/ at line \d+, column \d+:?$/, ''), { where: at(broken.pos[0]) });
  return flattenValues(document.toJS() as unknown, path => {
    const parent = (path.length < 2 ? document.contents : document.getIn(path.slice(0, -1), true)) as { readonly items?: readonly { readonly key?: { readonly value?: unknown; readonly range?: readonly number[] | null } }[] } | null | undefined;
    const key = parent?.items?.find(pair => pair.key?.value === path.at(-1))?.key?.range?.[0];
    return at(key ?? 0);
  });
}
