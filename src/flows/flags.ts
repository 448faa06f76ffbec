import { CirriError } from '../std/errors.ts';
import { observationPoints } from './enrich.ts';
import { EventType } from './event.ts';
import type { FlowFilter } from './filter.ts';

/**
 * The filter flags of `hubble observe`, in the order in which they were written: `--not` turns the next one round. A flag
 * without a side (`--pod`) makes two filters, source or destination; one with a side (`--from-pod`) narrows both.
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
  ['service', '[ns/]prefix', 'the flow was to such a service'],
  ['to-service', '[ns/]prefix', 'the flow was to such a service'],
  ['from-service', '[ns/]prefix', 'the flow is a reply from such a service'],
  ['ip', 'ip|cidr', 'either end has such an address'],
  ['from-ip', 'ip|cidr', 'the source has such an address'],
  ['to-ip', 'ip|cidr', 'the destination has such an address'],
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
  ['protocol', 'name', 'tcp, udp, sctp, icmp, icmpv4, icmpv6'],
  ['verdict', 'names', 'FORWARDED, DROPPED, AUDIT, REDIRECTED, ERROR, TRANSLATED; a comma joins several'],
  ['type', 'type[:sub]', 'drop, trace[:to-endpoint …], policy-verdict, l7'],
  ['drop-reason-desc', 'name', 'drops for this reason (POLICY_DENIED …)'],
  ['traffic-direction', 'way', 'ingress or egress'],
  ['tcp-flags', 'flags', 'all of these flags are set (SYN,ACK)'],
  ['ip-version', 'v', 'v4, v6, IPv4 or IPv6'],
  ['node-name', 'pattern', 'seen on such a node'],
  ['interface', 'name', 'seen on this device'],
  ['uuid', 'id', 'the flow with this id'],
];

/** Filter flags without a value. */
export const filterSwitches: readonly (readonly [name: string, help: string])[] = [
  ['not', 'turns the next filter round'],
  ['reply', 'replies only'],
  ['not-reply', 'no replies'],
  ['all-namespaces', 'pods of any namespace'],
  ['ipv4', 'IPv4 only'],
  ['ipv6', 'IPv6 only'],
];

/** Flags in order → filters. Throws CirriError naming the flag. */
export function filtersFromFlags(uses: readonly FlagUse[]): FlagFilters {
  const white = new Tracker();
  const black = new Tracker();
  let inverted = false;
  for (const [name, value] of uses) {
    if (name === 'not') {
      inverted = true;
      continue;
    }
    (inverted ? black : white).add(name, value);
    inverted = false;
  }
  if (inverted) throw flagError('not', 'stands at the end', 'write it before the filter that it turns round: --not --namespace kube-system');
  return { whitelist: white.filters(), blacklist: black.filters() };
}

type MutableFilter = { -readonly [F in keyof FlowFilter]: FlowFilter[F] };
type Side = 'source' | 'destination';

/** Two filters side by side: `left` holds undirected flags as the source, `right` as the destination. */
class Tracker {
  readonly #left: MutableFilter = {};
  readonly #right: MutableFilter = {};
  readonly #pods = new Map<string, { namespaces: string[]; names: string[] }>();
  #used = false;

  add(name: string, value: string): void {
    this.#used = true;
    const directed = /^(from|to)-(namespace|pod|service|ip|fqdn|label|identity|port)$/.exec(name);
    const field = directed?.[2] ?? name;
    const sides: readonly Side[] = directed ? [directed[1] === 'from' ? 'source' : 'destination'] : ['source', 'destination'];
    const key = directed ? directed[1]! : 'any';
    switch (field) {
      case 'namespace': return void this.#pod(key).namespaces.push(value);
      case 'all-namespaces': return void this.#pod('any').namespaces.push('');
      case 'pod': return void this.#pod(key).names.push(value);
      case 'service': return this.#ends(name === 'service' ? ['destination'] : sides, 'service', qualified(value), directed !== null || name === 'service');
      case 'ip': case 'fqdn': case 'label': case 'port': return this.#ends(sides, field, value, directed !== null);
      case 'identity': return this.#ends(sides, 'identity', identityNumber(name, value), directed !== null);
      default: return this.#both(name, value);
    }
  }

  filters(): FlowFilter[] {
    if (!this.#used) return [];
    for (const [key, { namespaces, names }] of this.#pods) this.#addPods(key, namespaces, names);
    this.#pods.clear();
    return JSON.stringify(this.#left) === JSON.stringify(this.#right) ? [this.#left] : [this.#left, this.#right];
  }

  #pod(key: string): { namespaces: string[]; names: string[] } {
    let entry = this.#pods.get(key);
    if (!entry) this.#pods.set(key, (entry = { namespaces: [], names: [] }));
    return entry;
  }

  #addPods(key: string, namespaces: readonly string[], names: readonly string[]): void {
    const sides: readonly Side[] = key === 'any' ? ['source', 'destination'] : [key === 'from' ? 'source' : 'destination'];
    const values =
      names.length === 0 ? namespaces.map(namespace => `${namespace}/`)
      : namespaces.length === 0 ? names.map(qualified)
      : names.flatMap(name => (name.includes('/') ? [name] : namespaces.map(namespace => `${namespace}/${name}`)));
    for (const value of values) this.#ends(sides, 'pod', value, key !== 'any');
  }

  /** An undirected value is the source's in one filter and the destination's in the other; a directed one is in both. */
  #ends(sides: readonly Side[], field: string, value: string | number, directed: boolean): void {
    for (const side of sides) {
      const targets = directed ? [this.#left, this.#right] : [side === 'source' ? this.#left : this.#right];
      for (const target of targets) append(target, `${side}_${field}` as keyof FlowFilter, value);
    }
  }

  #both(name: string, value: string): void {
    for (const target of [this.#left, this.#right]) {
      switch (name) {
        case 'protocol': append(target, 'protocol', value.toLowerCase()); break;
        case 'verdict': for (const verdict of value.split(',')) append(target, 'verdict', verdictName(verdict)); break;
        case 'type': append(target, 'event_type', eventType(value)); break;
        case 'drop-reason-desc': append(target, 'drop_reason_desc', value.toUpperCase()); break;
        case 'traffic-direction': append(target, 'traffic_direction', oneOf(name, value.toUpperCase(), ['INGRESS', 'EGRESS'])); break;
        case 'tcp-flags': append(target, 'tcp_flags', tcpFlags(value)); break;
        case 'ip-version': append(target, 'ip_version', /6$/.test(oneOf(name, value.toLowerCase(), ['v4', 'v6', 'ipv4', 'ipv6', '4', '6'])) ? 'IPv6' : 'IPv4'); break;
        case 'ipv4': append(target, 'ip_version', 'IPv4'); break;
        case 'ipv6': append(target, 'ip_version', 'IPv6'); break;
        case 'reply': append(target, 'reply', true); break;
        case 'not-reply': append(target, 'reply', false); break;
        case 'node-name': append(target, 'node_name', value); break;
        case 'interface': append(target, 'interface', { name: value }); break;
        case 'uuid': append(target, 'uuid', value); break;
        default: throw flagError(name, 'is not a filter');
      }
    }
  }
}

/** Reserved identities by name (numeric identities of Cilium). */
export const reservedIdentities: ReadonlyMap<string, number> = new Map([
  ['host', 1], ['world', 2], ['unmanaged', 3], ['health', 4], ['init', 5], ['remote-node', 6], ['kube-apiserver', 7], ['ingress', 8],
  ['world-ipv4', 9], ['world-ipv6', 10],
]);

const verdicts = ['FORWARDED', 'DROPPED', 'ERROR', 'AUDIT', 'REDIRECTED', 'TRACED', 'TRANSLATED'];
const eventTypes: ReadonlyMap<string, number> = new Map<string, number>(Object.entries({ ...EventType, 'policy-verdict': EventType.policyVerdict }));

function append(target: MutableFilter, field: keyof FlowFilter, value: unknown): void {
  const list = (target[field] ?? []) as readonly unknown[];
  (target as Record<string, unknown>)[field] = [...list, value];
}

function qualified(value: string): string {
  return value.includes('/') ? value : `default/${value}`;
}

function identityNumber(flag: string, value: string): number {
  const number = /^\d+$/.test(value) ? Number(value) : reservedIdentities.get(value.replace(/^reserved:/, ''));
  if (number === undefined) throw flagError(flag, `"${value}" is neither a number nor a reserved identity`, `known names: ${[...reservedIdentities.keys()].join(', ')}`);
  return number;
}

function verdictName(value: string): string {
  return oneOf('verdict', value.trim().toUpperCase(), verdicts);
}

function eventType(value: string): NonNullable<FlowFilter['event_type']>[number] {
  const [name, sub] = value.split(':') as [string, string | undefined];
  const type = /^\d+$/.test(name) ? Number(name) : eventTypes.get(name);
  if (type === undefined) throw flagError('type', `"${name}" is not a type of event`, 'known types: drop, trace, policy-verdict, l7');
  if (sub === undefined) return { type };
  const number = /^\d+$/.test(sub) ? Number(sub) : observationPoints.indexOf(sub);
  if (number < 0) throw flagError('type', `"${sub}" is not a kind of ${name}`, `known kinds of trace: ${observationPoints.join(', ')}`);
  return { type, match_sub_type: true, sub_type: number };
}

function tcpFlags(value: string): NonNullable<FlowFilter['tcp_flags']>[number] {
  const known = ['FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG', 'ECE', 'CWR'];
  return Object.fromEntries(value.split(',').map(flag => [oneOf('tcp-flags', flag.trim().toUpperCase(), known), true]));
}

function oneOf(flag: string, value: string, allowed: readonly string[]): string {
  if (!allowed.includes(value)) throw flagError(flag, `"${value}" is not one of ${allowed.join(', ')}`);
  return value;
}

function flagError(flag: string, message: string, mend?: string): CirriError {
  return new CirriError('ERR_FLAG', `--${flag}: ${message}`, mend === undefined ? {} : { mend });
}
