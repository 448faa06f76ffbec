import type { Flow } from '../model/flow.ts';

/** flow.DebugCapturePoint by number: the sub-type of a capture event. */
export const capturePoints: Readonly<Record<number, string>> = {
  4: 'DBG_CAPTURE_DELIVERY', 5: 'DBG_CAPTURE_FROM_LB', 6: 'DBG_CAPTURE_AFTER_V46', 7: 'DBG_CAPTURE_AFTER_V64', 8: 'DBG_CAPTURE_PROXY_PRE', 9: 'DBG_CAPTURE_PROXY_POST',
  10: 'DBG_CAPTURE_SNAT_PRE', 11: 'DBG_CAPTURE_SNAT_POST',
};

/** flow.SocketTranslationPoint: its word, and that of printing; the number is the sub-type of a socket's event. */
export const socketPoints: readonly (readonly [name: string, printed: string])[] = [
  ['SOCK_XLATE_POINT_UNKNOWN', 'SOCK_XLATE_POINT_UNKNOWN'],
  ['SOCK_XLATE_POINT_PRE_DIRECTION_FWD', 'pre-xlate-fwd'],
  ['SOCK_XLATE_POINT_POST_DIRECTION_FWD', 'post-xlate-fwd'],
  ['SOCK_XLATE_POINT_PRE_DIRECTION_REV', 'pre-xlate-rev'],
  ['SOCK_XLATE_POINT_POST_DIRECTION_REV', 'post-xlate-rev'],
];

/** Monitor message types → what the model calls them. */
export const eventWords: ReadonlyMap<number, Flow['type']> = new Map([
  [1, 'drop'], [2, 'debug'], [3, 'capture'], [4, 'trace'], [5, 'policy-verdict'], [7, 'sock'], [129, 'l7'],
]);
