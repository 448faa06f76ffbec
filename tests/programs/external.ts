/** Services that clients outside may use, in the world of harness.ts: by a node's address, by an address of nobody here, and their backends. */
import { ServiceFlag, ServiceType } from '../../src/datapath/generated/enums.ts';
import { parseAddr } from '../../src/std/ip.ts';
import { type Datapath, type Family } from './harness.ts';
import type { FrameSpec } from './packet.ts';

export const NODE_PORT = 30080;
export const LB_PORT = 443;
export const BACKEND_PORT = 8080;
/** Frames that the switch sent to this device; test runs run on the loopback device. */
export const OUR_MAC = '00:00:00:00:00:00';

export interface ServiceRow {
  readonly addr: string;
  readonly port: number;
  readonly protocol?: readonly number[];
  readonly scope?: number;
  readonly id: number;
  readonly flags?: number;
  readonly type?: number;
  /** Addresses of backends, or addresses and ports. */
  readonly backends: readonly (string | { readonly addr: string; readonly port: number })[];
}

/** One row of `services` for each protocol, with its slots and its backends. */
export function addService(datapath: Pick<Datapath, 'maps'>, row: ServiceRow): void {
  for (const protocol of row.protocol ?? [6, 17]) {
    datapath.maps.services.update({ addr: parseAddr(row.addr), port: row.port, protocol, scope: row.scope ?? 0 }, {
      id: row.id, count: row.backends.length, affinityTimeout: 0, maglev: 0, flags: row.flags ?? ServiceFlag.Routable, type: row.type ?? ServiceType.NodePort,
    });
  }
  row.backends.forEach((backend, slot) => {
    const id = row.id * 10 + slot;
    const { addr, port } = typeof backend === 'string' ? { addr: backend, port: BACKEND_PORT } : backend;
    datapath.maps.serviceSlots.update({ service: row.id, slot }, { backend: id });
    datapath.maps.backends.update({ id }, { addr: parseAddr(addr), port, protocol: 6, state: 0 });
  });
  datapath.maps.serviceAddresses.update({ id: row.id }, { addr: parseAddr(row.addr), port: row.port });
}

export const balancer = (family: Family): string => (family.name === 'IPv4' ? '198.51.100.10' : '2001:db8:5::10');

/** From a client outside to a service's address. */
export function fromClient(family: Family, to: { readonly addr: string; readonly port: number }, change: Partial<FrameSpec> = {}): FrameSpec {
  return { destinationMac: OUR_MAC, source: family.world, destination: to.addr, protocol: 'tcp', sourcePort: 50123, destinationPort: to.port, flags: 'S', payload: Uint8Array.of(1, 2, 3), ...change };
}
