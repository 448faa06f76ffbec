import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { supervisorStatus } from '../../cluster/inspect.ts';
import { createProgress } from '../../cluster/progress.ts';
import { rechoose, restartOutdated } from '../../cluster/rechoose.ts';
import { defaultChoices, settingNames, settingOf, settingText } from '../../cluster/settings.ts';
import { parseSet } from '../../cluster/values.ts';
import type { ClusterRecord } from '../../model/cluster.ts';
import { CirriError } from '../../std/errors.ts';
import { openContext } from '../context.ts';
import { line, printStructured, printTable, stdoutPaint } from '../output.ts';

export function register(program: Command): void {
  const config = program.command('config').summary("a cluster's settings: view, set").description("A cluster's settings, under their names in upstream's Helm chart.");
  config.command('view')
    .description('All settings and their values; -o yaml is a values file for cirri up -f.')
    .option('-o, --output <format>', 'json or yaml')
    .addHelpText('after', `
Examples:
  sudo ./cirri config view
  sudo ./cirri config view -o yaml > values.yaml`)
    .action((flags: { output?: string }) => view(closedRecord(), flags.output));
  config.command('set')
    .description('Changes settings of a cluster that is up. Agents are started again one after the other; traffic goes on meanwhile.')
    .argument('<setting...>', 'KEY=VALUE…, or KEY VALUE; null as value: the default again')
    .option('--timeout <seconds>', 'how long an agent may take', '60')
    .addHelpText('after', `
Examples:
  sudo ./cirri config set loadBalancer.algorithm=maglev maglev.tableSize=4093
  sudo ./cirri config set policyAuditMode true`)
    .action(set);
}

function view(record: ClusterRecord, format: string | undefined): void {
  if (printStructured(format, tree(record))) return;
  const paint = stdoutPaint();
  printTable(['SETTING', 'VALUE', ''], settingNames.map(name => {
    const value = settingText(settingOf(record, name));
    const usual = settingText(settingOf(defaultChoices, name));
    return [name, value, value === usual ? '' : paint.faint(`default ${usual}`)];
  }));
}

async function set(words: readonly string[], flags: { timeout: string }): Promise<void> {
  const texts = words.length === 2 && !words[0]!.includes('=') ? [`${words[0]}=${words[1]}`] : words;
  const values = texts.flatMap(parseSet);
  const context = openContext();
  context.client.close();
  if (!existsSync(context.paths.run) || !(await supervisorStatus(context.paths))) throw new CirriError('ERR_NO_SUPERVISOR', 'the supervisor does not answer', { mend: 'cirri up starts it again' });
  const { record, reset, warnings } = rechoose(context.record, context.paths, values);
  for (const warning of warnings) process.stderr.write(`cirri: ${warning}\n`);
  await restartOutdated({ record, paths: context.paths, timeoutMs: Number(flags.timeout) * 1000 }, createProgress(process.stderr));
  for (const name of reset) line(`${name} is now ${settingText(settingOf(record, name))}`);
  if (reset.length === 0) line('nothing changed');
}

function tree(record: ClusterRecord): object {
  const root: Record<string, unknown> = {};
  for (const name of settingNames) {
    const steps = name.split('.');
    const parent = steps.slice(0, -1).reduce((at, step) => (at[step] ??= {}) as Record<string, unknown>, root);
    parent[steps.at(-1)!] = settingOf(record, name);
  }
  return root;
}

function closedRecord(): ClusterRecord {
  const { client, record } = openContext();
  client.close();
  return record;
}
