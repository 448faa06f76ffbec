import type { Flow } from '../model/flow.ts';

/**
 * A flow as the pipeline hands it to its consumers: one object that is reused for all, reading from columns. Whoever wants to
 * keep something takes it out in the same call. `source` and `destination` are shared: the same object for the same end for as
 * long as nothing about it changes, never changed afterwards, so that what is derived from an end can be kept in a WeakMap.
 */
export interface FlowView extends Flow {
  /** Since 1970, UTC. */
  readonly seconds: number;
  readonly nanos: number;
  /** What the end of a connection by age tells: no packet was seen. Not for clients that expect a packet behind each flow. */
  readonly packetless: boolean;
}

/** Lost before anybody could look, by class, since the last time: told in its place between the flows. */
export interface LostFlows {
  readonly source: 'PERF_EVENT_RING_BUFFER' | 'OBSERVER_EVENTS_QUEUE' | 'HUBBLE_RING_BUFFER';
  /** drops, flows, names, or who was too slow. */
  readonly class: string;
  readonly count: number;
}

/** Sees every flow once, in the order of time, in the turn in which it was read. Must not throw, wait, or keep the view. */
export interface FlowConsumer {
  flow(flow: FlowView): void;
  lost?(lost: LostFlows): void;
  /** A turn's flows are over: the moment to send what was gathered. */
  settle?(): void;
}
