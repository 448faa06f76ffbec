/** Ports as a proposal writes them. */

export interface SeenPort { readonly protocol: string; readonly port: number }

/** Beside the peers of a rule: `toPorts` or `icmps`, which exclude each other. */
export type WrittenPorts = { readonly toPorts: readonly unknown[] } | { readonly icmps: readonly unknown[] };

/** So many single ports of one peer are ports that somebody chose: a rule for each would be out of date tomorrow. */
const singlePorts = 16;

/** At most one of ports and one of ICMP types; DNS apart from other ports where it has a rule of its own. */
export function writtenPorts(ports: readonly SeenPort[], options: { readonly dnsRules: boolean }): readonly WrittenPorts[] {
  const icmp = ports.filter(({ protocol }) => protocol.startsWith('ICMP'));
  const isDns = ({ protocol, port }: SeenPort) => options.dnsRules && port === 53 && (protocol === 'UDP' || protocol === 'TCP');
  const plain = ports.filter(port => !icmp.includes(port) && !isDns(port));
  const dns = ports.filter(isDns);
  return [
    ...(plain.length > 0 ? [{ toPorts: [{ ports: portItems(plain) }] }] : []),
    ...(dns.length > 0 ? [{ toPorts: [{ ports: portItems(dns), rules: { dns: [{ matchPattern: '*' }] } }] }] : []),
    ...(icmp.length > 0 ? [{ icmps: [{ fields: icmpItems(icmp) }] }] : []),
  ];
}

function portItems(ports: readonly SeenPort[]): readonly unknown[] {
  const protocols = [...new Set(ports.map(({ protocol }) => protocol))].sort();
  return protocols.flatMap(protocol => {
    const numbers = [...new Set(ports.filter(port => port.protocol === protocol).map(({ port }) => port))].sort((a, b) => a - b);
    // Well-known ports are services even when they are many; the ones above are somebody's choice of the moment.
    const high = numbers.filter(port => port >= 1024);
    if (high.length <= singlePorts) return numbers.map(port => ({ port: String(port), protocol }));
    return [...numbers.filter(port => port < 1024).map(port => ({ port: String(port), protocol })), { port: String(high[0]), endPort: high.at(-1), protocol }];
  });
}

function icmpItems(ports: readonly SeenPort[]): readonly unknown[] {
  const items = new Map(ports.map(({ protocol, port }) => [`${protocol} ${port}`, { type: port, family: protocol === 'ICMPv6' ? 'IPv6' : 'IPv4' }] as const));
  return [...items].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, item]) => item);
}
