import type { Command } from 'commander';
import { runTests } from '../tests.ts';

export function register(program: Command): void {
  program.command('test')
    .summary('run all tests of this project')
    .description('Installs what is missing, type-checks, compares generated code, and runs every test; those that make clusters one at a time. Exit code 0 when all pass.')
    .argument('[files...]', 'only these test files')
    .option('--name <pattern>', 'only tests whose name matches')
    .option('--skip-checks', 'neither type check nor generated code')
    .option('--long', 'the random tests with millions of cases from a new seed, and rolling updates under 2,000 connections a second (about an hour); without files, only they')
    .addHelpText('after', `
Random tests try the same every time; with --long another, which is printed. To try one of your own, or one again:
  CIRRI_SEED=7 sudo -E ./cirri test tests/differential/differential.test.ts

Examples:
  sudo ./cirri test
  sudo ./cirri test src/flows/filter.test.ts
  sudo ./cirri test --long`)
    .action(async (files: readonly string[], flags: { name?: string; skipChecks?: boolean; long?: boolean }) => {
      process.exitCode = await runTests({ files, ...(flags.name !== undefined && { name: flags.name }), skipChecks: flags.skipChecks === true, long: flags.long === true });
    });
}
