import { directionName, dropReasonName as ownNames, EndpointFlag, IpcacheFlag } from '../../datapath/generated/enums.ts';
import type { Endpoint, IpcacheEntry, IpcacheKey, Metric, MetricKey } from '../../datapath/generated/structs.ts';
import { dropReasonName } from '../../flows/reasons.ts';

import { formatAddr, formatPrefix, type Addr } from '../../std/ip.ts';
import { bitNames, macText } from './text.ts';

export interface IpcacheLine {
  readonly prefix: string;
  readonly identity: number;
  /** Who egress policy takes it for, where that is another. */
  readonly policyIdentity?: number;
  readonly tunnel: string;
  readonly flags: readonly string[];
}

export function ipcacheLine(key: IpcacheKey, entry: IpcacheEntry): IpcacheLine {
  return {
    prefix: formatPrefix({ addr: key.addr, bits: key.prefixBits }), identity: entry.identity, ...(entry.policyIdentity === 0 ? {} : { policyIdentity: entry.policyIdentity }),
    tunnel: (entry.flags & IpcacheFlag.HasTunnel) === 0 ? '0.0.0.0' : formatAddr(entry.tunnel), flags: bitNames(entry.flags, IpcacheFlag).map(name => name.toLowerCase()),
  };
}

/** In the layout of `cilium-dbg bpf ipcache list`. Nothing is encrypted yet: the key is 0. */
export function ipcacheText({ prefix, ...line }: IpcacheLine): string {
  return `${prefix.padEnd(prefixWidth)}${identityText(line)}`;
}

export function identityText({ identity, policyIdentity, tunnel, flags }: Omit<IpcacheLine, 'prefix'>): string {
  return `identity=${identity} encryptkey=0 tunnelendpoint=${tunnel} flags=${flags.join(',') || '<none>'}${policyIdentity === undefined ? '' : ` egressidentity=${policyIdentity}`}`;
}

const prefixWidth = 28;
export const ipcacheHeader = `${'IP PREFIX/ADDRESS'.padEnd(prefixWidth)}IDENTITY`;

export interface EndpointLine {
  readonly address: string;
  readonly id: number;
  readonly identity: number;
  readonly flags: readonly string[];
  readonly flagBits: number;
  readonly ifindex: number;
  readonly mac: string;
  readonly nodeMac: string;
  readonly ingressSet: number;
  readonly egressSet: number;
  /** The node's own. */
  readonly localhost: boolean;
}

export function endpointLine(address: Addr, endpoint: Endpoint): EndpointLine {
  return {
    address: formatAddr(address), id: endpoint.id, identity: endpoint.identity, flags: bitNames(endpoint.flags, EndpointFlag), flagBits: endpoint.flags, ifindex: endpoint.ifindex,
    mac: macText(endpoint.mac), nodeMac: macText(endpoint.hostMac), ingressSet: endpoint.ingressSet, egressSet: endpoint.egressSet, localhost: (endpoint.flags & EndpointFlag.Host) !== 0,
  };
}

/** In the layout of `cilium-dbg bpf endpoint list`. */
export function endpointText(line: EndpointLine): string {
  const text = line.localhost
    ? '(localhost)'
    : `id=${String(line.id).padEnd(5)} sec_id=${String(line.identity).padEnd(5)} flags=0x${line.flagBits.toString(16).padStart(4, '0')} ifindex=${String(line.ifindex).padEnd(3)} mac=${line.mac} nodemac=${line.nodeMac} ingress_set=${line.ingressSet} egress_set=${line.egressSet}`;
  return `${line.address.padEnd(prefixWidth)}${text}`;
}

export const endpointHeader = `${'IP ADDRESS'.padEnd(prefixWidth)}LOCAL ENDPOINT INFO`;

export interface MetricLine {
  readonly reason: number;
  readonly name: string;
  readonly direction: string;
  readonly packets: number;
  readonly bytes: number;
}

/** Over all processors; undefined for a row that counts nothing. */
export function metricLine(key: MetricKey, slots: readonly Metric[]): MetricLine | undefined {
  const packets = slots.reduce((sum, slot) => sum + slot.packets, 0n);
  if (packets === 0n) return undefined;
  const name = key.reason === 0 ? 'Success' : dropReasonName(key.reason, each => ownNames[each]).text;
  return { reason: key.reason, name, direction: directionName[key.direction] ?? String(key.direction), packets: Number(packets), bytes: Number(slots.reduce((sum, slot) => sum + slot.bytes, 0n)) };
}
