import { RE2JS } from 're2js';
import { errorText } from '../std/errors.ts';
import { filterError } from './filter-error.ts';

const longestPattern = 1024;
/** Instructions of a compiled pattern: time per character is in proportion to them at worst. */
const largestProgram = 5000;
const remembered = 512;

/**
 * Whether any of the patterns occurs in a text. RE2's syntax, in time linear in the text whatever the pattern, so that nobody's
 * pattern can hold up the agent; the last answers are remembered, since texts come again. Throws CirriError ERR_FLOW_FILTER.
 */
export function compilePatterns(field: string, patterns: readonly string[]): (text: string) => boolean {
  const compiled = patterns.map(pattern => {
    if (pattern.length > longestPattern) throw filterError(field, `a pattern of ${pattern.length} characters; at most ${longestPattern} are taken`);
    return checked(field, pattern);
  });
  const answers = new Map<string, boolean>();
  return text => {
    const known = answers.get(text);
    if (known !== undefined) return known;
    const found = compiled.some(pattern => pattern.test(text));
    if (answers.size >= remembered) answers.clear();
    // Of a long text nothing is remembered: it would be kept with it.
    if (text.length <= 512) answers.set(text, found);
    return found;
  };
}

function checked(field: string, pattern: string): RE2JS {
  let compiled: RE2JS;
  try {
    compiled = RE2JS.compile(pattern);
  } catch (error) {
    throw filterError(field, `"${pattern}": ${errorText(error)}`);
  }
  if (compiled.programSize() > largestProgram) throw filterError(field, `"${pattern}" is too large a pattern`);
  return compiled;
}
