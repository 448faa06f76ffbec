import type { Command } from 'commander';
import { bringDown } from '../../cluster/down.ts';
import { createProgress, duration } from '../../cluster/progress.ts';
import { CirriError } from '../../std/errors.ts';
import { ownInstance } from '../context.ts';
import { line } from '../output.ts';

export function register(program: Command): void {
  program.command('down')
    .summary('remove the cluster and everything it made')
    .description('Removes processes, pods, network namespaces, devices, kernel programs, mounts and state of the cluster, and verifies that nothing is left. Works after crashes, and when half is gone.')
    .option('--keep-state', 'keep objects and logs for the next up')
    .addHelpText('after', `
Examples:
  sudo ./cirri down
  CIRRI_INSTANCE=second sudo -E ./cirri down`)
    .action(async (flags: { keepState?: boolean }) => {
      if (process.getuid?.() !== 0) throw new CirriError('ERR_NOT_ROOT', 'removing a cluster takes root', { mend: 'run: sudo ./cirri down' });
      const { instance, paths } = ownInstance();
      const startedAt = performance.now();
      const { removed } = await bringDown({ instance, paths, keepState: flags.keepState === true }, createProgress(process.stderr));
      const took = duration(performance.now() - startedAt);
      const gone = flags.keepState ? `is down; objects and logs are kept in ${paths.state}` : 'is gone: nothing of it is left on this machine';
      line(removed === 0 ? `Cluster ${instance} was not up; nothing is left of it` : `Cluster ${instance} ${gone} (${took})`);
    });
}
