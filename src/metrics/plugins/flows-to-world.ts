import type { FlowEndpoint } from '../../model/flow.ts';
import type { MetricPlugin } from './plugin.ts';
import { flowProtocol, numberText } from './words.ts';

export const flowsToWorld: MetricPlugin = {
  name: 'flows-to-world',
  options: {
    'any-drop': { takes: 'nothing', help: 'count drops for all reasons, not only those by policy' },
    port: { takes: 'nothing', help: 'a label `port` with the destination port' },
    'syn-only': { takes: 'nothing', help: 'of TCP count only the packets that open connections' },
  },
  create({ options, context, counter }) {
    const anyDrop = options.has('any-drop');
    const withPort = options.has('port');
    const synOnly = options.has('syn-only');
    const flows = counter('flows_to_world_total', 'Total number of flows to reserved:world', ['protocol', 'verdict', ...(withPort ? ['port'] : [])]);
    return flow => {
      if (!isWorld(flow.destination)) return;
      const dropped = flow.verdict === 'DROPPED';
      if (dropped && !anyDrop && !isPolicyReason(flow.dropReasonCode)) return;
      // Answers would count the clients' ports.
      if (!dropped && flow.isReply === true) return;
      if (synOnly && (flow.isReply === true || flow.tcpFlags?.includes('SYN') !== true)) return;
      const node = context.of(flow);
      const protocol = flowProtocol(flow);
      const port = flow.destinationPort !== undefined && hasPorts(flow.protocol) ? numberText(flow.destinationPort) : '';
      (withPort ? flows.at3(node, protocol, flow.verdict, port) : flows.at2(node, protocol, flow.verdict)).value++;
    };
  },
};

/** Kept with the end: labels are many and ends few. */
const worlds = new WeakMap<FlowEndpoint, boolean>();

function isWorld(end: FlowEndpoint): boolean {
  let known = worlds.get(end);
  if (known === undefined) worlds.set(end, known = end.labels.some(label => label === 'reserved:world'));
  return known;
}

/** POLICY_DENIED by default, POLICY_DENY by a rule that denies. */
function isPolicyReason(code: number | undefined): boolean {
  return code === 133 || code === 181;
}

export function hasPorts(protocol: string): boolean {
  return protocol === 'TCP' || protocol === 'UDP' || protocol === 'SCTP';
}
