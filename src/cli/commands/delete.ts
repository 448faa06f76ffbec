import type { Command } from 'commander';
import { Discovery, type DiscoveredResource } from '../../cluster/discovery.ts';
import { readManifests } from '../../cluster/manifest.ts';
import type { KubeClient } from '../../kube/client.ts';
import { waitFor } from '../../std/async.ts';
import { CirriError } from '../../std/errors.ts';
import { openContext } from '../context.ts';
import { line } from '../output.ts';
import { resourceByName } from '../resource-name.ts';

interface Flags {
  readonly filename?: readonly string[];
  readonly namespace: string;
  readonly selector?: string;
  readonly ignoreNotFound?: boolean;
  readonly wait: boolean;
}

interface Target {
  readonly resource: DiscoveredResource;
  readonly name: string;
  readonly namespace: string | undefined;
}

export function register(program: Command): void {
  program.command('delete')
    .summary('delete objects')
    .description('Deletes the objects of files, or those named, and waits until they are gone.')
    .argument('[kind]', 'pod, cnp, deployment, …; or kind/name')
    .argument('[names...]')
    .option('-f, --filename <file>', 'objects of a file, a folder or -', (value: string, list: readonly string[] = []) => [...list, value])
    .option('-n, --namespace <ns>', 'namespace', 'default')
    .option('-l, --selector <selector>', 'all objects of the kind with these labels')
    .option('--ignore-not-found', 'what is not there is no error')
    .option('--no-wait', 'do not wait until they are gone')
    .addHelpText('after', `
Examples:
  ./cirri delete -f policy.yaml
  ./cirri delete pod web-1 web-2 -n shop
  ./cirri delete cnp -l app=web -n shop`)
    .action(run);
}

async function run(kind: string | undefined, names: readonly string[], flags: Flags): Promise<void> {
  const { client } = openContext();
  try {
    const targets = await targetsOf(client, kind, names, flags);
    const gone: Target[] = [];
    for (const target of targets) {
      const label = `${target.resource.singular}${target.resource.group === '' ? '' : `.${target.resource.group}`} "${target.name}"`;
      if (await client.delete(target.resource, target.name, target.namespace)) {
        gone.push(target);
        line(`${label} deleted`);
      } else if (!flags.ignoreNotFound) {
        throw new CirriError('ERR_NOT_FOUND', `${label} not found${target.namespace === undefined ? '' : ` in namespace ${target.namespace}`}`);
      }
    }
    if (!flags.wait) return;
    await Promise.all(gone.map(target => waitFor(`${target.name} to go`, async () => (await client.get(target.resource, target.name, target.namespace)) === undefined, { timeoutMs: 60_000, everyMs: 50 })));
  } finally {
    client.close();
  }
}

async function targetsOf(client: KubeClient, kind: string | undefined, names: readonly string[], flags: Flags): Promise<Target[]> {
  const discovery = new Discovery(client);
  if (flags.filename?.length) {
    const documents = readManifests(flags.filename);
    const targets = await Promise.all(documents.map(async ({ object, file, lineOf }) => {
      const resource = await discovery.forKind(object.apiVersion, object.kind);
      if (!resource) {
        if (flags.ignoreNotFound) return [];
        throw new CirriError('ERR_MANIFEST', `the cluster knows no kind "${object.kind}" in ${object.apiVersion}`, { where: `${file}:${lineOf('kind')}` });
      }
      return [{ resource, name: object.metadata.name, namespace: resource.namespaced ? (object.metadata.namespace ?? flags.namespace) : undefined }];
    }));
    // In reverse: what was made last leans on what was made first.
    return targets.flat().reverse();
  }
  if (kind === undefined) throw new CirriError('ERR_FLAG', 'nothing to delete', { mend: 'name files (-f FILE) or objects (cirri delete pod NAME)' });
  const [kindName, slashName] = kind.split('/') as [string, string | undefined];
  const resource = await resourceByName(discovery, kindName);
  const namespace = resource.namespaced ? flags.namespace : undefined;
  const wanted = slashName === undefined ? names : [slashName, ...names];
  if (wanted.length > 0) return wanted.map(name => ({ resource, name, namespace }));
  if (flags.selector === undefined) throw new CirriError('ERR_FLAG', `which ${resource.plural}?`, { mend: 'give names, or -l SELECTOR' });
  const { items } = await client.list(resource, { labelSelector: flags.selector, ...(namespace !== undefined && { namespace }) });
  return items.map(item => ({ resource, name: item.metadata.name, namespace }));
}
