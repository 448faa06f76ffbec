/** The question that a recorded flow asks of the policies of now. */
import type { Flow, FlowEndpoint } from '../model/flow.ts';
import { LabelSet } from '../model/labels.ts';
import { CirriError } from '../std/errors.ts';
import { connect, type Connection } from './connection.ts';
import { resolveEnd, resolvePort } from './ends.ts';
import type { World } from './world.ts';

/** Throws CirriError ERR_END where an end is no longer there. */
export function flowConnection(world: World, flow: Flow): Connection {
  // A reply was judged when its request was: the question is about the one who began.
  const [source, destination] = flow.isReply === true ? [flow.destination, flow.source] : [flow.source, flow.destination];
  const number = flow.isReply === true ? flow.sourcePort : flow.destinationPort;
  const to = resolveEnd(world, nameOf(world, destination), 'default');
  const protocol = flow.protocol.replace('ICMPv4', 'ICMP');
  return connect(world, resolveEnd(world, nameOf(world, source), 'default'), to, resolvePort(to, number === undefined ? String(flow.icmpType ?? '') : String(number), protocol));
}

/** The pod where it still is, else one that policies cannot tell from it; what is no pod by its identity or address. */
function nameOf(world: World, end: FlowEndpoint): string {
  const labels = LabelSet.of(end.labels).toString();
  const pod = world.scenario.pods.find(p => p.namespace === end.namespace && p.name === end.podName) ?? world.scenario.pods.find(p => p.labels.toString() === labels);
  if (pod) return `${pod.namespace}/${pod.name}`;
  const reservedName = end.labels.map(l => /^reserved:(host|remote-node|kube-apiserver|health|ingress|init|unmanaged)$/.exec(l)?.[1]).find(name => name !== undefined);
  if (end.podName !== undefined) throw new CirriError('ERR_END', `pod ${end.namespace}/${end.podName} of the flow is gone`, { mend: 'ask about its workload with --from, --to and --port' });
  return reservedName ?? end.ip;
}
