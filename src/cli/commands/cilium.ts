import { Command } from 'commander';
import { CirriError } from '../../std/errors.ts';
import { commands } from '../commands.ts';
import { ciliumCommand } from '../cilium-names.ts';

export function register(program: Command): void {
  program.command('cilium')
    .summary("Cilium's command names, on these")
    .description("Commands of cilium and cilium-dbg by their names, done by ours: monitor, status, service list, endpoint list, endpoint get NS/NAME, policy get, identity list, bpf …, lrp list, node list, config view, hubble port-forward, hubble ui. What does not exist says what to use. ./cilium is the same.")
    .argument('[words...]', 'the command, with its flags')
    .allowUnknownOption()
    .helpOption(false)
    .passThroughOptions()
    .addHelpText('after', `
Examples:
  ./cilium monitor --type drop
  ./cilium status --verbose
  ./cilium endpoint get demo/api
  ./cilium bpf ct list global`)
    .action(async (words: readonly string[], _: unknown, command: Command) => {
      if (words.length === 0 || words[0] === '--help' || words[0] === '-h') return command.outputHelp();
      await runAs(words, process.env['CIRRI_NODE']);
    });
}

/** `node` is where the caller stands, as in the agent's pod of a node: commands that ask one node ask that one. */
async function runAs(words: readonly string[], node: string | undefined): Promise<void> {
  const argv = ciliumCommand(words, node);
  const entry = commands.get(argv[0]!);
  if (!entry) throw new CirriError('ERR_COMMAND', `cirri ${argv[0]} does not exist in this version`);
  const program = new Command('cilium').enablePositionalOptions().exitOverride();
  (await entry.load()).register(program);
  await program.parseAsync([...argv], { from: 'user' });
}
