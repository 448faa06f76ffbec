import type { FlowFilter } from './filter.ts';
import { FilterTracker } from './flag-tracker.ts';
import { messageTypes, refuse, verdicts } from './flag-values.ts';

/**
 * The filter flags of `hubble observe`, in the order in which they were written: `--not` turns the next one round. A flag
 * without a side (`--pod`) makes two filters, source or destination; one with a side (`--from-pod`) narrows both. Repeated
 * values are alternatives, different flags must all match.
 */
export interface FlagFilters {
  readonly whitelist: readonly FlowFilter[];
  readonly blacklist: readonly FlowFilter[];
}

export type FlagUse = readonly [name: string, value: string];

/** Filter flags that take a value, with what to write there. */
export const filterFlags: readonly (readonly [name: string, value: string, help: string])[] = [
  ['namespace', 'ns', 'either end is in this namespace'],
  ['from-namespace', 'ns', 'the source is in this namespace'],
  ['to-namespace', 'ns', 'the destination is in this namespace'],
  ['pod', '[ns/]prefix', 'either end is a pod whose name begins so (ns/ alone: any pod there)'],
  ['from-pod', '[ns/]prefix', 'the source is such a pod'],
  ['to-pod', '[ns/]prefix', 'the destination is such a pod'],
  ['service', '[ns/]prefix', 'either end is such a service'],
  ['from-service', '[ns/]prefix', 'the source is such a service: replies'],
  ['to-service', '[ns/]prefix', 'the destination is such a service'],
  ['workload', '[kind/]name', 'either end is run by such a workload (Deployment/web, Deployment/, web)'],
  ['from-workload', '[kind/]name', 'the source is run by it'],
  ['to-workload', '[kind/]name', 'the destination is run by it'],
  ['cluster', 'name', 'either end is in this cluster'],
  ['from-cluster', 'name', 'the source is in this cluster'],
  ['to-cluster', 'name', 'the destination is in this cluster'],
  ['ip', 'ip|cidr', 'either end has such an address'],
  ['from-ip', 'ip|cidr', 'the source has such an address'],
  ['to-ip', 'ip|cidr', 'the destination has such an address'],
  ['snat-ip', 'ip|cidr', 'the source was masqueraded as such an address'],
  ['fqdn', 'pattern', 'either end was looked up under such a name (* is any run of characters)'],
  ['from-fqdn', 'pattern', 'the source has such a name'],
  ['to-fqdn', 'pattern', 'the destination has such a name'],
  ['label', 'selector', 'the labels of either end match (app=web,tier in (a,b))'],
  ['from-label', 'selector', 'the labels of the source match'],
  ['to-label', 'selector', 'the labels of the destination match'],
  ['identity', 'number|name', 'either end has this identity (world, host, … by name)'],
  ['from-identity', 'number|name', 'the source has this identity'],
  ['to-identity', 'number|name', 'the destination has this identity'],
  ['port', 'port', 'either end has this port'],
  ['from-port', 'port', 'the source has this port'],
  ['to-port', 'port', 'the destination has this port'],
  ['protocol', 'name', 'tcp, udp, sctp, icmp, icmpv4, icmpv6, vrrp, igmp, dns, http, kafka'],
  ['verdict', 'names', `${verdicts.join(', ')}; a comma joins several`],
  ['type', 'type[:sub]', `${[...messageTypes.keys()].filter(name => name !== 'debug' && name !== 'agent').join(', ')}; trace:to-endpoint and so on`],
  ['drop-reason-desc', 'name', 'drops for this reason (POLICY_DENIED …)'],
  ['traffic-direction', 'way', 'ingress or egress'],
  ['tcp-flags', 'flags', 'all of these flags are set (SYN,ACK)'],
  ['ip-version', 'v', 'v4, v6, IPv4 or IPv6'],
  ['http-status', 'code', 'HTTP answers with this status (404), or one that begins so (5+, 40+)'],
  ['http-method', 'method', 'HTTP requests by this method'],
  ['http-path', 'regexp', 'HTTP requests whose path has a match'],
  ['http-url', 'regexp', 'HTTP requests whose URL has a match'],
  ['http-header', 'name:value', 'HTTP requests with this header'],
  ['dns-query', 'regexp', 'DNS requests for a name that has a match'],
  ['trace-id', 'id', 'requests with this trace id (W3C traceparent)'],
  ['ip-trace-id', 'number', 'packets with this id in an IP option'],
  ['node-name', 'pattern', 'seen on such a node ([cluster/]node, with *)'],
  ['node-label', 'selector', 'seen on a node whose labels match'],
  ['interface', 'name', 'seen on this device'],
  ['cel-expression', 'text', 'a CEL expression over _flow that is true'],
  ['uuid', 'id', 'the flow with this id'],
];

/** Filter flags without a value. */
export const filterSwitches: readonly (readonly [name: string, help: string])[] = [
  ['not', 'turns the next filter round'],
  ['reply', 'replies only'],
  ['not-reply', 'no replies'],
  ['encrypted', 'encrypted between the nodes'],
  ['unencrypted', 'not encrypted between the nodes'],
  ['all-namespaces', 'pods of any namespace'],
  ['from-all-namespaces', 'the source is a pod of any namespace'],
  ['to-all-namespaces', 'the destination is a pod of any namespace'],
  ['ipv4', 'IPv4 only'],
  ['ipv6', 'IPv6 only'],
];

/** Flags with one letter. */
export const shortFilterFlags: Readonly<Record<string, string>> = { namespace: 'n', label: 'l', type: 't', 'all-namespaces': 'A', ipv4: '4', ipv6: '6' };

/** Flags in order → filters. Throws CirriError naming the flag. */
export function filtersFromFlags(uses: readonly FlagUse[]): FlagFilters {
  const white = new FilterTracker();
  const black = new FilterTracker();
  let inverted = false;
  for (const [name, value] of uses) {
    if (name === 'not') {
      if (inverted) throw refuse('consecutive --not statements');
      inverted = true;
      continue;
    }
    (inverted ? black : white).add(name, value);
    inverted = false;
  }
  if (inverted) throw refuse('stands at the end', 'not', 'write it before the filter that it turns round: --not --namespace kube-system');
  return { whitelist: white.filters(), blacklist: black.filters() };
}
