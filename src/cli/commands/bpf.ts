import type { Command } from 'commander';
import { hostEndpointId } from '../../agent/host-policy.ts';
import { callLocal } from '../../cluster/local-api.ts';
import { SocketServiceKind } from '../../datapath/generated/enums.ts';
import type { BpfMap } from '../../ebpf/map.ts';
import { safe } from '../../flows/print/fields.ts';
import { CirriError } from '../../std/errors.ts';
import { formatAddr, formatPrefix, isAddr, parseAddr } from '../../std/ip.ts';
import { endpointHeader, endpointLine, endpointText, identityText, ipcacheHeader, ipcacheLine, ipcacheText, metricLine } from '../bpf/addresses.ts';
import { conntrackLine, conntrackText, isWanted, natLine, natText, type ConnectionFilter } from '../bpf/connections.ts';
import { KernelMaps } from '../bpf/kernel-maps.ts';
import { lbBackends, lbHeader, lbReverse, lbServices, lbServiceText, lbSourceRanges } from '../bpf/lb.ts';
import { maglevTables, type MaglevTable } from '../bpf/maglev.ts';
import { Talkers, talkersBy } from '../bpf/talkers.ts';
import { hostPort, monotonicNs, protocolText } from '../bpf/text.ts';
import { writeRows } from '../bpf/write.ts';
import { openContext } from '../context.ts';
import { line, printTable } from '../output.ts';

interface Flags {
  readonly node?: string;
  readonly output?: string;
}

export function register(program: Command): void {
  const bpf = program.command('bpf')
    .summary("the kernel's maps: lb, ct, nat, ipcache, endpoint, metrics, ipmasq")
    .description("The kernel's maps, in upstream's layouts. The command reads them itself, so it shows what the kernel uses, whether or not an agent answers.")
    .addHelpText('after', `
Examples:
  sudo ./cirri bpf lb list
  sudo ./cirri bpf ct list global -d --ip 10.244.1.2
  sudo ./cirri bpf nat list --node node2 -o json
  sudo ./cirri bpf metrics list`);
  registerLb(bpf);
  registerSockets(bpf);
  registerConnections(bpf);
  registerAddresses(bpf);
}

/** What sockets believe they talk to: `cilium-dbg bpf socknat list`. */
function registerSockets(bpf: Command): void {
  const socknat = group(bpf, 'socknat', 'services that sockets believe they talk to');
  listing(socknat, 'list', 'Sockets with the backend that they have and the service that they asked for.')
    .action((flags: Flags) => withMaps(flags, maps => writeRows(mapped(maps.open('socketServices').entries(), ([key, entry]) => {
      const ends = [hostPort(key.addr, key.port), hostPort(entry.addr, entry.port)] as const;
      // Of an unconnected socket the map has both ways: who answers as what, and whom its next datagram goes to.
      const [backend, frontend] = key.kind === SocketServiceKind.Peer ? ends : [ends[1], ends[0]];
      return { cookie: String(key.cookie), protocol: protocolText(key.protocol), kind: key.kind === SocketServiceKind.Peer ? 'peer' : 'choice', backend, frontend, service: entry.service };
    }), { json: isJson(flags), header: `${'Socket Cookie'.padEnd(22)}Backend -> Frontend`, text: row => `${row.cookie.padEnd(22)}${row.backend} -> ${row.frontend} (revnat=${row.service})${row.kind === 'choice' ? ' (next datagram)' : ''}` })));
}

function registerLb(bpf: Command): void {
  const lb = group(bpf, 'lb', 'services: frontends, slots, backends');
  listing(lb, 'list', 'Frontends with their slots, or one of the other maps of services.')
    .option('--frontends', 'only the addresses of services')
    .option('--backends', 'who serves')
    .option('--revnat', 'the address of each service, by its id')
    .option('--source-ranges', 'who may use which service, or may not')
    .action((flags: Flags & { frontends?: boolean; backends?: boolean; revnat?: boolean; sourceRanges?: boolean }) => withMaps(flags, maps => {
      const json = isJson(flags);
      if (flags.backends) return writeRows(lbBackends(maps), { json, header: 'ID           BACKEND ADDRESS', text: row => `${String(row.id).padEnd(13)}${row.address} (${row.state})` });
      if (flags.revnat) return writeRows(lbReverse(maps), { json, header: 'ID           BACKEND ADDRESS (REVNAT_ID) (SLOT)', text: row => `${String(row.id).padEnd(13)}${row.address}` });
      if (flags.sourceRanges) return writeRows(lbSourceRanges(maps), { json, header: 'SOURCE RANGE (REVNAT_ID)', text: row => `${row.prefix} (${row.id})` });
      if (flags.frontends) return writeRows(lbServices(maps), { json, header: lbHeader, text: row => lbServiceText({ ...row, slots: [] }) });
      return writeRows(lbServices(maps), { json, header: lbHeader, text: lbServiceText });
    }));
  const maglev = group(lb, 'maglev', 'Maglev tables');
  listing(maglev, 'list', 'All tables: entry after entry, the id of a backend.')
    .action((flags: Flags) => withMaps(flags, maps => writeTables(maglevTables(maps), flags)));
  listing(maglev, 'get', "One service's table.")
    .argument('<id>', 'of the service, as in cirri service list')
    .action((id: string, flags: Flags) => withMaps(flags, maps => {
      if (!/^\d{1,10}$/.test(id)) throw new CirriError('ERR_FLAG', `"${id}" is no id of a service`, { mend: 'cirri service list shows them' });
      const tables = [...maglevTables(maps, Number(id))];
      if (tables.length === 0) throw new CirriError('ERR_NO_TABLE', `service ${id} has no Maglev table`, { mend: 'cirri service get shows how it chooses' });
      return writeTables(tables, flags);
    }));
}

function writeTables(tables: Iterable<MaglevTable>, flags: Flags): Promise<void> {
  return writeRows(tables, { json: isJson(flags), header: 'SVC ID       LOOKUP TABLE', text: row => `${String(row.service).padEnd(13)}[${row.entries.join(' ')}]` });
}

function registerConnections(bpf: Command): void {
  const ct = group(bpf, 'ct', 'tracked connections');
  filtered(listing(ct, 'list', 'Tracked connections.'))
    .argument('[map]', 'global: there is one map for all (as upstream without per-endpoint maps)', 'global')
    .option('-d, --time-diff', 'with the seconds until each expires')
    .action((_: string, flags: Flags & ConnectionFilter & { timeDiff?: boolean }) => withMaps(flags, maps => {
      const now = monotonicNs();
      const rows = mapped(maps.open('conntrack').entries(), ([key, entry]) => keep(conntrackLine(key, entry, now), flags));
      return writeRows(rows, { json: isJson(flags), text: row => conntrackText(row, flags.timeDiff === true) });
    }));
  filtered(listing(ct, 'top', 'Who holds most entries of the connection table.'))
    .option('--by <what>', talkersBy.join(', '), 'source')
    .option('--count <n>', 'how many rows', '10')
    .action(top);
  filtered(onNode(ct.command('flush').description('Forgets tracked connections. Those that live are judged anew with their next packet; translated ones may break.')))
    .argument('[map]', 'global', 'global')
    .action((_: string, flags: Flags & ConnectionFilter) => withMaps(flags, maps => {
      const now = monotonicNs();
      line(`Flushed ${flush(maps.open('conntrack'), (key, entry) => keep(conntrackLine(key, entry, now), flags) !== undefined)} entries of conntrack on ${maps.node}`);
    }));
  const nat = group(bpf, 'nat', 'translated connections: masquerading, and services from outside');
  filtered(listing(nat, 'list', 'Mappings, two of each connection.'))
    .action((flags: Flags & ConnectionFilter) => withMaps(flags, maps => {
      const now = monotonicNs();
      return writeRows(mapped(maps.open('nat').entries(), ([key, entry]) => keep(natLine(key, entry, now), flags)), { json: isJson(flags), text: natText });
    }));
  filtered(onNode(nat.command('flush').description('Forgets mappings: connections that use them break.')))
    .action((flags: Flags & ConnectionFilter) => withMaps(flags, maps => {
      const now = monotonicNs();
      line(`Flushed ${flush(maps.open('nat'), (key, entry) => keep(natLine(key, entry, now), flags) !== undefined)} entries of nat on ${maps.node}`);
    }));
}

async function top(flags: Flags & ConnectionFilter & { by: string; count: string }): Promise<void> {
  const by = talkersBy.find(word => word === flags.by);
  if (by === undefined) throw new CirriError('ERR_FLAG', `--by ${flags.by}: known are ${talkersBy.join(', ')}`);
  const count = Number(flags.count);
  if (!Number.isInteger(count) || count < 1) throw new CirriError('ERR_FLAG', `--count must be a number, not "${flags.count}"`);
  const names = by === 'pod' ? await podNames(flags.node) : new Map<number, string>();
  await withMaps(flags, maps => {
    const now = monotonicNs();
    const frontends = maps.open('serviceAddresses');
    const talkers = new Talkers(by, (kind, id) => {
      if (kind === 'pod') return names.get(id) ?? `endpoint ${id}`;
      const frontend = frontends.lookup({ id });
      return frontend ? hostPort(frontend.addr, frontend.port) : `service ${id} (gone)`;
    });
    const conntrack = maps.open('conntrack');
    for (const [key, entry] of conntrack.entries()) {
      const row = keep(conntrackLine(key, entry, now), flags);
      if (row) talkers.add(row);
    }
    const rows = talkers.top(count);
    if (isJson(flags)) return line(JSON.stringify({ node: maps.node, entries: talkers.total, max: conntrack.spec.maxEntries, by, talkers: rows }, undefined, 2));
    line(`${talkers.total} of ${conntrack.spec.maxEntries} entries on ${maps.node}`);
    printTable([by.toUpperCase(), 'ENTRIES', 'SHARE', 'PACKETS', 'BYTES', 'EXPIRED'], rows.map(row => [safe(row.name), String(row.connections), `${(row.share * 100).toFixed(1)} %`, String(row.packets), String(row.bytes), String(row.expired)]));
  });
}

/** By the kernel's number; none while no agent says them. */
async function podNames(node: string | undefined): Promise<ReadonlyMap<number, string>> {
  const { client, record, paths } = openContext();
  client.close();
  const rows = await callLocal<{ id: number; namespace: string; podName: string }[]>(paths.node(node ?? record.nodes[0]!.name).agentSocket, '/v1/endpoints').catch(() => undefined);
  return new Map([...(rows ?? []).map(row => [row.id, `${row.namespace}/${row.podName}`] as const), [hostEndpointId, node ?? record.nodes[0]!.name]]);
}

function registerAddresses(bpf: Command): void {
  const ipcache = group(bpf, 'ipcache', 'whose address is what');
  listing(ipcache, 'list', 'Prefixes with their identities.')
    .action((flags: Flags) => withMaps(flags, maps => writeRows(mapped(maps.open('ipcache').entries(), ([key, entry]) => ipcacheLine(key, entry)), { json: isJson(flags), header: ipcacheHeader, text: ipcacheText })));
  listing(ipcache, 'get', 'What the kernel takes an address for: its longest prefix.')
    .argument('<address>')
    .action((address: string, flags: Flags) => withMaps(flags, maps => {
      if (!isAddr(address)) throw new CirriError('ERR_FLAG', `"${address}" is no address`);
      const entry = maps.open('ipcache').lookup({ prefixBits: 128, addr: parseAddr(address) });
      if (!entry) throw new CirriError('ERR_NO_IDENTITY', `${maps.node} knows no identity of ${address}`);
      const { prefix: _, ...found } = ipcacheLine({ prefixBits: 128, addr: parseAddr(address) }, entry);
      line(isJson(flags) ? JSON.stringify(found, undefined, 2) : `${address} maps to ${identityText(found)}`);
    }));
  const endpoint = group(bpf, 'endpoint', 'addresses that live on the node');
  listing(endpoint, 'list', 'Addresses of pods and of the node itself.')
    .action((flags: Flags) => withMaps(flags, maps => writeRows(mapped(maps.open('endpoints').entries(), ([key, entry]) => endpointLine(key.addr, entry)), { json: isJson(flags), header: endpointHeader, text: endpointText })));
  const metrics = group(bpf, 'metrics', 'packets forwarded and dropped, by reason');
  listing(metrics, 'list', 'Packets and bytes since the maps were made, over all processors.')
    .action((flags: Flags) => withMaps(flags, maps => writeRows(mapped(maps.open('metrics').entriesPerCpu(), ([key, slots]) => metricLine(key, slots)), {
      json: isJson(flags), header: `${'REASON'.padEnd(48)}${'DIRECTION'.padEnd(12)}${'PACKETS'.padEnd(14)}BYTES`,
      text: row => `${row.name.padEnd(48)}${row.direction.padEnd(12)}${String(row.packets).padEnd(14)}${row.bytes}`,
    })));
  const ipmasq = group(bpf, 'ipmasq', 'to whom pods keep their own address');
  listing(ipmasq, 'list', "Prefixes that ip-masq-agent's configuration excludes from masquerading.")
    .action((flags: Flags) => withMaps(flags, maps => writeRows(mapped(maps.open('masqueradeExclusions').entries(), ([key]) => ({ prefix: formatPrefix({ addr: key.addr, bits: key.prefixBits }) })), {
      json: isJson(flags), header: 'IP PREFIX/ADDRESS', text: row => row.prefix,
    })));
}

// ---- what they share ----

function group(parent: Command, name: string, summary: string): Command {
  return parent.command(name).summary(summary).description(`${summary[0]!.toUpperCase()}${summary.slice(1)}.`);
}

function listing(parent: Command, name: string, description: string): Command {
  return onNode(parent.command(name).description(description)).option('-o, --output <format>', 'json');
}

function onNode(command: Command): Command {
  return command.option('--node <name>', 'on this node (default: the first)');
}

function filtered(command: Command): Command {
  return command
    .option('--protocol <name>', 'TCP, UDP, SCTP, ICMP, ICMPv6')
    .option('--ip <address>', 'either end, or what it is translated to')
    .option('--port <number>', 'likewise');
}

function isJson({ output }: Flags): boolean {
  if (output !== undefined && output !== 'json') throw new CirriError('ERR_FLAG', `-o ${output}: known is json`);
  return output === 'json';
}

async function withMaps(flags: Flags & ConnectionFilter, run: (maps: KernelMaps) => void | Promise<void>): Promise<void> {
  const { ip } = flags;
  if (ip !== undefined && !isAddr(ip)) throw new CirriError('ERR_FLAG', `--ip "${ip}" is no address`);
  const context = openContext();
  context.client.close();
  using maps = new KernelMaps(context, flags.node);
  await run(maps);
}

function keep<L extends Parameters<typeof isWanted>[0]>(row: L, { protocol, ip, port }: ConnectionFilter): L | undefined {
  const filter = { ...(protocol !== undefined && { protocol }), ...(ip !== undefined && { ip: formatAddr(parseAddr(ip)) }), ...(port !== undefined && { port }) };
  return isWanted(row, filter) ? row : undefined;
}

function* mapped<T, R>(items: Iterable<T>, each: (item: T) => R | undefined): Generator<R> {
  for (const item of items) {
    const row = each(item);
    if (row !== undefined) yield row;
  }
}

/** A few thousand keys at a time. */
function flush<K, V>(map: BpfMap<K, V>, isMeant: (key: K, value: V) => boolean): number {
  let count = 0;
  let keys: K[] = [];
  const remove = () => {
    map.deleteBatch(keys);
    count += keys.length;
    keys = [];
  };
  for (const [key, value] of map.entries()) {
    if (isMeant(key, value)) keys.push(key);
    if (keys.length >= 4096) remove();
  }
  if (keys.length > 0) remove();
  return count;
}
