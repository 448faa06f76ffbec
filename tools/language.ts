/**
 * Writes docs/reference/policy-language.md.
 *
 *   node26 tools/language.ts            writes it
 *   node26 tools/language.ts --check    exits 1 where it differs from the schemas
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { languageReference } from './docs/language.ts';

const page = join(import.meta.dirname, '../docs/reference/policy-language.md');
const text = languageReference();
const current = existsSync(page) && readFileSync(page, 'utf8') === text;
if (process.argv.includes('--check')) {
  if (!current) console.error('docs/reference/policy-language.md differs from the schemas: run node26 tools/language.ts');
  process.exitCode = current ? 0 : 1;
} else if (!current) {
  mkdirSync(dirname(page), { recursive: true });
  writeFileSync(page, text);
  console.log('wrote docs/reference/policy-language.md');
}
