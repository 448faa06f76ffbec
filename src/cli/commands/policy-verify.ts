import type { Command } from 'commander';
import { safe } from '../../flows/print/fields.ts';
import { askAgents } from '../agents.ts';
import { openContext } from '../context.ts';
import { line, printStructured, stdoutPaint } from '../output.ts';

export function register(policy: Command): void {
  policy.command('verify')
    .summary('compare the tables in the kernel with what was meant')
    .description('Every agent reads its policy tables back from the kernel, compares them with what the policies mean, and mends what differs. Exit code 1 when something differed.')
    .option('-o, --output <format>', 'json or yaml')
    .addHelpText('after', `
Examples:
  ./cirri policy verify
  ./cirri policy verify -o json`)
    .action(async (flags: { output?: string }) => {
      const context = openContext();
      context.client.close();
      const answers = (await askAgents<{ differences: readonly string[] }>(context, '/v1/policy/verify')).map(({ node, value }) => ({ node, differences: value.differences }));
      const silent = context.record.nodes.length - answers.length;
      if (silent > 0 || answers.some(a => a.differences.length > 0)) process.exitCode = 1;
      if (printStructured(flags.output, answers)) return;
      const paint = stdoutPaint();
      for (const { node, differences } of answers) {
        line(differences.length === 0 ? `${paint.good('✓')} ${safe(node)}: the kernel has what was meant` : `${paint.bad('✗')} ${safe(node)}: ${differences.length} entries differed and were mended`);
        for (const text of differences) line(`    ${safe(text)}`);
      }
    });
}
