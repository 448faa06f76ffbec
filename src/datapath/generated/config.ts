// Generated from build/cirri.bpf.o by tools/generate.ts. Do not edit: change the C and generate again.
import { type Codec, defineCodec, readBytes, writeBytes, zero } from '../../ebpf/codec.ts';

/** struct config, 112 bytes */
export interface Config {
  readonly nodeIp4: Uint8Array;
  readonly nodeIp6: Uint8Array;
  readonly routerIp4: Uint8Array;
  readonly routerIp6: Uint8Array;
  readonly uplinkIfindex: number;
  readonly overlayIfindex: number;
  readonly clusterId: number;
  readonly natPortMin: number;
  readonly natPortMax: number;
  readonly hostMac: Uint8Array;
  readonly masquerade: number;
  readonly policyMode: number;
  readonly audit: number;
  readonly socketHostOnly: number;
  readonly noBackendDrop: number;
  readonly hostCookie: bigint;
  readonly maglevSeed: number;
  readonly nodePortMin: number;
  readonly nodePortMax: number;
}

export const configCodec: Codec<Config> = defineCodec<Config>(
  112,
  (view, at, value) => {
    writeBytes(view, at, value.nodeIp4, 16);
    writeBytes(view, at + 16, value.nodeIp6, 16);
    writeBytes(view, at + 32, value.routerIp4, 16);
    writeBytes(view, at + 48, value.routerIp6, 16);
    view.setUint32(at + 64, value.uplinkIfindex, true);
    view.setUint32(at + 68, value.overlayIfindex, true);
    view.setUint32(at + 72, value.clusterId, true);
    view.setUint16(at + 76, value.natPortMin, true);
    view.setUint16(at + 78, value.natPortMax, true);
    writeBytes(view, at + 80, value.hostMac, 6);
    view.setUint8(at + 86, value.masquerade);
    view.setUint8(at + 87, value.policyMode);
    view.setUint8(at + 88, value.audit);
    view.setUint8(at + 89, value.socketHostOnly);
    view.setUint8(at + 90, value.noBackendDrop);
    zero(view, at + 91, 5);
    view.setBigUint64(at + 96, value.hostCookie, true);
    view.setUint32(at + 104, value.maglevSeed, true);
    view.setUint16(at + 108, value.nodePortMin, true);
    view.setUint16(at + 110, value.nodePortMax, true);
  },
  (view, at) => ({
    nodeIp4: readBytes(view, at, 16),
    nodeIp6: readBytes(view, at + 16, 16),
    routerIp4: readBytes(view, at + 32, 16),
    routerIp6: readBytes(view, at + 48, 16),
    uplinkIfindex: view.getUint32(at + 64, true),
    overlayIfindex: view.getUint32(at + 68, true),
    clusterId: view.getUint32(at + 72, true),
    natPortMin: view.getUint16(at + 76, true),
    natPortMax: view.getUint16(at + 78, true),
    hostMac: readBytes(view, at + 80, 6),
    masquerade: view.getUint8(at + 86),
    policyMode: view.getUint8(at + 87),
    audit: view.getUint8(at + 88),
    socketHostOnly: view.getUint8(at + 89),
    noBackendDrop: view.getUint8(at + 90),
    hostCookie: view.getBigUint64(at + 96, true),
    maglevSeed: view.getUint32(at + 104, true),
    nodePortMin: view.getUint16(at + 108, true),
    nodePortMax: view.getUint16(at + 110, true),
  }),
);
