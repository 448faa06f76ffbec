import { createHash } from 'node:crypto';
import { existsSync, globSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const entries = ['ui/src/main.tsx', 'ui/src/map/layout-worker.ts', 'ui/style.css'];
const assets = 'build/ui';
const keptStates = 4;

export interface StaticFile {
  readonly type: string;
  readonly body: Buffer;
}

/** The page's files by path; `/` is the page itself. */
export type StaticFiles = ReadonlyMap<string, StaticFile>;

/**
 * The browser package, bundled: 0.3 s once per state of its sources, then read from build/ui/HASH. Names carry a digest, so
 * that browsers may keep them for ever.
 */
export async function bundleUi(): Promise<StaticFiles> {
  const folder = join(root, assets, sourcesHash());
  if (!existsSync(join(folder, 'index.html'))) await build(folder);
  return new Map(globSync('*', { cwd: folder }).map(name => [name === 'index.html' ? '/' : `/assets/${name}`, { type: typeOf(name), body: readFileSync(join(folder, name)) }]));
}

function sourcesHash(): string {
  const hash = createHash('sha256');
  for (const file of globSync(['ui/**/*.{ts,tsx,css,html,svg}', 'src/model/*.ts', 'package-lock.json'], { cwd: root }).sort()) hash.update(file).update(readFileSync(join(root, file)));
  return hash.digest('hex').slice(0, 16);
}

async function build(folder: string): Promise<void> {
  const { build: esbuild } = await import('esbuild');
  const result = await esbuild({
    entryPoints: entries.map(entry => join(root, entry)), entryNames: '[name]-[hash]', outdir: folder, write: false, bundle: true, minify: true, format: 'esm', target: 'es2022',
    jsx: 'automatic', jsxImportSource: 'preact', sourcemap: false, metafile: true, logLevel: 'silent', absWorkingDir: root, legalComments: 'none',
  });
  const names = new Map(Object.entries(result.metafile.outputs).map(([path, { entryPoint }]) => [entryPoint, basename(path)] as const));
  const nameOf = (entry: string) => `/assets/${names.get(entry)!}`;
  const page = readFileSync(join(root, 'ui/index.html'), 'utf8').replace('{{script}}', nameOf(entries[0]!)).replace('{{worker}}', nameOf(entries[1]!)).replace('{{style}}', nameOf(entries[2]!));
  // Whole or not at all: two processes may build at once.
  const fresh = `${folder}.${process.pid}`;
  mkdirSync(fresh, { recursive: true });
  for (const file of result.outputFiles) writeFileSync(join(fresh, basename(file.path)), file.contents);
  for (const name of ['icon.svg']) writeFileSync(join(fresh, name), readFileSync(join(root, 'ui', name)));
  writeFileSync(join(fresh, 'index.html'), page);
  if (existsSync(join(folder, 'index.html'))) return rmSync(fresh, { recursive: true });
  rmSync(folder, { recursive: true, force: true });
  renameSync(fresh, folder);
  forgetOld();
}

/** Of earlier states of the sources, the newest few stay: a process of theirs may start yet. */
function forgetOld(): void {
  const folders = globSync('*', { cwd: join(root, assets) }).map(name => join(root, assets, name)).sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs);
  for (const old of folders.slice(keptStates)) rmSync(old, { recursive: true, force: true });
}

function typeOf(name: string): string {
  if (name.endsWith('.js')) return 'text/javascript; charset=utf-8';
  if (name.endsWith('.css')) return 'text/css; charset=utf-8';
  if (name.endsWith('.svg')) return 'image/svg+xml';
  return 'text/html; charset=utf-8';
}
