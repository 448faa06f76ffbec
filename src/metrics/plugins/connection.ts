import type { Flow } from '../../model/flow.ts';
import type { MetricPlugin } from './plugin.ts';
import { flowProtocol, reporterOf } from './words.ts';

/**
 * Connections, which upstream has no metrics of: how long the first answer took, how they ended and what they carried. The source
 * is who opened the connection, whichever of the two tells; both ends tell, so a sum is over one value of `reporter`.
 */
export const connection: MetricPlugin = {
  name: 'connection',
  options: {},
  takesPacketless: true,
  create({ context, counter, histogram }) {
    const latency = histogram('connect_duration_seconds', "Time from a connection's first packet to its first answer, as this end saw both", ['protocol', 'reporter']);
    const ended = counter('connections_ended_total', 'Connections that ended, by how', ['protocol', 'end', 'reporter']);
    const bytes = counter('connection_bytes_total', 'Bytes of connections, counted as they end; sender: client opened the connection', ['sender', 'reporter']);
    return flow => {
      const answered = flow.connectLatencyNs;
      if (answered !== undefined) latency.at2(context.of(flow, isAnswer(flow)), flowProtocol(flow), reporterOf(flow)).observe(answered / 1e9);
      const totals = flow.connection;
      if (totals === undefined) return;
      const node = context.of(flow, isAnswer(flow));
      const reporter = reporterOf(flow);
      ended.at3(node, flowProtocol(flow), totals.end, reporter).value++;
      bytes.at2(node, 'client', reporter).value += totals.bytesOut;
      bytes.at2(node, 'server', reporter).value += totals.bytesBack;
    };
  },
};

function isAnswer({ isReply }: Flow): boolean {
  return isReply === true;
}
