import type { Command } from 'commander';
import { parseDuration } from '../../flows/query.ts';
import { safe } from '../../flows/print/safe.ts';
import { AccessTokens, type TokenInfo } from '../../relay/access.ts';
import { CirriError } from '../../std/errors.ts';
import { openContext } from '../context.ts';
import { collect } from '../options.ts';
import { ago, line, printStructured, printTable } from '../output.ts';

interface CreateFlags {
  readonly namespace: readonly string[];
  readonly ttl?: string;
}

export function registerToken(program: Command): void {
  const token = program.command('token')
    .summary('who may see flows from elsewhere: create, list, delete')
    .description('Tokens for those who reach the relay or the web UI from elsewhere than this machine.');
  token.command('create').argument('<name>', 'whose it is')
    .summary('give out a token')
    .description('Prints a token. It is kept nowhere: only its hash is. With namespaces, its bearer sees flows with an end in one of them, and nothing else.')
    .option('-n, --namespace <name>', 'see this namespace only (repeat, or separate by commas)', collect, [])
    .option('--ttl <duration>', 'until when: 12h, 30d (default: until it is deleted)')
    .addHelpText('after', `
Examples:
  ./cirri hubble token create ops
  ./cirri hubble token create shop-team --namespace shop,cart --ttl 30d`)
    .action(create);
  token.command('list').summary('show them').description('Names and namespaces of the tokens that were given out.').option('-o, --output <format>', 'json or yaml').action(list);
  token.command('delete').argument('<name>', 'which').summary('take one back').description('Its bearer is refused from now on.').action(remove);
}

function open(): AccessTokens {
  const { paths, client } = openContext();
  client.close();
  return new AccessTokens(paths.hubbleDir);
}

function create(name: string, flags: CreateFlags): void {
  const namespaces = flags.namespace.flatMap(value => value.split(',')).map(value => value.trim()).filter(value => value !== '');
  const lifetimeMs = flags.ttl === undefined ? undefined : parseDuration(flags.ttl);
  if (flags.ttl !== undefined && !(lifetimeMs! > 0)) throw new CirriError('ERR_FLAG', `--ttl ${flags.ttl}: not a duration`, { mend: 'write 12h or 30d' });
  line(open().create(name, { ...(namespaces.length > 0 && { namespaces }), ...(lifetimeMs !== undefined && { lifetimeMs }) }));
}

function list(flags: { readonly output?: string }): void {
  const tokens = open().list();
  if (printStructured(flags.output, tokens)) return;
  printTable(['NAME', 'NAMESPACES', 'AGE', 'EXPIRES'], tokens.map(columns));
}

function columns({ name, namespaces, created, expires }: TokenInfo): string[] {
  return [safe(name), namespaces === undefined ? '(all)' : safe(namespaces.join(',')), ago(created), expires ?? 'never'];
}

function remove(name: string): void {
  if (!open().delete(name)) throw new CirriError('ERR_TOKEN', `there is no token ${name}`, { mend: 'cirri hubble token list' });
}
