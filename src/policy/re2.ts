/** Expressions of policies: RE2's syntax, so that matching takes time in proportion to the text, whatever the expression. */
import { RE2JS } from 're2js';
import { errorText } from '../std/errors.ts';

const longestExpression = 4096;
/** Instructions of a compiled expression: time per character is in proportion to them at worst. */
const largestProgram = 5000;

/** Why a text is no expression that can be carried out, or undefined. */
export function re2Fault(expression: string): string | undefined {
  if (expression.length > longestExpression) return `it has ${expression.length} characters, more than ${longestExpression}`;
  try {
    const size = RE2JS.compile(expression).programSize();
    return size > largestProgram ? `it becomes ${size} instructions, more than ${largestProgram}` : undefined;
  } catch (error) {
    return errorText(error);
  }
}
