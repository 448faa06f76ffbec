import type { Flow, FlowConnection, FlowL7 } from '../model/flow.ts';

/** Words of the model and the numbers of flow.proto's enums. */

export const verdictNumbers: Readonly<Record<Flow['verdict'], number>> = {
  VERDICT_UNKNOWN: 0, FORWARDED: 1, DROPPED: 2, ERROR: 3, AUDIT: 4, REDIRECTED: 5, TRACED: 6, TRANSLATED: 7,
};

/** flow.TraceObservationPoint, in the order of the monitor's numbers. */
export const pointNumbers: Readonly<Record<string, number>> = {
  'to-endpoint': 101, 'to-proxy': 1, 'to-host': 2, 'to-stack': 3, 'to-overlay': 4, 'from-endpoint': 5, 'from-proxy': 6, 'from-host': 7, 'from-stack': 8,
  'from-overlay': 9, 'from-network': 10, 'to-network': 11, 'from-crypto': 12, 'to-crypto': 13,
};

export const traceReasonNumbers: Readonly<Record<NonNullable<Flow['traceReason']>, number>> = { unknown: 0, new: 1, established: 2, reply: 3, related: 4 };
export const authNumbers: Readonly<Record<NonNullable<Flow['authType']>, number>> = { DISABLED: 0, SPIRE: 1, TEST_ALWAYS_FAIL: 2 };
export const l7Numbers: Readonly<Record<FlowL7['type'], number>> = { UNKNOWN_L7_TYPE: 0, REQUEST: 1, RESPONSE: 2, SAMPLE: 3 };
export const tunnelNumbers: Readonly<Record<NonNullable<Flow['tunnel']>['protocol'], number>> = { UNKNOWN: 0, VXLAN: 1, GENEVE: 2 };
export const connectionEndNumbers: Readonly<Record<FlowConnection['end'], number>> = { closed: 1, reset: 2, idle: 3, revoked: 4 };

/** flow.SCTPChunkType. */
export const chunkWords: readonly string[] = ['UNSUPPORTED', 'INIT', 'INIT_ACK', 'SHUTDOWN', 'SHUTDOWN_ACK', 'SHUTDOWN_COMPLETE', 'ABORT'];
/** flow.SocketTranslationPoint. */
export const socketPointWords: readonly string[] = [
  'SOCK_XLATE_POINT_UNKNOWN', 'SOCK_XLATE_POINT_PRE_DIRECTION_FWD', 'SOCK_XLATE_POINT_POST_DIRECTION_FWD', 'SOCK_XLATE_POINT_PRE_DIRECTION_REV', 'SOCK_XLATE_POINT_POST_DIRECTION_REV',
];
/** flow.TCPFlags by field number. */
export const flagFields: Readonly<Record<string, number>> = { FIN: 1, SYN: 2, RST: 3, PSH: 4, ACK: 5, URG: 6, ECE: 7, CWR: 8, NS: 9 };
/** flow.Layer4 by field number. */
export const layer4Fields: Readonly<Record<string, number>> = { TCP: 1, UDP: 2, ICMPv4: 3, ICMPv6: 4, SCTP: 5, VRRP: 6, IGMP: 7 };

/** The word of a number, undefined for a number that has none. */
export function wordOf<T extends string>(numbers: Readonly<Record<T, number>>, number: number): T | undefined {
  return (Object.keys(numbers) as T[]).find(word => numbers[word] === number);
}
