import type { FlowEndpoint } from '../model/flow.ts';
import { identityScope, reserved } from '../model/identity.ts';
import { formatAddr } from '../std/ip.ts';
import type { FlowLookups } from './enrich.ts';
import { WordMap } from './word-map.ts';

/** Words of an end's key: the address, identity, endpoint, and for ends outside the cluster the endpoint that looks at them. */
const keyWords = 7;

interface Entry {
  end: FlowEndpoint;
  revision: number;
}

const noLabels: readonly string[] = [];

/**
 * The ends of flows as shared objects: the same object for as long as nothing about the end changes, and another one from the
 * next flow on when something has, so that each flow goes on saying what was true at its moment.
 */
export class EndRegistry {
  readonly #lookups: FlowLookups;
  readonly #entries: WordMap<Entry>;
  readonly #key = new Int32Array(keyWords);
  readonly #keyBytes: Uint8Array;
  /** Of what is known of the cluster's ends; of the others, whose names come more often than pods. */
  #revision = 0;
  #localRevision = 0;
  #told: number | undefined = -1;
  #namesTold = -1;
  #second = -1;

  constructor(lookups: FlowLookups, capacity = 8_192) {
    this.#lookups = lookups;
    this.#entries = new WordMap<Entry>(capacity, keyWords);
    this.#keyBytes = new Uint8Array(this.#key.buffer, 0, 16);
  }

  get size(): number {
    return this.#entries.size;
  }

  /**
   * Before the flows of a turn. What is known is asked for again when the look-ups say that it has changed, and once a second
   * at most where they cannot tell.
   */
  refresh(nowNs: number): void {
    const told = this.#lookups.revision?.();
    const second = Math.floor(nowNs / 1e9);
    if (told !== this.#told || (told === undefined && second !== this.#second)) this.#revision++;
    // Of prefixes and nodes nobody says when their labels change.
    if (told !== this.#told || second !== this.#second) this.#localRevision++;
    this.#told = told;
    this.#second = second;
  }

  /** Names have been learned since the last flow. */
  namesChanged(revision: number): void {
    if (revision === this.#namesTold) return;
    this.#namesTold = revision;
    this.#localRevision++;
  }

  /** The end whose address stands in `words` from `at` on. `viewer` is the local endpoint at the other end, 0 for none. */
  end(words: Int32Array, at: number, identity: number, id: number, viewer: number): FlowEndpoint {
    const key = this.#key;
    for (let i = 0; i < 4; i++) key[i] = words[at + i]!;
    key[4] = identity;
    key[5] = id;
    const outside = isOutside(identity >>> 0);
    key[6] = outside ? viewer : 0;
    const revision = outside || identityScope(identity >>> 0) === 'remote-node' ? this.#localRevision : this.#revision;
    const entry = this.#entries.get(key);
    if (entry === undefined) {
      const end = this.#describe();
      this.#entries.set(key, { end, revision });
      return end;
    }
    if (entry.revision !== revision) {
      const end = this.#describe();
      entry.revision = revision;
      if (!sameEnd(end, entry.end)) entry.end = end;
    }
    return entry.end;
  }

  #describe(): FlowEndpoint {
    const [identity, id, viewer] = [this.#key[4]! >>> 0, this.#key[5]! >>> 0, this.#key[6]! >>> 0];
    const ip = formatAddr(this.#keyBytes.slice());
    const lookups = this.#lookups;
    const pod = lookups.podByAddr(ip, identity, id);
    const names = pod ? undefined : lookups.namesOf(ip, viewer);
    const isCluster = pod !== undefined || !isOutside(identity);
    return {
      ip,
      identity,
      id,
      ...(pod && { namespace: pod.namespace, podName: pod.name }),
      ...(isCluster && lookups.clusterName !== undefined && { clusterName: lookups.clusterName }),
      labels: lookups.identityLabels(identity) ?? noLabels,
      ...(names && names.length > 0 && { names }),
      ...(pod?.workloads && pod.workloads.length > 0 && { workloads: pod.workloads }),
    };
  }
}

/** Not of the cluster: nothing but DNS can give it a name. */
export function isOutside(identity: number): boolean {
  return identity === reserved.world || identity === reserved.worldIPv4 || identity === reserved.worldIPv6 || identity === reserved.unknown || identityScope(identity) === 'prefix';
}

function sameEnd(a: FlowEndpoint, b: FlowEndpoint): boolean {
  return a.podName === b.podName && a.namespace === b.namespace && a.clusterName === b.clusterName && sameList(a.labels, b.labels) && sameList(a.names, b.names) && sameWorkloads(a.workloads, b.workloads);
}

function sameList(a: readonly string[] | undefined, b: readonly string[] | undefined): boolean {
  return a === b || (a !== undefined && b !== undefined && a.length === b.length && a.every((text, i) => text === b[i]));
}

function sameWorkloads(a: FlowEndpoint['workloads'], b: FlowEndpoint['workloads']): boolean {
  return a === b || (a !== undefined && b !== undefined && a.length === b.length && a.every((one, i) => one.name === b[i]!.name && one.kind === b[i]!.kind));
}
