import { existsSync, fstatSync, mkdirSync, readdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { BpfLink } from '../ebpf/link.ts';
import type { BpfProgram } from '../ebpf/object.ts';
import type { NodeMaps } from './maps.ts';
import { type LoadedPrograms, loadPinned } from './program-pins.ts';

export type XdpMode = 'native' | 'generic';

/** One program where it belongs. The pin's name says it: a restarted agent finds its links by these names. */
export interface Attachment {
  readonly program: string;
  readonly pin: string;
  /** What it is attached to, for people. */
  readonly where: string;
  readonly hook:
    /** `first`: before all that are there. */
    | { readonly kind: 'tcx'; readonly ifindex: number; readonly direction: 'ingress' | 'egress'; readonly first?: true }
    | { readonly kind: 'xdp'; readonly ifindex: number; readonly mode: XdpMode }
    | { readonly kind: 'cgroup'; readonly fd: number; readonly attachType: number }
    | { readonly kind: 'netns'; readonly fd: number };
}

/** bpf_attach_type of uapi/linux/bpf.h. */
const attachType = {
  connect4: 10, connect6: 11, post_bind4: 12, post_bind6: 13, sendmsg4: 14, sendmsg6: 15, recvmsg4: 19, recvmsg6: 20,
  getpeername4: 29, getpeername6: 30,
} as const;
const SOCK_OPS = 3;
/** TCP from socket to socket: where it is asked for, and the kernel can (bpf_rdonly_cast, Linux 6.2). */
export const sockmapPrograms = ['sockmap_sockops', 'sockmap_message', 'sockmap_gate'] as const;

/** HTTP/1.1 that the kernel carries out; where a kernel refuses them the proxy does. */
export const httpPrograms = ['http_to_pod', 'http_from_pod'] as const;

const overlayPrograms = ['from_overlay', 'to_overlay'] as const;
const xdpPrograms = ['xdp_uplink'] as const;

/** Not every kernel that can run the datapath has what these need (bpf_sock_destroy, Linux 6.5). */
export const optionalPrograms = ['sock_end_tcp', 'sock_end_udp'] as const;

/** What of the datapath is asked for: the kernel takes most of a second to verify everything. */
export interface ProgramUses {
  readonly overlay: boolean;
  readonly xdp: boolean;
  readonly sockmap: boolean;
}

export class Programs {
  readonly #object: LoadedPrograms;
  readonly #linkDirectory: string;
  readonly #attached = new Map<string, { readonly attachment: Attachment; readonly link: BpfLink }>();

  /** Whether they were in the kernel already, of the same object, config and maps. */
  readonly adopted: boolean;

  constructor(options: { readonly objectPath: string; readonly config: Record<string, unknown>; readonly maps: NodeMaps; readonly linkDirectory: string; readonly programDirectory: string; readonly uses: ProgramUses }) {
    const { uses } = options;
    mkdirSync(options.linkDirectory, { recursive: true });
    this.#linkDirectory = options.linkDirectory;
    const { programs, adopted } = loadPinned(options.programDirectory, {
      path: options.objectPath, config: options.config, maps: options.maps,
      optional: [...optionalPrograms, ...httpPrograms, ...(uses.sockmap ? sockmapPrograms : [])],
      skip: ['http_trial', ...(uses.sockmap ? [] : sockmapPrograms), ...(uses.overlay ? [] : overlayPrograms), ...(uses.xdp ? [] : xdpPrograms)],
    });
    this.#object = programs;
    this.adopted = adopted;
  }

  get attached(): readonly { readonly name: string; readonly attachedTo: string; readonly tag: string }[] {
    return [...this.#attached.values()].map(({ attachment }) => ({
      name: attachment.program, attachedTo: attachment.where, tag: this.#object.program(attachment.program).tag,
    }));
  }

  /** Names of the pins of everything attached. */
  get pins(): readonly string[] {
    return [...this.#attached.keys()];
  }

  /** Why this kernel refused an optional program; undefined when it is there. */
  refusalOf(name: string): string | undefined {
    return this.#object.refusalOf(name);
  }

  program(name: string): BpfProgram {
    return this.#object.program(name);
  }

  isAttached(pin: string): boolean {
    return this.#attached.has(pin);
  }

  /** Whether it is attached, by this agent or an earlier one. */
  isPinned(pin: string): boolean {
    return this.#attached.has(pin) || existsSync(join(this.#linkDirectory, pin));
  }

  /**
   * Attaches, or takes over the link that an earlier agent pinned: then the program is swapped in one step, no packet
   * meets an empty hook. A link to a device that is gone is of no use and is replaced.
   */
  attach(attachment: Attachment): void {
    const program = this.#object.program(attachment.program);
    const path = join(this.#linkDirectory, attachment.pin);
    const found = BpfLink.openPinned(path);
    if (found && isStillOn(found, attachment)) {
      found.update(program);
      this.#attached.set(attachment.pin, { attachment, link: found });
      return;
    }
    if (found) {
      found.close();
      unlinkSync(path);
    }
    const link = linkOf(program, attachment.hook);
    link.pin(path);
    this.#attached.set(attachment.pin, { attachment, link });
  }

  /** Removes links by pin name; what is not there is no error. */
  detach(pins: readonly string[]): void {
    for (const pin of pins) {
      const link = this.#attached.get(pin)?.link ?? BpfLink.openPinned(join(this.#linkDirectory, pin));
      if (!link) continue;
      unlinkSync(join(this.#linkDirectory, pin));
      link.close();
      this.#attached.delete(pin);
    }
  }

  /** Pins of links that nobody attached in this life: pods that went away while the agent was down. */
  get leftovers(): readonly string[] {
    return readdirSync(this.#linkDirectory).filter(pin => !this.#attached.has(pin));
  }

  close(): void {
    for (const { link } of this.#attached.values()) link.close();
    this.#object.close();
  }
}

export function nodeAttachments(devices: { readonly uplinkIndex: number; readonly overlayIndex: number }, cgroup: { readonly fd: number; readonly path: string }): Attachment[] {
  const tcx = (program: string, ifindex: number, direction: 'ingress' | 'egress', device: string): Attachment =>
    ({ program, pin: `${device}-${direction}`, where: `${device} ${direction} (tcx)`, hook: { kind: 'tcx', ifindex, direction } });
  const overlay = devices.overlayIndex === 0 ? [] : [
    tcx('from_overlay', devices.overlayIndex, 'ingress', 'overlay'),
    tcx('to_overlay', devices.overlayIndex, 'egress', 'overlay'),
  ];
  const sockets = Object.entries(attachType).map(([hook, type]): Attachment =>
    ({ program: `sock_${hook}`, pin: `sock-${hook}`, where: `${cgroup.path} ${hook} (cgroup)`, hook: { kind: 'cgroup', fd: cgroup.fd, attachType: type } }));
  return [
    tcx('from_network', devices.uplinkIndex, 'ingress', 'uplink'),
    tcx('to_network', devices.uplinkIndex, 'egress', 'uplink'),
    ...overlay,
    ...sockets,
  ];
}

/** Sockets that may be joined with each other, when their connection is established. */
export function sockmapAttachment(cgroup: { readonly fd: number; readonly path: string }): Attachment {
  return { program: 'sockmap_sockops', pin: 'sock-ops', where: `${cgroup.path} sockops (cgroup)`, hook: { kind: 'cgroup', fd: cgroup.fd, attachType: SOCK_OPS } };
}

/** Listening sockets for the layer 7 proxy's packets. `netns`: the node's. */
export function proxyAttachment(netns: { readonly fd: number }): Attachment {
  return { program: 'socket_of_proxy', pin: 'proxy-sockets', where: 'listening sockets (network namespace)', hook: { kind: 'netns', fd: netns.fd } };
}

export function podAttachments(endpoint: { readonly id: number; readonly ifindex: number; readonly hostInterface: string }): Attachment[] {
  return (['ingress', 'egress'] as const).map(direction => ({
    program: direction === 'ingress' ? 'from_pod' : 'to_pod',
    pin: `endpoint-${endpoint.id}-${direction}`,
    where: `${endpoint.hostInterface} ${direction} (tcx)`,
    hook: { kind: 'tcx' as const, ifindex: endpoint.ifindex, direction },
  }));
}

/** HTTP that the kernel carries out passes these before the pod's others. */
export function httpAttachments(endpoint: { readonly id: number; readonly ifindex: number; readonly hostInterface: string }): (Attachment & { readonly hook: { readonly kind: 'tcx' } })[] {
  return (['egress', 'ingress'] as const).map(direction => ({
    program: direction === 'egress' ? 'http_to_pod' : 'http_from_pod',
    pin: `endpoint-${endpoint.id}-http-${direction}`,
    where: `${endpoint.hostInterface} ${direction} (tcx, first)`,
    hook: { kind: 'tcx' as const, ifindex: endpoint.ifindex, direction, first: true as const },
  }));
}

function linkOf(program: BpfProgram, hook: Attachment['hook']): BpfLink {
  switch (hook.kind) {
    case 'tcx': return BpfLink.attachTcx({ program, ifindex: hook.ifindex, direction: hook.direction, ...(hook.first && { first: true }) });
    case 'xdp': return BpfLink.attachXdp({ program, ifindex: hook.ifindex, mode: hook.mode });
    case 'cgroup': return BpfLink.attachCgroup({ program, cgroupFd: hook.fd, attachType: hook.attachType });
    case 'netns': return BpfLink.attachSkLookup({ program, netnsFd: hook.fd });
  }
}

function isStillOn(link: BpfLink, attachment: Attachment): boolean {
  if (attachment.hook.kind === 'cgroup') return true;
  if (attachment.hook.kind === 'netns') return link.info().netns === fstatSync(attachment.hook.fd).ino;
  return link.info().ifindex === attachment.hook.ifindex;
}
