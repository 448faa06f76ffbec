import type { Command } from 'commander';
import { safe } from '../../flows/print/fields.ts';
import type { NameCacheRow, NameSelectorRow } from '../../model/names.ts';
import { namePattern, qualifyName } from '../../policy/fqdn.ts';
import { CirriError } from '../../std/errors.ts';
import { askAgents } from '../agents.ts';
import { openContext, type Context } from '../context.ts';
import { line, printStructured, printTable } from '../output.ts';

interface CacheFlags {
  readonly output?: string;
  readonly endpoint?: string;
  readonly matchpattern?: string;
  readonly source?: string;
}

export type NodeCacheRow = NameCacheRow & { readonly node: string };
export type NodeSelectorRow = Omit<NameSelectorRow, 'identities'> & { readonly identities: readonly { readonly node: string; readonly ids: readonly number[] }[] };

export function register(program: Command): void {
  const fqdn = program.command('fqdn').summary('DNS names: what pods looked up, what policies select').description('DNS names: what pods looked up, and what policies select.');
  fqdn.command('cache')
    .description('Names that pods have looked up, with the addresses that they were given and the identities of those.')
    .argument('[pod]', 'NAMESPACE/POD or NAMESPACE; all when left out')
    .option('-e, --endpoint <id>', 'only of the endpoint of this number')
    .option('-p, --matchpattern <pattern>', 'only names that this matchPattern matches')
    .option('-s, --source <source>', 'lookup (within their time) or connection (over, and used still)')
    .option('-o, --output <format>', 'json or yaml')
    .addHelpText('after', `
Examples:
  ./cirri fqdn cache shop/checkout-0
  ./cirri fqdn cache shop -p '*.stripe.com' -o json`)
    .action(async (pod: string | undefined, flags: CacheFlags) => {
      const wanted = cacheFilter(pod, flags);
      const answers = await askAgents<NameCacheRow[]>(closedContext(), '/v1/fqdn/cache');
      const rows = answers.flatMap(({ node, value }) => value.map(row => ({ node, ...row }))).filter(wanted).sort(byPodAndName);
      if (printStructured(flags.output, rows)) return;
      printTable(['NODE', 'ENDPOINT', 'POD', 'NAME', 'ADDRESS', 'TTL', 'IDENTITY', 'SOURCE', 'CONNECTIONS'], rows.map(row => [
        row.node, String(row.endpoint), safe(podText(row)), safe(row.name ?? '-'), row.ip, String(row.ttlSeconds), row.identities.join(',') || '-', row.source, String(row.connections),
      ]));
    });
  fqdn.command('names')
    .description('Names and patterns of the policies in force: who uses them, which names match them.')
    .option('-o, --output <format>', 'json or yaml')
    .addHelpText('after', `
Examples:
  ./cirri fqdn names
  ./cirri fqdn names -o json | jq '.[] | select(.selector == "*.stripe.com")'`)
    .action(async (flags: { readonly output?: string }) => {
      const rows = mergeSelectors(await askAgents<NameSelectorRow[]>(closedContext(), '/v1/fqdn/names'));
      if (printStructured(flags.output, rows)) return;
      printTable(['SELECTOR', 'USE', 'POLICIES', 'NAMES', 'IDENTITIES'], rows.map(row => [
        safe(row.selector), row.use.join(',') || '-', safe(row.policies.join(', ')) || '-', safe(namesText(row)) || '-', row.identities.map(({ node, ids }) => `${node}: ${ids.join(',')}`).join(' ') || '-',
      ]));
      for (const { selector } of rows.filter(row => row.leftOut)) line(`${safe(selector)} matches nothing: there are more names and patterns than the kernel has room for`);
    });
}

/** Throws for what is no choice. */
export function cacheFilter(pod: string | undefined, { endpoint, matchpattern, source }: CacheFlags): (row: NodeCacheRow) => boolean {
  if (source !== undefined && source !== 'lookup' && source !== 'connection') throw new CirriError('ERR_FLAG', `--source ${source}: known are lookup and connection`);
  if (endpoint !== undefined && !/^\d+$/.test(endpoint)) throw new CirriError('ERR_FLAG', `--endpoint ${endpoint} is no number`, { mend: 'cirri endpoint list shows them' });
  const pattern = matchpattern === undefined ? undefined : namePattern(matchpattern.replace(/\.$/, ''));
  const [namespace, name] = pod?.split('/') ?? [];
  return row => (namespace === undefined || row.namespace === namespace) && (name === undefined || row.pod === name)
    && (endpoint === undefined || row.endpoint === Number(endpoint)) && (source === undefined || row.source === source)
    && (!pattern || (row.name !== undefined && pattern.test(qualifyName(row.name))));
}

/** All nodes have the same policies; names and identities are each one's own. */
export function mergeSelectors(answers: readonly { readonly node: string; readonly value: readonly NameSelectorRow[] }[]): NodeSelectorRow[] {
  const merged = new Map<string, NodeSelectorRow>();
  for (const { node, value } of answers) {
    for (const { identities, ...row } of value) {
      const before = merged.get(row.selector);
      const names = new Map<string, Set<string>>();
      for (const { name, ips } of [...(before?.names ?? []), ...row.names]) names.set(name, new Set([...(names.get(name) ?? []), ...ips]));
      merged.set(row.selector, {
        ...before, ...row,
        policies: [...new Set([...(before?.policies ?? []), ...row.policies])].sort(),
        names: [...names].map(([name, ips]) => ({ name, ips: [...ips].sort() })).sort((a, b) => (a.name < b.name ? -1 : 1)),
        identities: [...(before?.identities ?? []), ...(identities.length > 0 ? [{ node, ids: identities }] : [])],
      });
    }
  }
  return [...merged.values()].sort((a, b) => (a.selector < b.selector ? -1 : 1));
}

const namesShown = 3;

function namesText({ names }: NodeSelectorRow): string {
  const shown = names.slice(0, namesShown).map(({ name }) => name).join(' ');
  return names.length > namesShown ? `${shown} and ${names.length - namesShown} more` : shown;
}

function podText({ namespace, pod }: NameCacheRow): string {
  return pod === undefined ? '-' : `${namespace}/${pod}`;
}

function byPodAndName(a: NodeCacheRow, b: NodeCacheRow): number {
  const key = (row: NodeCacheRow) => [row.node, podText(row), row.name ?? '', row.ip].join('\n');
  return key(a) < key(b) ? -1 : 1;
}

function closedContext(): Context {
  const context = openContext();
  context.client.close();
  return context;
}
