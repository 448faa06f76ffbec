// Generated from build/cirri.bpf.o by tools/generate.ts. Do not edit: change the C and generate again.
import { type Codec, defineCodec, readBytes, writeBytes, zero } from '../../ebpf/codec.ts';

/** struct config, 184 bytes */
export interface Config {
  readonly nodeIp4: Uint8Array;
  readonly nodeIp6: Uint8Array;
  readonly routerIp4: Uint8Array;
  readonly routerIp6: Uint8Array;
  readonly serviceNet4: Uint8Array;
  readonly serviceMask4: Uint8Array;
  readonly serviceNet6: Uint8Array;
  readonly serviceMask6: Uint8Array;
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
  readonly monitorAggregation: number;
  readonly orderedStores: number;
  readonly hostCookie: bigint;
  readonly maglevSeed: number;
  readonly nodePortMin: number;
  readonly nodePortMax: number;
  readonly dnsMinTtl: number;
  readonly dnsRcode: number;
}

export const configCodec: Codec<Config> = defineCodec<Config>(
  184,
  (view, at, value) => {
    writeBytes(view, at, value.nodeIp4, 16);
    writeBytes(view, at + 16, value.nodeIp6, 16);
    writeBytes(view, at + 32, value.routerIp4, 16);
    writeBytes(view, at + 48, value.routerIp6, 16);
    writeBytes(view, at + 64, value.serviceNet4, 16);
    writeBytes(view, at + 80, value.serviceMask4, 16);
    writeBytes(view, at + 96, value.serviceNet6, 16);
    writeBytes(view, at + 112, value.serviceMask6, 16);
    view.setUint32(at + 128, value.uplinkIfindex, true);
    view.setUint32(at + 132, value.overlayIfindex, true);
    view.setUint32(at + 136, value.clusterId, true);
    view.setUint16(at + 140, value.natPortMin, true);
    view.setUint16(at + 142, value.natPortMax, true);
    writeBytes(view, at + 144, value.hostMac, 6);
    view.setUint8(at + 150, value.masquerade);
    view.setUint8(at + 151, value.policyMode);
    view.setUint8(at + 152, value.audit);
    view.setUint8(at + 153, value.socketHostOnly);
    view.setUint8(at + 154, value.noBackendDrop);
    view.setUint8(at + 155, value.monitorAggregation);
    view.setUint8(at + 156, value.orderedStores);
    zero(view, at + 157, 3);
    view.setBigUint64(at + 160, value.hostCookie, true);
    view.setUint32(at + 168, value.maglevSeed, true);
    view.setUint16(at + 172, value.nodePortMin, true);
    view.setUint16(at + 174, value.nodePortMax, true);
    view.setUint32(at + 176, value.dnsMinTtl, true);
    view.setUint8(at + 180, value.dnsRcode);
    zero(view, at + 181, 3);
  },
  (view, at) => ({
    nodeIp4: readBytes(view, at, 16),
    nodeIp6: readBytes(view, at + 16, 16),
    routerIp4: readBytes(view, at + 32, 16),
    routerIp6: readBytes(view, at + 48, 16),
    serviceNet4: readBytes(view, at + 64, 16),
    serviceMask4: readBytes(view, at + 80, 16),
    serviceNet6: readBytes(view, at + 96, 16),
    serviceMask6: readBytes(view, at + 112, 16),
    uplinkIfindex: view.getUint32(at + 128, true),
    overlayIfindex: view.getUint32(at + 132, true),
    clusterId: view.getUint32(at + 136, true),
    natPortMin: view.getUint16(at + 140, true),
    natPortMax: view.getUint16(at + 142, true),
    hostMac: readBytes(view, at + 144, 6),
    masquerade: view.getUint8(at + 150),
    policyMode: view.getUint8(at + 151),
    audit: view.getUint8(at + 152),
    socketHostOnly: view.getUint8(at + 153),
    noBackendDrop: view.getUint8(at + 154),
    monitorAggregation: view.getUint8(at + 155),
    orderedStores: view.getUint8(at + 156),
    hostCookie: view.getBigUint64(at + 160, true),
    maglevSeed: view.getUint32(at + 168, true),
    nodePortMin: view.getUint16(at + 172, true),
    nodePortMax: view.getUint16(at + 174, true),
    dnsMinTtl: view.getUint32(at + 176, true),
    dnsRcode: view.getUint8(at + 180),
  }),
);
