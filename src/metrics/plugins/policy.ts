import { reserved } from '../../model/identity.ts';
import type { Flow } from '../../model/flow.ts';
import type { MetricPlugin } from './plugin.ts';
import { kernelSource, lowerCase } from './words.ts';

export const policy: MetricPlugin = {
  name: 'policy',
  options: {},
  create({ context, counter }) {
    const verdicts = counter('policy_verdicts_total', 'Total number of Cilium network policy verdicts', ['direction', 'match', 'action']);
    return flow => {
      const match = matchOf(flow);
      if (match === undefined) return;
      verdicts.at3(context.of(flow), directionOf(flow), match, lowerCase(flow.verdict)).value++;
    };
  },
};

/** Undefined for what is no verdict (names that the kernel reads are only seen), and for the host's own traffic to its pods, which no policy can deny. */
function matchOf({ type, source, policyMatch, l7 }: Flow): string | undefined {
  if (type === 'policy-verdict') return source.identity === reserved.host ? undefined : lowerCase(policyMatch ?? 'none');
  if (type !== 'l7') return undefined;
  if (l7?.dns) return l7.dns.observationSource === kernelSource ? undefined : 'l7/dns';
  return l7?.http ? 'l7/http' : l7?.kafka ? 'l7/kafka' : 'l7/';
}

function directionOf({ direction }: Flow): string {
  return direction === 'UNKNOWN' ? 'traffic_direction_unknown' : lowerCase(direction);
}
