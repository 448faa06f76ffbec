import type { Command } from 'commander';
import { safe } from '../../flows/print/fields.ts';
import type { Paint } from '../../flows/print/paint.ts';
import type { Finding, Severity } from '../../policy/lint/finding.ts';
import { lint } from '../../policy/lint/lint.ts';
import { World } from '../../policy/world.ts';
import { CirriError } from '../../std/errors.ts';
import { line, printStructured, stdoutPaint } from '../output.ts';
import { addSourceOptions, loadScenario, type SourceFlags } from './policy-world.ts';

interface Flags extends SourceFlags {
  readonly severity: string;
  readonly strict?: boolean;
  readonly ignore?: readonly string[];
}

const severities: readonly Severity[] = ['error', 'warning', 'info'];

export function register(policy: Command): void {
  addSourceOptions(policy.command('lint'))
    .summary('what policies do not do, though it looks so')
    .description('Finds what policies do not do though it looks so: selectors that match nothing, rules that never decide, allow-all by typo, forgotten DNS, ports that nobody listens on, and what is accepted in silence. Each finding has its place, its consequence and its mend. Exit code 1 when there are errors.')
    .option('--severity <level>', 'show errors, also warnings, or all: error, warning or info', 'info')
    .option('--strict', 'exit with 1 for warnings too')
    .option('--ignore <code>', 'leave findings of this code out (repeat for more)', (value: string, list: readonly string[] = []) => [...list, value])
    .addHelpText('after', `
Examples:
  ./cirri policy lint -f manifests/
  ./cirri policy lint --severity warning --strict
  ./cirri policy lint -f policies/ --live -o json`)
    .action(async (flags: Flags) => {
      const level = severities.indexOf(flags.severity as Severity);
      if (level < 0) throw new CirriError('ERR_FLAG', `--severity ${flags.severity}: known are ${severities.join(', ')}`);
      const scenario = await loadScenario(flags, true);
      const findings = lint(new World(scenario)).filter(f => severities.indexOf(f.severity) <= level && !flags.ignore?.includes(f.code));
      const bad = findings.some(f => f.severity === 'error' || (flags.strict && f.severity === 'warning'));
      if (bad) process.exitCode = 1;
      if (printStructured(flags.output, findings)) return;
      const paint = stdoutPaint();
      for (const finding of findings) printFinding(finding, paint);
      if (scenario.pods.length === 0) line(paint.faint('no pods were read: selectors and ports were not compared with them (-f their manifests, or --live)'));
      const count = (severity: Severity) => findings.filter(f => f.severity === severity).length;
      line(findings.length === 0 ? paint.good(`nothing found in ${scenario.policies.length} policies`) : `${scenario.policies.length} policies: ${count('error')} errors, ${count('warning')} warnings, ${count('info')} notes`);
    });
}

function printFinding({ code, severity, policy, field, place, message, mend }: Finding, paint: Paint): void {
  const word = severity === 'error' ? paint.bad('error') : severity === 'warning' ? paint.careful('warning') : paint.faint('note');
  line(`${place === '' ? '' : `${safe(place)}: `}${word} ${safe(policy.replace('//', '/'))} ${safe(field)} [${code}]`);
  line(`    ${safe(message)}`);
  line(`    → ${safe(mend)}`);
}
