/** The naive evaluator's ports: whether the protocol and port asked for are among those that are written. */
import { readsOf } from './naive-requests.ts';
import type { Reads, RulesOfPorts } from './naive-requests.ts';
import type { Asked } from './naive.ts';
import type { AdminPort, CiliumEntry, ClusterProtocol, ClusterRule, NetworkPolicyPort, Pod, TransportPort } from './objects.ts';

const numbers: Readonly<Record<string, number>> = { ICMP: 1, IGMP: 2, IPIP: 4, TCP: 6, UDP: 17, IPV6: 41, GRE: 47, ESP: 50, AH: 51, ICMPV6: 58, VRRP: 112, SCTP: 132 };
const icmpNames: Readonly<Record<string, number>> = { 'IPv4 EchoReply': 0, 'IPv4 EchoRequest': 8, 'IPv4 Timestamp': 13, 'IPv6 EchoRequest': 128, 'IPv6 EchoReply': 129 };

export function networkPolicyPorts(ports: readonly NetworkPolicyPort[], asked: Asked): boolean {
  return ports.some(({ port, endPort, protocol = 'TCP' }) => {
    if (asked.protocol !== numbers[protocol]) return false;
    if (port === undefined) return true;
    if (typeof port === 'string') return isNamed(port, true, asked);
    return port <= asked.port && asked.port <= (endPort ?? port);
  });
}

/** Of a rule of an AdminNetworkPolicy or one of its kin; a rule without ports is about all protocols. */
export function clusterPorts(rule: ClusterRule, asked: Asked): boolean {
  const opens = rule.action !== 'Deny';
  const written = [...(rule.ports ?? []).map(p => adminPort(p, opens, asked)), ...(rule.protocols ?? []).map(p => clusterProtocol(p, opens, asked))];
  return written.length === 0 || written.some(Boolean);
}

function adminPort({ portNumber, portRange, namedPort }: AdminPort, opens: boolean, asked: Asked): boolean {
  if (namedPort !== undefined) return [6, 17, 132].includes(asked.protocol) && isNamed(namedPort, opens, asked);
  const [from, to] = portNumber ? [portNumber.port, portNumber.port] : [portRange!.start, portRange!.end];
  return asked.protocol === numbers[(portNumber ?? portRange)!.protocol ?? 'TCP'] && from <= asked.port && asked.port <= to;
}

function clusterProtocol(protocol: ClusterProtocol, opens: boolean, asked: Asked): boolean {
  if (protocol.destinationNamedPort !== undefined) return [6, 17, 132].includes(asked.protocol) && isNamed(protocol.destinationNamedPort, opens, asked);
  const [name, { destinationPort }] = Object.entries(protocol)[0] as [string, TransportPort];
  if (asked.protocol !== numbers[name.toUpperCase()]) return false;
  if (!destinationPort) return true;
  const { number, range } = destinationPort;
  return number !== undefined ? asked.port === number : range!.start <= asked.port && asked.port <= range!.end;
}

/** Those of the entry's `toPorts` and `icmps` that hold. */
export function ciliumPorts(entry: CiliumEntry, allow: boolean, asked: Asked): readonly { readonly reads: Reads | undefined }[] {
  const byPorts = (entry.toPorts ?? [])
    .map(({ ports = [], ...rest }) => ({ ports, reads: readsOf(rest as RulesOfPorts) }))
    // What is read is TCP; names are asked by UDP too.
    .filter(({ reads }) => reads === undefined || asked.protocol === 6 || (reads.parser === 'dns' && asked.protocol === 17))
    .filter(({ ports, reads }) => ports.length === 0
      || ports.some(p => ciliumPort(p.port ?? '', p.endPort ?? 0, (p.protocol ?? 'ANY').toUpperCase(), allow && (reads === undefined || asked.proxy), asked)));
  const byIcmp = (entry.icmps ?? []).flatMap(({ fields }) => fields)
    .filter(({ family = 'IPv4', type }) => asked.protocol === (family === 'IPv4' ? 1 : 58) && asked.port === (typeof type === 'number' ? type : icmpNames[`${family} ${type}`]))
    .map(() => ({ reads: undefined }));
  return [...byPorts, ...byIcmp];
}

function ciliumPort(port: string, endPort: number, protocol: string, allow: boolean, asked: Asked): boolean {
  const wanted = protocol === 'ANY' ? [6, 17, 132] : [numbers[protocol]];
  if (!wanted.includes(asked.protocol)) return false;
  if (![6, 17, 132].includes(asked.protocol)) return true;
  if (port === '0') return true;
  if (!/^\d+$/.test(port)) return isNamed(port, allow, asked);
  return Number(port) <= asked.port && asked.port <= (endPort === 0 ? Number(port) : endPort);
}

/**
 * A name means the subject's port at ingress and the peer's at egress. Where pods that no policy can tell apart give a name
 * different numbers, allowing opens none of them and denying closes all.
 */
function isNamed(name: string, allow: boolean, asked: Asked): boolean {
  const pods = asked.direction === 'egress' ? asked.peer.pods : asked.pod ? [asked.pod] : [];
  const found = new Set(pods.flatMap(pod => portsNamed(pod, name.toLowerCase(), asked.protocol)));
  return found.has(asked.port) && !(allow && asked.direction === 'egress' && found.size > 1);
}

function portsNamed(pod: Pod, name: string, protocol: number): number[] {
  return pod.spec.containers.flatMap(c => c.ports ?? []).filter(p => p.name?.toLowerCase() === name && numbers[p.protocol ?? 'TCP'] === protocol).map(p => p.containerPort);
}
