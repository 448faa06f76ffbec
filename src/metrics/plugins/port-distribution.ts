import { hasPorts } from './flows-to-world.ts';
import type { MetricPlugin } from './plugin.ts';
import { numberText } from './words.ts';

export const portDistribution: MetricPlugin = {
  name: 'port-distribution',
  options: {},
  create({ context, counter }) {
    const ports = counter('port_distribution_total', 'Numbers of packets distributed by destination port', ['protocol', 'port']);
    return flow => {
      // Where it is not certain that a flow is no answer its port may be a client's.
      if ((flow.verdict !== 'FORWARDED' && flow.verdict !== 'REDIRECTED') || flow.isReply !== false) return;
      const { protocol } = flow;
      if (hasPorts(protocol)) ports.at2(context.of(flow), protocol, numberText(flow.destinationPort ?? 0)).value++;
      else if (portless.has(protocol)) ports.at2(context.of(flow), protocol, '0').value++;
    };
  },
};

const portless: ReadonlySet<string> = new Set(['ICMPv4', 'ICMPv6', 'VRRP', 'IGMP']);
