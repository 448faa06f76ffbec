import type { Flow } from '../model/flow.ts';
import { observationPoints } from './enrich.ts';
import { EventType } from './event.ts';

const typeNumbers: Readonly<Record<Flow['type'], number>> = {
  unknown: 0, drop: EventType.drop, debug: 2, capture: 3, trace: EventType.trace, 'policy-verdict': EventType.policyVerdict, sock: 7, l7: EventType.l7,
};

/** Event type and sub-type of a flow, as Hubble numbers them. */
export function eventTypeOf(flow: Flow): { readonly type: number; readonly subType: number } {
  return { type: typeNumbers[flow.type], subType: eventSubTypeOf(flow) };
}

export function eventTypeNumber(flow: Flow): number {
  return typeNumbers[flow.type];
}

export function eventSubTypeOf(flow: Flow): number {
  if (flow.subType !== undefined) return flow.subType;
  if (flow.type === 'drop') return flow.dropReasonCode ?? 0;
  return flow.type === 'trace' ? Math.max(0, observationPoints.indexOf(flow.observationPoint ?? '')) : 0;
}
