import { spawn } from 'node:child_process';
import { existsSync, globSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Command } from 'commander';
import { repositoryRoot } from '../../cluster/up.ts';
import { CirriError } from '../../std/errors.ts';
import { nearest } from '../resource-name.ts';

export function register(program: Command): void {
  program.command('bench')
    .summary('measure')
    .description('Runs a benchmark of tools/bench. Arguments after its name are its own.')
    .argument('[name]', 'which (default: main)', 'main')
    .argument('[args...]')
    .passThroughOptions()
    .allowUnknownOption()
    .addHelpText('after', `
Examples:
  sudo ./cirri bench
  sudo ./cirri bench NAME --help`)
    .action(async (name: string, args: readonly string[]) => {
      const folder = join(repositoryRoot, 'tools', 'bench');
      const file = [`${name}.ts`, `${name}/main.ts`].map(path => join(folder, path)).find(existsSync);
      if (!file) {
        const known = globSync(`${folder}/*.ts`).map(path => basename(path, '.ts'));
        const near = nearest(name, known);
        throw new CirriError('ERR_NO_BENCH', `there is no benchmark ${name}`, { mend: near !== undefined ? `did you mean ${near}?` : `known: ${known.join(', ') || 'none yet'}` });
      }
      const child = spawn(process.execPath, [file, ...args], { stdio: 'inherit' });
      process.exitCode = await new Promise<number>(resolve => void child.on('exit', (code, signal) => resolve(code ?? (signal ? 130 : 1))));
    });
}
