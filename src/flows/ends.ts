import type { FlowEndpoint } from '../model/flow.ts';
import { firstPrefixIdentity, identityScope, reserved } from '../model/identity.ts';
import { formatAddr } from '../std/ip.ts';
import type { FlowLookups } from './enrich.ts';
import { WordMap } from './word-map.ts';

/** Words of an end's key: the address, identity, endpoint, and for ends outside the cluster the endpoint that looks at them. */
const keyWords = 7;

/** Ends used lately, by a few bits: most records are of ends of the one before. */
const recentEnds = 256;

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
  readonly #recentKeys = new Int32Array(recentEnds * keyWords);
  readonly #recent = new Array<Entry | undefined>(recentEnds).fill(undefined);
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
    const scope = scopeOf(identity >>> 0);
    const seenBy = scope === outside ? viewer : 0;
    const last = words[at + 3]!;
    const place = (last ^ (last >>> 24) ^ (last >>> 16) ^ id ^ seenBy) & (recentEnds - 1);
    const first = place * keyWords;
    const keys = this.#recentKeys;
    let entry = this.#recent[place];
    const isRecent = keys[first + 3] === last && keys[first + 5] === id && keys[first + 4] === identity && keys[first + 6] === seenBy &&
      keys[first + 2] === words[at + 2] && keys[first + 1] === words[at + 1] && keys[first] === words[at];
    if (entry === undefined || !isRecent) {
      for (let i = 0; i < 4; i++) keys[first + i] = words[at + i]!;
      keys[first + 4] = identity;
      keys[first + 5] = id;
      keys[first + 6] = seenBy;
      entry = this.#recent[place] = this.#entry(first);
    }
    const revision = scope === inCluster ? this.#revision : this.#localRevision;
    if (entry.revision !== revision) this.#renew(entry, first, revision);
    return entry.end;
  }

  #entry(first: number): Entry {
    this.#loadKey(first);
    let entry = this.#entries.get(this.#key);
    if (entry === undefined) {
      entry = { end: this.#describe(), revision: -1 };
      this.#entries.set(this.#key, entry);
    }
    return entry;
  }

  #renew(entry: Entry, first: number, revision: number): void {
    if (entry.revision !== -1) {
      this.#loadKey(first);
      const end = this.#describe();
      if (!sameEnd(end, entry.end)) entry.end = end;
    }
    entry.revision = revision;
  }

  #loadKey(first: number): void {
    for (let i = 0; i < keyWords; i++) this.#key[i] = this.#recentKeys[first + i]!;
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

const [inCluster, outside, remoteNode] = [0, 1, 2];

/** Who knows when something about an end changes: tables, or nobody. */
function scopeOf(identity: number): number {
  if (identity > 10 && identity < firstPrefixIdentity) return inCluster;
  return isOutside(identity) ? outside : identityScope(identity) === 'remote-node' ? remoteNode : inCluster;
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
