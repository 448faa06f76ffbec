import { CirriError } from '../std/errors.ts';

/** What is wrong with a filter: the field and the value that does not parse. */
export function filterError(field: string, message: string, cause?: unknown): CirriError {
  return new CirriError('ERR_FLOW_FILTER', `flow filter ${field}: ${message}`, { cause });
}
