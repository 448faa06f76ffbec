import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { Command } from 'commander';
import { parse, parseAllDocuments } from 'yaml';
import { commands } from '../src/cli/commands.ts';
import { DropReason, dropReasonName as ownNames } from '../src/datapath/generated/enums.ts';
import { dropReasonName } from '../src/flows/reasons.ts';
import { examplePages, ExampleShell, examplesOf, matches } from '../tools/docs/examples.ts';
import { parsePolicy, policyKinds, type PolicyObject } from '../src/policy/parse.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const pages = ['README.md', ...globSync('docs/**/*.md', { cwd: root }).sort()];
const textOf = (page: string) => readFileSync(join(root, page), 'utf8');

/** Lines between fences, with the word behind the opening one. */
function fencedBlocks(text: string): { readonly language: string; readonly body: string }[] {
  return [...text.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].map(match => ({ language: match[1]!, body: match[2]! }));
}

/** `./cirri …` and `cirri …` wherever they stand: in a shell line (after `#`, `$`, `$(`, `|`), or between backticks in prose. */
function invocations(text: string): string[] {
  const inBlocks = fencedBlocks(text).flatMap(({ body }) => body.split('\n')).flatMap(line => [...line.matchAll(/(?:\.\/cirri\b|^\$ cirri\b)(.*)$/g)].map(match => match[1]!));
  const prose = text.replace(/^```\w*\n[\s\S]*?^```$/gm, '');
  const inProse = [...prose.matchAll(/`((?:[^`]*\.\/)?cirri [^`]*)`/g)].map(match => match[1]!.replace(/^.*?\bcirri\b/, ''));
  return [...inBlocks, ...inProse];
}

/** The words of one invocation: quotes are one word; ends at a shell operator or a comment. */
function wordsOf(rest: string): string[] {
  const words = [...rest.matchAll(/'[^']*'|"[^"]*"|[^\s'"]+/g)].map(match => match[0]);
  const end = words.findIndex(word => /^([|;&<>#→]|&&|\d?>)/.test(word) || word === '--');
  return (end < 0 ? words : words.slice(0, end)).map(word => word.replace(/[);]+$/, ''));
}

async function loadCommand(name: string): Promise<Command | undefined> {
  const entry = commands.get(name);
  if (!entry) return undefined;
  const program = new Command().enablePositionalOptions();
  (await entry.load()).register(program);
  return program.commands[0];
}

const everywhere = new Set(['--help', '-h']);

function flagsOf(command: Command): Set<string> {
  return new Set([...everywhere, ...command.options.flatMap(option => [option.long, option.short]).filter(flag => flag !== undefined && flag !== null)]);
}

function withSubcommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withSubcommands)];
}

/** What is wrong with the words of an invocation, or undefined. */
async function mistakeIn(words: readonly string[]): Promise<string | undefined> {
  const [name, ...rest] = words;
  if (name === undefined || name === 'COMMAND' || name === 'help' || name === '--version') return undefined;
  let command = await loadCommand(name);
  if (!command) return `there is no command ${name}`;
  const after = rest.filter(word => /^[a-z]/.test(word));
  for (let path = name; command.commands.length > 0 && after.length > 0; path += ` ${command.name()}`) {
    const next = after.shift()!;
    const sub: Command | undefined = command.commands.find(candidate => candidate.name() === next);
    if (!sub) return `there is no command ${path} ${next}`;
    command = sub;
  }
  const known = flagsOf(command);
  // A synopsis writes [--flag] and a|b.
  const given = rest.flatMap(word => word.split('|')).map(word => word.replace(/[[\]…]/g, '')).filter(word => /^--?[a-zA-Z0-9]/.test(word)).map(word => word.replace(/=.*$/, ''));
  const unknown = given.flatMap(flag => (/^-[a-z]{2,}$/.test(flag) ? [...flag.slice(1)].map(letter => `-${letter}`) : [flag])).filter(flag => !known.has(flag));
  return unknown.length > 0 ? `${name} has no ${unknown.join(', ')}` : undefined;
}

test('every ./cirri command and flag on the pages exists', async () => {
  const mistakes: string[] = [];
  let count = 0;
  for (const page of pages) {
    for (const rest of invocations(textOf(page))) {
      count++;
      const mistake = await mistakeIn(wordsOf(rest));
      if (mistake !== undefined) mistakes.push(`${page}: ./cirri${rest}: ${mistake}`);
    }
  }
  assert.deepEqual(mistakes, []);
  assert.ok(count > 50, `only ${count} invocations were found`);
});

test('a wrong command, a wrong subcommand and a wrong flag would be noticed', async () => {
  assert.equal(await mistakeIn(wordsOf(' frobnicate')), 'there is no command frobnicate');
  assert.equal(await mistakeIn(wordsOf(' bpf lb maglev show')), 'there is no command bpf lb maglev show');
  assert.equal(await mistakeIn(wordsOf(' endpoint show')), 'there is no command endpoint show');
  assert.equal(await mistakeIn(wordsOf(" probe --form demo/frontend --http 'GET /' | less")), 'probe has no --form');
  assert.equal(await mistakeIn(wordsOf(' exec demo/frontend -- curl --no-such-flag')), undefined);
});

test('each flag named by itself on the page of the command belongs to some command', async () => {
  const known = new Set<string>();
  for (const name of commands.keys()) {
    const command = (await loadCommand(name))!;
    for (const each of withSubcommands(command)) for (const flag of flagsOf(each)) known.add(flag);
  }
  const prose = textOf('docs/cli.md').replace(/^```\w*\n[\s\S]*?^```$/gm, '');
  const alone = [...prose.matchAll(/`(--[a-z0-9-]*[a-z0-9])/g)].map(match => match[1]!);
  assert.deepEqual([...new Set(alone)].filter(flag => !known.has(flag)), []);
});

test('every command has a place on the page of the command', () => {
  const titles = [...textOf('docs/cli.md').matchAll(/^## (.*)$/gm)].map(match => match[1]!).join(', ');
  assert.deepEqual([...commands.keys()].filter(name => !new RegExp(`\\b${name}\\b`).test(titles)), []);
});

/** GitHub's rule for the anchor of a heading. */
function anchorOf(heading: string): string {
  return heading.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, '').trim().replaceAll(' ', '-');
}

test('every relative link leads to a file, and to a heading of it', () => {
  const broken: string[] = [];
  for (const page of pages) {
    for (const [, target] of textOf(page).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target!)) continue;
      const [path, anchor] = target!.split('#') as [string, string | undefined];
      const file = path === '' ? page : join(dirname(page), path);
      if (!existsSync(join(root, file))) broken.push(`${page}: ${target}`);
      else if (anchor !== undefined && ![...textOf(file).matchAll(/^#+ (.*)$/gm)].some(match => anchorOf(match[1]!) === anchor)) broken.push(`${page}: ${target}`);
    }
  }
  assert.deepEqual(broken, []);
});

test('every drop reason is explained, with the number, the names and the text that the command shows', () => {
  const text = textOf('docs/troubleshooting.md');
  const missing = Object.values(DropReason).filter(code => {
    const own = ownNames[code]!;
    const { name, text: shown } = dropReasonName(code, each => ownNames[each]);
    const names = name === own ? `\`${own}\`` : `\`${own}\`<br>\`${name}\``;
    return !text.includes(`| ${code} | ${names} | ${shown} |`);
  });
  assert.deepEqual(missing.map(code => ownNames[code]), []);
});

test('every policy on the pages is accepted', () => {
  const kinds = new Set<string>(policyKinds);
  const refused: unknown[] = [];
  let count = 0;
  for (const page of pages) {
    for (const { language, body } of fencedBlocks(textOf(page))) {
      const heredocs = [...body.matchAll(/<<'EOF'\n([\s\S]*?)\nEOF$/gm)].map(match => match[1]!);
      for (const source of language === 'yaml' ? [body] : heredocs) {
        for (const document of parseAllDocuments(source)) {
          const object = document.toJS() as PolicyObject;
          if (!kinds.has(String(object.kind))) continue;
          count++;
          const { errors } = parsePolicy(object);
          if (errors) refused.push({ page, errors });
        }
      }
    }
  }
  assert.deepEqual(refused, []);
  assert.ok(count >= 10, `only ${count} policies were found`);
});

test('every command of policy has a page, and the page names each of its flags', async () => {
  const policy = (await loadCommand('policy'))!;
  for (const command of [...policy.commands, (await loadCommand('conformance'))!]) {
    const page = `docs/policy/${command.name()}.md`;
    assert.ok(existsSync(join(root, page)), `${page} is missing`);
    const text = textOf(page) + textOf('docs/policy-tools.md');
    // What all of them share stands on the first page, or belongs to a shape of the question that stands there.
    const shared = new Set(['--filename', '--live', '--namespace', '--cluster-name', '--output', '--from', '--to', '--port', '--protocol']);
    const unnamed = command.options.map(option => option.long!).filter(flag => !shared.has(flag) && !text.includes(flag));
    assert.deepEqual(unnamed, [], page);
  }
});

test('every code that lint reports is on its page', () => {
  const sources = globSync('src/policy/lint/*.ts', { cwd: root }).filter(file => !file.endsWith('.test.ts')).map(textOf).join('\n');
  const codes = new Set([...sources.matchAll(/report\('([a-z0-9-]+)', '(?:error|warning|info)'/g)].map(match => match[1]!));
  assert.ok(codes.size > 30, `only ${codes.size} codes were found`);
  assert.deepEqual([...codes].filter(code => !textOf('docs/policy/lint.md').includes(`\`${code}\``)), []);
});

test('every example that needs no cluster prints what its page shows', () => {
  const wrong: object[] = [];
  let count = 0;
  for (const page of examplePages()) {
    using shell = new ExampleShell();
    for (const { command, shown } of examplesOf(textOf(page))) {
      count++;
      const printed = shell.print(command);
      if (!matches(shown, printed)) wrong.push({ page, command, shown, printed });
    }
  }
  assert.deepEqual(wrong, [], 'if the page is to change: node tools/examples.ts');
  assert.ok(count >= 20, `only ${count} examples were found`);
});

test('a page that shows something else than what is printed would be noticed', () => {
  assert.ok(matches('a\n…\nz', 'a\nb\nc\nz') && matches('a.b', 'a.b'));
  assert.ok(!matches('a\nz', 'a\nb\nz') && !matches('a.b', 'axb') && !matches('a', 'a\nb') && !matches('', 'a'));
});

test('the picture on the page is what the command draws', () => {
  using shell = new ExampleShell();
  assert.equal(shell.print('cirri policy matrix -f shop.yaml -f policies.yaml --svg m.svg 2>/dev/null && cat m.svg'), textOf('docs/policy/matrix.svg').trimEnd());
});

test('the workflow for GitHub stands on its page, and its steps do what they say in a repository of that shape', () => {
  const text = textOf('docs/examples/github/policies.yaml');
  assert.ok(textOf('docs/policy/test.md').includes(text));
  const { jobs } = parse(text) as { jobs: { policies: { steps: { name?: string; run?: string }[] } } };
  const folder = mkdtempSync(join(tmpdir(), 'cirri-workflow-'));
  try {
    const [repository, runner] = [join(folder, 'repository'), join(folder, 'runner')];
    const example = (name: string) => join(root, 'docs/examples/shop', name);
    for (const each of ['repository/manifests', 'repository/policies', 'runner/cirri']) mkdirSync(join(folder, each), { recursive: true });
    writeFileSync(join(runner, 'cirri/cirri'), `#!/bin/sh\nexec '${process.execPath}' '${join(root, 'src/cli/main.ts')}' "$@"\n`, { mode: 0o755 });
    cpSync(example('shop.yaml'), join(repository, 'manifests/shop.yaml'));
    const summary = join(folder, 'summary');
    const run = (script: string) => spawnSync('bash', ['-e', '-c', script], {
      cwd: repository, encoding: 'utf8', env: { ...process.env, NO_COLOR: '1', RUNNER_TEMP: runner, GITHUB_BASE_REF: 'main', GITHUB_STEP_SUMMARY: summary, CIRRI_STATE: join(folder, 'none') },
    });
    const commit = 'git add -A && git -c user.name=t -c user.email=t@example.com commit -qm x';
    cpSync(example('policies.yaml'), join(repository, 'policies/policies.yaml'));
    writeFileSync(join(repository, 'policies/shop.policy-test.yaml'), readFileSync(example('shop.policy-test.yaml'), 'utf8').replace('shop.yaml', '../manifests/shop.yaml').replace('policies-fixed.yaml', 'policies.yaml'));
    assert.equal(run(`git init -q -b main . && ${commit} && git update-ref refs/remotes/origin/main HEAD`).status, 0);
    const steps = new Map(jobs.policies.steps.map(step => [step.name, step.run]));
    assert.equal(run(steps.get('Lint')!).status, 1, 'the policies with mistakes');
    assert.equal(run(steps.get('Test')!).status, 1);
    cpSync(example('policies-fixed.yaml'), join(repository, 'policies/policies.yaml'));
    assert.equal(run(commit).status, 0);
    for (const name of ['Lint', 'Test', 'Who may talk to whom', 'What changes']) assert.equal(run(steps.get(name)!).status, 0, name);
    assert.match(readFileSync(join(repository, 'policies.xml'), 'utf8'), /failures="0"/);
    assert.match(readFileSync(join(repository, 'matrix.html'), 'utf8'), /^<!doctype html>/);
    assert.match(readFileSync(summary, 'utf8'), /^```diff\n\+ monitoring\/scraper → shop\/web: 9090\/TCP\n[\s\S]*```\n$/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
