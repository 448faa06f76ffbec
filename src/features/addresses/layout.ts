import { IpcacheFlag } from '../../datapath/generated/enums.ts';
import type { IpcacheEntry, IpcacheKey } from '../../datapath/generated/structs.ts';
import type { RowLayout } from '../../datapath/map-target.ts';
import { formatPrefix, parseAddr, parsePrefix } from '../../std/ip.ts';
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
