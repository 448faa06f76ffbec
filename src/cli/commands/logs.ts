import { closeSync, openSync, readSync, statSync, watch } from 'node:fs';
import type { Command } from 'commander';
import { resources } from '../../kube/resources.ts';
import { CirriError } from '../../std/errors.ts';
import { openContext } from '../context.ts';
import { choosePod, splitName, type PodObject } from '../pods.ts';

interface Flags {
  readonly container?: string;
  readonly follow?: boolean;
  readonly previous?: boolean;
  readonly tail?: string;
  readonly timestamps?: boolean;
}

export function register(program: Command): void {
  program.command('logs')
    .summary("a pod's output")
    .description("Prints what a pod's container wrote.")
    .argument('<pod>', 'NS/POD, or NS/WORKLOAD for its first running pod')
    .option('-c, --container <name>', 'which container (default: the first)')
    .option('-f, --follow', 'and what it goes on to write')
    .option('-p, --previous', 'of the run before this one')
    .option('--tail <lines>', 'only the last lines')
    .option('--timestamps', 'with the time of each line')
    .addHelpText('after', `
Examples:
  ./cirri logs demo/api --tail 20
  ./cirri logs -f kube-system/kube-dns`)
    .action(run);
}

async function run(name: string, flags: Flags): Promise<void> {
  const { client, paths } = openContext();
  const { namespace, name: wanted } = splitName(name);
  const { items } = await client.list<PodObject>(resources.pods, { namespace });
  client.close();
  const pod = choosePod(items, namespace, wanted);
  const container = flags.container ?? pod.spec.containers[0]!.name;
  const file = `${paths.node(pod.spec.nodeName ?? '').pods}/${pod.metadata.uid}/${container}.log${flags.previous ? '.1' : ''}`;
  const log = openLog(file, `${namespace}/${pod.metadata.name}`, flags);
  const first = log.read();
  const tail = flags.tail === undefined ? undefined : Number(flags.tail);
  if (tail !== undefined && !(Number.isInteger(tail) && tail >= 0)) throw new CirriError('ERR_FLAG', `--tail must be a number, not "${flags.tail}"`);
  const shown = tail === undefined ? first : tail === 0 ? [] : first.slice(-tail);
  process.stdout.write(shown.join(''));
  if (!flags.follow) return log.close();
  const watcher = watch(file, () => process.stdout.write(log.read().join('')));
  await new Promise<void>(resolve => void process.once('SIGINT', resolve));
  watcher.close();
  log.close();
}

/** Lines of a CRI log (`time stream F text`; P marks a part of a longer line), read on from where the last read ended. */
function openLog(file: string, pod: string, flags: Flags): { read(): string[]; close(): void } {
  let fd: number;
  try {
    fd = openSync(file, 'r');
  } catch (error) {
    throw new CirriError('ERR_NO_LOG', `pod ${pod} has no ${flags.previous ? 'previous ' : ''}output`, { cause: error });
  }
  const chunk = Buffer.alloc(64 << 10);
  let position = 0;
  let rest = '';
  const format = (text: string) => {
    const [time, , part, ...words] = text.split(' ');
    return `${flags.timestamps ? `${time} ` : ''}${words.join(' ')}${part === 'P' ? '' : '\n'}`;
  };
  return {
    read: () => {
      if (statSync(file).size < position) position = 0;
      for (;;) {
        const count = readSync(fd, chunk, 0, chunk.length, position);
        if (count === 0) break;
        position += count;
        rest += chunk.toString('utf8', 0, count);
      }
      const lines = rest.split('\n');
      rest = lines.pop() ?? '';
      return lines.map(format);
    },
    close: () => closeSync(fd),
  };
}
