import { IpcacheFlag } from '../../datapath/generated/enums.ts';
import type { Endpoint, EndpointKey, IpcacheEntry, IpcacheKey } from '../../datapath/generated/structs.ts';
import type { RowLayout } from '../../datapath/map-target.ts';
import { formatAddr, formatPrefix, parseAddr, parsePrefix } from '../../std/ip.ts';
import type { AddressRow } from './book.ts';

const nowhere = new Uint8Array(16);

/** `AddressRow` ↔ an entry of the kernel's `ipcache`. */
export const addressLayout: RowLayout<AddressRow, IpcacheKey, IpcacheEntry> = {
  entry: row => [addressKeyFromText(row.prefix), {
    identity: row.identity,
    policyIdentity: row.policyIdentity ?? 0,
    flags: (row.tunnel === undefined ? 0 : IpcacheFlag.HasTunnel) | (row.cluster ? IpcacheFlag.Cluster : 0) | (row.node ? IpcacheFlag.Node : 0),
    tunnel: row.tunnel === undefined ? nowhere : parseAddr(row.tunnel),
  }],
  keyText: key => formatPrefix({ addr: key.addr, bits: key.prefixBits }),
  keyFromText: addressKeyFromText,
};

function addressKeyFromText(text: string): IpcacheKey {
  const { addr, bits } = parsePrefix(text);
  return { prefixBits: bits, addr };
}

/** Which pods an earlier agent took for somebody else as destinations. */
export function* policyIdentities(maps: {
  readonly ipcache: { entries(): Iterable<readonly [IpcacheKey, IpcacheEntry]> };
  readonly endpoints: { entries(): Iterable<readonly [EndpointKey, Endpoint]> };
}): Generator<{ readonly address: string; readonly identity: number; readonly policyIdentity: number }> {
  for (const [key, { identity, policyIdentity }] of maps.ipcache.entries()) if (policyIdentity !== 0 && key.prefixBits === 128) yield { address: formatAddr(key.addr), identity, policyIdentity };
  for (const [key, { identity, policyIdentity }] of maps.endpoints.entries()) if (policyIdentity !== 0) yield { address: formatAddr(key.addr), identity, policyIdentity };
}
