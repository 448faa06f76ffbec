import { badRequest } from '../status.ts';
import type { WriteOptions } from './context.ts';

/** The write options of a query string. Refuses values that have no meaning, as upstream does. */
export function parseWriteOptions(query: URLSearchParams, userAgent: string, warn: (text: string) => void): WriteOptions {
  for (const value of query.getAll('dryRun')) {
    if (value !== 'All') throw badRequest(`dryRun: Unsupported value: "${value}": supported values: "All"`);
  }
  const fieldValidation = query.get('fieldValidation') || 'Warn';
  if (fieldValidation !== 'Strict' && fieldValidation !== 'Warn' && fieldValidation !== 'Ignore') {
    throw badRequest(`fieldValidation: Unsupported value: "${fieldValidation}": supported values: "Ignore", "Strict", "Warn"`);
  }
  return { dryRun: query.has('dryRun'), fieldManager: query.get('fieldManager') || managerOf(userAgent), fieldValidation, warn };
}

/** Without a field manager the program's name stands in: the part of the user agent before the first slash. */
function managerOf(userAgent: string): string {
  return userAgent.split('/')[0]!.trim().slice(0, 128) || 'unknown';
}

/** A number of a query, undefined when absent. 400 for anything else. */
export function numberParameter(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null || text === '') return undefined;
  if (!/^\d{1,15}$/.test(text)) throw badRequest(`${name} must be a number, not "${text}"`);
  return Number(text);
}

export function flagParameter(query: URLSearchParams, name: string): boolean {
  const text = query.get(name);
  return text === 'true' || text === '1';
}
