import { readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import type { Command } from 'commander';
import { parseDocument, LineCounter } from 'yaml';
import { safe } from '../../flows/print/fields.ts';
import { pathSteps } from '../../policy/edit.ts';
import { readScenario, type SourcedObject } from '../../policy/scenario.ts';
import { junitReport, tapReport, type FileOutcome } from '../../policy/test-report.ts';
import { readTestFile, runTestCase, type TestFile } from '../../policy/unit-test.ts';
import { World } from '../../policy/world.ts';
import { CirriError } from '../../std/errors.ts';
import { line, printStructured, stdoutPaint } from '../output.ts';
import { sourcedFiles } from './policy-world.ts';

interface Flags {
  readonly tap?: boolean;
  readonly junit?: string;
  readonly output?: string;
}

export function register(policy: Command): void {
  policy.command('test')
    .summary('run unit tests of policies')
    .description('Runs files of policy tests: a cluster, policies, and who may talk to whom (docs/policy/test.md describes the format). Needs no cluster. Exit code 1 when a test fails.')
    .argument('<files...>', 'files of tests')
    .option('--tap', 'print TAP')
    .option('--junit <file>', 'write a JUnit report too')
    .option('-o, --output <format>', 'json or yaml')
    .addHelpText('after', `
Examples:
  ./cirri policy test tests/*.policy-test.yaml
  ./cirri policy test --tap shop.policy-test.yaml
  ./cirri policy test --junit report.xml shop.policy-test.yaml`)
    .action((files: readonly string[], flags: Flags) => {
      const outcomes = files.map(runFile);
      const failed = outcomes.flatMap(f => f.outcomes).filter(o => !o.passed).length;
      if (failed > 0) process.exitCode = 1;
      if (flags.junit !== undefined) writeFileSync(flags.junit, junitReport(outcomes));
      if (flags.tap) return void process.stdout.write(tapReport(outcomes));
      if (printStructured(flags.output, outcomes)) return;
      outcomes.forEach(print);
      const count = outcomes.reduce((sum, f) => sum + f.outcomes.length, 0);
      const paint = stdoutPaint();
      line(failed === 0 ? paint.good(`${count} passed`) : paint.bad(`${count - failed} passed, ${failed} failed`));
    });
}

function runFile(path: string): FileOutcome {
  const { file, sources } = readFile(path);
  const world = new World(readScenario(sources, { namespace: file.namespace, ...(file.clusterName !== undefined && { clusterName: file.clusterName }) }));
  // A policy that is refused would make every "deny" come true in the test and not in the cluster.
  for (const p of world.scenario.policies) for (const e of p.errors) throw new CirriError('ERR_POLICY', `${p.address} is invalid: ${e.path}: ${e.message}`, { where: p.place(e.path), mend: e.mend });
  return { file: path, name: file.name, outcomes: file.cases.map(test => runTestCase(world, test, file.namespace)) };
}

function readFile(path: string): { file: TestFile; sources: readonly SourcedObject[] } {
  const lines = new LineCounter();
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new CirriError('ERR_TEST_FILE', `${path} cannot be read`, { cause: error });
  }
  const document = parseDocument(text, { lineCounter: lines });
  const [broken] = document.errors;
  if (broken) throw new CirriError('ERR_TEST_FILE', broken.message.split('\n')[0]!, { where: `${path}:${lines.linePos(broken.pos[0]).line}` });
  const lineOf = (field: string) => {
    const steps = pathSteps(field);
    for (let length = steps.length; length > 0; length--) {
      const node = document.getIn(steps.slice(0, length), true) as { range?: readonly number[] | null } | undefined;
      if (node?.range) return lines.linePos(node.range[0]!).line;
    }
    return 1;
  };
  const { file, errors } = readTestFile(document.toJS(), basename(path).replace(/(\.policy-test)?\.ya?ml$/, ''));
  if (!file) throw new CirriError('ERR_TEST_FILE', `${errors[0]!.path}: ${errors[0]!.message}${errors.length > 1 ? ` (and ${errors.length - 1} more)` : ''}`, { where: `${path}:${lineOf(errors[0]!.path)}`, mend: errors[0]!.mend });
  const own = file.objects.map(({ object, path: at }) => ({ object, place: (field: string) => `${path}:${lineOf(`${at}.${field}`)}` }));
  return { file, sources: [...file.files.flatMap(name => sourcedFiles([resolve(dirname(path), name)])), ...own] };
}

function print({ file, name, outcomes }: FileOutcome): void {
  const paint = stdoutPaint();
  line(`${paint.strong(safe(name))} ${paint.faint(safe(file))}`);
  for (const { test, passed, details } of outcomes) {
    line(`  ${passed ? paint.good('✓') : paint.bad('✗')} ${safe(test.name)}`);
    for (const text of details) line(`      ${safe(text)}`);
  }
}
