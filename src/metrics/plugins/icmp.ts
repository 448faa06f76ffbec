import type { MetricPlugin } from './plugin.ts';
import { icmpType } from './words.ts';

export const icmp: MetricPlugin = {
  name: 'icmp',
  options: {},
  create({ context, counter }) {
    const messages = counter('icmp_total', 'Number of ICMP messages', ['family', 'type']);
    return flow => {
      if (flow.protocol === 'ICMPv4') messages.at2(context.of(flow), 'IPv4', icmpType(flow)).value++;
      else if (flow.protocol === 'ICMPv6') messages.at2(context.of(flow), 'IPv6', icmpType(flow)).value++;
    };
  },
};
