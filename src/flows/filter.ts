import type { Flow, TcpFlag } from '../model/flow.ts';
import { byCluster, byFqdn, byIp, byLabel, byPod, byService, byWorkload } from './filter-ends.ts';
import { filterError } from './filter-error.ts';
import {
  byDirection, byEventType, byFlags, byIdentity, byInterface, byIpTraceId, byIpVersion, byNode, byNodeLabels, byPort, byProtocol, byReason, byTraceId, byUuid, byVerdict, byXlated,
} from './filter-fields.ts';
import { byDnsQuery, byHeader, byMethod, byPath, byStatus, byUrl, checkHttpTypes } from './filter-l7.ts';

export { eventTypeOf } from './event-type.ts';

/**
 * Hubble's FlowFilter (flow.proto) in its JSON names: all fields that are set must match; within a field any value does.
 * A whitelist is an OR of filters, a blacklist drops what any of its filters matches.
 */
export interface FlowFilter {
  readonly uuid?: readonly string[];
  readonly source_ip?: readonly string[];
  /** The source after masquerade. */
  readonly source_ip_xlated?: readonly string[];
  readonly source_pod?: readonly string[];
  readonly source_fqdn?: readonly string[];
  readonly source_label?: readonly string[];
  readonly source_service?: readonly string[];
  readonly source_workload?: readonly { readonly name?: string; readonly kind?: string }[];
  readonly source_cluster_name?: readonly string[];
  readonly source_identity?: readonly number[];
  readonly source_port?: readonly string[];
  readonly destination_ip?: readonly string[];
  readonly destination_pod?: readonly string[];
  readonly destination_fqdn?: readonly string[];
  readonly destination_label?: readonly string[];
  readonly destination_service?: readonly string[];
  readonly destination_workload?: readonly { readonly name?: string; readonly kind?: string }[];
  readonly destination_cluster_name?: readonly string[];
  readonly destination_identity?: readonly number[];
  readonly destination_port?: readonly string[];
  readonly verdict?: readonly string[];
  readonly drop_reason_desc?: readonly string[];
  readonly event_type?: readonly { readonly type?: number; readonly match_sub_type?: boolean; readonly sub_type?: number }[];
  readonly protocol?: readonly string[];
  readonly reply?: readonly boolean[];
  readonly encrypted?: readonly boolean[];
  readonly traffic_direction?: readonly string[];
  readonly tcp_flags?: readonly Readonly<Partial<Record<TcpFlag, boolean>>>[];
  readonly node_name?: readonly string[];
  readonly node_labels?: readonly string[];
  readonly ip_version?: readonly string[];
  readonly interface?: readonly { readonly name?: string; readonly index?: number }[];
  readonly http_status_code?: readonly string[];
  readonly http_method?: readonly string[];
  readonly http_path?: readonly string[];
  readonly http_url?: readonly string[];
  readonly http_header?: readonly { readonly key?: string; readonly value?: string }[];
  readonly dns_query?: readonly string[];
  readonly trace_id?: readonly string[];
  /** As text where it comes from protobuf's JSON. */
  readonly ip_trace_id?: readonly (number | string)[];
  /** `cel_expression` is refused: there is no CEL here. */
  readonly experimental?: { readonly cel_expression?: readonly string[] };
}

/** Pure, and without allocation for a flow whose ends it has seen. */
export type FlowPredicate = (flow: Flow) => boolean;

/** Compiles one filter. Throws CirriError ERR_FLOW_FILTER naming the field and the value that does not parse. */
export function compileFilter(filter: FlowFilter): FlowPredicate {
  const tests: FlowPredicate[] = [];
  for (const [field, values] of Object.entries(filter) as [keyof FlowFilter, unknown][]) {
    if (values === undefined || values === null) continue;
    if (field === 'experimental') {
      refuseCel(values);
      continue;
    }
    const compile = Object.hasOwn(fields, field) ? fields[field] as (values: readonly unknown[]) => FlowPredicate : undefined;
    if (!compile) throw filterError(field, 'is not a filter that is known here');
    if (!Array.isArray(values)) throw filterError(field, 'its values are a list');
    checkValues(field, values);
    if (values.length > 0) tests.push(compile(values));
  }
  checkHttpTypes(filter);
  if (tests.length === 1) return tests[0]!;
  return flow => {
    for (let i = 0; i < tests.length; i++) if (!tests[i]!(flow)) return false;
    return true;
  };
}

/** Whitelist and blacklist together. */
export function compileFilters(whitelist: readonly FlowFilter[], blacklist: readonly FlowFilter[]): FlowPredicate {
  const wanted = anyOf(whitelist.map(compileFilter));
  const unwanted = anyOf(blacklist.map(compileFilter));
  if (whitelist.length === 0) return blacklist.length === 0 ? () => true : flow => !unwanted(flow);
  return blacklist.length === 0 ? wanted : flow => wanted(flow) && !unwanted(flow);
}

function anyOf(tests: readonly FlowPredicate[]): FlowPredicate {
  if (tests.length === 1) return tests[0]!;
  return flow => {
    for (let i = 0; i < tests.length; i++) if (tests[i]!(flow)) return true;
    return false;
  };
}

const source = (flow: Flow) => flow.source;
const destination = (flow: Flow) => flow.destination;
const sourceService = (flow: Flow) => flow.services?.source ?? (flow.isReply === true ? flow.service : undefined);
const destinationService = (flow: Flow) => flow.services?.destination ?? (flow.isReply === true ? undefined : flow.service);

type ListField = Exclude<keyof FlowFilter, 'experimental'>;

const fields: { readonly [F in ListField]-?: (values: NonNullable<FlowFilter[F]>) => FlowPredicate } & { readonly experimental?: undefined } = {
  uuid: byUuid,
  verdict: byVerdict,
  event_type: byEventType,
  reply: values => flow => flow.isReply !== undefined && values.includes(flow.isReply),
  encrypted: values => flow => values.includes(flow.encrypted === true),
  traffic_direction: byDirection,
  ip_version: byIpVersion,
  drop_reason_desc: byReason,
  protocol: byProtocol,
  source_port: values => byPort(values, flow => flow.sourcePort, 'source_port'),
  destination_port: values => byPort(values, flow => flow.destinationPort, 'destination_port'),
  tcp_flags: byFlags,
  source_identity: values => byIdentity(values, flow => flow.source.identity, 'source_identity'),
  destination_identity: values => byIdentity(values, flow => flow.destination.identity, 'destination_identity'),
  source_ip: values => byIp(values, source, 'source_ip'),
  destination_ip: values => byIp(values, destination, 'destination_ip'),
  source_ip_xlated: byXlated,
  source_pod: values => byPod(values, source, 'source_pod'),
  destination_pod: values => byPod(values, destination, 'destination_pod'),
  source_fqdn: values => byFqdn(values, source, 'source_fqdn'),
  destination_fqdn: values => byFqdn(values, destination, 'destination_fqdn'),
  source_label: values => byLabel(values, source),
  destination_label: values => byLabel(values, destination),
  source_workload: values => byWorkload(values, source),
  destination_workload: values => byWorkload(values, destination),
  source_cluster_name: values => byCluster(values, source, 'source_cluster_name'),
  destination_cluster_name: values => byCluster(values, destination, 'destination_cluster_name'),
  source_service: values => byService(values, sourceService, 'source_service'),
  destination_service: values => byService(values, destinationService, 'destination_service'),
  node_name: byNode,
  node_labels: byNodeLabels,
  interface: byInterface,
  http_status_code: byStatus,
  http_method: byMethod,
  http_path: byPath,
  http_url: byUrl,
  http_header: byHeader,
  dns_query: byDnsQuery,
  trace_id: byTraceId,
  ip_trace_id: byIpTraceId,
};

const objectFields: ReadonlySet<string> = new Set<ListField>(['event_type', 'tcp_flags', 'interface', 'http_header', 'source_workload', 'destination_workload']);
const numberFields: ReadonlySet<string> = new Set<ListField>(['source_identity', 'destination_identity', 'ip_trace_id']);
/** Enums: a number is a value that has no word. */
const enumFields: ReadonlySet<string> = new Set<ListField>(['verdict', 'drop_reason_desc', 'traffic_direction', 'ip_version']);
const booleanFields: ReadonlySet<string> = new Set<ListField>(['reply', 'encrypted']);
const mostValues = 4096;

/** Filters come from files and from the network: what is not of the field's type is named, not guessed. */
function checkValues(field: string, values: readonly unknown[]): void {
  if (values.length > mostValues) throw filterError(field, `${values.length} values; at most ${mostValues} are taken`);
  for (const value of values) {
    const type = typeof value;
    const good = objectFields.has(field) ? type === 'object' && value !== null
      : booleanFields.has(field) ? type === 'boolean'
      : numberFields.has(field) ? type === 'number' || (field === 'ip_trace_id' && type === 'string')
      : type === 'string' || (enumFields.has(field) && type === 'number');
    if (!good) throw filterError(field, `${JSON.stringify(value)} is not a value of it`);
  }
}

function refuseCel(experimental: unknown): void {
  const { cel_expression: expressions } = experimental as NonNullable<FlowFilter['experimental']>;
  if (expressions && expressions.length > 0) throw filterError('experimental.cel_expression', 'CEL expressions are not evaluated here; the other fields say most of what they can');
}
