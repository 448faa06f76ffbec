import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { safe } from '../../flows/print/fields.ts';
import { casesOf, runCase, skipReasons, tally, type CaseResult, type Tally } from '../../policy/conformance/run.ts';
import { CirriError } from '../../std/errors.ts';
import { line, printStructured, stdoutPaint } from '../output.ts';

interface Flags {
  readonly engine?: boolean;
  readonly datapath?: boolean;
  readonly both?: boolean;
  readonly show: string;
  readonly reasons?: boolean;
  readonly output?: string;
}

export function register(program: Command): void {
  program.command('conformance')
    .summary('run conformance cases through the policy engine')
    .description('Runs cases of conformance files (JSON; docs/policy/conformance.md says in which form) and prints, for each file and in all, how many passed, failed and were skipped, with the first differences. Exit code 1 when some failed.')
    .argument('<files...>', 'case files, or folders of them')
    .option('--engine', 'through the pure engine (the default): no cluster is needed')
    .option('--datapath', 'by real probes between real pods')
    .option('--both', 'both, and they must agree')
    .option('--show <n>', 'differences to show for each file', '5')
    .option('--reasons', 'why cases were skipped')
    .option('-o, --output <format>', 'json or yaml')
    .addHelpText('after', `
Examples:
  ./cirri conformance tests/conformance/own
  ./cirri conformance --engine --show 20 cyclonus.json
  ./cirri conformance cases/ -o json | jq .total`)
    .action((paths: readonly string[], flags: Flags) => run(paths, flags));
}

function run(paths: readonly string[], flags: Flags): void {
  if (flags.datapath || flags.both) {
    throw new CirriError('ERR_NOT_YET', `--${flags.both ? 'both' : 'datapath'}: probes between real pods are not built yet`, { mend: 'run the engine: cirri conformance --engine FILES; that it agrees with the loaded programs is tested by cirri test' });
  }
  if (!/^\d{1,6}$/.test(flags.show)) throw new CirriError('ERR_FLAG', `--show must be a number, not "${flags.show}"`);
  const files = paths.flatMap(caseFiles).map(file => {
    const results = readCases(file).map(runCase);
    return { file, tally: tally(results), results };
  });
  const total = sum(files.map(f => f.tally));
  if (total.failed > 0) process.exitCode = 1;
  const shown = { files: files.map(({ file, tally: counts, results }) => ({ file, ...counts, skipReasons: Object.fromEntries(skipReasons(results)), notPassed: results.filter(r => r.result === 'fail' || r.result === 'deviation') })), total };
  if (printStructured(flags.output, shown)) return;
  for (const { file, tally: counts, results } of files) printFile(file, counts, results, flags);
  line(`${stdoutPaint().strong('in all')}: ${countsText(total)}`);
}

function caseFiles(path: string): readonly string[] {
  if (!existsSync(path)) throw new CirriError('ERR_CASES', `${path} is not there`);
  if (!statSync(path).isDirectory()) return [path];
  const found = readdirSync(path).filter(name => name.endsWith('.json')).sort().map(name => join(path, name));
  if (found.length === 0) throw new CirriError('ERR_CASES', `${path} holds no .json file`);
  return found;
}

function readCases(file: string): NonNullable<ReturnType<typeof casesOf>> {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new CirriError('ERR_CASES', `${file} is not JSON`, { cause: error });
  }
  const cases = casesOf(value);
  if (!cases) throw new CirriError('ERR_CASES', `${file} holds no conformance cases`, { mend: 'a file is {"meta": …, "cases": [{"id", "kind", …}]}' });
  return cases;
}

function sum(tallies: readonly Tally[]): Tally {
  const add = (field: keyof Tally) => tallies.reduce((total, t) => total + t[field], 0);
  return { passed: add('passed'), failed: add('failed'), skipped: add('skipped'), deviations: add('deviations'), assertions: add('assertions') };
}

function countsText({ passed, failed, skipped, deviations, assertions }: Tally): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped${deviations > 0 ? `, ${deviations} known deviations` : ''} (${assertions} assertions)`;
}

function printFile(file: string, counts: Tally, results: readonly CaseResult[], flags: Flags): void {
  const paint = stdoutPaint();
  line(`${counts.failed > 0 ? paint.bad('✗') : paint.good('✓')} ${safe(file)}: ${countsText(counts)}`);
  const failed = results.filter(r => r.result === 'fail');
  const limit = Number(flags.show);
  for (const { id, title, failures } of failed.slice(0, limit)) {
    line(`    ${paint.bad(safe(id))}${title === '' ? '' : ` (${safe(title)})`}`);
    for (const text of failures.slice(0, 3)) line(`        ${safe(text)}`);
    if (failures.length > 3) line(`        and ${failures.length - 3} more`);
  }
  if (failed.length > limit) line(`    and ${failed.length - limit} more cases (--show, -o json)`);
  for (const { id, skipped } of results.filter(r => r.result === 'deviation')) line(`    ${paint.careful('deviation')} ${safe(id)}: ${safe(skipped[0] ?? '')}`);
  if (flags.reasons) for (const [reason, count] of skipReasons(results)) line(`    ${paint.faint(`skipped ${count}: ${safe(reason)}`)}`);
}
