import type { Flow, FlowEndpoint } from '../model/flow.ts';
import type { FlowFilter } from './filter.ts';

/**
 * Hubble's filters as their description reads, value by value, with nothing kept and nothing shared: what the compiled ones are
 * held to. Patterns are JavaScript's here, so tests use only what both dialects mean alike.
 */
export function naivePasses(flow: Flow, whitelist: readonly FlowFilter[], blacklist: readonly FlowFilter[]): boolean {
  return (whitelist.length === 0 || whitelist.some(filter => naiveMatch(flow, filter))) && !blacklist.some(filter => naiveMatch(flow, filter));
}

export function naiveMatch(flow: Flow, filter: FlowFilter): boolean {
  return Object.entries(filter).every(([field, values]) => {
    const list = values as readonly unknown[];
    return list.length === 0 || list.some(value => naiveField(flow, field, value));
  });
}

function naiveField(flow: Flow, field: string, value: unknown): boolean {
  const side = /^(source|destination)_(.*)$/.exec(field);
  if (side && field !== 'source_ip_xlated') return naiveSide(flow, side[1] as 'source' | 'destination', side[2]!, value);
  const text = String(value);
  switch (field) {
    case 'uuid': return flow.id === value;
    case 'verdict': return flow.verdict === value;
    case 'reply': return flow.isReply === value;
    case 'encrypted': return (flow.encrypted ?? false) === value;
    case 'traffic_direction': return (flow.direction === 'UNKNOWN' ? 'TRAFFIC_DIRECTION_UNKNOWN' : flow.direction) === value;
    case 'ip_version': return flow.ipVersion === value;
    case 'drop_reason_desc': return flow.verdict === 'DROPPED' && { 130: 'INVALID_SOURCE_MAC', 133: 'POLICY_DENIED', 181: 'POLICY_DENY', 207: 'DROP_FRAG_NOT_FOUND_WORLD' }[flow.dropReasonCode ?? 0] === value;
    case 'protocol': return naiveProtocol(flow, text.toLowerCase());
    case 'source_ip_xlated': return flow.sourceXlated !== undefined && naiveIp(flow.sourceXlated, text);
    case 'trace_id': return flow.traceId !== undefined && flow.traceId === value;
    case 'ip_trace_id': return flow.ipTraceId !== undefined && String(flow.ipTraceId) === text;
    case 'http_status_code': return flow.l7?.http?.code !== undefined && (text.endsWith('+') ? String(flow.l7.http.code).startsWith(text.slice(0, -1)) : String(flow.l7.http.code) === text);
    case 'http_method': return flow.l7?.http?.method.toLowerCase() === text.toLowerCase();
    case 'http_url': return flow.l7?.http !== undefined && new RegExp(text).test(flow.l7.http.url);
    case 'http_path': return naivePath(flow, text);
    case 'http_header': return flow.l7?.http?.headers?.some(header => header.key === (value as { key: string }).key && header.value === (value as { value: string }).value) ?? false;
    case 'dns_query': return flow.l7?.dns !== undefined && new RegExp(text).test(flow.l7.dns.query);
    case 'tcp_flags': return flow.tcpFlags !== undefined && Object.entries(value as object).every(([flag, set]) => !set || flow.tcpFlags!.includes(flag as never));
    case 'event_type': return naiveEventType(flow, value as NonNullable<FlowFilter['event_type']>[number]);
    case 'node_labels': return naiveLabels(flow.nodeLabels ?? [], text);
    case 'node_name': return naiveNode(flow.nodeName, text);
    case 'interface': {
      const { name, index } = value as { name?: string; index?: number };
      return (flow.interfaceName !== undefined || flow.interfaceIndex !== undefined) && (!name || name === flow.interfaceName) && (!index || index === flow.interfaceIndex);
    }
    default: throw new Error(`no such field: ${field}`);
  }
}

function naiveSide(flow: Flow, side: 'source' | 'destination', field: string, value: unknown): boolean {
  const end: FlowEndpoint = flow[side];
  const text = String(value);
  switch (field) {
    case 'ip': return naiveIp(end.ip, text);
    case 'identity': return end.identity === value;
    case 'port': return ['TCP', 'UDP', 'SCTP'].includes(flow.protocol) && ((side === 'source' ? flow.sourcePort : flow.destinationPort) ?? 0) === Number(text);
    case 'pod': return naiveName(end.namespace ?? '', end.podName ?? '', text);
    case 'service': {
      const isItsSide = (flow.isReply === true) === (side === 'source');
      const service = flow.services ? flow.services[side] : isItsSide ? flow.service : undefined;
      return service !== undefined && naiveName(service.namespace, service.name, text);
    }
    case 'label': return naiveLabels(end.labels, text);
    case 'fqdn': return (end.names ?? []).some(name => naiveGlob(name.toLowerCase().replace(/\.$/, ''), text.trim().toLowerCase().replace(/\.$/, '')));
    case 'cluster_name': return end.clusterName === value;
    case 'workload': {
      const { name, kind } = value as { name?: string; kind?: string };
      return (end.workloads ?? []).some(workload => (!name || workload.name === name) && (!kind || workload.kind === kind));
    }
    default: throw new Error(`no such field: ${side}_${field}`);
  }
}

function naiveName(namespace: string, name: string, wanted: string): boolean {
  if (namespace === '' && name === '') return false;
  const [ns, prefix] = wanted.includes('/') ? [wanted.split('/')[0]!, wanted.split('/')[1]!] : ['default', wanted];
  return (ns === '' || ns === namespace) && name.slice(0, prefix.length) === prefix;
}

function naiveProtocol({ protocol, l7 }: Flow, wanted: string): boolean {
  if (wanted === 'icmp') return protocol.startsWith('ICMP');
  if (['dns', 'http', 'kafka'].includes(wanted)) return l7 !== undefined && wanted in l7;
  return protocol.toLowerCase() === wanted;
}

function naiveEventType(flow: Flow, wanted: { type?: number; match_sub_type?: boolean; sub_type?: number }): boolean {
  const type = { drop: 1, trace: 4, 'policy-verdict': 5, sock: 7, l7: 129, unknown: 0, debug: 2, capture: 3 }[flow.type];
  const points = ['to-endpoint', 'to-proxy', 'to-host', 'to-stack', 'to-overlay', 'from-endpoint', 'from-proxy', 'from-host', 'from-stack', 'from-overlay', 'from-network', 'to-network', 'from-crypto', 'to-crypto'];
  const sub = flow.subType ?? (flow.type === 'drop' ? flow.dropReasonCode ?? 0 : flow.type === 'trace' ? points.indexOf(flow.observationPoint!) : 0);
  return type === (wanted.type ?? 0) && (!wanted.match_sub_type || sub === (wanted.sub_type ?? 0));
}

function naivePath({ l7 }: Flow, pattern: string): boolean {
  if (!l7?.http) return false;
  try {
    const { url } = l7.http;
    const path = url.startsWith('/') ? url.split('?')[0]! : new URL(url).pathname;
    return new RegExp(pattern).test(path);
  } catch {
    return false;
  }
}

/** Bits of an address as a string of 0 and 1. */
function bitsOf(ip: string): string {
  if (ip === '') return '';
  if (ip.includes('.')) return ip.split('.').map(part => Number(part).toString(2).padStart(8, '0')).join('');
  const [head = '', tail = ''] = ip.split('::');
  const words = (text: string) => (text === '' ? [] : text.split(':'));
  const zeros = Array<string>(8 - words(head).length - words(tail).length).fill('0');
  return (ip.includes('::') ? [...words(head), ...zeros, ...words(tail)] : words(ip)).map(word => parseInt(word, 16).toString(2).padStart(16, '0')).join('');
}

function naiveIp(ip: string, wanted: string): boolean {
  if (ip === '') return false;
  const [address, length] = wanted.split('/') as [string, string | undefined];
  const [have, want] = [bitsOf(ip), bitsOf(address)];
  return have.length === want.length && have.slice(0, length === undefined ? undefined : Number(length)) === want.slice(0, length === undefined ? undefined : Number(length));
}

/** `*` is any run of characters of names. */
function naiveGlob(text: string, pattern: string): boolean {
  if (pattern === '') return text === '';
  if (pattern[0] !== '*') return text[0] === pattern[0] && naiveGlob(text.slice(1), pattern.slice(1));
  for (let i = 0; i <= text.length; i++) {
    if (naiveGlob(text.slice(i), pattern.slice(1))) return true;
    if (i < text.length && !/[-.0-9_a-z]/.test(text[i]!)) return false;
  }
  return false;
}

function naiveNode(name: string, pattern: string): boolean {
  const [cluster, node] = (name.includes('/') ? name : `default/${name}`).split('/') as [string, string];
  const [wantedCluster, wantedNode] = pattern.includes('/') ? (pattern.split('/') as [string, string]) : ['', pattern];
  const half = (text: string, wanted: string) => (wanted === '' ? text !== '' : naiveGlob(text, wanted));
  return half(cluster, wantedCluster) && half(node, wantedNode);
}

/** One requirement a value in these tests, or several joined by commas outside of brackets. */
function naiveLabels(labels: readonly string[], selector: string): boolean {
  return selector.split(/,(?![^(]*\))/).every(part => {
    const match = /^(!?)\s*([\w.:/-]+?)\s*(?:(==|=|!=)\s*(\S*)|\s(in|notin)\s*\((.*)\))?$/.exec(part.trim())!;
    const [, not, written, operator, single, set, list] = match;
    const key = written!.replace(/^any:/, '');
    const values = labels.filter(label => {
      const left = label.split('=')[0]!;
      return key.includes(':') ? left === key : (left.includes(':') ? left.slice(left.indexOf(':') + 1) : left) === key;
    }).map(label => (label.includes('=') ? label.slice(label.indexOf('=') + 1) : ''));
    const wanted = list?.split(',').map(value => value.trim()) ?? [single ?? ''];
    const has = values.some(value => wanted.includes(value));
    if (operator === '!=' || set === 'notin') return !has;
    if (operator !== undefined || set === 'in') return has;
    return not === '!' ? values.length === 0 : values.length > 0;
  });
}
