/** `toPorts` and `icmps`: ports, ranges, names, protocols, ICMP types. */
import { join, show } from './fields.ts';
import type { FieldReader, Fields } from './fields.ts';
import { icmpTypeNumber } from './icmp.ts';
import type { RuleL7, TlsNeed } from './l7-rules.ts';
import { parseL7Rules, parseListener, parseServerNames, parseTls } from './parse-l7.ts';
import { maxPort, protocols } from './policy.ts';
import type { ConditionType, Direction, PortMatch } from './policy.ts';

const maxPorts = 40;
const maxIcmpFields = 40;

/** One entry of `toPorts`. */
export interface PortBlock {
  readonly path: string;
  readonly ports: 'any' | readonly PortMatch[];
  readonly l7?: RuleL7;
  /** What of it nobody carries out, with the field that asks for it. */
  readonly unmet?: { readonly type: ConditionType; readonly path: string; readonly what: string };
}

export interface PortOptions {
  readonly direction: Direction;
  readonly deny: boolean;
  readonly selectsNodes: boolean;
  /** Where Secrets lie that are named without one. */
  readonly namespace: string;
}

/** The entries of `toPorts`; undefined when the field is absent. */
export function parsePortRules(reader: FieldReader, value: unknown, path: string, options: PortOptions): readonly PortBlock[] | undefined {
  return reader.list(value, path)?.map((item, i) => parsePortRule(reader, item, `${path}[${i}]`, options));
}

function parsePortRule(reader: FieldReader, value: unknown, path: string, options: PortOptions): PortBlock {
  const known = options.deny ? ['ports'] : ['ports', 'rules', 'terminatingTLS', 'originatingTLS', 'serverNames', 'listener'];
  const fields = reader.object(value, path, known) ?? {};
  const list = reader.list(fields['ports'], join(path, 'ports')) ?? [];
  if (list.length > maxPorts) reader.fail(join(path, 'ports'), `too many ports, the max is ${maxPorts}`, 'use endPort for ranges, or several toPorts entries');
  const parsed = list.map((item, i) => parsePort(reader, item, `${path}.ports[${i}]`));
  const ports = parsed.length === 0 ? 'any' : parsed.flatMap(p => p?.matches ?? []);
  if (options.deny) return { path, ports };

  const rules = parseL7Rules(reader, fields['rules'], join(path, 'rules'), options.namespace);
  if (rules) checkL7Ports(reader, rules.protocol, parsed.filter(p => p !== undefined), path, options);
  const l7 = parseAround(reader, fields, path, rules, options);
  return l7 ? { path, ports: l7Ports(ports, l7.protocol), l7, ...unmet(l7, path) } : { path, ports };
}

/** The rules with the TLS around them; TLS and a listener also stand alone. */
function parseAround(reader: FieldReader, fields: Fields, path: string, rules: RuleL7 | undefined, options: PortOptions): RuleL7 | undefined {
  const terminating = parseTls(reader, fields['terminatingTLS'], join(path, 'terminatingTLS'), options.namespace);
  const originating = parseTls(reader, fields['originatingTLS'], join(path, 'originatingTLS'), options.namespace);
  const serverNames = parseServerNames(reader, fields['serverNames'], join(path, 'serverNames'));
  const listener = parseListener(reader, fields['listener'], join(path, 'listener'));
  if (serverNames && rules && !terminating) reader.fail(join(path, 'serverNames'), 'serverNames are not allowed with L7 rules without TLS termination', 'add terminatingTLS or write two toPorts entries');
  if (listener !== undefined && rules) reader.fail(join(path, 'listener'), `Listener is not allowed with L7 rules (${listener})`, 'write two toPorts entries');
  if (listener !== undefined && options.direction === 'ingress') reader.fail(join(path, 'listener'), `Listener is not allowed on ingress (${listener})`, 'a listener may only be named in egress rules');
  const tls: TlsNeed | undefined = terminating || originating || serverNames ? { ...(terminating && { terminating }), ...(originating && { originating }), ...(serverNames && { serverNames }) } : undefined;
  if (rules?.protocol === 'dns') return tls ? reader.fail(join(path, 'rules.dns'), 'DNS rules are not allowed with TLS contexts or serverNames', 'write two toPorts entries') : rules;
  if (listener !== undefined) return { protocol: 'listener', name: listener, ...(tls && { tls }) };
  if (rules) return { ...rules, ...(tls && { tls }) } as RuleL7;
  return tls && { protocol: 'tls', tls };
}

function unmet(l7: RuleL7, path: string): Pick<PortBlock, 'unmet'> {
  if (l7.protocol === 'l7proto') return { unmet: { type: 'L7NotEnforced', path: join(path, 'rules'), what: `nobody reads the protocol ${l7.name}` } };
  if (l7.protocol === 'listener') return { unmet: { type: 'ListenerNotEnforced', path: join(path, 'listener'), what: `there is no Envoy with the listener ${l7.name}` } };
  return {};
}

/** Names are asked by UDP and TCP, all else that is read is TCP. */
function l7Ports(ports: PortBlock['ports'], protocol: RuleL7['protocol']): readonly PortMatch[] {
  const read: readonly number[] = protocol === 'dns' ? [protocols.TCP, protocols.UDP] : [protocols.TCP];
  return ports === 'any' ? read.map(number => ({ protocol: number, start: 0, end: maxPort })) : ports.filter(port => read.includes(port.protocol));
}

function checkL7Ports(reader: FieldReader, l7: RuleL7['protocol'], ports: readonly ParsedPort[], path: string, options: PortOptions): void {
  const at = join(path, 'rules');
  if (l7 === 'dns') {
    if (options.direction === 'ingress') reader.fail(join(at, 'dns'), 'DNS rules are not allowed on ingress', 'move the rule to egress of the pods that ask');
    if (ports.length === 0) reader.fail(join(path, 'ports'), 'port 53 must be specified for DNS rules', 'add port "53", protocol ANY');
  }
  if (options.selectsNodes && l7 !== 'dns') reader.fail(at, 'host policies do not support L7 rules', 'select pods with endpointSelector, or remove the rules');
  for (const port of ports) {
    if (port.isWildcard) reader.fail(`${port.path}.port`, 'L7 rules can not be used when a port is 0', 'name the port');
    if (l7 === 'dns') {
      if (port.isRange) reader.fail(`${port.path}.endPort`, 'DNS rules do not support port ranges', 'list the ports');
      if (!['TCP', 'UDP', 'ANY'].includes(port.protocol)) reader.fail(`${port.path}.protocol`, `DNS rules can only apply to TCP and UDP (not ${port.protocol})`, 'write TCP, UDP or ANY');
    } else if (port.protocol !== 'TCP') {
      reader.fail(`${port.path}.protocol`, `L7 rules can only apply to TCP (not ${port.protocol}) except for DNS rules`, 'write protocol: TCP');
    }
  }
}

interface ParsedPort {
  readonly path: string;
  readonly protocol: string;
  readonly isWildcard: boolean;
  readonly isRange: boolean;
  readonly matches: readonly PortMatch[];
}

const portProtocols = ['TCP', 'UDP', 'SCTP', 'ANY'];
const portlessProtocols = ['VRRP', 'IGMP', 'GRE', 'IPIP', 'IPV6', 'ESP', 'AH'];

function parsePort(reader: FieldReader, value: unknown, path: string): ParsedPort | undefined {
  const fields = reader.object(value, path, ['port', 'endPort', 'protocol']);
  if (!fields) return reader.fail(path, 'must be an object', 'give port and protocol');
  const text = reader.string(fields['port'], `${path}.port`) ?? '';
  const protocol = (reader.string(fields['protocol'], `${path}.protocol`) || 'ANY').toUpperCase();
  const endPort = reader.integer(fields['endPort'], `${path}.endPort`, 0, maxPort) ?? 0;
  if (portlessProtocols.includes(protocol)) return parsePortless(reader, path, protocol, text);
  if (!portProtocols.includes(protocol)) return reader.fail(`${path}.protocol`, `unsupported protocol "${protocol}"`, `one of: ${[...portProtocols, ...portlessProtocols].join(', ')}; ICMP has its own field, icmps`);
  const port = parsePortText(reader, text, path);
  if (port === undefined) return undefined;
  const numbers = protocol === 'ANY' ? [protocols.TCP, protocols.UDP, protocols.SCTP] : [protocols[protocol as 'TCP']];
  if (typeof port === 'string') {
    if (endPort !== 0) return reader.fail(`${path}.endPort`, 'endPort is not allowed with a named port', 'write the first port as a number');
    return { path, protocol, isWildcard: false, isRange: false, matches: numbers.map(n => ({ protocol: n, name: port })) };
  }
  const range = portRange(reader, port, endPort, path);
  return range && { path, protocol, isWildcard: port === 0, isRange: range.end > range.start && port !== 0, matches: numbers.map(n => ({ protocol: n, ...range })) };
}

function parsePortless(reader: FieldReader, path: string, protocol: string, text: string): ParsedPort | undefined {
  if (text !== '' && text !== '0') return reader.fail(`${path}.port`, `protocol ${protocol} has no ports, not "${text}"`, 'remove the port or write "0"');
  return { path, protocol, isWildcard: true, isRange: false, matches: [{ protocol: protocols[protocol as 'GRE'], start: 0, end: maxPort }] };
}

/** A number, or a name in lower case. Numbers with leading zeros are refused: upstream reads them as octal. */
function parsePortText(reader: FieldReader, text: string, path: string): number | string | undefined {
  if (text === '') return reader.fail(`${path}.port`, 'Port must be specified', 'write the port in quotes; "0" is every port');
  if (/^(0|[1-9]\d*)$/.test(text)) {
    return Number(text) <= maxPort ? Number(text) : reader.fail(`${path}.port`, `unable to parse port: "${text}" is greater than ${maxPort}`, 'a port is 0 to 65535');
  }
  if (isServiceName(text)) return text.toLowerCase();
  return reader.fail(`${path}.port`, `"${text}" is neither a port number nor a port name`, 'a number from 0 to 65535, or a name of at most 15 letters, digits and "-" with a letter in it');
}

/** IANA_SVC_NAME (RFC 6335 §5.1). */
export function isServiceName(text: string): boolean {
  return text.length <= 15 && /^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$/.test(text) && /[a-zA-Z]/.test(text) && !text.includes('--');
}

function portRange(reader: FieldReader, port: number, endPort: number, path: string): { start: number; end: number } | undefined {
  if (port === 0) {
    if (endPort !== 0) return reader.fail(`${path}.endPort`, 'endPort is not allowed with port 0, which is every port', 'write the first port, or remove endPort');
    return { start: 0, end: maxPort };
  }
  if (endPort !== 0 && endPort < port) return reader.fail(`${path}.endPort`, `endPort ${endPort} must be greater than or equal to port ${port}`, 'write the larger number as endPort');
  return { start: port, end: endPort === 0 ? port : endPort };
}

// ---- icmps ----

/** The types of `icmps`; undefined when the field is absent. */
export function parseIcmps(reader: FieldReader, value: unknown, path: string): readonly PortMatch[] | undefined {
  return reader.list(value, path)?.flatMap((item, i) => {
    const at = `${path}[${i}]`;
    const fields = reader.object(item, at, ['fields']) ?? {};
    const list = reader.list(fields['fields'], join(at, 'fields')) ?? [];
    if (list.length > maxIcmpFields) reader.fail(join(at, 'fields'), `too many types, the max is ${maxIcmpFields}`, 'write several icmps entries');
    return list.flatMap((field, j) => parseIcmpField(reader, field, `${at}.fields[${j}]`) ?? []);
  });
}

function parseIcmpField(reader: FieldReader, value: unknown, path: string): PortMatch | undefined {
  const fields = reader.object(value, path, ['family', 'type']);
  if (!fields) return reader.fail(path, 'must be an object', 'give family and type');
  const family = reader.string(fields['family'], join(path, 'family')) || 'IPv4';
  if (family !== 'IPv4' && family !== 'IPv6') return reader.fail(join(path, 'family'), `wrong family: ${family}`, 'IPv4 or IPv6');
  const raw = fields['type'];
  if (raw === undefined || raw === null) return reader.fail(join(path, 'type'), 'type is required', 'a number from 0 to 255 or a name such as EchoRequest');
  const type = icmpTypeNumber(family, raw);
  if (type === undefined) return reader.fail(join(path, 'type'), `invalid ICMP type "${show(raw)}" for ${family}`, 'a number from 0 to 255 or a name such as EchoRequest');
  return { protocol: family === 'IPv4' ? protocols.ICMP : protocols.ICMPV6, start: type, end: type };
}
