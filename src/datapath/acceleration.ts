/** XDP on the uplink: connections of clients outside with backends on other nodes take a short way, before the kernel makes a packet of a frame. */
import { errorText } from '../std/errors.ts';
import type { FeatureStatus } from '../model/status.ts';
import type { Settings } from '../model/settings.ts';
import type { NodeMaps } from './maps.ts';
import { uplinkName, type NodeDevices } from './node-devices.ts';
import type { Attachment, Programs, XdpMode } from './programs.ts';

type Uplink = Pick<NodeDevices, 'uplinkIndex' | 'uplinkKind'>;

/**
 * The modes to try, in order. A veth runs native programs, but what they send back is lost unless the other end runs one as well, which
 * nothing here can know: it gets the generic mode, and `native` alone is refused.
 */
export function xdpModes(acceleration: Settings['loadBalancer']['acceleration'], devices: Uplink): readonly XdpMode[] {
  const native = devices.uplinkKind === 'veth' ? [] : ['native' as const];
  switch (acceleration) {
    case 'disabled': return [];
    case 'generic': return ['generic'];
    case 'native': return native;
    case 'best-effort': return [...native, 'generic'];
  }
}

export function xdpAttachment(devices: Uplink, mode: XdpMode): Attachment {
  return { program: 'xdp_uplink', pin: pinOf(mode), where: `${uplinkName} (xdp, ${mode})`, hook: { kind: 'xdp', ifindex: devices.uplinkIndex, mode } };
}

const pinOf = (mode: XdpMode): string => `uplink-xdp-${mode}`;

export interface Acceleration {
  /** In which it is attached; undefined where it is not. */
  readonly mode?: XdpMode;
  readonly status: () => FeatureStatus;
}

/** Attaches in the first mode that works; without any, tcx does all the work, and the status says why. */
export function accelerate(
  o: { readonly acceleration: Settings['loadBalancer']['acceleration']; readonly devices: Uplink },
  { programs, maps }: { readonly programs: Pick<Programs, 'attach' | 'detach'>; readonly maps: Pick<NodeMaps, 'xdpPackets'> },
): Acceleration {
  const modes = xdpModes(o.acceleration, o.devices);
  const refusals: string[] = o.acceleration === 'native' && modes.length === 0 ? ['a veth loses what native XDP sends back; best-effort takes the generic mode'] : [];
  for (const mode of modes) {
    // A device has one XDP program: the other mode's goes first.
    programs.detach([pinOf(mode === 'native' ? 'generic' : 'native')]);
    try {
      programs.attach(xdpAttachment(o.devices, mode));
      return { mode, status: () => ({ name: 'XDP', state: 'on', detail: `${mode} on ${uplinkName}, ${packets(maps)}` }) };
    } catch (error) {
      refusals.push(`${mode}: ${errorText(error)}`);
    }
  }
  if (o.acceleration === 'disabled') return { status: () => ({ name: 'XDP', state: 'off', detail: 'loadBalancer.acceleration is disabled' }) };
  return { status: () => ({ name: 'XDP', state: 'degraded', detail: `tcx instead, as ${refusals.join('; ')}` }) };
}

function packets(maps: Pick<NodeMaps, 'xdpPackets'>): string {
  const [toBackends, toClients] = [0, 1].map(way => (maps.xdpPackets.lookupPerCpu(way) ?? []).reduce((total, count) => total + count, 0n));
  return `${toBackends} packets to backends and ${toClients} to clients`;
}
