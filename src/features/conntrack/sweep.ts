import { ConntrackFlag, ConntrackKind } from '../../datapath/generated/enums.ts';
import type { NatKey, ConntrackKey } from '../../datapath/generated/structs.ts';
import { sweepCodec } from '../../datapath/generated/structs.ts';
import type { NodeMaps } from '../../datapath/maps.ts';
import type { BpfMap } from '../../ebpf/map.ts';
import { type Chunk, walkMap } from '../../ebpf/map-walk.ts';
import type { BpfProgram } from '../../ebpf/program.ts';
import type { Logger } from '../../std/log.ts';
import { Rounds } from '../rounds.ts';

export interface ConntrackSweepDependencies {
  readonly maps: Pick<NodeMaps, 'conntrack' | 'nat' | 'connectionCounts' | 'sweepConnections' | 'sweepMappings'>;
  readonly program: (name: 'sweep_conntrack' | 'sweep_nat') => BpfProgram;
  readonly log: Logger;
  /** CLOCK_MONOTONIC in nanoseconds. */
  readonly monotonicNs?: () => number;
}

/** What the last round has seen and done. */
export interface SweepRound {
  readonly connections: number;
  readonly mappings: number;
  readonly removed: number;
  /**
   * Connections that the kernel threw out of a full table since the first round, which nothing could tell the end of: at least so many,
   * as those made during a round may count as living.
   */
  readonly vanished: number;
  readonly busyMs: number;
}

/** Of a connection's end, `enum connection_end`: made and not yet ended is 0 and the four others. */
const ends = [1, 2, 3, 4] as const;

/** Offsets in `struct conntrack_key` and `struct conntrack_entry` (bpf/lib/conntrack.h). */
const kindAt = 37;
const flagsAt = 40;

/** Rests are so long that a round's work is at most this much of a processor; ten times as much when a table is nearly full. */
const share = 1 / 250;
const shareWhenFull = 1 / 25;
const nearlyFull = 0.8;
const shortestRestMs = 5_000;
const longestRestMs = 120_000;
/** Between two chunks of a round, so that nobody waits for more than one. */
const betweenChunksMs = 20;

/**
 * Removes what is over from the tables of connections and of their addresses: without it they only ever fill up, and LRU then throws out
 * what lives. The agent reads the tables in chunks of some thousand and names candidates; a program in the kernel looks at each again
 * and removes it (sweep.bpf.c). Walking in the kernel instead (bpf_for_each_map_elem) cannot be taken up where it stopped: half a million
 * entries are one pause of the agent.
 */
export class ConntrackSweep {
  readonly #steps: Rounds<SweepRound>;
  readonly #deps: ConntrackSweepDependencies;
  readonly #now: () => number;
  #last: SweepRound = { connections: 0, mappings: 0, removed: 0, vanished: 0, busyMs: 0 };
  /** Connections of this round whose end is still to be told. */
  #open = 0;
  /** What the counts did not agree about in the first round: the table may be younger than they. */
  #unexplained: number | undefined;
  #rounds = 0;

  constructor(dependencies: ConntrackSweepDependencies) {
    this.#deps = dependencies;
    this.#steps = new Rounds(() => this.#round(), result => this.#over(result), { log: dependencies.log, failed: 'connections that are over could not be removed', betweenStepsMs: betweenChunksMs, afterFailureMs: longestRestMs });
    this.#now = dependencies.monotonicNs ?? (() => Number(process.hrtime.bigint()));
  }

  get last(): SweepRound {
    return this.#last;
  }

  get rounds(): number {
    return this.#rounds;
  }

  /** One chunk. Returns ms until the next is due. */
  step(): number {
    return this.#steps.step();
  }

  /** Rounds until the signal aborts. */
  start(signal: AbortSignal): void {
    this.#steps.start(signal);
  }

  #over(value: SweepRound): number {
    this.#last = value;
    this.#rounds++;
    return this.#rest(value);
  }

  #rest({ connections, mappings, busyMs }: SweepRound): number {
    const { conntrack, nat } = this.#deps.maps;
    const isFull = connections > nearlyFull * conntrack.spec.maxEntries || mappings > nearlyFull * nat.spec.maxEntries;
    return Math.min(longestRestMs, Math.max(shortestRestMs, busyMs / (isFull ? shareWhenFull : share)));
  }

  *#round(): Generator<void, SweepRound, undefined> {
    const { conntrack, nat, sweepConnections, sweepMappings } = this.#deps.maps;
    let busyMs = 0;
    const sweepAll = function* (map: BpfMap<never, never>, take: (chunk: Chunk) => Iterable<number>): Generator<void, { seen: number; removed: number }, undefined> {
      let seen = 0;
      let removed = 0;
      const steps = removals(map, take, count => { seen += count; });
      for (;;) {
        const began = performance.now();
        const { done, value } = steps.next();
        if (done) return { seen, removed };
        removed += value;
        busyMs += performance.now() - began;
        yield;
      }
    };
    const made = this.#counted(0);
    this.#open = 0;
    const connections = yield* sweepAll(conntrack as never, chunk => this.#remove('sweep_conntrack', sweepConnections, this.#expired(chunk)));
    const missing = made - ends.reduce((sum, end) => sum + this.#counted(end), 0) - this.#open;
    this.#unexplained ??= missing;
    const vanished = Math.max(this.#last.vanished, missing - this.#unexplained);
    // After the connections: a mapping whose connection is gone is what is looked for.
    const mappings = yield* sweepAll(nat as never, chunk => this.#remove('sweep_nat', sweepMappings, keysOf(chunk, nat)));
    return { connections: connections.seen - connections.removed, mappings: mappings.seen - mappings.removed, removed: connections.removed + mappings.removed, vanished, busyMs };
  }

  #counted(row: number): number {
    return Number((this.#deps.maps.connectionCounts.lookupPerCpu(row) ?? []).reduce((sum, count) => sum + count, 0n));
  }

  /** Half a million entries a round: only a few words are read of those that live. The time is the entry's first member. */
  #expired({ count, keys, values }: Chunk): ConntrackKey[] {
    const { conntrack } = this.#deps.maps;
    const now = this.#now();
    const found: ConntrackKey[] = [];
    for (let i = 0; i < count; i++) {
      const at = i * conntrack.valueSize;
      const expires = values.getUint32(at, true) + values.getUint32(at + 4, true) * 2 ** 32;
      if (keys.getUint8(i * conntrack.spec.key.size + kindAt) === ConntrackKind.Flow && !(values.getUint32(at + flagsAt, true) & ConntrackFlag.Ended) && expires >= now) this.#open++;
      if (expires < now) found.push(conntrack.spec.key.read(keys, i * conntrack.spec.key.size));
    }
    return found;
  }

  /** So many at a time as the program takes: how many of them were over. */
  *#remove<K>(program: 'sweep_conntrack' | 'sweep_nat', candidates: BpfMap<number, K>, keys: readonly K[]): Generator<number, void, undefined> {
    for (let start = 0; start < keys.length; start += candidates.spec.maxEntries) {
      const some = keys.slice(start, start + candidates.spec.maxEntries);
      candidates.updateBatch(some.map((key, i) => [i, key] as const));
      const context = new Uint8Array(sweepCodec.size);
      sweepCodec.encode({ count: some.length, removed: 0 }, context);
      this.#deps.program(program).call(context);
      yield sweepCodec.decode(context).removed;
    }
  }
}

/** A step for each chunk that is read, and for each handful of candidates in it. */
function* removals(map: BpfMap<never, never>, take: (chunk: Chunk) => Iterable<number>, onSeen: (count: number) => void): Generator<number, void, undefined> {
  for (const chunk of walkMap(map)) {
    onSeen(chunk.count);
    yield 0;
    yield* take(chunk);
  }
}

function keysOf({ count, keys }: Chunk, map: BpfMap<NatKey, unknown>): NatKey[] {
  return Array.from({ length: count }, (_, i) => map.spec.key.read(keys, i * map.spec.key.size));
}
