import { withNetns } from '../sys/netns.ts';
import { Netlink } from '../sys/netlink.ts';
import { writeSysctl } from '../sys/sysctl.ts';
import { parseAddr, parsePrefix } from '../std/ip.ts';

/** What a pod's network device shall be. Addresses are host prefixes; the routers are the node's addresses of each family. */
export interface PodDeviceSpec {
  readonly netnsFd: number;
  readonly interfaceName: string;
  readonly hostInterface: string;
  readonly hostMac: string;
  readonly mtu: number;
  readonly ipv4?: string;
  readonly ipv6?: string;
  readonly router4: string;
  readonly router6: string;
}

export interface PodDevice {
  readonly ifindex: number;
  readonly mac: string;
  readonly hostMac: string;
}

/** LOOPBACK_IFINDEX: the same in every namespace. */
const loopbackIndex = 1;

/**
 * Makes the veth pair and everything on the pod's side, and leaves the host's side down: the caller attaches the programs
 * and loads the policy first, then calls `connectPodDevice`. Addresses are /32 and /128: a pod shares a subnet with nobody,
 * all that it sends goes to the router, whose MAC is the host side's, known without asking (permanent neighbour).
 */
export function createPodDevice(host: Netlink, spec: PodDeviceSpec): PodDevice {
  host.vethCreate({ name: spec.hostInterface, peerName: spec.interfaceName, peerNetnsFd: spec.netnsFd, mtu: spec.mtu, mac: spec.hostMac });
  const hostLink = host.linkGet(spec.hostInterface);
  if (!hostLink) throw new Error(`device ${spec.hostInterface} is gone right after it was made`);
  using pod = Netlink.openIn(spec.netnsFd);
  const link = pod.linkGet(spec.interfaceName);
  if (!link) throw new Error(`device ${spec.interfaceName} is not in the pod's namespace`);
  // No router advertisements, no duplicate address detection: nobody else is on this link.
  withNetns(spec.netnsFd, () => {
    writeSysctl(`net/ipv6/conf/${spec.interfaceName}/accept_dad`, '0');
    writeSysctl(`net/ipv6/conf/${spec.interfaceName}/accept_ra`, '0');
  });
  pod.batch(() => {
    pod.linkSet(loopbackIndex, { up: true });
    pod.linkSet(link.index, { up: true });
    if (spec.ipv4) configureFamily(pod, link.index, hostLink.mac, spec.ipv4, spec.router4, '0.0.0.0/0');
    if (spec.ipv6) configureFamily(pod, link.index, hostLink.mac, spec.ipv6, spec.router6, '::/0');
  });
  return { ifindex: hostLink.index, mac: link.mac, hostMac: hostLink.mac };
}

function configureFamily(pod: Netlink, index: number, hostMac: string, address: string, router: string, everything: string): void {
  const gateway = parseAddr(router);
  pod.addrAdd(index, parsePrefix(address), { noDad: true });
  pod.neighbourAdd({ index, addr: gateway, mac: hostMac, permanent: true });
  pod.routeAdd({ destination: parsePrefix(router), index, scopeLink: true });
  pod.routeAdd({ destination: parsePrefix(everything), index, gateway, source: parseAddr(address), onlink: true });
}

/** Opens the way: host routes and neighbours for what the node itself sends to the pod, then the device goes up. */
export function connectPodDevice(host: Netlink, device: PodDevice, addresses: readonly string[]): void {
  host.batch(() => {
    host.linkSet(device.ifindex, { up: true });
    for (const address of addresses) {
      host.neighbourAdd({ index: device.ifindex, addr: parseAddr(address), mac: device.mac, permanent: true });
      host.routeAdd({ destination: parsePrefix(address), index: device.ifindex, scopeLink: true, replace: true });
    }
  });
}

/** Removes the pair from the host's side; what is gone already is no error. */
export function deletePodDevice(host: Netlink, hostInterface: string): void {
  const link = host.linkGet(hostInterface);
  if (link) host.linkDelete(link.index);
}
