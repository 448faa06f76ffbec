import { spawn } from 'node:child_process';
import type { Command } from 'commander';
import { toolEnv } from '../../cluster/outside.ts';
import { CirriError } from '../../std/errors.ts';
import { openContext } from '../context.ts';
import { findPod } from '../pods.ts';

interface Flags {
  readonly container?: string;
  readonly stdin?: boolean;
  readonly tty?: boolean;
}

export function register(program: Command): void {
  program.command('exec')
    .summary('run a command in a pod')
    .description("Runs a command in a pod's container. Its exit code becomes this command's.")
    .argument('<pod>', 'NS/POD, or NS/WORKLOAD for its first running pod')
    .argument('<command...>', 'after --')
    .option('-c, --container <name>', 'which container (default: the first)')
    .option('-i, --stdin', 'pass standard input')
    .option('-t, --tty', 'with a terminal')
    .passThroughOptions()
    .addHelpText('after', `
Examples:
  ./cirri exec demo/frontend -- cat /etc/resolv.conf
  ./cirri exec -it demo/frontend -- bash`)
    .action(run);
}

async function run(name: string, words: readonly string[], flags: Flags): Promise<void> {
  // Behind the first argument every word is the command's, the separator included.
  const command = words[0] === '--' ? words.slice(1) : words;
  if (command.length === 0) throw new CirriError('ERR_FLAG', 'no command', { mend: `cirri exec ${name} -- COMMAND` });
  const context = openContext();
  const pod = await findPod(context, name);
  context.client.close();
  const container = flags.container === undefined ? pod.containers.find(c => c.running) : pod.containers.find(c => c.name === flags.container);
  if (!container) {
    throw new CirriError('ERR_NO_CONTAINER', `pod ${pod.namespace}/${pod.name} has no container ${flags.container}`, { mend: `it has ${pod.containers.map(c => c.name).join(', ')}` });
  }
  if (!container.running) throw new CirriError('ERR_NO_CONTAINER', `container ${container.name} of ${pod.namespace}/${pod.name} does not run`, { mend: `cirri logs ${pod.namespace}/${pod.name} --previous` });
  const args = ['--root', context.paths.node(pod.node).runcRoot, 'exec', ...(flags.tty ? ['--tty'] : []), container.id, ...command];
  const child = spawn('runc', args, { stdio: [flags.stdin || flags.tty ? 'inherit' : 'ignore', 'inherit', 'inherit'], env: { ...toolEnv(), GOMAXPROCS: '1' } });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
  process.exitCode = await new Promise<number>((resolve, reject) => {
    child.on('error', error => reject(new CirriError('ERR_EXEC', 'runc could not be run', { cause: error })));
    child.on('exit', (code, signal) => resolve(code ?? 128 + (signalNumbers[signal ?? ''] ?? 0)));
  });
}

const signalNumbers: Readonly<Record<string, number>> = { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGTERM: 15 };
