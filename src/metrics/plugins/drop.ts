import type { MetricPlugin } from './plugin.ts';
import { dropReason, flowProtocol } from './words.ts';

/**
 * Each dropped packet once. Upstream counts a denial twice, with the policy's verdict and with the drop that follows from it;
 * here the verdicts are the plugin `policy`'s.
 */
export const drop: MetricPlugin = {
  name: 'drop',
  options: {},
  create({ context, counter }) {
    const drops = counter('drop_total', 'Number of drops', ['reason', 'protocol']);
    return flow => {
      if (flow.verdict === 'DROPPED' && flow.type !== 'policy-verdict') drops.at2(context.of(flow), dropReason(flow), flowProtocol(flow)).value++;
    };
  },
};
