import type { Command } from 'commander';
import { Discovery } from '../../cluster/discovery.ts';
import { applyManifests, readManifests } from '../../cluster/manifest.ts';
import { CirriError } from '../../std/errors.ts';
import { openContext } from '../context.ts';
import { line } from '../output.ts';

interface Flags {
  readonly filename?: readonly string[];
  readonly namespace: string;
  readonly dryRun?: boolean;
}

export function register(program: Command): void {
  program.command('apply')
    .summary('create or change objects from files')
    .description('Server-side apply of all documents of the files. All of them are tried first: when one is refused, none is applied, and the error names file, line and field.')
    .option('-f, --filename <file>', 'a file, a folder or - (repeat for more)', (value: string, list: readonly string[] = []) => [...list, value])
    .option('-n, --namespace <ns>', 'namespace of objects that name none', 'default')
    .option('--dry-run', 'try them only')
    .addHelpText('after', `
Examples:
  ./cirri apply -f policy.yaml
  ./cirri apply -f manifests/ -n shop
  cat policy.yaml | ./cirri apply -f -`)
    .action(async (flags: Flags) => {
      if (!flags.filename?.length) throw new CirriError('ERR_FLAG', 'nothing to apply', { mend: 'name a file: cirri apply -f FILE' });
      const { client } = openContext();
      try {
        const documents = readManifests(flags.filename);
        const applied = await applyManifests(documents, { fieldManager: 'cirri', namespace: flags.namespace, dryRun: flags.dryRun === true }, { client, discovery: new Discovery(client) });
        for (const { document, resource, action } of applied) {
          const group = resource.group === '' ? '' : `.${resource.group}`;
          line(`${resource.singular}${group}/${document.object.metadata.name} ${action}`);
        }
        if (flags.dryRun) line(`${documents.length} ${documents.length === 1 ? 'object' : 'objects'} would be accepted`);
      } finally {
        client.close();
      }
    });
}
