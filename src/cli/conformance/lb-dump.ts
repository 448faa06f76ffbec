import type { FakeMaglevTables, FakeServiceMaps } from '../../features/services/fakemaps.ts';
import { endpointText, frontendTypes, protocolNames, rowFlag } from '../../lb/rows.ts';
import { formatAddr, formatPrefix, isIPv4 } from '../../std/ip.ts';
import type { Addr } from '../../std/ip.ts';

/** The maps' content in the layout of upstream's `lb/maps-dump`. Ids are our own numbers. */
export function dumpLines(maps: FakeServiceMaps, maglev: FakeMaglevTables): string[] {
  const lines: string[] = [];
  for (const [{ id }, { addr, port, protocol, state }] of maps.backends.entries()) lines.push(`BE: ID=${id} ADDR=${text(addr, port, protocol)} STATE=${['active', 'terminating'][state]}`);
  for (const [{ id }, { addr, port }] of maps.serviceAddresses.entries()) lines.push(`REV: ID=${id} ADDR=${withoutProtocol(text(addr, port, 6))}`);
  for (const [{ service, backend }] of maps.serviceMembers.entries()) lines.push(`AFF: ID=${service} BEID=${backend}`);
  for (const [{ service, prefixBits, addr }] of maps.serviceSources.entries()) lines.push(`SRCRANGE: ID=${service} CIDR=${formatPrefix({ addr, bits: prefixBits - 32 })}`);
  for (const [service, { table }] of maglev.tables) {
    const counts = new Map<number, number>();
    for (const backend of table) counts.set(backend, (counts.get(backend) ?? 0) + 1);
    lines.push(`MAGLEV: ID=${service} INNER=[${[...counts].map(([backend, n]) => `${backend}(${n})`).join(', ')}]`);
  }
  for (const [key, value] of maps.services.entries()) {
    const address = `${text(key.addr, key.port, key.protocol)}${key.scope === 1 ? '/i' : ''}`;
    const flags = flagNames(value.type, value.flags);
    lines.push(`SVC: ID=${value.id} ADDR=${address} SLOT=0 LBALG=${value.maglev > 0 ? 'maglev' : 'undef'} AFFTimeout=${value.affinityTimeout} COUNT=${value.count} QCOUNT=0 FLAGS=${flags}`);
    for (let slot = 0; slot < value.count; slot++) lines.push(`SVC: ID=${value.id} ADDR=${address} SLOT=${slot + 1} BEID=${maps.serviceSlots.lookup({ service: value.id, slot })?.backend} COUNT=0 QCOUNT=0 FLAGS=${flags}`);
  }
  return lines;
}

function text(addr: Addr, port: number, protocol: number): string {
  return endpointText(addr, port, protocolNames[protocol] ?? String(protocol));
}

const withoutProtocol = (address: string) => address.replace(/\/\w+$/, '');

function flagNames(type: number, flags: number): string {
  return [
    frontendTypes[type], ...((flags & rowFlag.routable) === 0 ? ['non-routable'] : []), ...((flags & rowFlag.sourceRanges) !== 0 ? ['check source-range'] : []),
    ...((flags & rowFlag.sourceDeny) !== 0 ? ['deny'] : []),
  ].join('+');
}

/** Flags that say the same in both layouts; the others follow from columns or are another word for the scope. */
const comparedFlags: ReadonlySet<string> = new Set([...frontendTypes, 'non-routable', 'check source-range', 'deny']);

/** A dump without ids: one text for each fact, sorted; and those facts that have no counterpart, by reason. */
export interface DumpFacts {
  readonly facts: readonly string[];
  readonly left: readonly string[];
}

export const leftReasons = {
  wildcard: 'map rows for all of a node\'s addresses (0.0.0.0): each address has a row of its own here',
  surrogate: 'map rows for the other ports of an address (port 0): nothing is kept for what is no service here',
  loopback: 'map rows of node ports at loopback: upstream has the wildcard for them',
  internal: 'map rows for clients inside a Local service: kube-proxy\'s rule, they get all backends',
} as const;

/** Reads a dump in upstream's layout. Rows that one side alone can have are told apart by why. */
export function dumpFacts(lines: readonly string[]): DumpFacts {
  const parsed = lines.map(line => ({ kind: line.slice(0, line.indexOf(':')), fields: fieldsOf(line) }));
  const services = new Map<string, { readonly address: string; readonly reason: string | undefined }>();
  const backends = new Map(parsed.filter(p => p.kind === 'BE').map(p => [p.fields['ID']!, p.fields['ADDR']!]));
  const left: string[] = [];
  const facts: string[] = [];
  for (const { kind, fields } of parsed) if (kind === 'SVC' && fields['SLOT'] === '0') services.set(fields['ID']!, { address: fields['ADDR']!, reason: reasonOf(fields['ADDR']!) });
  const used = new Set<string>();
  const slotted = new Set<string>();
  for (const { kind, fields } of parsed) {
    const surrogate = kind === 'SVC' && /:0\/ANY$/.test(fields['ADDR']!) ? leftReasons.surrogate : undefined;
    const reason = surrogate ?? (kind === 'BE' ? undefined : services.get(fields['ID']!)?.reason);
    if (kind === 'SVC' && fields['BEID'] !== undefined) {
      slotted.add(fields['BEID']!);
      if (reason === undefined) used.add(fields['BEID']!);
    }
    if (reason !== undefined) left.push(reason);
    else if (kind !== 'BE') facts.push(factOf(kind, fields, services.get(fields['ID']!)?.address ?? fields['ID']!, backends));
  }
  for (const { kind, fields } of parsed) {
    if (kind !== 'BE') continue;
    // A backend that only left-out rows name is left out with them.
    if (slotted.has(fields['ID']!) && !used.has(fields['ID']!)) left.push(leftReasons.internal);
    else facts.push(`backend ${fields['ADDR']} ${fields['STATE']}`);
  }
  return { facts: facts.sort(), left };
}

function factOf(kind: string, fields: Readonly<Record<string, string>>, address: string, backends: ReadonlyMap<string, string>): string {
  const backend = (id: string) => backends.get(id) ?? `unknown backend ${id}`;
  if (kind === 'REV') return `way back to ${fields['ADDR']} of ${withoutProtocol(address)}`;
  if (kind === 'AFF') return `${address} sticks to ${backend(fields['BEID']!)}`;
  if (kind === 'SRCRANGE') return `${address} asks for ${fields['CIDR']}`;
  if (kind === 'MAGLEV') return `${address} table ${[...fields['INNER']!.matchAll(/(\d+)\((\d+)\)/g)].map(m => `${backend(m[1]!)} ${m[2]}`).sort().join(', ')}`;
  if (fields['BEID'] !== undefined) return `${address} has ${backend(fields['BEID'])}`;
  // LBALG says what an annotation asked for; what is chosen by is told by the table.
  const flags = fields['FLAGS']!.split('+').filter(f => comparedFlags.has(f)).join('+');
  return `${address} count ${fields['COUNT']} affinity ${fields['AFFTimeout']} ${flags}`;
}

function reasonOf(address: string): string | undefined {
  if (/^(0\.0\.0\.0|\[::\]):/.test(address)) return leftReasons.wildcard;
  if (/^(127\.0\.0\.1|\[::1\]):/.test(address)) return leftReasons.loopback;
  return address.endsWith('/i') ? leftReasons.internal : undefined;
}

/** `KEY=value` with spaces in FLAGS and INNER. */
function fieldsOf(line: string): Readonly<Record<string, string>> {
  return Object.fromEntries([...line.matchAll(/(\w+)=(\[[^\]]*\]:\d+\/?\w*|\[[^\]]*\]|.*?)(?=\s+\w+=|$)/g)].map(m => [m[1]!, m[2]!.trim()]));
}

export function isLoopback(addr: Addr): boolean {
  return isIPv4(addr) ? addr[12] === 127 : formatAddr(addr) === '::1';
}
