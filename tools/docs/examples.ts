/**
 * Examples on the pages that need no cluster are run, and must print what the page shows.
 *
 * In a block of language `console`, a line `$ command` is run in a copy of docs/examples/shop, and the lines up to the next
 * one are what it prints; a line `…` stands for any lines, and `(exit code 1)` for an exit code that is not 0. A line
 * `# command` is from a cluster and is not run.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');

export interface Example {
  readonly command: string;
  /** As the page shows it; without the line break at its end. */
  readonly shown: string;
}

/** Pages with examples that are run. */
export function examplePages(): readonly string[] {
  return globSync('docs/policy/*.md', { cwd: root }).sort();
}

export function examplesOf(text: string): readonly Example[] {
  return blocksOf(text).flatMap(block => partsOf(block).flatMap(part => (part.command === undefined ? [] : [{ command: part.command, shown: part.lines.join('\n') }])));
}

/** The page with what the commands print now, where that differs from what it shows. */
export function refreshed(text: string, print: (command: string) => string): string {
  return text.replace(/^```console\n([\s\S]*?)^```$/gm, (_, block: string) => {
    const parts = partsOf(block).map(({ command, lines }) => {
      if (command === undefined) return lines.join('\n');
      const printed = print(command);
      return [`$ ${command}`, ...(matches(lines.join('\n'), printed) ? lines : printed.split('\n'))].filter((line, i) => i === 0 || line !== '' || printed !== '').join('\n');
    });
    return `\`\`\`console\n${parts.join('\n')}\n\`\`\``;
  });
}

/** Where a page shows `…`, any lines may stand, at least one. */
export function matches(shown: string, printed: string): boolean {
  const pattern = shown.split('\n').map(line => (line === '…' ? '(?:.*\\n)*?.*' : line.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'))).join('\\n');
  return new RegExp(`^${pattern}$`).test(printed);
}

function blocksOf(text: string): readonly string[] {
  return [...text.matchAll(/^```console\n([\s\S]*?)^```$/gm)].map(match => match[1]!);
}

interface Part { readonly command?: string; readonly lines: string[] }

function partsOf(block: string): readonly Part[] {
  const parts: Part[] = [];
  for (const line of block.replace(/\n$/, '').split('\n')) {
    if (line.startsWith('$ ')) parts.push({ command: line.slice(2), lines: [] });
    else if (line.startsWith('# ') || parts.length === 0) parts.push({ lines: [line] });
    else parts.at(-1)!.lines.push(line);
  }
  return parts;
}

/** A folder with the files of the examples, and `cirri` in the path. */
export class ExampleShell implements Disposable {
  readonly #folder = mkdtempSync(join(tmpdir(), 'cirri-examples-'));

  constructor() {
    cpSync(join(root, 'docs/examples/shop'), join(this.#folder, 'shop'), { recursive: true });
    mkdirSync(join(this.#folder, 'bin'));
    const cirri = join(this.#folder, 'bin/cirri');
    writeFileSync(cirri, `#!/bin/sh\nexec '${process.execPath}' '${join(root, 'src/cli/main.ts')}' "$@"\n`);
    chmodSync(cirri, 0o755);
  }

  print(command: string): string {
    const { status, stdout } = spawnSync('sh', ['-c', `${command}`], {
      cwd: join(this.#folder, 'shop'), encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, PATH: `${join(this.#folder, 'bin')}:${process.env['PATH']}`, NO_COLOR: '1', CIRRI_STATE: join(this.#folder, 'no-cluster') },
    });
    return `${stdout}${status === 0 ? '' : `(exit code ${status})\n`}`.replace(/\n$/, '');
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true });
  }
}

export function pageText(page: string): string {
  return readFileSync(join(root, page), 'utf8');
}
