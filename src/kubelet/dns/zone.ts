/**
 * The names of a cluster (Kubernetes DNS-Based Service Discovery 1.1.0), from a snapshot. Pure: a name and a type in, an
 * answer out.
 *
 *   SERVICE.NS.svc.DOMAIN                    A/AAAA: its addresses; headless: its backends; ExternalName: CNAME
 *   HOST.SERVICE.NS.svc.DOMAIN               A/AAAA of one backend of a headless service
 *   _PORT._PROTO.SERVICE.NS.svc.DOMAIN       SRV
 *   a-b-c-d.NS.pod.DOMAIN                    A/AAAA: the address that the name spells
 *   d.c.b.a.in-addr.arpa, ….ip6.arpa         PTR of services and backends
 */
import { addrFromWire, formatAddr, isAddr, isIPv4, parseAddr, wireBytes } from '../../std/ip.ts';
import { rcode, type } from './codec.ts';
import type { Answer, ResourceRecord } from './codec.ts';
import type { Backend, NamedPort, ServiceNames, Snapshot } from './snapshot.ts';

export interface Zone {
  readonly domain: string;
  readonly services: ReadonlyMap<string, ServiceNames>;
  readonly namespaces: ReadonlySet<string>;
  /** Address text → names. */
  readonly pointers: ReadonlyMap<string, readonly string[]>;
  readonly serial: number;
}

/** As CoreDNS: short, so that a moved backend is found soon. */
const ttl = 5;

export function zoneOf(snapshot: Snapshot, serial: number): Zone {
  const services = new Map<string, ServiceNames>();
  const namespaces = new Set<string>();
  const pointers = new Map<string, string[]>();
  const point = (ip: string, name: string) => {
    if (!isAddr(ip)) return;
    const key = formatAddr(parseAddr(ip));
    pointers.set(key, [...(pointers.get(key) ?? []), name]);
  };
  for (const service of snapshot.services) {
    const name = `${service.name}.${service.namespace}.svc.${snapshot.domain}`;
    services.set(`${service.name}.${service.namespace}`, service);
    namespaces.add(service.namespace);
    for (const ip of service.ips) point(ip, name);
    for (const backend of service.endpoints) point(backend.ip, `${backend.hostname}.${name}`);
  }
  return { domain: snapshot.domain.toLowerCase(), services, namespaces, pointers, serial };
}

export type Lookup =
  | { readonly kind: 'answer'; readonly answer: Answer }
  /** The name is an alias of one outside: what that is, somebody else must say. */
  | { readonly kind: 'alias'; readonly records: readonly ResourceRecord[]; readonly target: string }
  /** Not ours. */
  | { readonly kind: 'elsewhere' };

/** Aliases of aliases are followed this far: a longer chain is a circle. */
const aliasSteps = 8;

export function lookup(zone: Zone, asked: string, qtype: number, steps = aliasSteps): Lookup {
  const name = asked.toLowerCase();
  const address = addressOfArpa(name);
  if (address !== undefined) {
    const names = zone.pointers.get(formatAddr(address));
    // Addresses that are nobody's here may be somebody's elsewhere.
    if (!names) return { kind: 'elsewhere' };
    return found(zone, qtype === type.PTR || qtype === type.ANY ? names.map(target => ({ name: asked, type: type.PTR, ttl, target })) : []);
  }
  if (name !== zone.domain && !name.endsWith(`.${zone.domain}`)) return { kind: 'elsewhere' };
  const labels = name === zone.domain ? [] : name.slice(0, -zone.domain.length - 1).split('.');
  return inside(zone, asked, labels, qtype, steps);
}

function inside(zone: Zone, asked: string, labels: readonly string[], qtype: number, steps: number): Lookup {
  const top = labels.at(-1);
  if (top === undefined) return apex(zone, asked, qtype);
  if (top === 'dns-version' && labels.length === 1) return found(zone, wants(qtype, type.TXT) ? [{ name: asked, type: type.TXT, ttl, texts: ['1.1.0'] }] : []);
  if (top === 'ns' && labels.length === 2 && labels[0] === 'dns') return service(zone, asked, ['kube-dns', 'kube-system'], qtype, steps);
  if (top === 'pod') return pod(zone, asked, labels.slice(0, -1), qtype);
  if (top === 'svc') return service(zone, asked, labels.slice(0, -1), qtype, steps);
  return absent(zone);
}

function apex(zone: Zone, asked: string, qtype: number): Lookup {
  const records: ResourceRecord[] = [];
  if (wants(qtype, type.SOA)) records.push(soa(zone));
  if (wants(qtype, type.NS)) records.push({ name: asked, type: type.NS, ttl, target: `ns.dns.${zone.domain}` });
  return found(zone, records);
}

/** `labels` end with service and namespace; what stands before is a host or a _port._proto. */
function service(zone: Zone, asked: string, labels: readonly string[], qtype: number, steps: number): Lookup {
  if (labels.length === 0) return found(zone, []);
  if (labels.length === 1) return zone.namespaces.has(labels[0]!) ? found(zone, []) : absent(zone);
  const row = zone.services.get(labels.slice(-2).join('.'));
  const before = labels.slice(0, -2);
  if (!row) return absent(zone);
  if (row.externalName !== undefined) return before.length > 0 ? absent(zone) : externalName(zone, asked, row.externalName, qtype, steps);
  if (before.length === 0) return plainService(zone, asked, row, qtype);
  if (before.length === 2 && before[0]!.startsWith('_') && before[1]!.startsWith('_')) return ports(zone, asked, row, before[0]!.slice(1), before[1]!.slice(1), qtype);
  if (before.length !== 1) return absent(zone);
  const backends = row.endpoints.filter(b => b.hostname.toLowerCase() === before[0]);
  return backends.length === 0 ? absent(zone) : found(zone, addresses(asked, backends.map(b => b.ip), qtype));
}

function plainService(zone: Zone, asked: string, row: ServiceNames, qtype: number): Lookup {
  const ips = row.ips.length > 0 ? row.ips : row.endpoints.map(b => b.ip);
  // A headless service without backends is a name without an answer, and CoreDNS says that there is no such name.
  if (ips.length === 0) return absent(zone);
  if (wants(qtype, type.SRV) && qtype === type.SRV) return srv(zone, asked, row, () => true);
  return found(zone, addresses(asked, ips, qtype));
}

function ports(zone: Zone, asked: string, row: ServiceNames, port: string, protocol: string, qtype: number): Lookup {
  const fits = (p: NamedPort) => (p.name.toLowerCase() === port || port === '*') && (p.protocol === protocol || protocol === '*');
  const all = [...row.ports, ...row.endpoints.flatMap(b => b.ports)];
  if (!all.some(fits)) return absent(zone);
  return qtype === type.SRV || qtype === type.ANY ? srv(zone, asked, row, fits) : found(zone, []);
}

function srv(zone: Zone, asked: string, row: ServiceNames, fits: (port: NamedPort) => boolean): Lookup {
  const base = `${row.name}.${row.namespace}.svc.${zone.domain}`;
  const targets: { target: string; ips: readonly string[]; port: number }[] = row.ips.length > 0
    ? row.ports.filter(fits).map(p => ({ target: base, ips: row.ips, port: p.port }))
    : row.endpoints.flatMap((b: Backend) => b.ports.filter(fits).map(p => ({ target: `${b.hostname}.${base}`, ips: [b.ip], port: p.port })));
  const answers: ResourceRecord[] = targets.map(t => ({ name: asked, type: type.SRV, ttl, priority: 0, weight: Math.max(1, Math.floor(100 / targets.length)), port: t.port, target: t.target }));
  const extra = new Map(targets.map(t => [t.target, t.ips]));
  const additional = [...extra].flatMap(([target, ips]) => [...addresses(target, ips, type.A), ...addresses(target, ips, type.AAAA)]);
  return found(zone, answers, additional);
}

function externalName(zone: Zone, asked: string, target: string, qtype: number, steps: number): Lookup {
  const name = target.replace(/\.$/, '');
  if (isAddr(name)) return found(zone, addresses(asked, [name], qtype));
  const cname: ResourceRecord = { name: asked, type: type.CNAME, ttl, target: name };
  if (qtype === type.CNAME || steps === 0) return found(zone, [cname]);
  const there = lookup(zone, name, qtype, steps - 1);
  if (there.kind === 'elsewhere') return { kind: 'alias', records: [cname], target: name };
  if (there.kind === 'alias') return { ...there, records: [cname, ...there.records] };
  return { kind: 'answer', answer: { ...there.answer, answers: [cname, ...there.answer.answers] } };
}

/** `10-244-1-7.default.pod`: the address is in the name, as CoreDNS' "pods insecure". */
function pod(zone: Zone, asked: string, labels: readonly string[], qtype: number): Lookup {
  if (labels.length === 0 || (labels.length === 1 && zone.namespaces.has(labels[0]!))) return found(zone, []);
  if (labels.length !== 2 || !zone.namespaces.has(labels[1]!)) return absent(zone);
  const v4 = labels[0]!.replaceAll('-', '.');
  const v6 = labels[0]!.replaceAll('-', ':');
  const ip = isAddr(v4) ? v4 : isAddr(v6) ? v6 : undefined;
  return ip === undefined ? absent(zone) : found(zone, addresses(asked, [ip], qtype));
}

function addresses(name: string, ips: readonly string[], qtype: number): ResourceRecord[] {
  const out: ResourceRecord[] = [];
  for (const ip of ips) {
    if (!isAddr(ip)) continue;
    const addr = parseAddr(ip);
    const recordType = isIPv4(addr) ? type.A : type.AAAA;
    if (wants(qtype, recordType)) out.push({ name, type: recordType, ttl, address: wireBytes(addr) });
  }
  return out;
}

function wants(qtype: number, recordType: number): boolean {
  return qtype === recordType || qtype === type.ANY;
}

function found(zone: Zone, answers: readonly ResourceRecord[], additional: readonly ResourceRecord[] = []): Lookup {
  return { kind: 'answer', answer: { rcode: rcode.ok, authoritative: true, answers, authority: answers.length > 0 ? [] : [soa(zone)], additional } };
}

function absent(zone: Zone): Lookup {
  return { kind: 'answer', answer: { rcode: rcode.nameError, authoritative: true, answers: [], authority: [soa(zone)], additional: [] } };
}

/** Says how long "there is none" may be kept (RFC 2308). */
function soa(zone: Zone): ResourceRecord {
  return {
    name: zone.domain, type: type.SOA, ttl, primary: `ns.dns.${zone.domain}`, mailbox: `hostmaster.${zone.domain}`, serial: zone.serial >>> 0,
    refresh: 7200, retry: 1800, expire: 86_400, minimum: ttl,
  };
}

/** The address that a reverse name spells, undefined when it spells none. */
export function addressOfArpa(name: string): Uint8Array | undefined {
  const labels = name.split('.');
  if (name.endsWith('.in-addr.arpa') && labels.length === 6) {
    const text = labels.slice(0, 4).reverse().join('.');
    return isAddr(text) ? parseAddr(text) : undefined;
  }
  if (!name.endsWith('.ip6.arpa') || labels.length !== 34) return undefined;
  const digits = labels.slice(0, 32).reverse().join('');
  return /^[0-9a-f]{32}$/.test(digits) ? addrFromWire(Uint8Array.from(Buffer.from(digits, 'hex'))) : undefined;
}
