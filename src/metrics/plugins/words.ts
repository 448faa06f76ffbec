import { icmpName } from '../../flows/icmp.ts';
import { dropReasonName } from '../../flows/reasons.ts';
import type { Flow } from '../../model/flow.ts';

/** Upstream's word for what a flow is made of, in the label `protocol`. */
export function flowProtocol(flow: Flow): string {
  if (flow.type === 'l7') {
    const { l7 } = flow;
    if (l7?.dns) return 'DNS';
    if (l7?.http) return 'HTTP';
    return l7?.kafka ? 'Kafka' : 'Unknown L7';
  }
  if (flow.type === 'sock' || flow.type === 'debug' || flow.type === 'unknown') return 'Unknown flow';
  switch (flow.protocol) {
    case 'TCP': case 'UDP': case 'SCTP': case 'ICMPv4': case 'ICMPv6': case 'VRRP': case 'IGMP': return flow.protocol;
    default: return 'Unknown L4';
  }
}

/** The names of flow.proto's DropReason; of a request that a proxy refused there is none. */
export function dropReason(flow: Flow): string {
  const code = flow.dropReasonCode;
  if (code === undefined) return 'DROP_REASON_UNKNOWN';
  return (reasonNames[code] ??= dropReasonName(code, () => flow.dropReason?.replaceAll(' ', '_')).name);
}
const reasonNames: string[] = [];

/** "EchoRequest", "DestinationUnreachable(Port)". */
export function icmpType(flow: Flow): string {
  const names = flow.protocol === 'ICMPv6' ? icmpNames.v6 : icmpNames.v4;
  const type = flow.icmpType ?? 0;
  const code = flow.icmpCode ?? 0;
  return (names[type * 256 + code] ??= icmpName(flow.protocol, type, code));
}
const icmpNames: { readonly v4: Record<number, string>; readonly v6: Record<number, string> } = { v4: {}, v6: {} };

/** Small numbers as text, made once: ports, status codes, counts. */
export function numberText(value: number): string {
  return (texts[value] ??= String(value));
}
const texts: string[] = [];

export function lowerCase(word: string): string {
  let lower = lowered.get(word);
  if (lower === undefined) lowered.set(word, lower = word.toLowerCase());
  return lower;
}
const lowered = new Map<string, string>();

/** As `observationSource` of a DNS message: read from a packet that went on, with no policy asked about it. */
export const kernelSource = 'kernel';

/** Which side of a request told of it. */
export function reporterOf(flow: Flow): string {
  return flow.direction === 'EGRESS' ? 'client' : flow.direction === 'INGRESS' ? 'server' : 'unknown';
}

/** Upstream's "list in one label"; of one entry that entry. */
export function joined(list: readonly string[] | undefined): string {
  if (list === undefined || list.length === 0) return '';
  return list.length === 1 ? list[0]! : list.join(',');
}
