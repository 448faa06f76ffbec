import type { Command } from 'commander';
import { safe } from '../../flows/print/fields.ts';
import { askAgents } from '../agents.ts';
import { openContext } from '../context.ts';
import { line, printStructured, stdoutPaint } from '../output.ts';
import { register as registerEvaluate } from './policy-evaluate.ts';
import { register as registerExplain } from './policy-explain.ts';
import { register as registerLint } from './policy-lint.ts';
import { register as registerMatrix } from './policy-matrix.ts';
import { register as registerTest } from './policy-test.ts';

interface PolicyRow {
  readonly address: string;
  readonly errors?: readonly { readonly path: string; readonly message: string; readonly mend?: string }[];
  readonly conditions?: readonly { readonly type?: string; readonly path?: string; readonly message?: string; readonly severity?: 'warning' | 'degraded' }[];
}

export function register(program: Command): void {
  const policy = program.command('policy').summary('policies as the agents know them').description('Policies as the agents know them.');
  policy.command('get')
    .description('Every policy, and what is wrong with it or not enforced of it.')
    .option('-o, --output <format>', 'json or yaml')
    .addHelpText('after', `
Examples:
  ./cirri policy get
  ./cirri policy get -o json`)
    .action(async (flags: { output?: string }) => {
      const context = openContext();
      context.client.close();
      const [first] = await askAgents<PolicyRow[]>(context, '/v1/policies');
      const rows = [...(first?.value ?? [])].sort((a, b) => (a.address < b.address ? -1 : 1));
      if (printStructured(flags.output, rows)) return;
      const paint = stdoutPaint();
      if (rows.length === 0) return line('No policies: every pod may talk to every other');
      for (const row of rows) {
        const bad = (row.errors ?? []).length > 0;
        const partly = (row.conditions ?? []).length > 0;
        // A cluster-wide policy has no namespace: nothing stands between its slashes.
        const name = row.address.replace('//', '/');
        line(`${bad ? paint.bad('✗') : partly ? paint.careful('~') : paint.good('✓')} ${safe(name)}`);
        for (const error of row.errors ?? []) line(`    ${paint.bad('invalid')} ${safe(error.path)}: ${safe(error.message)}${error.mend ? ` → ${safe(error.mend)}` : ''}`);
        for (const condition of row.conditions ?? []) line(`    ${paint.careful(condition.severity === 'warning' ? 'note' : 'not enforced yet')} ${safe(condition.path ?? condition.type ?? '')}: ${safe(condition.message ?? JSON.stringify(condition))}`);
      }
    });
  registerEvaluate(policy);
  registerExplain(policy);
  registerMatrix(policy);
  registerTest(policy);
  registerLint(policy);
}
