import type { Flow, FlowEndpoint } from '../../model/flow.ts';
import { reservedName } from '../../model/identity.ts';
import type { Paint } from './paint.ts';

/** The parts that Hubble's line formats share, in its own words. */
export interface FieldOptions {
  readonly paint: Paint;
  /** Names instead of addresses (Hubble's --ip-translation). */
  readonly names: boolean;
  /** Names of policies and rules, where known. */
  readonly policyNames: boolean;
  readonly formatTime: (time: string) => string;
  /** Which flows show the id that `cirri policy explain` takes. */
  readonly ids: ShownIds;
}

export type ShownIds = 'none' | 'denied' | 'all';

/** `Jan  1 00:20:34.567` in UTC (Go's time.StampMilli on a protobuf timestamp). */
export function stampMilli(time: string): string {
  const month = months[Number(time.slice(5, 7)) - 1] ?? '???';
  const day = String(Number(time.slice(8, 10))).padStart(2);
  return `${month} ${day} ${time.slice(11, 19)}.${(time.slice(20, 23).replace(/\D/g, '') || '000').padEnd(3, '0')}`;
}

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** `ns/pod:port`, DNS names or the address; ICMP has no port; IPv6 in brackets. */
export function hostText(flow: Flow, end: FlowEndpoint, options: FieldOptions): string {
  const port = flow.protocol.startsWith('ICMP') ? undefined : end === flow.source ? flow.sourcePort : flow.destinationPort;
  const { paint } = options;
  const host = options.names ? nameOf(flow, end) : undefined;
  if (port === undefined) return paint.host(host ?? safe(end.ip));
  const bare = host ?? (end.ip.includes(':') ? `[${safe(end.ip)}]` : safe(end.ip));
  return `${paint.host(bare)}:${paint.port(String(port))}`;
}

function nameOf(flow: Flow, end: FlowEndpoint): string | undefined {
  if (end.podName !== undefined) return safe(`${end.namespace}/${end.podName}`);
  if (flow.service && flow.service.ip === end.ip) return safe(`${flow.service.namespace}/${flow.service.name}`);
  if (end.names && end.names.length > 0) return safe(end.names.map(name => name.replace(/\.$/, '')).join(','));
  return undefined;
}

/** ` (world)` or ` (ID:12345)`; empty when there is none. */
export function identityText(end: FlowEndpoint, paint: Paint): string {
  if (end.identity === 0) return '';
  return ` ${paint.identity(`(${reservedName(end.identity) ?? `ID:${end.identity}`})`)}`;
}

/** What kind of event: observation point, reason of a drop, `policy-verdict:L3-L4 INGRESS`. */
export function typeText(flow: Flow): string {
  switch (flow.type) {
    case 'drop': return safe(flow.dropReason ?? 'Unknown reason');
    case 'trace': return safe(flow.observationPoint ?? 'trace');
    case 'policy-verdict': return `policy-verdict:${flow.shadow === undefined ? flow.policyMatch ?? 'none' : 'shadow'} ${flow.direction === 'UNKNOWN' ? 'TRAFFIC_DIRECTION_UNKNOWN' : flow.direction}`;
    default: return flow.type;
  }
}

/** Enum name of the verdict; policy verdicts say ALLOWED, DENIED, AUDITED and by whom. */
export function verdictText(flow: Flow, options: FieldOptions): string {
  const { paint } = options;
  if (flow.type !== 'policy-verdict') {
    const colour = flow.verdict === 'DROPPED' || flow.verdict === 'ERROR' ? paint.bad : flow.verdict === 'AUDIT' ? paint.careful : paint.good;
    return colour(flow.verdict);
  }
  if (flow.shadow !== undefined) return paint.careful(`${flow.shadow === 'deny' ? 'DENIED' : 'ALLOWED'} by shadow policy ${shadowPolicy(flow)}`);
  const by = options.policyNames ? policyBy(flow) : '';
  if (flow.verdict === 'DROPPED') return paint.bad('DENIED') + by;
  if (flow.verdict === 'AUDIT') return paint.careful('AUDITED') + by;
  return paint.good('ALLOWED') + by;
}

/** A difference without its policy's name would be of no use, so it is there without `--print-policy-names` too. */
function shadowPolicy({ rule }: Flow): string {
  if (!rule) return '(gone)';
  return safe(rule.namespace === undefined ? rule.name : `${rule.namespace}/${rule.name}`);
}

function policyBy(flow: Flow): string {
  const { rule } = flow;
  if (!rule || rule.effect === 'default-allow') return '';
  return ` BY ${safe(rule.name)}${rule.kind === 'default' ? '' : ` (${safe(rule.kind)})`}`;
}

/** Our own addition to a drop's line: ` [rule payments/payment-service-ingress: default deny]`. */
export function ruleText(flow: Flow): string {
  const { rule } = flow;
  if (!rule || flow.type !== 'drop') return '';
  const name = rule.namespace ? `${rule.namespace}/${rule.name}` : rule.name;
  const what = rule.effect === 'default-deny' ? 'default deny' : rule.path;
  return safe(` [rule ${name}: ${what}]`);
}

/** Also ours: ` [flow node1-dn0f5peknvy7-7]`, to be pasted into `cirri policy explain`. Who sees a denial asks why. */
export function idText(flow: Flow): string {
  return safe(` [flow ${flow.id}]`);
}

export function showsId(flow: Flow, ids: ShownIds): boolean {
  const denied = flow.type === 'drop' || flow.verdict === 'DROPPED' || flow.verdict === 'AUDIT';
  return flow.id !== '' && (ids === 'all' || (ids === 'denied' && denied));
}

/** Text from the network or from objects never reaches the terminal with control characters in it. */
export function safe(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, '�');
}
