/**
 * Attachments as objects (bpf_link): one that is pinned outlives the agent, and its program is exchanged in place, without a
 * moment in which none or two are attached.
 */
import { stable } from '../sys/memory.ts';
import { close } from '../sys/native.ts';
import { attachType, callBpf, command, objectInfo, openPinnedObject, pinObject, setAddress } from './bpf.ts';

export interface LinkDetails {
  readonly id: number;
  readonly programId: number;
  /** Of a tcx or XDP link; 0 when its device is gone. */
  readonly ifindex?: number;
  readonly attachType?: number;
  readonly cgroupId?: bigint;
  /** The inode of a network namespace; 0 when it is gone. */
  readonly netns?: number;
}

/** What of a program a link needs. */
export interface Attachable {
  readonly name: string;
  readonly fd: number;
}

const LINK_TYPE = { cgroup: 3, netns: 5, xdp: 6, tcx: 11 } as const;
/** BPF_F_BEFORE of linux/bpf.h: without another program named, before all. */
const BEFORE = 1 << 3;
/** XDP_FLAGS_SKB_MODE and XDP_FLAGS_DRV_MODE of linux/if_link.h. */
const XDP_FLAGS = { generic: 2, native: 4 } as const;

export class BpfLink {
  #fd: number;
  readonly #what: string;

  private constructor(fd: number, what: string) {
    this.#fd = fd;
    this.#what = what;
  }

  /** The namespace of `ifindex` is the one that the thread is in. The same program twice is EEXIST; others queue up behind, or with `first` before all. */
  static attachTcx(o: { program: Attachable; ifindex: number; direction: 'ingress' | 'egress'; first?: boolean }): BpfLink {
    return BpfLink.#create(o.program, o.ifindex, tcxType(o.direction), `${o.program.name} at tcx ${o.direction} of link ${o.ifindex}`, o.first ? BEFORE : 0);
  }

  /** Frames of a device before all others: in its driver, or behind it for any device. One program a device, EBUSY when there is one. */
  static attachXdp(o: { program: Attachable; ifindex: number; mode: 'native' | 'generic' }): BpfLink {
    return BpfLink.#create(o.program, o.ifindex, attachType.xdp, `${o.program.name} as ${o.mode} XDP of link ${o.ifindex}`, XDP_FLAGS[o.mode]);
  }

  /** Beside others on the same cgroup (BPF_F_ALLOW_MULTI is what links always do). */
  static attachCgroup(o: { program: Attachable; cgroupFd: number; attachType: number }): BpfLink {
    return BpfLink.#create(o.program, o.cgroupFd, o.attachType, `${o.program.name} to a cgroup (attach type ${o.attachType})`, 0);
  }

  /** Where a network namespace looks for a listening socket (BPF_PROG_TYPE_SK_LOOKUP, Linux 5.9). Several queue up behind each other. */
  static attachSkLookup(o: { program: Attachable; netnsFd: number }): BpfLink {
    return BpfLink.#create(o.program, o.netnsFd, attachType.skLookup, `${o.program.name} to a network namespace`, 0);
  }

  /** Undefined where nothing is pinned. */
  static openPinned(path: string): BpfLink | undefined {
    const fd = openPinnedObject(path, 'link');
    return fd === undefined ? undefined : new BpfLink(fd, path);
  }

  static #create(program: Attachable, target: number, type: number, what: string, flags: number): BpfLink {
    const fd = callBpf(command.linkCreate, 48, `attaching ${what}`, view => {
      [program.fd, target, type, flags].forEach((n, i) => view.setUint32(i * 4, n, true));
    });
    return new BpfLink(fd, what);
  }

  get fd(): number {
    if (this.#fd < 0) throw new Error(`link ${this.#what}: used after close`);
    return this.#fd;
  }

  pin(path: string): void {
    pinObject(this.fd, path, `link ${this.#what}`);
  }

  /** Puts another program of the same type into the link's place: every packet meets the old one or the new one. */
  update(program: Attachable): void {
    callBpf(command.linkUpdate, 16, `putting ${program.name} into link ${this.#what}`, view => {
      view.setUint32(0, this.fd, true);
      view.setUint32(4, program.fd, true);
    });
  }

  /** linux/bpf.h, struct bpf_link_info. */
  info(): LinkDetails {
    const view = objectInfo(this.fd, 40, `link ${this.#what}`);
    const type = view.getUint32(0, true);
    return {
      id: view.getUint32(4, true),
      programId: view.getUint32(8, true),
      ...(type === LINK_TYPE.tcx && { ifindex: view.getUint32(16, true), attachType: view.getUint32(20, true) }),
      ...(type === LINK_TYPE.xdp && { ifindex: view.getUint32(16, true) }),
      ...(type === LINK_TYPE.netns && { netns: view.getUint32(16, true), attachType: view.getUint32(20, true) }),
      ...(type === LINK_TYPE.cgroup && { cgroupId: view.getBigUint64(16, true), attachType: view.getUint32(24, true) }),
    };
  }

  /** Ends the attachment although the link may be pinned; the pin is the caller's to remove. */
  detach(): void {
    callBpf(command.linkDetach, 4, `detaching ${this.#what}`, view => view.setUint32(0, this.fd, true));
  }

  /** Closes the descriptor: an unpinned attachment ends with it. */
  close(): void {
    if (this.#fd < 0) return;
    close(this.#fd);
    this.#fd = -1;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function tcxType(direction: 'ingress' | 'egress'): number {
  return direction === 'ingress' ? attachType.tcxIngress : attachType.tcxEgress;
}

const mostQueried = 64;

/** Numbers of the programs at a device's hook in the order in which packets meet them (BPF_PROG_QUERY). */
export function queryTcx(o: { readonly ifindex: number; readonly direction: 'ingress' | 'egress' }): number[] {
  const ids = stable(mostQueried * 4);
  const attributes = stable(64);
  callBpf(command.progQuery, 64, `asking for the programs at tcx ${o.direction} of link ${o.ifindex}`, view => {
    view.setUint32(0, o.ifindex, true);
    view.setUint32(4, tcxType(o.direction), true);
    setAddress(view, 16, ids);
    view.setUint32(24, mostQueried, true);
  }, attributes);
  return Array.from({ length: attributes.view.getUint32(24, true) }, (_, i) => ids.view.getUint32(i * 4, true));
}
