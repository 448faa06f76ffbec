import { EndpointFlag } from '../../datapath/generated/enums.ts';
import type { Endpoint as EndpointEntry, EndpointKey } from '../../datapath/generated/structs.ts';
import type { RowLayout } from '../../datapath/map-target.ts';
import { formatAddr, parseAddr } from '../../std/ip.ts';

/** A row of the kernel's `endpoints`: one address of a pod on this node, or of the node itself. */
export interface EndpointRow {
  readonly address: string;
  readonly ifindex: number;
  readonly id: number;
  readonly identity: number;
  /** Who it is as a destination, where that is another number (`networks` of cluster-wide policies). */
  readonly policyIdentity?: number;
  readonly ingressSet: number;
  readonly egressSet: number;
  readonly mac: string;
  readonly hostMac: string;
  /** Policy is loaded and was read back: without it nothing passes. */
  readonly ready: boolean;
  /** An address of the node itself. */
  readonly host: boolean;
  readonly audit: boolean;
  /** The kernel may carry out its HTTP: the programs for it are at its device. */
  readonly http?: boolean;
  /** The pod's address of the other family, if it has one: services with backends of that family hear it. */
  readonly other?: string;
}

export const endpointRowKey = (row: EndpointRow): string => row.address;

export const endpointLayout: RowLayout<EndpointRow, EndpointKey, EndpointEntry> = {
  entry: row => [{ addr: parseAddr(row.address) }, {
    ifindex: row.ifindex,
    id: row.id,
    identity: row.identity,
    policyIdentity: row.policyIdentity ?? 0,
    ingressSet: row.ingressSet,
    egressSet: row.egressSet,
    mac: macBytes(row.mac),
    hostMac: macBytes(row.hostMac),
    flags: (row.ready ? EndpointFlag.Ready : 0) | (row.host ? EndpointFlag.Host : 0) | (row.audit ? EndpointFlag.Audit : 0) | (row.http ? EndpointFlag.Http : 0),
    other: row.other === undefined ? new Uint8Array(16) : parseAddr(row.other),
  }],
  keyText: key => formatAddr(key.addr),
  keyFromText: text => ({ addr: parseAddr(text) }),
};

function macBytes(mac: string): Uint8Array {
  return Uint8Array.from(mac.split(':'), part => Number.parseInt(part, 16));
}
