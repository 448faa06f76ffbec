/**
 * Writes src/datapath/generated from build/cirri.bpf.o.
 *
 *   node26 tools/generate.ts            writes what changed
 *   node26 tools/generate.ts --check    exits 1 where the files differ from the object
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { generateFromObject } from '../src/btf/generate.ts';
import { renderError } from '../src/std/errors.ts';

const root = join(import.meta.dirname, '..');

function main(): number {
  const { values } = parseArgs({ options: { check: { type: 'boolean' }, object: { type: 'string' }, out: { type: 'string' } } });
  const folder = values.out ?? join(root, 'src/datapath/generated');
  const files = generateFromObject(readFileSync(values.object ?? join(root, 'build/cirri.bpf.o')));
  const changed = Object.entries(files).map(([name, text]) => ({ path: join(folder, name), text })).filter(f => readIfThere(f.path) !== f.text);
  if (values.check) {
    for (const { path } of changed) console.error(`${relative(root, path)} differs from the object: run node26 tools/generate.ts`);
    return changed.length > 0 ? 1 : 0;
  }
  mkdirSync(folder, { recursive: true });
  for (const { path, text } of changed) {
    writeFileSync(path, text);
    console.log(`wrote ${relative(root, path)}`);
  }
  return 0;
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

try {
  process.exitCode = main();
} catch (error) {
  console.error(renderError(error));
  process.exitCode = 1;
}
