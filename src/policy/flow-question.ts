/** The question that a recorded flow asks of the policies of now. */
import type { Flow, FlowEndpoint, FlowL7 } from '../model/flow.ts';
import { LabelSet } from '../model/labels.ts';
import { CirriError } from '../std/errors.ts';
import { connect, type Connection } from './connection.ts';
import { namedTarget, resolveEnd, resolvePort } from './ends.ts';
import { apiKeyNumber } from './kafka-keys.ts';
import type { L7Request } from './requests.ts';
import type { World } from './world.ts';

/** Throws CirriError ERR_END where an end is no longer there. */
export function flowConnection(world: World, flow: Flow): Connection {
  // A reply was judged when its request was: the question is about the one who began.
  const [source, destination] = flow.isReply === true ? [flow.destination, flow.source] : [flow.source, flow.destination];
  const number = flow.isReply === true ? flow.sourcePort : flow.destinationPort;
  const found = resolveEnd(world, nameOf(world, destination), 'default');
  const name = destination.names?.find(each => world.identityOfName(each) !== undefined);
  const to = name === undefined ? found : namedTarget(world, found, name);
  const protocol = flow.protocol.replace('ICMPv4', 'ICMP');
  const connection = connect(world, resolveEnd(world, nameOf(world, source), 'default'), to, resolvePort(to, number === undefined ? String(flow.icmpType ?? '') : String(number), protocol), requestOf(flow.l7));
  const byHeader = connection.legs.some(leg => leg.steps.some(step => step.refusal?.startsWith('header ')));
  return byHeader ? { ...connection, notes: [...connection.notes, 'of the request\'s headers only those are known that flows are to show'] } : connection;
}

/** What was said, as far as it was recorded: of a request's headers only those that flows are to show. */
function requestOf(l7: FlowL7 | undefined): L7Request | undefined {
  if (l7?.http) {
    const { method, url, headers = [] } = l7.http;
    const [, host, path] = /^[a-z]+:\/\/([^/?#]*)(.*)$/i.exec(url) ?? [undefined, undefined, url];
    return { http: { method, path: path === '' ? '/' : path!, ...(host !== undefined && { host }), headers: Object.fromEntries(headers.map(({ key, value }) => [key, value])) } };
  }
  if (l7?.dns) return { dns: l7.dns.query };
  const apiKey = l7?.kafka && (/^\d+$/.test(l7.kafka.apiKey) ? Number(l7.kafka.apiKey) : apiKeyNumber(l7.kafka.apiKey.toLowerCase()));
  return apiKey === undefined ? undefined : { kafka: { apiKey, apiVersion: l7!.kafka!.apiVersion, topics: l7!.kafka!.topic === undefined || l7!.kafka!.topic === '' ? [] : [l7!.kafka!.topic] } };
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
