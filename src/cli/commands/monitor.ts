import type { Command } from 'commander';
import type { FlagUse } from '../../flows/flags.ts';
import { addFlowOptions, type ObserveFlags } from '../observe/options.ts';
import { runObserve } from '../observe/run.ts';

export function register(program: Command): void {
  const uses: FlagUse[] = [];
  const command = program.command('monitor')
    .summary('observe -f')
    .description('Flows of all nodes as they happen: observe --follow, with the same filters.')
    .addHelpText('after', `
Examples:
  ./cirri monitor --type drop
  ./cirri monitor --namespace demo -o jsonpb`);
  addFlowOptions(command, 'cirri', uses).action(() => runObserve({ ...command.opts<ObserveFlags>(), follow: true }, uses, 'cirri'));
}
