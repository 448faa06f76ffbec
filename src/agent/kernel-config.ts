import { MonitorAggregation } from '../datapath/generated/enums.ts';
import type { NodeDevices } from '../datapath/node-devices.ts';
import type { ProgramUses } from '../datapath/programs.ts';
import type { ClusterRecord, NodeRecord } from '../model/cluster.ts';
import { masqueradePorts, type Settings } from '../model/settings.ts';
import { parseAddr, parsePrefix } from '../std/ip.ts';
import { netnsCookie } from '../sys/netns.ts';

/** The kernel programs' `config`: what is fixed for as long as they are loaded. */
export function kernelConfig(record: ClusterRecord, node: NodeRecord, devices: NodeDevices): Record<string, unknown> {
  const { settings } = record;
  const [serviceNet4, serviceNet6] = [parsePrefix(record.serviceCidr4), parsePrefix(record.serviceCidr6)];
  return {
    nodeIp4: parseAddr(node.underlay4),
    nodeIp6: parseAddr(node.underlay6),
    routerIp4: parseAddr(node.routerIp4),
    routerIp6: parseAddr(node.routerIp6),
    serviceNet4: serviceNet4.addr,
    serviceMask4: maskOf(serviceNet4.bits),
    serviceNet6: serviceNet6.addr,
    serviceMask6: maskOf(serviceNet6.bits),
    uplinkIfindex: devices.uplinkIndex,
    overlayIfindex: devices.overlayIndex,
    clusterId: 0,
    natPortMin: masqueradePorts[0],
    natPortMax: masqueradePorts[1],
    hostMac: Uint8Array.from(devices.uplinkMac.split(':'), part => Number.parseInt(part, 16)),
    masquerade: 1,
    policyMode: { default: 0, always: 1, never: 2 }[record.policyMode],
    audit: record.audit ? 1 : 0,
    socketHostOnly: settings.socketLB.hostNamespaceOnly ? 1 : 0,
    noBackendDrop: settings.loadBalancer.serviceNoBackendResponse === 'drop' ? 1 : 0,
    hostCookie: netnsCookie(),
    maglevSeed: new DataView(Uint8Array.from(Buffer.from(settings.maglev.hashSeed, 'base64')).buffer).getUint32(0, true),
    orderedStores: process.arch === 'x64' ? 1 : 0,
    monitorAggregation: aggregations[settings.bpf.monitorAggregation],
    dnsMinTtl: settings.dns.minTTL,
    dnsRcode: { refused: 5, nameError: 3 }[settings.dns.rejectResponse],
    nodePortMin: settings.nodePort.range[0],
    nodePortMax: settings.nodePort.range[1],
  };
}

export function programUses({ settings }: ClusterRecord, devices: NodeDevices): ProgramUses {
  return { overlay: devices.overlayIndex !== 0, xdp: settings.loadBalancer.acceleration !== 'disabled', sockmap: settings.sockmap.enabled };
}

const aggregations: Readonly<Record<Settings['bpf']['monitorAggregation'], MonitorAggregation>> = {
  none: MonitorAggregation.None, low: MonitorAggregation.Low, medium: MonitorAggregation.Medium, max: MonitorAggregation.Max,
};

/** A prefix's bits of all 128, in network order. */
function maskOf(bits: number): Uint8Array {
  return Uint8Array.from({ length: 16 }, (_, i) => 0xff << (8 - Math.min(8, Math.max(0, bits - 8 * i))));
}
