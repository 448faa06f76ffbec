/** What the number in an event means: which rule of which policy, and in a sentence what it does. */
import { fnv1a } from '../model/identity.ts';
import { describeL7, isCarriedOut } from './l7-rules.ts';
import { policyAddress, policyText, protocolName, maxPort } from './policy.ts';
import type { Direction, Peer, Policy, PolicyKind, PortMatch, Rule } from './policy.ts';

/** What there is to carry out conditions beyond addresses and ports. */
export interface Provides {
  readonly proxy?: boolean;
  readonly authentication?: boolean;
}

export interface RuleInfo {
  readonly id: number;
  /** The rule's address, from which the id is made. */
  readonly address: string;
  readonly kind: PolicyKind | 'default';
  readonly namespace?: string;
  readonly name: string;
  /** `spec.ingress[0]`; empty for defaults. */
  readonly path: string;
  readonly direction: Direction;
  readonly effect: 'allow' | 'deny' | 'pass' | 'default-deny' | 'default-allow';
  /** When not enforced. */
  readonly mode?: 'audit' | 'shadow';
  /** Why an allow rule denies: "there is no Envoy with the listener x". */
  readonly notEnforced?: string;
  /** Of rules that cannot hold together: the addresses of their policies. */
  readonly conflict?: readonly string[];
  /** One sentence. */
  readonly because: string;
}

/**
 * Numbers for addresses: 32-bit FNV-1a of the address, the next free one on a collision, never 0. The same addresses give
 * the same numbers whatever else exists, but for collisions, which the order of addresses settles.
 */
export class RuleIds {
  readonly #addresses = new Map<number, string>();
  readonly #ids = new Map<string, number>();

  idOf(address: string): number {
    const known = this.#ids.get(address);
    if (known !== undefined) return known;
    let id = fnv1a(address) || 1;
    while (this.#addresses.has(id)) id = (id + 1) >>> 0 || 1;
    this.#addresses.set(id, address);
    this.#ids.set(address, id);
    return id;
  }
}

const maxRememberedRules = 100_000;

/** Rules by id: the newest; the oldest of very many go. */
export class RememberedRules {
  readonly #infos = new Map<number, RuleInfo>();

  get(id: number): RuleInfo | undefined {
    return this.#infos.get(id);
  }

  add(infos: Iterable<RuleInfo>): void {
    for (const info of infos) {
      this.#infos.delete(info.id);
      this.#infos.set(info.id, info);
    }
    for (const id of this.#infos.keys()) {
      if (this.#infos.size <= maxRememberedRules) break;
      this.#infos.delete(id);
    }
  }
}

export function ruleInfo(policy: Policy, rule: Rule, id: number, provides: Provides): RuleInfo {
  const notEnforced = unmetOf(rule, provides);
  return {
    id, address: rule.address, kind: policy.kind, ...(policy.namespace !== undefined && { namespace: policy.namespace }), name: policy.name, path: rule.path,
    direction: rule.direction, effect: effectOf(rule, notEnforced), ...(policy.mode !== 'enforce' && { mode: policy.mode }), ...(notEnforced !== undefined && { notEnforced }),
    because: ruleSentence(policy, rule, notEnforced),
  };
}

function effectOf({ effect }: Rule, notEnforced: string | undefined): RuleInfo['effect'] {
  if (effect === 'allow' || effect === 'pass') return effect;
  return effect !== 'deny' && notEnforced === undefined ? 'allow' : 'deny';
}

/** Why a rule is not carried out as written, with what there is to carry it out. */
export function unmetOf({ effect, l7, notEnforced }: Rule, { proxy, authentication }: Provides): string | undefined {
  if (effect === 'unauthenticated' && !authentication) return notEnforced;
  if (!l7) return effect === 'unauthenticated' ? undefined : notEnforced;
  if (!isCarriedOut(l7)) return notEnforced ?? `nobody carries out ${describeL7(l7)}`;
  return proxy ? undefined : `${l7.protocol === 'tls' ? 'TLS' : `L7 ${l7.protocol}`} needs the proxy, and there is none`;
}

/** Two rules that cannot hold for one port and peer: nothing passes there. */
export function conflictInfo(direction: Direction, rules: readonly RuleInfo[], conflict: string, id: number): RuleInfo {
  const [first] = rules as readonly [RuleInfo, ...RuleInfo[]];
  return {
    id, address: conflictAddress(direction, rules), kind: first.kind, ...(first.namespace !== undefined && { namespace: first.namespace }), name: first.name, path: first.path, direction, effect: 'deny', conflict: [...new Set(rules.map(policyAddress))],
    because: `${conflict}: ${rules.map(r => `${r.kind} ${r.namespace === undefined ? '' : `${r.namespace}/`}${r.name} (${r.path})`).join(' and ')} are for the same port and peer at ${direction}, so nothing passes there`,
  };
}

export function conflictAddress(direction: Direction, rules: readonly { readonly address: string }[]): string {
  return `conflict/${direction}/${rules.map(r => r.address).join(',')}`;
}

/** The verdict where no rule says anything. `policies` (sorted) are those that put the subject into default deny. */
export function defaultInfo(direction: Direction, mode: 'default' | 'always' | 'never', policies: readonly Policy[], idOf: (address: string) => number): RuleInfo {
  const because = mode === 'never' ? `policy enforcement is off: everything is allowed at ${direction}`
    : policies.length > 0 ? `${policies.map(policyText).join(', ')} ${policies.length === 1 ? 'puts' : 'put'} the endpoint into default deny at ${direction}, and no rule allows this peer and port`
    : mode === 'always' ? `policy enforcement is set to always, and no rule allows this peer and port at ${direction}`
    : `no policy restricts the endpoint at ${direction}`;
  const denies = mode === 'always' || (mode === 'default' && policies.length > 0);
  const address = mode === 'never' ? `default/never/${direction}`
    : policies.length > 0 ? `default/deny/${direction}/${policies.map(policyText).join(',')}`
    : mode === 'always' ? `default/always/${direction}` : `default/allow/${direction}`;
  const first = policies[0];
  const name = first?.name ?? (denies ? 'always' : mode === 'never' ? 'never' : 'allow');
  return {
    id: idOf(address), address, kind: 'default', ...(mode !== 'never' && first?.namespace !== undefined && { namespace: first.namespace }), name: mode === 'never' ? 'never' : name,
    path: '', direction, effect: denies ? 'default-deny' : 'default-allow', because,
  };
}

export const localhostAddress = 'builtin/allow-localhost/ingress';

export function localhostInfo(id: number): RuleInfo {
  return {
    id, address: localhostAddress, kind: 'default', name: 'allow-localhost', path: '', direction: 'ingress', effect: 'allow',
    because: 'the node that a pod runs on may always reach it (allow-localhost), so that probes work',
  };
}

function ruleSentence(policy: Policy, rule: Rule, notEnforced: string | undefined): string {
  const from = rule.direction === 'ingress' ? 'from' : 'to';
  const what = `${rule.direction} ${from} ${describePeers(rule.peers)} on ${describePorts(rule.ports)}`;
  const where = `${policyText(policy)} (${placeInOrder(policy)}${rule.path}${rule.name === undefined ? '' : ` "${rule.name}"`})`;
  const turn = turns[policy.tier];
  const only = rule.l7 ? `, and there only ${describeL7(rule.l7)}` : '';
  switch (rule.effect) {
    case 'allow': return notEnforced === undefined ? `${where} allows ${what}${turn}` : `${where} would allow ${what}, but not enforced yet: ${notEnforced}`;
    case 'pass': return `${where} passes ${what} on to the next tier`;
    case 'deny': return `${where} denies ${what}${turn}${notEnforced === undefined ? '' : `; not enforced as written: ${notEnforced}`}`;
    case 'unauthenticated': case 'inspect':
      return notEnforced === undefined ? `${where} allows ${what}${only}` : `not enforced: ${notEnforced}; ${where} would allow ${what}${only} under that condition, so it denies it`;
  }
}

/** When a tier's rules are asked, where that is a surprise. */
const turns = { admin: ', before any NetworkPolicy is asked', normal: '', baseline: ', as no NetworkPolicy restricts the endpoint there' } as const;

function placeInOrder({ kind, priority }: Policy): string {
  return kind === 'AdminNetworkPolicy' || kind === 'ClusterNetworkPolicy' ? `priority ${priority}, ` : '';
}

export function describePeers(peers: Rule['peers']): string {
  if (peers === 'any') return 'any peer';
  if (peers.length === 0) return 'nobody';
  return [...new Set(peers.map(describePeer))].join(' or ');
}

function describePeer(peer: Peer): string {
  switch (peer.type) {
    case 'selector': return peer.written ?? `endpoints ${peer.selector.describe()}`;
    case 'cidr': return `${peer.pods ? 'network ' : ''}${peer.cidr}${describeExcept(peer.except)}`;
    case 'cidr-group': return `CIDR group ${peer.name ?? peer.selector?.describe() ?? ''}${describeExcept(peer.except)}`;
    case 'service': return `service ${peer.namespace === undefined ? '' : `${peer.namespace}/`}${peer.name ?? peer.selector?.describe() ?? ''}`;
  }
}

function describeExcept(except: readonly string[]): string {
  return except.length === 0 ? '' : ` except ${except.join(', ')}`;
}

/** `port 8080/TCP, 53/UDP`, `any port`. */
export function describePorts(ports: Rule['ports']): string {
  if (ports === 'any') return 'any port';
  return ports.length === 0 ? 'no port' : ports.map(describePort).join(', ');
}

function describePort(port: PortMatch): string {
  const protocol = protocolName(port.protocol);
  if ('name' in port) return `port ${port.name}/${protocol}`;
  if (port.protocol === 1 || port.protocol === 58) return `${protocol} type ${port.start}`;
  if (port.start === 0 && port.end === maxPort) return `any ${protocol} port`;
  return port.start === port.end ? `port ${port.start}/${protocol}` : `ports ${port.start}-${port.end}/${protocol}`;
}
