import type { MetricPlugin } from './plugin.ts';

export const sctp: MetricPlugin = {
  name: 'sctp',
  options: {},
  create({ context, counter }) {
    const chunks = counter('sctp_chunk_types_total', 'SCTP chunk type occurrences', ['chunk_type', 'family']);
    return flow => {
      const type = flow.sctpChunkType;
      if (type === undefined || type === 'UNSUPPORTED' || flow.protocol !== 'SCTP') return;
      if (flow.verdict === 'FORWARDED' || flow.verdict === 'REDIRECTED') chunks.at2(context.of(flow), type, flow.ipVersion).value++;
    };
  },
};
