import { request, type IncomingMessage } from 'node:http';
import type { Command } from 'commander';
import { Discovery, type DiscoveredResource } from '../../cluster/discovery.ts';
import { safe } from '../../flows/print/fields.ts';
import { errorFromResponse, unreachable } from '../../kube/errors.ts';
import { LineSplitter } from '../../kube/lines.ts';
import { pathOf } from '../../kube/resources.ts';
import type { KubeObject } from '../../kube/types.ts';
import { CirriError } from '../../std/errors.ts';
import { openContext } from '../context.ts';
import { line, printStructured, printTable } from '../output.ts';
import { resourceByName } from '../resource-name.ts';

interface Flags {
  readonly namespace: string;
  readonly allNamespaces?: boolean;
  readonly output?: string;
  readonly selector?: string;
  readonly watch?: boolean;
}

/** meta.k8s.io/v1 Table: the server knows each kind's columns. */
interface Table {
  readonly kind: string;
  readonly metadata?: { readonly resourceVersion?: string };
  readonly columnDefinitions?: readonly { readonly name: string; readonly priority: number }[];
  readonly rows?: readonly { readonly cells: readonly unknown[]; readonly object?: { readonly metadata?: KubeObject['metadata'] } }[];
}

const acceptTable = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json';

export function register(program: Command): void {
  program.command('get')
    .summary('show objects')
    .description('Shows objects as a table, or whole.')
    .argument('<kinds>', 'pods, svc, cnp, … (several with commas), or kind/name')
    .argument('[name]')
    .option('-n, --namespace <ns>', 'namespace', 'default')
    .option('-A, --all-namespaces', 'of all namespaces')
    .option('-o, --output <format>', 'wide, name, json or yaml')
    .option('-l, --selector <selector>', 'with these labels')
    .option('-w, --watch', 'and then every change')
    .addHelpText('after', `
Examples:
  ./cirri get pods -A -o wide
  ./cirri get cnp,svc -n demo
  ./cirri get pod/web-1 -o yaml`)
    .action(run);
}

async function run(kinds: string, name: string | undefined, flags: Flags): Promise<void> {
  const { client, paths } = openContext();
  try {
    const discovery = new Discovery(client);
    const wanted = kinds.split(',');
    if (flags.watch && wanted.length > 1) throw new CirriError('ERR_FLAG', '--watch takes one kind');
    for (const [i, word] of wanted.entries()) {
      const [kind, slashName] = word.split('/') as [string, string | undefined];
      const resource = await resourceByName(discovery, kind);
      if (i > 0 && flags.output !== 'name') line();
      await show(resource, slashName ?? name, flags, paths.apiserverSocket);
    }
  } finally {
    client.close();
  }
}

async function show(resource: DiscoveredResource, name: string | undefined, flags: Flags, socketPath: string): Promise<void> {
  const namespace = resource.namespaced && !flags.allNamespaces ? flags.namespace : undefined;
  const query = new URLSearchParams(flags.selector === undefined ? {} : { labelSelector: flags.selector });
  const path = pathOf(resource, name, namespace) + (query.size > 0 ? `?${query}` : '');
  const wantsObjects = flags.output === 'json' || flags.output === 'yaml' || flags.output === 'name';
  const answer = await ask(socketPath, path, wantsObjects ? 'application/json' : acceptTable);
  const body = JSON.parse(await wholeText(answer)) as unknown;
  if (wantsObjects) return showObjects(resource, body as { items?: KubeObject[] } & KubeObject, flags.output!);
  const table = body as Table;
  if ((table.rows ?? []).length === 0 && !flags.watch) {
    process.stderr.write(namespace === undefined ? 'No resources found\n' : `No resources found in namespace ${namespace}\n`);
    return;
  }
  const columns = columnsOf(table, flags, resource);
  printTable(columns.header, (table.rows ?? []).map(columns.cells));
  if (flags.watch) await follow(socketPath, resource, namespace, name, query, table, flags);
}

function columnsOf(table: Table, flags: Flags, resource: DiscoveredResource) {
  const definitions = table.columnDefinitions ?? [];
  const shown = definitions.map((definition, i) => ({ ...definition, i })).filter(column => column.priority === 0 || flags.output === 'wide');
  const withNamespace = flags.allNamespaces === true && resource.namespaced;
  return {
    header: [...(withNamespace ? ['NAMESPACE'] : []), ...shown.map(column => column.name.toUpperCase())],
    cells: (row: NonNullable<Table['rows']>[number]) => [
      ...(withNamespace ? [row.object?.metadata?.namespace ?? ''] : []),
      ...shown.map(column => safe(String(row.cells[column.i] ?? '<none>'))),
    ],
  };
}

function showObjects(resource: DiscoveredResource, body: { items?: KubeObject[] } & KubeObject, format: string): void {
  if (format !== 'name') return void printStructured(format, body);
  const group = resource.group === '' ? '' : `.${resource.group}`;
  for (const object of body.items ?? [body]) line(`${resource.singular}${group}/${object.metadata.name}`);
}

async function follow(
  socketPath: string, resource: DiscoveredResource, namespace: string | undefined, name: string | undefined, query: URLSearchParams, first: Table, flags: Flags,
): Promise<void> {
  query.set('watch', 'true');
  query.set('resourceVersion', first.metadata?.resourceVersion ?? '0');
  if (name !== undefined) query.set('fieldSelector', `metadata.name=${name}`);
  const answer = await ask(socketPath, `${pathOf(resource, undefined, namespace)}?${query}`, acceptTable);
  const splitter = new LineSplitter();
  let definitions = first.columnDefinitions;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    for (const text of splitter.push(chunk)) {
      const { object } = JSON.parse(text) as { object: Table };
      definitions = object.columnDefinitions ?? definitions;
      const { cells } = columnsOf({ ...object, ...(definitions && { columnDefinitions: definitions }) }, flags, resource);
      for (const row of object.rows ?? []) line(cells(row).map(cell => cell.padEnd(16)).join('   ').trimEnd());
    }
  }
}

function ask(socketPath: string, path: string, accept: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, path, headers: { accept }, agent: false }, response => {
      if (response.statusCode === 200) return resolve(response);
      wholeText(response).then(text => reject(errorFromResponse(`GET ${path}`, response.statusCode ?? 0, text)), reject);
    });
    call.on('error', error => reject(unreachable(`GET ${path}`, error)));
    call.end();
  });
}

async function wholeText(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}
