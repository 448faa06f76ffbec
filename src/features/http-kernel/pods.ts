import { httpAttachments, podAttachments, type Programs } from '../../datapath/programs.ts';
import { queryTcx } from '../../ebpf/link.ts';
import type { VerdictRow } from '../../policy/compile.ts';
import { CirriError, errorText } from '../../std/errors.ts';
import type { Logger } from '../../std/log.ts';
import type { Endpoint } from '../endpoints/endpoint.ts';
import type { KernelHttpSets } from './sets.ts';

/** The ingress policy of a pod, as it stands in the kernel. */
export interface IngressSet {
  /** Of the present content. */
  readonly hash: string;
  readonly verdicts: readonly VerdictRow[];
}

export interface HttpPodsDependencies {
  readonly programs: Pick<Programs, 'attach' | 'detach' | 'isAttached' | 'program'>;
  readonly sets: Pick<KernelHttpSets, 'has' | 'size'>;
  readonly log: Logger;
  /** Numbers of the programs at a device's hook, in their order. */
  readonly query?: typeof queryTcx;
}

/**
 * The programs at the devices of pods whose HTTP the kernel may carry out, before all others there. A pod's row in the kernel says that it
 * has them only while `wanted` does: then they are there and were read back.
 *
 *     programs ─► read back ─► the row's flag (and its policy, with the same update)
 *
 * When policy wants them no more, the flag goes first, and the programs with the pod's last connection (`release`): what has begun under
 * them ends under them. With the device of a pod that is deleted they go by themselves.
 */
export class HttpPods {
  readonly #deps: HttpPodsDependencies;
  readonly #query: typeof queryTcx;
  /** By endpoint id. */
  readonly #wanted = new Set<number>();
  readonly #failures = new Map<number, { readonly endpoint: Endpoint; readonly reason: string }>();
  /** The layer 7 sets that an ingress policy names. */
  readonly #named = new WeakMap<IngressSet, { readonly hash: string; readonly numbers: ReadonlySet<number> }>();

  constructor(dependencies: HttpPodsDependencies) {
    this.#deps = dependencies;
    this.#query = dependencies.query ?? queryTcx;
  }

  /** Asked for each pod in each pass. True: its programs are at its device. */
  wanted(endpoint: Endpoint, ingress: IngressSet): boolean {
    if (!this.#namesOurs(ingress)) {
      this.#wanted.delete(endpoint.id);
      this.#failures.delete(endpoint.id);
      return false;
    }
    if (this.#wanted.has(endpoint.id) && this.isAttached(endpoint)) return true;
    return this.#attach(endpoint);
  }

  isAttached(endpoint: Endpoint): boolean {
    return httpAttachments(endpoint).every(({ pin }) => this.#deps.programs.isAttached(pin));
  }

  /** After a look at all connections that the kernel carries: those of `endpoints` that nothing asks for and that have none lose their programs. */
  release(endpoints: Iterable<Endpoint>, withConnections: ReadonlySet<number>): void {
    const present = new Set<number>();
    for (const endpoint of endpoints) {
      present.add(endpoint.id);
      if (this.#wanted.has(endpoint.id) || withConnections.has(endpoint.id)) continue;
      const pins = httpAttachments(endpoint).map(({ pin }) => pin).filter(pin => this.#deps.programs.isAttached(pin));
      if (pins.length > 0) this.#deps.programs.detach(pins);
    }
    for (const known of [this.#wanted, this.#failures]) for (const id of known.keys()) if (!present.has(id)) known.delete(id);
  }

  /** It has them because policy wants it. */
  has(endpoint: Endpoint): boolean {
    return this.#wanted.has(endpoint.id);
  }

  get failures(): readonly { readonly endpoint: Endpoint; readonly reason: string }[] {
    return [...this.#failures.values()];
  }

  #namesOurs(ingress: IngressSet): boolean {
    if (this.#deps.sets.size === 0) return false;
    let named = this.#named.get(ingress);
    if (named?.hash !== ingress.hash) {
      named = { hash: ingress.hash, numbers: new Set(ingress.verdicts.flatMap(({ l7 }) => l7 ?? [])) };
      this.#named.set(ingress, named);
    }
    for (const number of named.numbers) if (this.#deps.sets.has(number)) return true;
    return false;
  }

  #attach(endpoint: Endpoint): boolean {
    try {
      for (const attachment of httpAttachments(endpoint)) this.#deps.programs.attach(attachment);
      this.#readBack(endpoint);
    } catch (error) {
      const reason = errorText(error);
      if (this.#failures.get(endpoint.id)?.reason !== reason) this.#deps.log.error('HTTP of a pod cannot be carried out in the kernel; the proxy does', { pod: `${endpoint.namespace}/${endpoint.podName}`, error: reason });
      this.#failures.set(endpoint.id, { endpoint, reason });
      this.#wanted.delete(endpoint.id);
      return false;
    }
    this.#failures.delete(endpoint.id);
    this.#wanted.add(endpoint.id);
    return true;
  }

  /** Both are there, and packets meet them before the pod's own programs. */
  #readBack(endpoint: Endpoint): void {
    const own = podAttachments(endpoint);
    for (const { program, hook } of httpAttachments(endpoint)) {
      const ids = this.#query({ ifindex: hook.ifindex, direction: hook.direction });
      const behind = own.find(attachment => attachment.hook.kind === 'tcx' && attachment.hook.direction === hook.direction)!.program;
      const [at, next] = [program, behind].map(name => ids.indexOf(this.#deps.programs.program(name).id));
      if (at! >= 0 && next! > at!) continue;
      throw new CirriError('ERR_HTTP_ATTACH', `${program} is not before ${behind} at tcx ${hook.direction} of ${endpoint.hostInterface}`, { mend: 'see what else attaches programs there: bpftool net show' });
    }
  }
}
