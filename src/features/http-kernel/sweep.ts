import { sweepCodec, type ProxyConnectionKey } from '../../datapath/generated/structs.ts';
import type { NodeMaps } from '../../datapath/maps.ts';
import { type Chunk, walkMap } from '../../ebpf/map-walk.ts';
import type { BpfProgram } from '../../ebpf/program.ts';
import type { Logger } from '../../std/log.ts';
import { Rounds } from '../rounds.ts';

export interface HttpSweepDependencies {
  readonly maps: Pick<NodeMaps, 'httpConnections' | 'sweepRequests'>;
  readonly program: () => BpfProgram;
  readonly log: Logger;
  /** After each round: the endpoints whose connections the kernel carries. */
  readonly onRound: (withConnections: ReadonlySet<number>) => void;
  /** CLOCK_MONOTONIC in nanoseconds. */
  readonly monotonicNs?: () => number;
}

export interface HttpSweepRound {
  readonly connections: number;
  readonly removed: number;
  readonly busyMs: number;
}

/** Offsets in `struct http_connection` (bpf/lib/http_connection.h). */
export const rowOffsets = { seenNs: 40, destinationEndpoint: 80 } as const;

/** `SWEEP_SILENT_SECONDS` (bpf/lib/sweep.h): who has spoken since is not asked about. */
const silentNs = 10e9;
/** Rests are so long that a round's work is at most this much of a processor. */
const share = 1 / 250;
const shortestRestMs = 5_000;
const longestRestMs = 120_000;
const betweenChunksMs = 20;

/**
 * Takes away rows of connections that are gone without a last packet that said so, or that policy has ended. The agent reads the rows in chunks and names those that are silent; a program in the kernel looks at each again, and at
 * whether conntrack still knows its connection (sweep.bpf.c).
 */
export class HttpSweep {
  readonly #steps: Rounds<HttpSweepRound>;
  readonly #deps: HttpSweepDependencies;
  readonly #now: () => number;
  #last: HttpSweepRound = { connections: 0, removed: 0, busyMs: 0 };

  constructor(dependencies: HttpSweepDependencies) {
    this.#deps = dependencies;
    this.#steps = new Rounds(() => this.#round(), result => this.#over(result), { log: dependencies.log, failed: 'connections of HTTP in the kernel that are over could not be removed', betweenStepsMs: betweenChunksMs, afterFailureMs: longestRestMs });
    this.#now = dependencies.monotonicNs ?? (() => Number(process.hrtime.bigint()));
  }

  get last(): HttpSweepRound {
    return this.#last;
  }

  /** One chunk. Returns ms until the next is due. */
  step(): number {
    return this.#steps.step();
  }

  /** Rounds until the signal aborts. */
  start(signal: AbortSignal): void {
    this.#steps.start(signal);
  }

  #over(value: HttpSweepRound): number {
    this.#last = value;
    return Math.min(longestRestMs, Math.max(shortestRestMs, value.busyMs / share));
  }

  *#round(): Generator<void, HttpSweepRound, undefined> {
    const withConnections = new Set<number>();
    let [seen, removed, busyMs] = [0, 0, 0];
    let began = performance.now();
    for (const chunk of walkMap(this.#deps.maps.httpConnections)) {
      seen += chunk.count;
      removed += this.#remove(this.#silent(chunk, withConnections));
      busyMs += performance.now() - began;
      yield;
      began = performance.now();
    }
    this.#deps.onRound(withConnections);
    return { connections: seen - removed, removed, busyMs: busyMs + performance.now() - began };
  }

  #silent({ count, keys, values }: Chunk, withConnections: Set<number>): ProxyConnectionKey[] {
    const { spec, valueSize } = this.#deps.maps.httpConnections;
    const since = this.#now() - silentNs;
    const found: ProxyConnectionKey[] = [];
    for (let i = 0; i < count; i++) {
      const at = i * valueSize;
      withConnections.add(values.getUint32(at + rowOffsets.destinationEndpoint, true));
      if (values.getUint32(at + rowOffsets.seenNs, true) + values.getUint32(at + rowOffsets.seenNs + 4, true) * 2 ** 32 < since) found.push(spec.key.read(keys, i * spec.key.size));
    }
    return found;
  }

  /** So many at a time as the program takes: how many of them were over. */
  #remove(keys: readonly ProxyConnectionKey[]): number {
    const { sweepRequests } = this.#deps.maps;
    let removed = 0;
    for (let start = 0; start < keys.length; start += sweepRequests.spec.maxEntries) {
      const some = keys.slice(start, start + sweepRequests.spec.maxEntries);
      sweepRequests.updateBatch(some.map((key, i) => [i, key] as const));
      const context = new Uint8Array(sweepCodec.size);
      sweepCodec.encode({ count: some.length, removed: 0 }, context);
      this.#deps.program().call(context);
      removed += sweepCodec.decode(context).removed;
    }
    return removed;
  }
}
