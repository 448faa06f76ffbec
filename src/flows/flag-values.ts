import { reservedIdentities } from '../model/identity.ts';
import { CirriError } from '../std/errors.ts';
import { observationPoints } from './enrich.ts';
import { dropReasonCodes } from './reasons.ts';

/** Values of the filter flags of `hubble observe` → values of FlowFilter fields. What does not parse is refused in upstream's words. */

/** Monitor message types by name; `recorder` is gone since 1.19. */
export const messageTypes: ReadonlyMap<string, number> = new Map([
  ['drop', 1], ['debug', 2], ['capture', 3], ['trace', 4], ['policy-verdict', 5], ['trace-sock', 7], ['l7', 129], ['agent', 130],
]);

const agentEvents: readonly string[] = [
  'unspecified', 'message', 'agent-started', 'policy-updated', 'policy-deleted', 'endpoint-regenerate-success', 'endpoint-regenerate-failure',
  'endpoint-created', 'endpoint-deleted', 'ipcache-upserted', 'ipcache-deleted',
];

export const verdicts: readonly string[] = ['FORWARDED', 'DROPPED', 'ERROR', 'AUDIT', 'REDIRECTED', 'TRACED', 'TRANSLATED'];

const tcpFlagNames: readonly string[] = ['FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG', 'ECE', 'CWR', 'NS'];

export function refuse(message: string, flag?: string, mend?: string): CirriError {
  return new CirriError('ERR_FLAG', message, { ...(flag !== undefined && { where: `--${flag}` }), ...(mend !== undefined && { mend }) });
}

/** One exact name, as upstream; ours also takes several joined by commas, in any case. */
export function verdictValues(value: string): string[] {
  return value.split(',').map(part => {
    const name = part.trim().toUpperCase();
    if (name !== 'VERDICT_UNKNOWN' && !verdicts.includes(name)) throw refuse(`invalid --verdict value: ${part.trim()}`, undefined, `known verdicts: ${verdicts.join(', ')}`);
    return name;
  });
}

export function dropReasonValue(value: string): string {
  if (value === '') throw refuse('empty --drop-reason-desc value');
  const name = value.toUpperCase();
  if (name !== 'DROP_REASON_UNKNOWN' && !dropReasonCodes.has(name)) throw refuse(`invalid --drop-reason-desc value: ${value}`, undefined, 'names are written as POLICY_DENIED; docs/troubleshooting.md lists them');
  return name;
}

/** `TYPE[:SUBTYPE]`, both by name or number. */
export function eventTypeValue(value: string): { readonly type: number; readonly match_sub_type?: boolean; readonly sub_type?: number } {
  const colon = value.indexOf(':');
  const name = colon < 0 ? value : value.slice(0, colon);
  const type = messageTypes.get(name) ?? unsigned(name);
  if (type === undefined) {
    throw refuse(`unable to parse type '${name}', not a known type name and unable to parse as numeric value`, 'type', `known types: ${[...messageTypes.keys()].join(', ')}`);
  }
  if (colon < 0) return { type };
  const sub = value.slice(colon + 1);
  const known = name === 'trace' ? observationPoints.indexOf(sub) : name === 'agent' ? agentEvents.indexOf(sub) : -1;
  const subType = known >= 0 ? known : unsigned(sub);
  if (subType === undefined) {
    const names = name === 'trace' ? observationPoints : name === 'agent' ? agentEvents : [];
    throw refuse(`unable to parse event sub-type '${sub}', not a known sub-type name and unable to parse as numeric value`, 'type',
      names.length > 0 ? `known kinds of ${name}: ${names.join(', ')}` : `${name} has no kinds by name: give a number`);
  }
  return { type, match_sub_type: true, sub_type: subType };
}

/** Number, or name of a reserved identity, with or without `reserved:`. */
export function identityValue(value: string): number {
  const name = value.replace(/^reserved:/, '');
  const found = unsigned(value) ?? reservedIdentities.find(identity => identity.name === name)?.id;
  if (found === undefined || found > 0xffff_ffff) {
    throw refuse(`invalid security identity, expected one of [${reservedIdentities.map(identity => identity.name).join(' ')}] or a numeric value`);
  }
  return found;
}

/** Flags joined by commas: all of them must be set. */
export function tcpFlagsValue(value: string): Readonly<Record<string, true>> {
  return Object.fromEntries(value.split(',').map(part => {
    const flag = part.trim().toUpperCase();
    if (!tcpFlagNames.includes(flag)) throw refuse(`unknown tcp flag: ${part.trim()}`, undefined, `known flags: ${tcpFlagNames.join(', ')}`);
    return [flag, true] as const;
  }));
}

/** Upstream takes what it does not know for IP_NOT_USED, which selects nothing that anybody means: refused here. */
export function ipVersionValue(value: string): string {
  const text = value.toLowerCase();
  if (['4', 'v4', 'ipv4', 'ip4'].includes(text)) return 'IPv4';
  if (['6', 'v6', 'ipv6', 'ip6'].includes(text)) return 'IPv6';
  throw refuse(`"${value}" is not a version of IP`, 'ip-version', 'write v4 or v6');
}

export function directionValue(value: string): string {
  const text = value.toLowerCase();
  if (text === 'ingress' || text === 'egress') return text.toUpperCase();
  throw refuse(`${text}: invalid traffic direction, expected ingress or egress`);
}

/** `name`, `kind/name` or `kind/`. */
export function workloadValue(value: string): { readonly kind?: string; readonly name?: string } {
  const slash = value.indexOf('/');
  const [kind, name] = slash < 0 ? ['', value] : [value.slice(0, slash), value.slice(slash + 1)];
  return { ...(name !== '' && { name }), ...(kind !== '' && { kind }) };
}

export function headerValue(value: string): { readonly key: string; readonly value: string } {
  const colon = value.indexOf(':');
  if (colon < 0) throw refuse(`invalid http-header value ${JSON.stringify(value)}, expected name:value`);
  return { key: value.slice(0, colon), value: value.slice(colon + 1) };
}

/** A number up to 2⁵³; greater ones, which JSON writes as text, stay text. */
export function ipTraceIdValue(value: string): number | string {
  if (!/^\d{1,20}$/.test(value)) throw refuse(`invalid --ip-trace-id value: ${JSON.stringify(value)} is not a number`);
  if (BigInt(value) === 0n) throw refuse('invalid --ip-trace-id value; must be greater than 0');
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function unsigned(text: string): number | undefined {
  return /^\d{1,10}$/.test(text) ? Number(text) : undefined;
}
