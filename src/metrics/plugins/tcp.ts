import type { MetricPlugin } from './plugin.ts';

export const tcp: MetricPlugin = {
  name: 'tcp',
  options: {},
  create({ context, counter }) {
    const flags = counter('tcp_flags_total', 'TCP flag occurrences', ['flag', 'family']);
    return flow => {
      const { tcpFlags } = flow;
      if (tcpFlags === undefined || (flow.verdict !== 'FORWARDED' && flow.verdict !== 'REDIRECTED')) return;
      const node = context.of(flow);
      if (tcpFlags.includes('FIN')) flags.at2(node, 'FIN', flow.ipVersion).value++;
      if (tcpFlags.includes('SYN')) flags.at2(node, tcpFlags.includes('ACK') ? 'SYN-ACK' : 'SYN', flow.ipVersion).value++;
      if (tcpFlags.includes('RST')) flags.at2(node, 'RST', flow.ipVersion).value++;
    };
  },
};
