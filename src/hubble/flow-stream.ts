import { create, toBinary } from '@bufbuild/protobuf';
import type { FlowConsumer, FlowView, LostFlows } from '../flows/consumer.ts';
import type { Flow } from '../model/flow.ts';
import type { Call } from '../rpc/types.ts';
import type { EncodedHistory } from './encoded-history.ts';
import type { FlowEncoder } from './flow-codec.ts';
import { LostEventSource } from './generated/flow_pb.js';
import { GetFlowsResponseSchema } from './generated/observer_pb.js';
import { Outbox } from './outbox.ts';

export interface FlowStreamOptions {
  readonly nodeName: string;
  readonly encoder: FlowEncoder;
  readonly matches: (flow: Flow) => boolean;
  /** Flows outside of it are not told. */
  readonly window: TimeWindow;
  readonly wantsPacketless: boolean;
  readonly now: () => number;
  readonly limitBytes?: number;
}

export interface Moment {
  readonly seconds: number;
  readonly nanos: number;
}

/** From one moment to another, both included; in two numbers each, since one does not hold nanoseconds since 1970. */
export interface TimeWindow {
  readonly since: Moment | undefined;
  readonly until: Moment | undefined;
}

/** A client may be this far behind before it loses flows: 4,000 of them. */
const defaultLimitBytes = 2 * 1024 * 1024;

/**
 * Flows to one client that follows. Encoding happens in the turn in which a flow is seen; a client that reads too slowly loses
 * flows and is told how many, and when, before the next that it gets.
 */
export class FlowStream implements FlowConsumer {
  readonly #options: FlowStreamOptions;
  readonly #outbox: Outbox;
  #waiting: Uint8Array[] | undefined = [];
  #waitingBytes = 0;
  #lost = 0;
  #firstLostNs = 0;
  #lastLostNs = 0;

  constructor(call: Call, options: FlowStreamOptions) {
    this.#options = options;
    this.#outbox = new Outbox(call, options.limitBytes ?? defaultLimitBytes, () => this.#tellLost());
  }

  flow(flow: FlowView): void {
    const { matches, window, wantsPacketless, encoder } = this.#options;
    if (flow.packetless && !wantsPacketless) return;
    const { seconds, nanos } = flow;
    if (!inWindow(window, seconds, nanos) || !matches(flow)) return;
    if (!this.#outbox.hasRoom || (this.#lost > 0 && !this.#tellLost())) return this.#count(seconds * 1e9 + nanos);
    if (!this.#push(encoder.response(flow))) this.#count(seconds * 1e9 + nanos);
  }

  lost(lost: LostFlows): void {
    const at = this.#options.now();
    this.#push(this.#lostEvent(lost.source, lost.count, at, at));
    this.#outbox.flush();
  }

  settle(): void {
    this.#outbox.flush();
  }

  /** Flows of the history come first: those that have come since follow when the client has taken them. */
  async begin(history: EncodedHistory, call: Call): Promise<void> {
    await history.send(call);
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    for (const message of waiting) this.#outbox.push(message);
    this.#outbox.flush();
  }

  /** The last words, if any. */
  async end(): Promise<void> {
    this.#tellLost();
    await this.#outbox.drained();
  }

  /** New flows wait while the history is told. */
  #push(message: Uint8Array): boolean {
    if (this.#waiting === undefined) return this.#outbox.push(message);
    if (this.#waitingBytes + message.length > (this.#options.limitBytes ?? defaultLimitBytes) / 2) return false;
    this.#waiting.push(Uint8Array.from(message));
    this.#waitingBytes += message.length;
    return true;
  }

  #count(timeNs: number): void {
    if (this.#lost++ === 0) this.#firstLostNs = timeNs;
    this.#lastLostNs = timeNs;
  }

  /** Whether nothing is left to be told. */
  #tellLost(): boolean {
    if (this.#lost === 0) return true;
    if (!this.#push(this.#lostEvent('HUBBLE_RING_BUFFER', this.#lost, this.#firstLostNs, this.#lastLostNs))) return false;
    this.#lost = 0;
    this.#outbox.flush();
    return true;
  }

  #lostEvent(source: LostFlows['source'], count: number, firstNs: number, lastNs: number): Uint8Array {
    return toBinary(GetFlowsResponseSchema, create(GetFlowsResponseSchema, {
      responseTypes: { case: 'lostEvents', value: { source: LostEventSource[source], numEventsLost: BigInt(count), first: timestamp(firstNs), last: timestamp(lastNs) } },
      nodeName: this.#options.nodeName, time: timestamp(lastNs),
    }));
  }
}

export function inWindow({ since, until }: TimeWindow, seconds: number, nanos: number): boolean {
  return (since === undefined || seconds > since.seconds || (seconds === since.seconds && nanos >= since.nanos)) &&
    (until === undefined || seconds < until.seconds || (seconds === until.seconds && nanos <= until.nanos));
}

/** google.protobuf.Timestamp from nanoseconds since 1970. */
export function timestamp(ns: number): { seconds: bigint; nanos: number } {
  const seconds = Math.floor(ns / 1e9);
  return { seconds: BigInt(seconds), nanos: Math.floor(ns - seconds * 1e9) };
}
