import type { Command } from 'commander';
import type { FlagUse } from '../../flows/flags.ts';
import { addFlowOptions, type ObserveFlags } from '../observe/options.ts';
import { runObserve } from '../observe/run.ts';

export function register(program: Command): void {
  const uses: FlagUse[] = [];
  const command = program.command('observe')
    .summary('see flows: what was allowed and denied, and by which rule')
    .description("Flows of all nodes, in the order of time. The filters are hubble observe's: repeated ones are alternatives, different ones must all match.")
    .addHelpText('after', `
Examples:
  ./cirri observe                                                     the last 20 flows
  ./cirri observe --verdict DROPPED -f                                denials, as they happen; [flow ID] is for:
  ./cirri policy explain ID                                           why, and what would allow it
  ./cirri observe --verdict DROPPED -f --explain                      both at once
  ./cirri observe --namespace demo --to-port 8080 --since 5m -o table
  ./cirri observe --from-pod demo/stranger --not --verdict FORWARDED -o jsonpb`);
  addFlowOptions(command, 'cirri', uses).action(() => runObserve(command.opts<ObserveFlags>(), uses, 'cirri'));
}
