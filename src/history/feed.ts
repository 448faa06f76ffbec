import { connect, type Socket } from 'node:net';
import { randomUUID } from 'node:crypto';
import type { FlowConsumer, FlowView, LostFlows } from '../flows/consumer.ts';
import { errorText } from '../std/errors.ts';
import type { Logger } from '../std/log.ts';
import { BatchBuilder, type GapEntry } from './batch.ts';
import { emptySize, FlowDictionary, type DictionarySize } from './dictionary.ts';
import { feedVersion, frameHead, FrameKind, FrameReader, jsonFrame, type Committed, type FeedHello, type StoreWelcome } from './frames.ts';
import { appendFlow } from './row.ts';

export interface FeedOptions {
  readonly socketPath: string;
  readonly nodeName: string;
  /** Batches kept for a store that is away or slow; default 32, 131,000 flows and some 6 MB. */
  readonly backlog?: number;
  readonly now?: () => number;
}

export interface FeedStatus {
  readonly connected: boolean;
  readonly sent: number;
  readonly committed: number;
  /** Flows that wait for the store. */
  readonly waiting: number;
  /** Flows that found no room. */
  readonly lost: number;
}

interface SealedBatch {
  readonly sequence: number;
  readonly rows: number;
  readonly bytes: Buffer;
  readonly dictionary: FlowDictionary;
  readonly size: DictionarySize;
}

const sendEveryMs = 200;
const reconnectMs = { first: 100, longest: 2_000 };
/** Batches on their way without an answer. */
const mostInFlight = 16;
const stopPatienceMs = 1_000;

/**
 * The agent's side of the history: takes every flow in columns, sends them in batches and keeps what is not on the disk yet. A
 * store that was killed gets it again; it knows by the sequence what it has. Never waits; what finds no room is counted, and the
 * count becomes a gap in the record.
 */
export class HistoryFeed implements FlowConsumer {
  readonly #options: Required<FeedOptions>;
  readonly #log: Logger;
  readonly #session = randomUUID();
  readonly #building = new BatchBuilder();
  #dictionary = new FlowDictionary();
  #sealed: SealedBatch[] = [];
  #sequence = 0;
  #lastSealMs = 0;
  /** Index in `#sealed` of the first batch that this connection has not seen. */
  #next = 0;
  #socket: Socket | undefined;
  #welcomed = false;
  #sentDictionary: FlowDictionary | undefined;
  #sentSize: DictionarySize = emptySize;
  #failures = 0;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  /** Why the store does not write, by its own words. */
  #problem: string | undefined;
  #gap: { sinceNs: bigint; untilNs: bigint; count: number; problem: string | undefined } | undefined;
  #sentFlows = 0;
  #committedFlows = 0;
  #lostFlows = 0;
  #lastTimeNs = 0n;
  #onIdle: (() => void) | undefined;

  constructor(options: FeedOptions, log: Logger) {
    this.#options = { backlog: 32, now: Date.now, ...options };
    this.#log = log.with({ component: 'history-feed' });
  }

  start(signal: AbortSignal): void {
    this.#connect();
    const timer = setInterval(() => this.settle(), sendEveryMs);
    timer.unref();
    signal.addEventListener('abort', () => {
      clearInterval(timer);
      void this.stop();
    }, { once: true });
  }

  flow(flow: FlowView): void {
    if (this.#building.isFull && !this.#seal()) return this.#lose(flow);
    appendFlow(this.#building, this.#dictionary, flow);
  }

  lost({ class: lostClass, count, source }: LostFlows): void {
    const at = this.#timeNs();
    this.#addGap({ sinceNs: String(this.#lastTimeNs || at), untilNs: String(at), count, class: lostClass, reason: `lost before it was read: ${source}` });
    this.#lastTimeNs = at;
  }

  settle(): void {
    if (!this.#welcomed || this.#next < this.#sealed.length || this.#options.now() - this.#lastSealMs < sendEveryMs) return;
    if (!this.#building.isEmpty || this.#gap) this.#seal();
  }

  get status(): FeedStatus {
    const waiting = this.#sealed.reduce((sum, batch) => sum + batch.rows, this.#building.rows);
    return { connected: this.#welcomed, sent: this.#sentFlows, committed: this.#committedFlows, waiting, lost: this.#lostFlows };
  }

  /** Sends what there is and waits for a moment until it is on the disk. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    clearTimeout(this.#timer);
    if (!this.#building.isEmpty) this.#seal();
    if (this.#welcomed && this.#sealed.length > 0) {
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, stopPatienceMs);
        this.#onIdle = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    if (this.#welcomed) this.#socket?.end(jsonFrame(FrameKind.bye, {}));
    else this.#socket?.destroy();
  }

  /** As if the process had been killed. For tests. */
  abandon(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#socket?.destroy();
  }

  #timeNs(): bigint {
    return BigInt(this.#options.now()) * 1_000_000n;
  }

  /** False when there is no room. */
  #seal(): boolean {
    if (this.#sealed.length >= this.#options.backlog) return false;
    if (this.#gap) {
      const { sinceNs, untilNs, count, problem } = this.#gap;
      const why = problem === undefined ? { class: 'backlog', reason: 'the store was away or too slow' } : { class: 'disk', reason: problem };
      this.#building.gaps.push({ sinceNs: String(sinceNs), untilNs: String(untilNs), count, ...why });
      this.#gap = undefined;
    }
    const sequence = ++this.#sequence;
    const { rows } = this.#building;
    this.#sealed.push({ sequence, rows, bytes: this.#building.encode(sequence), dictionary: this.#dictionary, size: this.#dictionary.size });
    this.#building.clear();
    if (this.#dictionary.isFull) this.#dictionary = new FlowDictionary();
    this.#lastSealMs = this.#options.now();
    this.#send();
    return true;
  }

  #lose(flow: FlowView): void {
    const at = BigInt(flow.seconds) * 1_000_000_000n + BigInt(flow.nanos);
    this.#gap ??= { sinceNs: at, untilNs: at, count: 0, problem: this.#problem };
    this.#gap.untilNs = at;
    this.#gap.count++;
    this.#lostFlows++;
  }

  /** One row for a class in a batch: a flood of losses is a longer gap, not more of them. */
  #addGap(gap: GapEntry): void {
    const { gaps } = this.#building;
    const at = gaps.findIndex(known => known.class === gap.class && known.reason === gap.reason);
    if (at < 0) return void gaps.push(gap);
    gaps[at] = { ...gaps[at]!, untilNs: gap.untilNs, count: (gaps[at]!.count ?? 0) + (gap.count ?? 0) };
  }

  #connect(): void {
    const socket = connect(this.#options.socketPath);
    this.#socket = socket;
    const reader = new FrameReader((kind: number, content: Buffer) => {
      if (kind === FrameKind.welcome) this.#welcome(JSON.parse(content.toString()) as StoreWelcome);
      else if (kind === FrameKind.committed) this.#answered(JSON.parse(content.toString()) as Committed);
    });
    socket.on('connect', () => {
      const hello: FeedHello = { version: feedVersion, node: this.#options.nodeName, session: this.#session };
      socket.write(jsonFrame(FrameKind.hello, hello));
    });
    socket.on('data', (bytes: Buffer) => {
      try {
        reader.push(bytes);
      } catch (error) {
        socket.destroy(error as Error);
      }
    });
    socket.on('error', error => {
      if (this.#failures === 0) this.#log.warn('the history is not reached; flows wait', { error: errorText(error) });
    });
    socket.on('close', () => this.#closed(socket));
    socket.unref();
  }

  #closed(socket: Socket): void {
    if (this.#socket !== socket) return;
    this.#welcomed = false;
    this.#onIdle?.();
    if (this.#stopped) return;
    const delayMs = Math.min(reconnectMs.longest, reconnectMs.first * 2 ** Math.min(this.#failures++, 10));
    this.#timer = setTimeout(() => this.#connect(), delayMs);
    this.#timer.unref();
  }

  #welcome({ committed }: StoreWelcome): void {
    this.#failures = 0;
    this.#welcomed = true;
    this.#sentDictionary = undefined;
    this.#sentSize = emptySize;
    this.#next = 0;
    this.#committed(committed);
  }

  #answered({ sequence, problem }: Committed): void {
    this.#problem = problem;
    if (this.#gap) this.#gap.problem ??= problem;
    this.#committed(sequence);
  }

  #committed(sequence: number): void {
    while (this.#sealed.length > 0 && this.#sealed[0]!.sequence <= sequence) {
      this.#committedFlows += this.#sealed.shift()!.rows;
      if (this.#next > 0) this.#next--;
    }
    this.#send();
    if (this.#sealed.length === 0) this.#onIdle?.();
  }

  #send(): void {
    const socket = this.#socket;
    if (!socket || !this.#welcomed) return;
    socket.cork();
    while (this.#next < this.#sealed.length && this.#next < mostInFlight) {
      const batch = this.#sealed[this.#next++]!;
      const isNew = batch.dictionary !== this.#sentDictionary;
      const from = isNew ? emptySize : this.#sentSize;
      if (isNew || sizeSum(batch.size) > sizeSum(from)) {
        socket.write(jsonFrame(FrameKind.dictionary, { ...(isNew && { reset: true }), ...batch.dictionary.between(from, batch.size) }));
        this.#sentDictionary = batch.dictionary;
        this.#sentSize = batch.size;
      }
      socket.write(frameHead(FrameKind.batch, batch.bytes.length));
      socket.write(batch.bytes);
      this.#sentFlows += batch.rows;
    }
    socket.uncork();
  }
}

function sizeSum(size: DictionarySize): number {
  return size.labels + size.names + size.ends + size.kinds + size.decisions + size.services + size.sayings;
}
