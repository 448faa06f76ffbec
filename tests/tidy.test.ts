import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

/** The floors of docs/DESIGN.md §3: imports only go down, or stay within the folder. */
const floors: Readonly<Record<string, number>> = {
  std: 0, model: 0,
  table: 1, sys: 1, btf: 1, rpc: 1,
  ebpf: 2, policy: 2, lb: 2, ipam: 2,
  kube: 3, datapath: 3, flows: 3, proxy: 3,
  features: 4, apiserver: 4, hubble: 4, metrics: 4, history: 4,
  agent: 5, operator: 5, relay: 5, kubelet: 5, cluster: 5,
  cli: 6,
};

/** Imports that do not go down, each with its reason. */
const allowedImports: Readonly<Record<string, string>> = {
  'model -> std': 'both are floor 0: the model is made of addresses and errors, and std knows no model',
  'proxy -> datapath': 'both are floor 3: the proxy reads maps by their layouts, and nothing below it knows that it exists',
  'apiserver -> operator': 'one process: the API server starts the controllers that Kubernetes runs beside it',
};

/** Files over the limit, each with its reason. A straight table may be long. */
const lineLimit = 400;
const longFiles: Readonly<Record<string, string>> = {
  'src/apiserver/schema/types-pod.ts': 'a straight table: the fields of a pod',
  'src/kube/types.ts': 'a straight table: the fields of Kubernetes objects that are read here',
  'src/kubelet/worker.ts': 'the one state machine of a pod from its first sight to its end',
};

const root = fileURLToPath(new URL('..', import.meta.url));
const sources = globSync('src/**/*.ts', { cwd: root }).filter(file => !file.includes('/generated/')).sort();
const isTest = (file: string) => /\.test\.ts$|\/test[a-z]*\.ts$|\/testing/.test(file);

interface Import {
  readonly from: string;
  readonly to: string;
  readonly typeOnly: boolean;
}

function textOf(file: string): string {
  return readFileSync(join(root, file), 'utf8');
}

/** Code without comments and the insides of strings: enough for what is looked for here. */
function codeOf(file: string): string {
  return textOf(file).replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|[^:'"`])\/\/.*$/gm, '$1');
}

function importsOf(file: string): Import[] {
  const found: Import[] = [];
  for (const match of codeOf(file).matchAll(/^(?:import|export)\s+(type\s)?[^;'"]*?from\s+'(\.[^']+)'|^import\s+'(\.[^']+)'|\bimport\('(\.[^']+)'\)/gm)) {
    const target = match[2] ?? match[3] ?? match[4]!;
    // A lazy import waits for its call: it is no part of a cycle at load time.
    found.push({ from: file, to: relative(root, join(root, dirname(file), target)), typeOnly: match[1] !== undefined || match[4] !== undefined });
  }
  return found;
}

const folderOf = (file: string) => file.split('/')[1] ?? '';
const imports = sources.flatMap(importsOf);

test('every folder has a floor', () => {
  const unknown = [...new Set(sources.map(folderOf))].filter(folder => !(folder in floors));
  assert.deepEqual(unknown, [], 'name the floor in tests/tidy.test.ts and docs/DESIGN.md');
});

test('imports go down', () => {
  const wrong = imports
    .filter(({ from, to }) => to.startsWith('src/') && folderOf(from) !== folderOf(to) && !isTest(from))
    .filter(({ from, to }) => floors[folderOf(to)]! >= floors[folderOf(from)]!)
    .filter(({ from, to, typeOnly }) => !typeOnly || floors[folderOf(to)]! > floors[folderOf(from)]!)
    .filter(({ from, to }) => !(`${folderOf(from)} -> ${folderOf(to)}` in allowedImports))
    .map(({ from, to }) => `${from} imports ${to}`);
  assert.deepEqual(wrong, []);
});

test('no cycles', () => {
  const edges = new Map<string, string[]>();
  for (const { from, to, typeOnly } of imports) if (!typeOnly) edges.set(from, [...(edges.get(from) ?? []), to]);
  const done = new Set<string>();
  const path: string[] = [];
  const cycles: string[] = [];
  const visit = (file: string) => {
    const at = path.indexOf(file);
    if (at >= 0) return void cycles.push([...path.slice(at), file].join(' → '));
    if (done.has(file)) return;
    path.push(file);
    for (const next of edges.get(file) ?? []) visit(next);
    path.pop();
    done.add(file);
  };
  sources.forEach(visit);
  assert.deepEqual(cycles, []);
});

test('no barrels: a file that only passes others on', () => {
  const barrels = sources.filter(file => {
    const lines = codeOf(file).split('\n').map(line => line.trim()).filter(Boolean);
    return lines.length > 1 && lines.every(line => /^export .* from '/.test(line));
  });
  assert.deepEqual(barrels, []);
  assert.deepEqual(sources.filter(file => file.endsWith('/index.ts')), []);
});

test('files stay short', () => {
  const long = sources.filter(file => !isTest(file) && textOf(file).split('\n').length > lineLimit && !(file in longFiles));
  assert.deepEqual(long.map(file => `${file}: ${textOf(file).split('\n').length} lines`), [], 'split it, or give the reason in tests/tidy.test.ts');
  assert.deepEqual(Object.keys(longFiles).filter(file => !sources.includes(file)), [], 'listed but gone');
});

test('no any', () => {
  const found = sources.flatMap(file => codeOf(file).split('\n').flatMap((line, i) => {
    const bare = line.replace(/'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`[^`]*`/g, "''").replace(/\/(?:[^/\\\n]|\\.)+\/[gimsuy]*/g, '//');
    return /(?::\s*any\b(?!\s*\?)|\bas any\b|<any\b|\bany\[\]|, any\b\s*>|\bany>)/.test(bare) ? [`${file}:${i + 1}: ${line.trim()}`] : [];
  }));
  assert.deepEqual(found, []);
});

test('policy, lb, ipam and model know no clock, no I/O and no kernel', () => {
  const pure = new Set(['policy', 'lb', 'ipam', 'model']);
  const wrong = sources.filter(file => pure.has(folderOf(file)) && !isTest(file)).filter(file => /from 'node:(?!crypto)|\bDate\.now\(|\bprocess\./.test(codeOf(file)));
  assert.deepEqual(wrong, []);
});

test('only erasable syntax: no enum, no namespace, no parameter properties', () => {
  const found = sources.filter(file => !isTest(file) && /^\s*(?:export\s+)?(?:const\s+)?enum\s|^\s*(?:export\s+)?namespace\s+\w+\s*\{/m.test(codeOf(file)));
  assert.deepEqual(found, []);
});
