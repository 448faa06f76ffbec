import { setImmediate as nextTurn } from 'node:timers/promises';
import type { BpfIterator } from '../../ebpf/iterator.ts';
import type { FeatureStatus } from '../../model/status.ts';
import { delay, Signal } from '../../std/async.ts';
import { errorText } from '../../std/errors.ts';
import { formatAddr, type Addr } from '../../std/ip.ts';
import type { Logger } from '../../std/log.ts';
import { isErrno } from '../../sys/errno.ts';
import { openNetns, withNetns } from '../../sys/netns.ts';

/** A backend that no service has any more; `GoneBackend` of `src/lb` fits. */
export interface Gone {
  readonly addr: Addr;
  readonly port: number;
  /** IP protocol number. */
  readonly protocol: number;
}

/** What of an iterator is needed. */
type Walker = Pick<BpfIterator, 'begin'>;

export interface SocketEnderOptions {
  /** `sock_end_tcp` and `sock_end_udp`; undefined where the kernel has not what they need, and why. */
  readonly iterators: { readonly tcp: Walker; readonly udp: Walker } | undefined;
  readonly refusal?: string | undefined;
}

export interface SocketEnderDependencies {
  /** The map `gone_backends`; `BpfMap` fits. */
  readonly goneBackends: { update(key: Gone, value: number): void; delete(key: Gone): boolean };
  /** Paths of the pods' network namespaces. The node's own is that of this thread. */
  readonly namespaces: () => Iterable<string>;
  /** Whether this address is still somebody's. */
  readonly isInUse: (addr: Addr) => boolean;
  readonly log: Logger;
  /** Milliseconds. */
  readonly now?: () => number;
  readonly pause?: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** Half of the map: what waits for the next round is not in it. */
export const goneMax = 2048;
/** Backends whose address is in use: looked at again so often, for so long, and at most so many. */
const lookAgainMs = 5_000;
/** Rounds take a fifth of the time at most, however often backends go; what goes meanwhile waits for the next. */
const pausePerRound = 4;
const lookAgainForMs = 300_000;
const waitingMax = 4096;
const TCP = 6, UDP = 17;

/**
 * Ends sockets whose backend went away (`bpf/programs/socket_end.bpf.c`), so that their owners connect anew.
 *
 *     gone(backends) ─► batch ─► gone_backends ─► for each network namespace, one a turn: read the iterators ─► empty the map
 *
 * Datagrams into nothing are lost without a word, so UDP sockets end when no service has the backend any more. A TCP connection to a pod
 * that only left its service goes on, as with kube-proxy: it is ended when the pod's address is nobody's.
 *
 * A round costs what the namespaces and their sockets are (2 ms a namespace for an idle TCP table, 0.03 ms for UDP's), and is off the path on which services are written. Whatever could not be
 * done leaves the sockets as they are, which is what a node without this has anyway.
 */
export class SocketEnder {
  readonly #options: SocketEnderOptions;
  readonly #dependencies: SocketEnderDependencies;
  readonly #signal = new Signal();
  readonly #now: () => number;
  #batch = new Map<string, Gone>();
  /** TCP backends whose address is in use, and since when they wait. */
  readonly #waiting = new Map<string, { readonly gone: Gone; readonly since: number }>();
  #trouble: string | undefined;

  constructor(options: SocketEnderOptions, dependencies: SocketEnderDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
    this.#now = dependencies.now ?? Date.now;
  }

  /** Marks work; `run` does it. */
  gone(backends: readonly Gone[]): void {
    if (!this.#options.iterators) return;
    for (const gone of backends) {
      if (gone.protocol === UDP) this.#batch.set(keyOf(gone), gone);
      else if (gone.protocol === TCP) this.#wait(gone);
    }
    this.#signal.mark();
  }

  async run(signal: AbortSignal): Promise<void> {
    const pause = this.#dependencies.pause ?? pauseFor;
    while (!signal.aborted) {
      await this.#signal.wait({ signal, ...(this.#waiting.size > 0 && { timeoutMs: lookAgainMs }) });
      if (signal.aborted) return;
      const began = this.#now();
      await this.turn();
      await pause((this.#now() - began) * pausePerRound, signal);
    }
  }

  /** One round: everything that is known to be gone now. */
  async turn(): Promise<void> {
    this.#takeWaiting();
    while (this.#batch.size > 0) {
      const batch = [...this.#batch.values()].slice(0, goneMax);
      for (const gone of batch) this.#batch.delete(keyOf(gone));
      await this.#end(batch);
    }
  }

  status(): FeatureStatus {
    const name = 'SocketTermination';
    if (!this.#options.iterators) return { name, state: 'degraded', detail: `sockets keep backends that went away: ${this.#options.refusal ?? 'the kernel refused the programs'}` };
    if (this.#trouble !== undefined) return { name, state: 'degraded', detail: this.#trouble };
    return { name, state: 'on', detail: 'UDP and TCP sockets of services end with their backend, in every network namespace' };
  }

  #wait(gone: Gone): void {
    const key = keyOf(gone);
    if (!this.#waiting.has(key) && this.#waiting.size >= waitingMax) this.#waiting.delete(this.#waiting.keys().next().value!);
    this.#waiting.set(key, { gone, since: this.#now() });
  }

  #takeWaiting(): void {
    for (const [key, { gone, since }] of this.#waiting) {
      if (!this.#dependencies.isInUse(gone.addr)) this.#batch.set(key, gone);
      else if (this.#now() - since < lookAgainForMs) continue;
      this.#waiting.delete(key);
    }
  }

  async #end(batch: readonly Gone[]): Promise<void> {
    const { goneBackends, namespaces, log } = this.#dependencies;
    const { tcp, udp } = this.#options.iterators!;
    const iterators = [...(batch.some(gone => gone.protocol === TCP) ? [tcp] : []), ...(batch.some(gone => gone.protocol === UDP) ? [udp] : [])];
    try {
      for (const gone of batch) goneBackends.update(gone, 1);
      this.#trouble = undefined;
      for (const path of [undefined, ...namespaces()]) {
        const error = walk(path, iterators);
        if (error) this.#trouble = `sockets of ${path ?? 'the node'} may keep backends that went away: ${errorText(error)}`;
        // A walk is a millisecond and more: others have their turn between two.
        await nextTurn();
      }
    } catch (error) {
      this.#trouble = `sockets may keep backends that went away: ${errorText(error)}`;
    } finally {
      for (const gone of batch) forget(goneBackends, gone);
    }
    if (this.#trouble !== undefined) log.warn('sockets of backends that went away could not all be ended', { error: this.#trouble });
  }
}

async function pauseFor(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, signal).catch(() => {});
}

/** In the namespace at `path`, or this thread's. A namespace that is gone has no sockets. */
function walk(path: string | undefined, iterators: readonly Walker[]): unknown {
  try {
    const begin = () => iterators.map(iterator => iterator.begin());
    let walks: ReturnType<typeof begin>;
    if (path === undefined) {
      walks = begin();
    } else {
      using namespace = openNetns(path);
      walks = withNetns(namespace.fd, begin);
    }
    for (const one of walks) one.run();
    return undefined;
  } catch (error) {
    return isErrno(error, 'ENOENT') ? undefined : error;
  }
}

/** What stays in the map would only be asked once more in the next round. */
function forget(map: SocketEnderDependencies['goneBackends'], gone: Gone): void {
  try {
    map.delete(gone);
  } catch {
    // The next round's update finds it there.
  }
}

const keyOf = (gone: Gone): string => `${gone.protocol} ${formatAddr(gone.addr)} ${gone.port}`;
