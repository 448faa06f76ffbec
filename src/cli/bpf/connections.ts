import { ConntrackFlag, ConntrackKind, NatDirection } from '../../datapath/generated/enums.ts';
import type { ConntrackEntry, ConntrackKey, NatEntry, NatKey } from '../../datapath/generated/structs.ts';
import { bitNames, hostPort, protocolText } from './text.ts';

/** An entry of `conntrack`. The source opened the connection. */
export interface ConntrackLine {
  readonly protocol: string;
  /** OUT: opened by a pod or the node here. IN: from elsewhere. SVC: to a service's address, before translation. */
  readonly direction: 'OUT' | 'IN' | 'SVC';
  readonly source: string;
  readonly destination: string;
  /** Seconds of CLOCK_MONOTONIC. */
  readonly expires: number;
  /** Until then; negative: it is over, and goes when its place is needed. */
  readonly remaining: number;
  readonly packets: number;
  readonly bytes: number;
  readonly replyPackets: number;
  readonly replyBytes: number;
  readonly flags: readonly string[];
  readonly flagBits: number;
  /** Key of the service's address; 0: not translated. */
  readonly service: number;
  readonly backend: number;
  readonly sourceIdentity: number;
  readonly destinationIdentity: number;
  readonly sourceEndpoint: number;
  readonly destinationEndpoint: number;
}

/** Flags that say which way an entry is turned, not what became of it. */
const turned = ConntrackFlag.OriginatorLow;

export function conntrackLine(key: ConntrackKey, entry: ConntrackEntry, nowNs: bigint): ConntrackLine {
  const low = hostPort(key.low, key.lowPort);
  const high = hostPort(key.high, key.highPort);
  const [source, destination] = (entry.flags & turned) !== 0 ? [low, high] : [high, low];
  const outgoing = entry.sourceEndpoint !== 0 || (entry.flags & ConntrackFlag.Host) !== 0;
  return {
    protocol: protocolText(key.protocol),
    direction: key.kind === ConntrackKind.Service ? 'SVC' : outgoing ? 'OUT' : 'IN',
    source, destination,
    expires: Number(entry.expiresNs / 1_000_000_000n),
    remaining: Math.round(Number(entry.expiresNs - nowNs) / 1e9),
    packets: Number(entry.forwardPackets), bytes: Number(entry.forwardBytes), replyPackets: Number(entry.replyPackets), replyBytes: Number(entry.replyBytes),
    flags: bitNames(entry.flags & ~turned, ConntrackFlag), flagBits: entry.flags,
    service: entry.service, backend: entry.backend, sourceIdentity: entry.sourceIdentity, destinationIdentity: entry.destinationIdentity,
    sourceEndpoint: entry.sourceEndpoint, destinationEndpoint: entry.destinationEndpoint,
  };
}

/** In the layout of `cilium-dbg bpf ct list`; Rx is what came back. */
export function conntrackText(line: ConntrackLine, timeDiff: boolean): string {
  return `${line.protocol} ${line.direction} ${line.source} -> ${line.destination} expires=${line.expires}${timeDiff ? ` (remaining: ${line.remaining} sec(s))` : ''}`
    + ` Packets=${line.packets + line.replyPackets} Bytes=${line.bytes + line.replyBytes} TxPackets=${line.packets} TxBytes=${line.bytes} RxPackets=${line.replyPackets} RxBytes=${line.replyBytes}`
    + ` Flags=0x${line.flagBits.toString(16).padStart(4, '0')} [ ${line.flags.map(name => `${name} `).join('')}] RevNAT=${line.service} SourceSecurityID=${line.sourceIdentity} DestinationSecurityID=${line.destinationIdentity} BackendID=${line.backend}`;
}

/** An entry of `nat`. */
export interface NatLine {
  readonly protocol: string;
  /** OUT and IN: the two halves of a mapping. DSR: what a client's answers are to come from. */
  readonly direction: 'OUT' | 'IN' | 'DSR';
  readonly source: string;
  readonly destination: string;
  readonly translated: 'XLATE_SRC' | 'XLATE_DST';
  readonly to: string;
  /** Seconds. */
  readonly age: number;
  /** The local pod whose connection it is; 0: a client from outside, on its way through. */
  readonly endpoint: number;
}

export function natLine(key: NatKey, entry: NatEntry, nowNs: bigint): NatLine {
  const local = hostPort(key.local, key.localPort);
  const remote = hostPort(key.remote, key.remotePort);
  const incoming = key.direction === NatDirection.Incoming;
  return {
    protocol: protocolText(key.protocol),
    direction: incoming ? 'IN' : key.direction === NatDirection.Outgoing ? 'OUT' : 'DSR',
    source: incoming ? remote : local, destination: incoming ? local : remote,
    translated: incoming ? 'XLATE_DST' : 'XLATE_SRC', to: hostPort(entry.addr, entry.port),
    age: Math.max(0, Math.round(Number(nowNs - entry.createdNs) / 1e9)), endpoint: entry.endpoint,
  };
}

/** In the layout of `cilium-dbg bpf nat list`. */
export function natText(line: NatLine): string {
  return `${line.protocol} ${line.direction} ${line.source} -> ${line.destination} ${line.translated} ${line.to} Created=${line.age}sec ago Endpoint=${line.endpoint}`;
}

/** What a user asks for: all of it must be true of one end, or of the connection. */
export interface ConnectionFilter {
  readonly protocol?: string;
  readonly ip?: string;
  readonly port?: string;
}

export function isWanted(line: { readonly protocol: string; readonly source: string; readonly destination: string; readonly to?: string }, filter: ConnectionFilter): boolean {
  const { protocol, ip, port } = filter;
  const ends = [line.source, line.destination, ...(line.to === undefined ? [] : [line.to])];
  return (protocol === undefined || line.protocol.toLowerCase() === protocol.toLowerCase())
    && (ip === undefined || ends.some(end => end.slice(0, end.lastIndexOf(':')).replace(/^\[|\]$/g, '') === ip))
    && (port === undefined || ends.some(end => end.slice(end.lastIndexOf(':') + 1) === port));
}
