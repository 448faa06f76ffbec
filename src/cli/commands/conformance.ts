import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { safe } from '../../flows/print/fields.ts';
import { casesOf, runCase, skipReasons, tally, type CaseResult, type Tally } from '../../policy/conformance/run.ts';
import { CirriError } from '../../std/errors.ts';
import { line, printStructured, stdoutPaint } from '../output.ts';
import { flowRunners } from '../conformance/flow-runners.ts';
import { serviceRunners } from '../conformance/service-runners.ts';
import { checkRigRights } from '../rig/rig.ts';
import { runThroughRig, type RigFile } from '../rig/run.ts';

interface Flags {
  readonly engine?: boolean;
  readonly datapath?: boolean;
  readonly both?: boolean;
  readonly show: string;
  readonly reasons?: boolean;
  readonly only?: readonly string[];
  readonly limit?: string;
  readonly keep?: boolean;
  readonly routing: string;
  readonly output?: string;
}

/** One file's results by one of the two ways. */
interface FileResults {
  readonly file: string;
  readonly by: 'engine' | 'datapath';
  readonly results: readonly CaseResult[];
}

export function register(program: Command): void {
  program.command('conformance')
    .summary('run conformance cases through the policy engine, or by probes between real pods')
    .description('Runs cases of conformance files (JSON; docs/policy/conformance.md says in which form) and prints, for each file and in all, how many passed, failed and were skipped, with the first differences. Exit code 1 when some failed.')
    .argument('<files...>', 'case files, or folders of them')
    .option('--engine', 'through the pure engine (the default): no cluster is needed')
    .option('--datapath', 'by real probes between real pods, in a cluster that is made for it and removed afterwards')
    .option('--both', 'both, and they must agree on every probe and on the rule that denies it')
    .option('--only <glob>', 'only cases whose id matches (repeat for more)', (value: string, list: readonly string[] = []) => [...list, value])
    .option('--limit <n>', 'at most so many cases of each file')
    .option('--keep', 'leave the cluster of --datapath up, to look at')
    .option('--routing <mode>', 'between the nodes of that cluster: tunnel or native', 'tunnel')
    .option('--show <n>', 'differences to show for each file', '5')
    .option('--reasons', 'why cases were skipped')
    .option('-o, --output <format>', 'json or yaml')
    .addHelpText('after', `
Examples:
  ./cirri conformance tests/conformance/own
  ./cirri conformance --engine --show 20 cyclonus.json
  sudo ./cirri conformance --both --only 'cyclonus-01*' cyclonus.json
  ./cirri conformance cases/ -o json | jq .total`)
    .action((paths: readonly string[], flags: Flags) => run(paths, flags));
}

async function run(paths: readonly string[], flags: Flags): Promise<void> {
  number('--show', flags.show);
  const { routing } = flags;
  if (routing !== 'tunnel' && routing !== 'native') throw new CirriError('ERR_FLAG', `--routing must be tunnel or native, not "${routing}"`);
  if (flags.engine && (flags.datapath || flags.both)) throw new CirriError('ERR_FLAG', '--engine goes with neither --datapath nor --both', { mend: '--both runs the engine too' });
  const files = paths.flatMap(caseFiles).map(file => ({ file, cases: chosen(readCases(file), flags) }));
  if (flags.only && files.every(f => f.cases.length === 0)) throw new CirriError('ERR_CASES', `no case matches ${flags.only.join(', ')}`);
  const throughRig = flags.datapath === true || flags.both === true;
  if (throughRig) checkRigRights();
  const engine = throughRig && !flags.both ? [] : files.map(({ file, cases }): FileResults => ({ file, by: 'engine', results: cases.map(c => runCase(c, { ...serviceRunners, ...flowRunners })) }));
  // With both, what only the engine can answer is answered already.
  const forRig = flags.both ? files.map(f => ({ ...f, cases: f.cases.filter(c => c.kind === 'connectivity') })).filter(f => f.cases.length > 0) : files;
  const rig = throughRig ? await runThroughRig(forRig, { keep: flags.keep === true, routing, compare: flags.both === true }) : undefined;
  const datapath = (rig?.files ?? []).map((f): FileResults => ({ ...f, by: 'datapath' }));
  print([...engine, ...datapath].sort((a, b) => files.findIndex(f => f.file === a.file) - files.findIndex(f => f.file === b.file)), rig?.notes ?? [], flags);
}

function print(runs: readonly FileResults[], notes: readonly string[], flags: Flags): void {
  const tallies = runs.map(({ results }) => tally(results));
  const total = sum(tallies);
  if (total.failed > 0) process.exitCode = 1;
  const files = runs.map(({ file, by, results }, i) => ({ file, by, ...tallies[i]!, skipReasons: Object.fromEntries(skipReasons(results)), notPassed: results.filter(r => r.result === 'fail' || r.result === 'deviation') }));
  if (printStructured(flags.output, { files, total, notes })) return;
  for (const [i, one] of runs.entries()) printFile(flags.both ? `${one.file} (${one.by})` : one.file, tallies[i]!, one.results, flags);
  for (const by of flags.both ? (['engine', 'datapath'] as const) : []) line(`${stdoutPaint().strong(by)}: ${countsText(sum(tallies.filter((_, i) => runs[i]!.by === by)))}`);
  for (const note of notes) line(stdoutPaint().faint(note));
  if (!flags.both) line(`${stdoutPaint().strong('in all')}: ${countsText(total)}`);
}

function number(flag: string, text: string): number {
  if (!/^\d{1,6}$/.test(text)) throw new CirriError('ERR_FLAG', `${flag} must be a number, not "${text}"`);
  return Number(text);
}

function chosen(cases: RigFile['cases'], flags: Flags): RigFile['cases'] {
  const globs = flags.only?.map(globExpression);
  const matching = globs ? cases.filter(c => globs.some(glob => glob.test(c.id))) : cases;
  return flags.limit === undefined ? matching : matching.slice(0, number('--limit', flags.limit));
}

/** `*` and `?` as a shell has them. */
function globExpression(glob: string): RegExp {
  return new RegExp(`^${glob.replaceAll(/[.+^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*').replaceAll('?', '.')}$`);
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
