import type { Command } from 'commander';
import { describeObserve } from './observe.ts';

export function register(program: Command): void {
  describeObserve(program.command('monitor')
    .summary('observe -f')
    .description('Flows of all nodes as they happen: observe --follow, with the same filters.')
    .addHelpText('after', `
Examples:
  ./cirri monitor --type drop
  ./cirri monitor --namespace demo -o jsonpb`), { follow: true });
}
