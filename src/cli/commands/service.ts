import type { Command } from 'commander';
import { safe } from '../../flows/print/fields.ts';
import type { ServiceBackendListing, ServiceListing } from '../../model/service-listing.ts';
import { CirriError } from '../../std/errors.ts';
import { askAgent } from '../agents.ts';
import { openContext } from '../context.ts';
import { line, printStructured, printTable, stdoutPaint } from '../output.ts';

interface Flags {
  readonly node?: string;
  readonly output?: string;
}

export function register(program: Command): void {
  const service = program.command('service').summary('services as the datapath knows them').description('Services as the datapath knows them.');
  service.command('list')
    .description("Frontends with their backends, in upstream's layout. /i after a frontend: what pods and nodes get, where clients outside get something else.")
    .option('--node <name>', 'as this node has them (default: the first)')
    .option('-o, --output <format>', 'wide (with the name of the service), json or yaml')
    .addHelpText('after', `
Examples:
  ./cirri service list
  ./cirri service list -o wide
  ./cirri service list --node node2 -o json`)
    .action(async (flags: Flags) => {
      const rows = await services(flags.node);
      const wide = flags.output === 'wide';
      if (printStructured(wide ? undefined : flags.output, rows)) return;
      printTable(['ID', 'Frontend', 'Service Type', ...(wide ? ['Service'] : []), 'Backend'], rows.flatMap(row => {
        const shown = row.backends.map((backend, i) => `${i + 1} => ${backendText(backend)}`);
        const own = [idText(row), safe(row.frontend), safe(typeText(row)), ...(wide ? [safe(nameOf(row))] : [])];
        return (shown.length === 0 ? [''] : shown).map((text, i) => [...(i === 0 ? own : own.map(() => '')), text]);
      }));
    });
  service.command('get')
    .description('All about the addresses of one service.')
    .argument('<service>', 'NAMESPACE/NAME, ID, or an address as 10.96.0.10, 10.96.0.10:53 or 10.96.0.10:53/UDP')
    .option('--node <name>', 'as this node has it (default: the first)')
    .option('-o, --output <format>', 'json or yaml')
    .addHelpText('after', `
Examples:
  ./cirri service get kube-system/kube-dns
  ./cirri service get 10.96.0.10:53/UDP -o json`)
    .action(async (asked: string, flags: Flags) => {
      const rows = servicesNamed(await services(flags.node), asked);
      if (!printStructured(flags.output, rows)) rows.forEach(printService);
    });
}

async function services(node: string | undefined): Promise<readonly ServiceListing[]> {
  const context = openContext();
  context.client.close();
  return (await askAgent<ServiceListing[]>(context, node, '/v1/services')).value;
}

/** The rows that a user means. Throws when there are none. */
export function servicesNamed(rows: readonly ServiceListing[], asked: string): readonly ServiceListing[] {
  const bare = (frontend: string) => frontend.replace(/\/i$/, '');
  const isMeant = (row: ServiceListing) => {
    const frontend = bare(row.frontend);
    const address = frontend.replace(/:\d+\/\w+$/, '');
    return [nameOf(row), row.id === undefined ? undefined : String(row.id), row.frontend, frontend, frontend.replace(/\/\w+$/, ''), address, address.replace(/^\[|\]$/g, '')].includes(asked);
  };
  const meant = rows.filter(isMeant);
  if (meant.length === 0) throw new CirriError('ERR_NO_SERVICE', `the datapath has no service ${asked}`, { mend: 'cirri service list -o wide' });
  return meant;
}

function printService(row: ServiceListing): void {
  const paint = stdoutPaint();
  line(`${paint.strong(safe(row.frontend))}  ${safe(typeText(row))}  ${safe(nameOf(row))}${row.portName === '' ? '' : ` port ${safe(row.portName)}`}`);
  const { sources = [] } = row;
  const facts = [
    ['id', idText(row)],
    ['choice', row.maglev ? `Maglev, a table of ${row.maglev}` : 'random'],
    ['affinity', row.affinityTimeout === 0 ? 'none' : `client address, ${row.affinityTimeout} s`],
    ...(sources.length === 0 ? [] : [[row.sourceDeny ? 'not from' : 'only from', sources.join(', ')]]),
  ] as const;
  for (const [name, value] of facts) line(`  ${name!.padEnd(9)} ${safe(value!)}`);
  if (row.backends.length === 0) line(`  ${paint.careful('no backends')}`);
  row.backends.forEach((backend, i) => line(`  ${i + 1} => ${backendText(backend)}${backend.weight === undefined || backend.weight === 1 ? '' : ` weight ${backend.weight}`}${backend.nodeName === '' ? '' : paint.faint(`  ${safe(backend.nodeName)}`)}`));
}

export function backendText({ address, state }: ServiceBackendListing): string {
  return `${safe(address)} (${safe(state)})`;
}

/** In upstream's words. */
const typeText = ({ type }: ServiceListing) => (type === 'ExternalIP' ? 'ExternalIPs' : type);
const idText = ({ id }: ServiceListing) => (id === undefined ? '-' : String(id));
const nameOf = ({ namespace, name }: ServiceListing) => `${namespace}/${name}`;
