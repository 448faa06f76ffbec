import type { FlowFilter } from './filter.ts';
import {
  directionValue, dropReasonValue, eventTypeValue, headerValue, identityValue, ipTraceIdValue, ipVersionValue, refuse, tcpFlagsValue, verdictValues, workloadValue,
} from './flag-values.ts';

type Draft = Record<string, unknown>;
type Side = 'source' | 'destination';
type Parse = (value: string) => unknown;

const asWritten: Parse = value => value;

/** Flags that come in three: `--x` (either end), `--from-x`, `--to-x`: what the field is called after `source_` and `destination_`. */
const ends: Readonly<Record<string, readonly [field: string, parse: Parse]>> = {
  pod: ['pod', asWritten],
  service: ['service', asWritten],
  ip: ['ip', asWritten],
  fqdn: ['fqdn', asWritten],
  label: ['label', asWritten],
  identity: ['identity', identityValue],
  port: ['port', asWritten],
  workload: ['workload', workloadValue],
  cluster: ['cluster_name', asWritten],
};

/** Flags for the flow as a whole. */
const whole: Readonly<Record<string, readonly [field: string, parse: Parse]>> = {
  uuid: ['uuid', asWritten],
  'snat-ip': ['source_ip_xlated', asWritten],
  ipv4: ['ip_version', () => 'IPv4'],
  ipv6: ['ip_version', () => 'IPv6'],
  'ip-version': ['ip_version', ipVersionValue],
  'trace-id': ['trace_id', asWritten],
  'ip-trace-id': ['ip_trace_id', ipTraceIdValue],
  'drop-reason-desc': ['drop_reason_desc', dropReasonValue],
  'http-status': ['http_status_code', asWritten],
  'http-method': ['http_method', asWritten],
  'http-path': ['http_path', asWritten],
  'http-url': ['http_url', asWritten],
  'http-header': ['http_header', headerValue],
  'dns-query': ['dns_query', asWritten],
  type: ['event_type', eventTypeValue],
  protocol: ['protocol', value => value.toLowerCase()],
  'node-name': ['node_name', asWritten],
  'node-label': ['node_labels', asWritten],
  'tcp-flags': ['tcp_flags', tcpFlagsValue],
  'traffic-direction': ['traffic_direction', directionValue],
  interface: ['interface', name => ({ name })],
  reply: ['reply', () => true],
  'not-reply': ['reply', () => false],
  encrypted: ['encrypted', () => true],
  unencrypted: ['encrypted', () => false],
};

const namespaceFlag = /^(?:(from|to)-)?(?:all-)?namespaces?$/;

/** Flags of which one excludes the others of its line. */
const conflicts: readonly (readonly string[])[] = [
  ['from-fqdn', 'from-ip', 'ip', 'fqdn', 'from-namespace', 'namespace', 'from-all-namespaces', 'all-namespaces'],
  ['from-fqdn', 'from-ip', 'ip', 'fqdn', 'from-pod', 'pod'],
  ['to-fqdn', 'to-ip', 'ip', 'fqdn', 'to-namespace', 'namespace', 'to-all-namespaces', 'all-namespaces'],
  ['to-fqdn', 'to-ip', 'ip', 'fqdn', 'to-pod', 'pod'],
  ['to-pod', 'namespace', 'all-namespaces'],
  ['from-pod', 'namespace', 'all-namespaces'],
  ['to-service', 'namespace', 'all-namespaces'],
  ['from-service', 'namespace', 'all-namespaces'],
  ['label', 'from-label'],
  ['label', 'to-label'],
  ['service', 'from-service'],
  ['service', 'to-service'],
  ['port', 'to-port'],
  ['port', 'from-port'],
  ['identity', 'to-identity'],
  ['identity', 'from-identity'],
  ['workload', 'to-workload'],
  ['workload', 'from-workload'],
  ['encrypted', 'unencrypted'],
];

/**
 * Two filters side by side, of which either may match: `left` holds what is true of either end as the source's, `right` as the
 * destination's. What is true of one end, or of the flow, is in both; when both are equal, one is enough.
 */
export class FilterTracker {
  readonly #left: Draft = {};
  readonly #right: Draft = {};
  readonly #namespaces: Record<'any' | 'from' | 'to', string[]> = { any: [], from: [], to: [] };
  readonly #used = new Set<string>();

  add(name: string, value: string): void {
    this.#used.add(name);
    this.#checkConflicts();
    this.#set(name, value);
    this.#checkNamespaces(this.#left);
    this.#checkNamespaces(this.#right);
  }

  filters(): FlowFilter[] {
    if (this.#used.size === 0) return [];
    for (const draft of [this.#left, this.#right]) {
      qualify(draft, 'destination', this.#namespaces.to);
      qualify(draft, 'source', this.#namespaces.from);
    }
    qualify(this.#left, 'source', this.#namespaces.any);
    qualify(this.#right, 'destination', this.#namespaces.any);
    return JSON.stringify(this.#left) === JSON.stringify(this.#right) ? [this.#left as FlowFilter] : [this.#left as FlowFilter, this.#right as FlowFilter];
  }

  #set(name: string, value: string): void {
    const namespace = namespaceFlag.exec(name);
    if (namespace) return void this.#namespaces[(namespace[1] ?? 'any') as 'any' | 'from' | 'to'].push(name.endsWith('namespaces') ? '' : value);
    const [, way, bare] = /^(?:(from|to)-)?(.*)$/.exec(name)! as unknown as [string, string | undefined, string];
    const end = ends[bare];
    if (end) return this.#setEnd(way, end[0], end[1](value));
    if (name === 'verdict') return verdictValues(value).forEach(verdict => this.#setBoth('verdict', verdict));
    if (name === 'cel-expression') return this.#setExpression(value);
    const flow = whole[name];
    if (!flow) throw refuse('is not a filter', name);
    this.#setBoth(flow[0], flow[1](value));
  }

  #setEnd(way: string | undefined, field: string, value: unknown): void {
    if (way !== undefined) return this.#setBoth(`${way === 'from' ? 'source' : 'destination'}_${field}`, value);
    append(this.#left, `source_${field}`, value);
    append(this.#right, `destination_${field}`, value);
  }

  #setBoth(field: string, value: unknown): void {
    append(this.#left, field, value);
    append(this.#right, field, value);
  }

  #setExpression(value: string): void {
    for (const draft of [this.#left, this.#right]) append((draft['experimental'] ??= {}) as Draft, 'cel_expression', value);
  }

  #checkConflicts(): void {
    for (const group of conflicts) {
      const [first, second] = group.filter(flag => this.#used.has(flag));
      if (second !== undefined) throw refuse(`filters --${first} and --${second} cannot be combined`);
    }
  }

  /** A pod or service that names its namespace must lie in those that were asked for, and both in the same. */
  #checkNamespaces(draft: Draft): void {
    const problems: string[] = [];
    for (const [side, own] of [['source', this.#namespaces.from], ['destination', this.#namespaces.to]] as const) {
      const [pods, services] = [namesIn(draft, side, 'pod'), namesIn(draft, side, 'service')];
      for (const namespace of [...this.#namespaces.any, ...own]) {
        const outside = [...pods, ...services].find(name => namespaceOf(name) !== '' && namespaceOf(name) !== namespace);
        if (outside !== undefined) problems.push(`conflicting namepace: "${namespace}" does not contain "${outside}"`);
      }
      for (const pod of pods) {
        const other = namespaceOf(pod) === '' ? undefined : services.find(service => namespaceOf(service) !== namespaceOf(pod));
        if (other !== undefined) problems.push(`conflicting namepace: namespace of service "${other}" conflict with pod "${pod}"`);
      }
    }
    if (problems.length > 0) throw refuse(problems.join('\n'));
  }
}

function append(draft: Draft, field: string, value: unknown): void {
  draft[field] = [...((draft[field] ?? []) as readonly unknown[]), value];
}

function namesIn(draft: Draft, side: Side, kind: 'pod' | 'service'): readonly string[] {
  return (draft[`${side}_${kind}`] ?? []) as readonly string[];
}

function namespaceOf(name: string): string {
  const slash = name.indexOf('/');
  return slash < 0 ? '' : name.slice(0, slash);
}

/** Names without a namespace get those that were asked for; without a name, any pod there is meant. */
function qualify(draft: Draft, side: Side, namespaces: readonly string[]): void {
  if (namespaces.length === 0) return;
  const [pods, services] = [namesIn(draft, side, 'pod'), namesIn(draft, side, 'service')];
  const spell = (names: readonly string[]) => names.flatMap(name => (name.includes('/') ? [name] : namespaces.map(namespace => `${namespace}/${name}`)));
  if (services.length > 0) draft[`${side}_service`] = spell(services);
  if (pods.length > 0 || services.length === 0) draft[`${side}_pod`] = spell(pods.length > 0 ? pods : ['']);
}
