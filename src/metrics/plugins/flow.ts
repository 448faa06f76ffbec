import type { Flow } from '../../model/flow.ts';
import type { MetricPlugin } from './plugin.ts';
import { flowProtocol } from './words.ts';

export const flow: MetricPlugin = {
  name: 'flow',
  options: {},
  create({ context, counter }) {
    const flows = counter('flows_processed_total', 'Total number of flows processed', ['protocol', 'type', 'subtype', 'verdict']);
    return each => {
      flows.at4(context.of(each), flowProtocol(each), typeNames[each.type], subtypeOf(each), each.verdict).value++;
    };
  },
};

const typeNames: Readonly<Record<Flow['type'], string>> = {
  l7: 'L7', drop: 'Drop', capture: 'Capture', trace: 'Trace', 'policy-verdict': 'PolicyVerdict', sock: 'Unknown', debug: 'Unknown', unknown: 'Unknown',
};

function subtypeOf({ type, l7, observationPoint }: Flow): string {
  switch (type) {
    case 'trace': return observationPoint ?? '';
    case 'l7': return l7?.dns ? 'DNS' : l7?.http ? 'HTTP' : l7?.kafka ? 'Kafka' : '';
    // The monitor's numbers of the kinds that have no name here.
    case 'sock': return '7';
    case 'debug': return '2';
    case 'unknown': return '0';
    default: return '';
  }
}
