import { release } from 'node:os';
import type { Command } from 'commander';
import { version } from '../../cluster/root.ts';
import { line, printStructured } from '../output.ts';

export function register(program: Command): void {
  program.command('version')
    .summary('versions')
    .description('Versions of cirri, Node and the kernel.')
    .option('-o, --output <format>', 'json or yaml')
    .action((flags: { output?: string }) => {
      const versions = { cirri: version(), node: process.versions.node, kernel: release() };
      if (!printStructured(flags.output, versions)) line(`cirri ${versions.cirri}, Node ${versions.node}, Linux ${versions.kernel}`);
    });
}
