import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Where this project lies. */
export const repositoryRoot = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');

export function version(): string {
  return (JSON.parse(readFileSync(`${repositoryRoot}/package.json`, 'utf8')) as { version: string }).version;
}
