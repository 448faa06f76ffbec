/**
 * Runs the examples of docs/policy and writes into the pages what they print.
 *
 *   node26 tools/examples.ts [PAGE…]
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { examplePages, ExampleShell, pageText, refreshed } from './docs/examples.ts';

const asked = process.argv.slice(2);
for (const page of asked.length > 0 ? asked : examplePages()) {
  using shell = new ExampleShell();
  const [old, now] = [pageText(page), refreshed(pageText(page), command => shell.print(command))];
  if (old === now) continue;
  writeFileSync(join(import.meta.dirname, '..', page), now);
  console.log(`wrote ${page}`);
}
