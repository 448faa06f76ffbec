import { existsSync, readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { CirriError } from '../../std/errors.ts';
import { openContext } from '../context.ts';
import { line } from '../output.ts';

export function register(program: Command): void {
  program.command('kubeconfig')
    .summary('path of the kubeconfig')
    .description('Prints the path of the kubeconfig; with --raw its contents.')
    .option('--raw', 'the contents')
    .addHelpText('after', `
Examples:
  export KUBECONFIG=$(sudo ./cirri kubeconfig)
  sudo ./cirri kubeconfig --raw > ~/.kube/cirri`)
    .action((flags: { raw?: boolean }) => {
      const { paths } = openContext();
      if (!existsSync(paths.kubeconfig)) throw new CirriError('ERR_NO_KUBECONFIG', 'the API server has not written the kubeconfig yet', { mend: 'wait for it: cirri status --wait' });
      if (flags.raw) process.stdout.write(readFileSync(paths.kubeconfig));
      else line(paths.kubeconfig);
    });
}
