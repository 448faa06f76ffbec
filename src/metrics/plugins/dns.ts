import type { Flow } from '../../model/flow.ts';
import { joined, kernelSource, numberText } from './words.ts';
import type { MetricPlugin } from './plugin.ts';

/**
 * Questions and answers. The kernel reads them on the client's node and on the server's; counted are those on the client's, where
 * upstream's proxy stands, so that each is counted once.
 */
export const dns: MetricPlugin = {
  name: 'dns',
  options: {
    query: { takes: 'nothing', help: 'a label `query` with the name asked for' },
    ignoreaaaa: { takes: 'nothing', help: 'leave out questions and answers of type AAAA alone' },
  },
  create({ options, context, counter }) {
    const withQuery = options.has('query');
    const ignoreAAAA = options.has('ignoreaaaa');
    const query = withQuery ? ['query'] : [];
    const queries = counter('dns_queries_total', 'Number of DNS queries observed', ['rcode', 'qtypes', 'ips_returned', ...query]);
    const responses = counter('dns_responses_total', 'Number of DNS responses observed', ['rcode', 'qtypes', 'ips_returned', ...query]);
    const types = counter('dns_response_types_total', 'Number of records of each type in DNS responses', ['type', 'qtypes', ...query]);
    return flow => {
      const message = flow.l7?.dns;
      if (!message || (message.observationSource === kernelSource && !isClientHere(flow))) return;
      const { qtypes, ips, rrtypes } = message;
      if (ignoreAAAA && qtypes?.length === 1 && qtypes[0] === 'AAAA') return;
      const node = context.of(flow);
      const isAnswer = flow.verdict !== 'DROPPED' && flow.isReply === true;
      const rcode = flow.verdict === 'DROPPED' ? 'Policy denied' : isAnswer ? rcodeName(message.rcode ?? 0) : '';
      const family = isAnswer ? responses : queries;
      const asked = joined(qtypes);
      const count = numberText(ips?.length ?? 0);
      (withQuery ? family.at4(node, rcode, asked, count, message.query) : family.at3(node, rcode, asked, count)).value++;
      if (!isAnswer || rrtypes === undefined) return;
      for (const type of rrtypes) (withQuery ? types.at3(node, type, asked, message.query) : types.at2(node, type, asked)).value++;
    };
  },
};

function isClientHere({ isReply, source, destination }: Flow): boolean {
  return (isReply === true ? destination : source).id !== 0;
}

/** Upstream's texts; a number that has none is empty there too. */
function rcodeName(rcode: number): string {
  return rcodes[rcode] ?? '';
}

const rcodes: Readonly<Record<number, string>> = {
  0: 'No Error', 1: 'Format Error', 2: 'Server Failure', 3: 'Non-Existent Domain', 4: 'Not Implemented', 5: 'Query Refused', 6: 'Name Exists when it should not',
  7: 'RR Set Exists when it should not', 8: 'RR Set that should exist does not', 9: 'Not Authorized', 10: 'Name not contained in zone', 11: 'DSO-TYPE Not Implemented',
  16: 'Bad OPT Version', 17: 'Key not recognized', 18: 'Signature out of time window', 19: 'Bad TKEY Mode', 20: 'Duplicate key name', 21: 'Algorithm not supported',
  22: 'Bad Truncation', 23: 'Bad/missing Server Cookie',
};
