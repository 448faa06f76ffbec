import { trimTime } from '../jsonpb.ts';
import type { NodeStatus } from './responses.ts';
import { safe } from './safe.ts';

/** What a relay says of its nodes, in Hubble's words. */
export function nodeStatusLine({ state, nodes, message, nodeName, time }: NodeStatus, formatTime: (time: string) => string): string {
  const names = cutNames(nodes);
  const what = {
    NODE_CONNECTED: `Receiving flows from ${nodes.length} nodes: ${names}`,
    NODE_UNAVAILABLE: `${nodes.length} nodes are unavailable: ${names}`,
    NODE_GONE: `${nodes.length} nodes removed from cluster: ${names}`,
    NODE_ERROR: `Error ${JSON.stringify(safe(message ?? ''))} on ${nodes.length} nodes: ${names}`,
    UNKNOWN_NODE_STATE: `unknown node status event: ${names}`,
  }[state];
  return `${formatTime(time)} [${safe(nodeName)}]: ${what}`;
}

export function nodeStatusColumns({ state, nodes, message, time }: NodeStatus, formatTime: (time: string) => string): readonly (readonly [string, string])[] {
  return [
    ['TIMESTAMP', formatTime(time)],
    ['STATE', state],
    ['NODES', cutNames(nodes)],
    ['MESSAGE', message === undefined || message === '' ? 'N/A' : JSON.stringify(safe(message))],
  ];
}

/** observer.GetFlowsResponse with its node_status. */
export function nodeStatusJson({ state, nodes, message, nodeName, time }: NodeStatus): Readonly<Record<string, unknown>> {
  return {
    node_status: { state_change: state, ...(nodes.length > 0 && { node_names: nodes }), ...(message !== undefined && message !== '' && { message }) },
    ...(nodeName !== '' && { node_name: nodeName }),
    time: trimTime(time),
  };
}

/** At least one name, and as many more as fit into fifty characters. */
function cutNames(names: readonly string[], limit = 50): string {
  let length = 0;
  let shown = 0;
  for (const name of names) {
    length += name.length + 2;
    if (length > limit && shown > 0) break;
    shown++;
  }
  const joined = safe(names.slice(0, shown).join(', '));
  return shown === names.length ? joined : `${joined} (and ${names.length - shown} more)`;
}
