import type { Flow, FlowEndpoint } from '../model/flow.ts';
import type { ObservedEnd, ObservedPair } from '../model/observed.ts';

/** The new connections among the flows, equal ones in one row; the flow of a connection is the verdict of the end that was asked. */
export function pairsOf(flows: Iterable<Flow>): ObservedPair[] {
  const pairs = new Map<string, { -readonly [F in keyof ObservedPair]: ObservedPair[F] }>();
  for (const flow of flows) {
    if (flow.type !== 'policy-verdict' || flow.shadow !== undefined || flow.direction === 'UNKNOWN') continue;
    const verdict = flow.verdict;
    if (verdict !== 'FORWARDED' && verdict !== 'DROPPED' && verdict !== 'AUDIT' && verdict !== 'REDIRECTED') continue;
    const { direction, protocol } = flow;
    const port = protocol.startsWith('ICMP') ? flow.icmpType ?? 0 : flow.destinationPort ?? 0;
    const [source, destination] = [observedEnd(flow.source), observedEnd(flow.destination)];
    const key = JSON.stringify([direction, keyOf(source), keyOf(destination), protocol, port, verdict]);
    const known = pairs.get(key);
    if (!known) pairs.set(key, { direction, source, destination, protocol, port, verdict, count: 1, first: flow.time, last: flow.time });
    else {
      known.count++;
      if (flow.time < known.first) known.first = flow.time;
      if (flow.time > known.last) known.last = flow.time;
    }
  }
  return [...pairs.values()];
}

function observedEnd(end: FlowEndpoint): ObservedEnd {
  const { identity, labels, namespace, podName, workloads, ip, names } = end;
  if (namespace === undefined || podName === undefined) return { identity, labels, ip, ...(names && names.length > 0 && { names }) };
  return { identity, labels, namespace, podName, ...(workloads?.[0] && { workload: workloads[0] }) };
}

/** One pod is like another of the same workload and labels. */
function keyOf({ labels, namespace, workload, podName, ip, names }: ObservedEnd): unknown {
  return namespace === undefined ? [labels, ip, names] : [labels, namespace, workload ?? podName];
}
