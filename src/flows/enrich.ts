import type { FlowEndpoint, FlowPolicy, FlowRule, TcpFlag } from '../model/flow.ts';
import { Protocol } from './event.ts';
import { icmpName } from './icmp.ts';

/** What the node knows about numbers and addresses at the moment an event is seen. Every look-up is synchronous and cheap. */
export interface FlowLookups {
  /** Labels of an identity, `k8s:app=x`. The same array for the same identity, so that flows share it. */
  identityLabels(identity: number): readonly string[] | undefined;
  /** Whose address it is or was: `identity` and a local `endpoint` (0: none) tell a pod from the one that has the address now. */
  podByAddr(ip: string, identity?: number, endpoint?: number): FlowPod | undefined;
  serviceByAddr(ip: string, port: number, protocol: 'TCP' | 'UDP' | 'SCTP'): { readonly namespace: string; readonly name: string } | undefined;
  /** DNS names under which the address was handed out: to the local endpoint `viewer`, else to anybody on the node. */
  namesOf(ip: string, viewer?: number): readonly string[] | undefined;
  rule(id: number): FlowRule | undefined;
  /** The policies behind a rule: its own, or all that turned a default denial on. Without it, the rule's own. */
  policiesOf?(id: number): readonly FlowPolicy[] | undefined;
  /** What those policies want said in flows that they decide (`log.value`). */
  logOf?(id: number): readonly string[] | undefined;
  interfaceName(ifindex: number): string | undefined;
  /** Enum name of a drop reason of our own (220 and up). */
  dropReason(code: number): string | undefined;
  /** Labels of this node, `key=value`; the same array until they change. */
  nodeLabels?(): readonly string[] | undefined;
  readonly clusterName?: string;
  /** Counts the changes of pods and identities, and of rules: what is known is asked for again. Without them, once a second. */
  revision?(): number;
  ruleRevision?(): number;
}

export interface FlowPod {
  readonly namespace: string;
  readonly name: string;
  readonly workloads?: FlowEndpoint['workloads'];
}

const noName = () => undefined;

/** Look-ups of a node that knows nothing yet. */
export const emptyLookups: FlowLookups = {
  identityLabels: noName,
  podByAddr: noName,
  serviceByAddr: noName,
  namesOf: noName,
  rule: noName,
  interfaceName: noName,
  dropReason: noName,
};

/** TCP flags in Hubble's order of printing. */
export function tcpFlagsOf(bits: number): readonly TcpFlag[] {
  return (tcpFlagCache[bits] ??= tcpFlagBits.filter(([bit]) => (bits & bit) !== 0).map(([, name]) => name));
}

/** IANA number → Hubble's protocol word. */
export function protocolName(protocol: number): string {
  switch (protocol) {
    case Protocol.tcp: return 'TCP';
    case Protocol.udp: return 'UDP';
    case Protocol.sctp: return 'SCTP';
    case Protocol.icmp: return 'ICMPv4';
    case Protocol.icmp6: return 'ICMPv6';
    default: return `IP-${protocol}`;
  }
}

/** Names of `policy_match_type`, by number. */
export const policyMatches: readonly string[] = ['none', 'L3-Only', 'L3-L4', 'L4-Only', 'all', 'L3-Proto', 'Proto-Only'];

/** Names of trace observation points as the monitor counts them (to-endpoint is 0 there and 101 in flow.proto). */
export const observationPoints: readonly string[] = [
  'to-endpoint', 'to-proxy', 'to-host', 'to-stack', 'to-overlay', 'from-endpoint', 'from-proxy', 'from-host', 'from-stack',
  'from-overlay', 'from-network', 'to-network', 'from-crypto', 'to-crypto',
];

const tcpFlagBits: readonly (readonly [number, TcpFlag])[] = [
  [0x02, 'SYN'], [0x10, 'ACK'], [0x04, 'RST'], [0x01, 'FIN'], [0x08, 'PSH'], [0x20, 'URG'], [0x40, 'ECE'], [0x80, 'CWR'],
];
const tcpFlagCache: (readonly TcpFlag[])[] = [];

/** One line, as Hubble prints it; the same text for the same numbers. */
export function summaryOf(protocol: number, tcpFlags: number, icmpType: number, icmpCode: number): string {
  const isTcp = protocol === Protocol.tcp;
  const isIcmp = protocol === Protocol.icmp || protocol === Protocol.icmp6;
  const key = isTcp ? (protocol << 16) | tcpFlags : isIcmp ? (protocol << 16) | (icmpType << 8) | icmpCode : protocol << 16;
  let text = summaries.get(key);
  if (text === undefined) {
    const name = protocolName(protocol);
    text = isTcp ? `TCP Flags: ${tcpFlagsOf(tcpFlags).join(', ')}` : isIcmp ? `${name} ${icmpName(name, icmpType, icmpCode)}` : name;
    summaries.set(key, text);
  }
  return text;
}

const summaries = new Map<number, string>();
