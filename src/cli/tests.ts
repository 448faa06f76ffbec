import { spawn } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import { toolEnv } from '../cluster/outside.ts';
import { createProgress, duration } from '../cluster/progress.ts';
import { ensureMachine } from '../cluster/setup.ts';
import { repositoryRoot } from '../cluster/root.ts';
import { CirriError } from '../std/errors.ts';
import { chooseSeed } from './test-seed.ts';

export interface TestOptions {
  readonly files: readonly string[];
  readonly name?: string;
  readonly skipChecks: boolean;
  /** Random tests go on for long and rolling updates are at full rate; without files only they run. */
  readonly long?: boolean;
}

const root = repositoryRoot;
/** A test that takes longer fails. */
const testTimeoutMs = 300_000;
/** The runner counts a whole file as a test too. */
const longTestTimeoutMs = 6 * 3_600_000;
/** Nothing was printed for so long: a file hangs after its last test, which the runner waits for for ever. */
const silenceMs = 240_000;
const longSilenceMs = 1_800_000;

/**
 * The whole of it: machine, packages, types, generated code, tests. Files that make clusters (tests/e2e and those that say so)
 * run after the others, one at a time. What failed among the others is said again at the end, thousands of lines below. The runner's
 * own summary is the last thing printed.
 */
export async function runTests(options: TestOptions): Promise<number> {
  const progress = createProgress(process.stderr);
  const startedAt = performance.now();
  const seed = chooseSeed(process.env['CIRRI_SEED'], options.long === true);
  await ensureMachine(root, progress, { forTests: true });
  await ensureDevDependencies(progress);
  if (!options.skipChecks && options.files.length === 0) {
    await progress.step('types', () => mustRun('the type check', process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '--noEmit', '-p', root]));
    await progress.step('types of the browser package', () => mustRun('the type check of ui/', process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '--noEmit', '-p', join(root, 'ui')]));
    if (existsSync(join(root, 'tools/generate.ts'))) {
      await progress.step('generated pages are current', () => mustRun('the comparison of generated pages (node tools/language.ts mends it)', process.execPath, [join(root, 'tools/language.ts'), '--check']));
      await progress.step('generated code is current', () => mustRun('the comparison of generated code (node tools/generate.ts mends it)', process.execPath, [join(root, 'tools/generate.ts'), '--check']));
    }
  }
  const files = options.files.length > 0 ? [...options.files] : options.long ? longTestFiles() : allTestFiles();
  if (files.length === 0) throw new CirriError('ERR_NO_TESTS', 'no test files found');
  const alone = files.filter(makesCluster);
  const together = files.filter(file => !alone.includes(file));
  const results: SuiteResult[] = [];
  process.stdout.write(`Random tests: CIRRI_SEED=${seed}\n`);
  // A core is left to the kernel and to what the tests start.
  if (together.length > 0) results.push(await runSuite(together, Math.max(2, availableParallelism()), seed, options));
  if (alone.length > 0 && !results.some(({ isInterrupted }) => isInterrupted)) results.push(await runSuite(alone, 1, seed, options));
  const sum = (field: 'code' | Count) => results.reduce((total, result) => total + result[field], 0);
  const isInterrupted = results.some(result => result.isInterrupted);
  const failed = isInterrupted || sum('code') !== 0;
  // The last suite's are just above.
  for (const { failures } of results.slice(0, -1)) if (failures !== '') process.stdout.write(`\n${failures}\n`);
  process.stdout.write(`\n${files.length} files in ${duration(performance.now() - startedAt)}: ${isInterrupted ? 'INTERRUPTED' : failed ? 'FAILED' : 'all passed'}\n`);
  // In the runner's own words, so that whoever reads the end of the output needs to know only one form.
  for (const field of counts) process.stdout.write(`ℹ ${field} ${sum(field)}\n`);
  return failed ? 1 : 0;
}

function allTestFiles(): string[] {
  return globSync(['src/**/*.test.ts', 'tests/**/*.test.ts', 'tools/**/*.test.ts'], { cwd: root }).sort();
}

/** Tests that take as many random cases, or as much load, as they are given: what `--long` is about. They ask for it by these names. */
export function longTestFiles(): string[] {
  return allTestFiles().filter(file => /process\.env(\.|\[')CIRRI_(LONG|PROPERTY_RUNS)\b/.test(readFileSync(join(root, file), 'utf8')));
}

/** Of what is said of failures at the end, so much: the first ones, with where they are and what was expected. */
const maxFailureChars = 8_000;

/**
 * What the runner's output says of failed tests: its own list of them, which ends it, or else the lines with the mark of a
 * failure (a file that was ended because it hung). Empty when nothing failed.
 */
export function failuresIn(output: string): string {
  const lines = stripVTControlCharacters(output).split('\n');
  const at = lines.findLastIndex(line => line === '✖ failing tests:');
  const said = (at < 0 ? lines.filter(isFailure) : lines.slice(at)).join('\n').trim();
  return said.length <= maxFailureChars ? said : `${said.slice(0, maxFailureChars)}\n… and more, above`;
}

function isFailure(line: string): boolean {
  return /^\s*✖ /.test(line);
}

const counts = ['tests', 'pass', 'fail', 'cancelled', 'skipped', 'todo'] as const;
type Count = (typeof counts)[number];

interface SuiteResult extends Readonly<Record<Count, number>> {
  readonly code: number;
  readonly failures: string;
  /** By who started it: what is left of the files has not run. */
  readonly isInterrupted: boolean;
}

const endingSignals = ['SIGINT', 'SIGTERM'] as const;

/** A test file belongs to the slow ones when it says `@cluster` in its head, or lies in tests/e2e. */
function makesCluster(file: string): boolean {
  const path = file.startsWith('/') ? file : join(root, file);
  return file.includes('tests/e2e/') || /^[\s\S]{0,600}@cluster\b/.test(readFileSync(path, 'utf8'));
}

function runSuite(files: readonly string[], concurrency: number, seed: number, options: TestOptions): Promise<SuiteResult> {
  const args = [
    `--import=${pathToFileURL(join(root, 'tests/seeded.ts'))}`, '--test', `--test-concurrency=${concurrency}`, '--test-reporter=spec', `--test-timeout=${options.long ? longTestTimeoutMs : testTimeoutMs}`,
    ...(options.name === undefined ? [] : [`--test-name-pattern=${options.name}`]),
    ...files,
  ];
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'], env: { ...testEnv(), CIRRI_SEED: String(seed), ...(options.long && { CIRRI_LONG: '1', CIRRI_PROPERTY_RUNS: process.env['CIRRI_PROPERTY_RUNS'] ?? '5000' }) } });
    let tail = '';
    // A file that fails a test and then does not end has been seen to be counted as passed: the mark itself counts.
    let marked = 0;
    let watchdog: NodeJS.Timeout | undefined;
    const heard = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => {
        endHanging(child.pid!);
        heard();
      }, options.long ? longSilenceMs : silenceMs);
    };
    heard();
    child.stdout.on('data', (chunk: Buffer) => {
      heard();
      process.stdout.write(chunk);
      marked += chunk.toString('utf8').split('\n').filter(isFailure).length;
      tail = (tail + chunk.toString('utf8')).slice(-(64 << 10));
    });
    // The runner ends its test files, and they their clusters.
    let isInterrupted = false;
    const forward = (signal: NodeJS.Signals) => {
      isInterrupted = true;
      child.kill(signal);
    };
    for (const signal of endingSignals) process.once(signal, forward);
    child.on('error', reject);
    child.on('close', code => {
      for (const signal of endingSignals) process.off(signal, forward);
      clearTimeout(watchdog);
      // The last summary: a test may print one of its own.
      const count = (word: Count) => Number([...tail.matchAll(new RegExp(`ℹ ${word} (\\d+)`, 'g'))].at(-1)?.[1] ?? 0);
      resolve({
        ...Object.fromEntries(counts.map(word => [word, count(word)])) as Record<Count, number>,
        code: code === 0 && marked > 0 ? 1 : code ?? 1, failures: failuresIn(tail), isInterrupted,
      });
    });
  });
}

/** Ends the runner's own children, each of which is one test file; the runner reports them as failed and goes on. */
function endHanging(runner: number): void {
  const children = readFileSync(`/proc/${runner}/task/${runner}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
  for (const pid of children) {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    process.stdout.write(`cirri test: ${words.findLast(word => word.endsWith('.test.ts')) ?? `process ${pid}`} hangs; ended\n`);
    process.kill(pid, 'SIGKILL');
  }
}

/** No colours where nobody sees them, and nothing of the cluster that the caller's shell points at. */
function testEnv(): NodeJS.ProcessEnv {
  const env = toolEnv();
  delete env['CIRRI_INSTANCE'];
  delete env['CIRRI_STATE'];
  delete env['KUBECONFIG'];
  return env;
}

async function ensureDevDependencies(progress: ReturnType<typeof createProgress>): Promise<void> {
  if (['typescript', 'fast-check', 'kafkajs'].every(name => existsSync(join(root, 'node_modules', name, 'package.json')))) return;
  await progress.step('npm packages for development', () => mustRun('npm ci', 'npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error', '--prefix', root]));
}

function mustRun(what: string, file: string, args: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    // npm may run on an older Node of the system, which does not know our options.
    const child = spawn(file, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], env: { ...testEnv(), NODE_OPTIONS: '' } });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString('utf8')));
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString('utf8')));
    child.on('error', reject);
    child.on('close', code => (code === 0 ? resolve() : reject(new CirriError('ERR_CHECK', `${what} failed:\n${output.trim().split('\n').slice(0, 40).join('\n')}`))));
  });
}
