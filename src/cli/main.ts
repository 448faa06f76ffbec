import { Command, CommanderError } from 'commander';
import { renderError } from '../std/errors.ts';
import { commands } from './commands.ts';

/**
 * `cirri COMMAND`. Only the command that is asked for is loaded: the others are known by name and summary, which is what help
 * and the spelling hints need.
 */
export async function runCli(argv: readonly string[]): Promise<number> {
  const asked = argv[0] !== undefined && commands.has(argv[0]) ? argv[0] : undefined;
  const program = new Command('cirri')
    .description('Kubernetes networking, security and observability on eBPF, on one Linux machine')
    .usage('COMMAND [options]')
    .helpCommand('help [command]', 'help for a command')
    .configureHelp({ sortSubcommands: false, showGlobalOptions: false })
    .showSuggestionAfterError(true)
    .enablePositionalOptions()
    .exitOverride()
    .addHelpText('after', examples);
  program.option('-V, --version', 'the version').on('option:version', () => void 0);
  for (const [name, { summary, load }] of commands) {
    if (name === asked || (argv[0] === 'help' && argv[1] === name)) (await load()).register(program);
    else program.command(name).summary(summary).description(summary).allowUnknownOption().helpOption(false);
  }
  if (argv[0] === '--version' || argv[0] === '-V') return runCli(['version']);
  if (argv.length === 0) {
    program.outputHelp();
    return 0;
  }
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return Number(process.exitCode ?? 0);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 || error.code === 'commander.help' ? 0 : 2;
    process.stderr.write(`cirri: ${renderError(error)}\n`);
    if (process.env['CIRRI_LOG'] === 'debug' && error instanceof Error) process.stderr.write(`${error.stack}\n`);
    return 1;
  }
}

const examples = `
Examples:
  sudo ./cirri up                                             a cluster of two nodes with a demo application
  export KUBECONFIG=$(sudo ./cirri kubeconfig)                kubectl now talks to it
  sudo ./cirri probe --from demo/frontend --to demo/api --port 80
  sudo ./cirri observe --verdict DROPPED -f                   what is denied, and by which rule
  sudo ./cirri down                                           removes all of it

CIRRI_INSTANCE=NAME works with another cluster beside the first. cirri COMMAND --help tells more.
`;

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // The reader of a pipe (head, less) has gone: that ends the command, quietly.
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

const code = await runCli(process.argv.slice(2));
process.exitCode = code;
