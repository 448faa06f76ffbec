/**
 * The one internal form of all policy kinds. A policy has specs; a spec has a subject, says in which directions it puts
 * its subjects into default deny, and has rules; a rule is peers × ports with an effect.
 */
import type { EndpointSelector } from '../model/selector.ts';
import type { RuleL7 } from './l7-rules.ts';

export type Direction = 'ingress' | 'egress';

export type PolicyKind =
  | 'NetworkPolicy' | 'CiliumNetworkPolicy' | 'CiliumClusterwideNetworkPolicy'
  | 'AdminNetworkPolicy' | 'BaselineAdminNetworkPolicy' | 'ClusterNetworkPolicy';

/**
 * Who is asked first. admin and baseline: the first rule that applies decides, by priority and then as written, and `pass`
 * hands over to the next tier. normal: NetworkPolicies and Cilium's, where deny wins and default deny ends the walk.
 */
export type Tier = 'admin' | 'normal' | 'baseline';

/**
 * - `enforce`: as written.
 * - `audit`: what only this policy denies passes, and is reported with the verdict AUDIT. What it allows counts.
 * - `shadow`: decides nothing; the kernel evaluates it beside the others and reports where the verdict would be another.
 */
export type PolicyMode = 'enforce' | 'audit' | 'shadow';

/** Annotations on policy objects. */
export const policyAnnotations = {
  /** enforce, audit or shadow. */
  mode: 'policy.cirri.io/mode',
  /** recheck (connections that the policy does not allow any more end) or keep. */
  established: 'policy.cirri.io/established',
  /** proxy or kernel: who carries out its rules on HTTP, before what the cluster's settings say (l7.http). */
  l7Http: 'policy.cirri.io/l7-http',
  /** Of namespaces and pods: "true" is audit for what they hold. */
  audit: 'policy.cirri.io/audit',
} as const;

export interface Policy {
  readonly kind: PolicyKind;
  /** Absent for cluster-wide policies. */
  readonly namespace?: string;
  readonly name: string;
  readonly uid?: string;
  readonly tier: Tier;
  /** In the tiers admin and baseline; smaller is asked first. 0 in the tier normal. */
  readonly priority: number;
  readonly mode: PolicyMode;
  /** Its denials do not end connections that were allowed before. */
  readonly keepEstablished: boolean;
  readonly specs: readonly PolicySpec[];
  readonly conditions: readonly Condition[];
}

export interface PolicySpec {
  /** `spec` or `specs[2]`. */
  readonly path: string;
  readonly subject: EndpointSelector;
  /** The subject selects nodes (host policy), not pods. */
  readonly selectsNodes: boolean;
  readonly defaultDeny: Readonly<Record<Direction, boolean>>;
  readonly rules: readonly Rule[];
  readonly description?: string;
  /** Copied into flows by upstream. */
  readonly log?: string;
  readonly labels?: readonly string[];
}

/**
 * - `allow`, `deny`: as written; deny wins.
 * - `unauthenticated`: an allow rule that requires authentication, which nobody provides yet: denies what it covers, also
 *   against plain allows, as upstream drops until the peers have authenticated.
 * - `inspect`: an allow rule that lets pass what `l7` says, where no plain allow covers it: the verdict is a redirect. What
 *   nobody can read is denied.
 * - `pass`: the next tier decides; after the tier baseline that is the default, which allows.
 */
export type Effect = 'allow' | 'deny' | 'unauthenticated' | 'inspect' | 'pass';

export interface Rule {
  /** `CiliumNetworkPolicy/shop/web/spec.ingress[0]`: unique, stable; rule ids are made from it. */
  readonly address: string;
  /** Where in the object. */
  readonly path: string;
  /** As its author called it, where the kind has names of rules. */
  readonly name?: string;
  readonly direction: Direction;
  readonly effect: Effect;
  /** OR; 'any' is everyone, also peers that nothing is known of; an empty list is nobody. */
  readonly peers: 'any' | readonly Peer[];
  /** OR; 'any' is every protocol and port; an empty list is none. */
  readonly ports: 'any' | readonly PortMatch[];
  /** What passes of what it allows. Of an `unauthenticated` rule: with authentication it is `inspect`. */
  readonly l7?: RuleL7;
  /** Why the effect is not what was written: "there is no Envoy with the listener x". */
  readonly notEnforced?: string;
}

export type Peer = SelectorPeer | CidrPeer | CidrGroupPeer | ServicePeer;

export interface SelectorPeer {
  readonly type: 'selector';
  readonly selector: EndpointSelector;
  /** How it was written when not as a selector: `entity world`. */
  readonly written?: string;
}

/** Selects identities outside the cluster whose prefix lies in `cidr` and in none of `except`. */
export interface CidrPeer {
  readonly type: 'cidr';
  readonly cidr: string;
  readonly except: readonly string[];
  /** `networks`: pods by their addresses too, which Cilium's CIDR rules never select. */
  readonly pods?: true;
}

/** The prefixes of CiliumCIDRGroups, by name or by their labels. */
export interface CidrGroupPeer {
  readonly type: 'cidr-group';
  readonly name?: string;
  readonly selector?: EndpointSelector;
  readonly except: readonly string[];
}

/** The pods behind services, or the external addresses of services without a selector. */
export interface ServicePeer {
  readonly type: 'service';
  /** Absent: of any namespace. */
  readonly namespace?: string;
  readonly name?: string;
  readonly selector?: EndpointSelector;
}

/** Protocol by IANA number; for ICMP (1, 58) the port is the type. */
export type PortMatch =
  | { readonly protocol: number; readonly start: number; readonly end: number }
  | { readonly protocol: number; readonly name: string };

/**
 * What a policy's author should know though the policy is accepted. `degraded`: something is not enforced as written and
 * fails closed; `warning`: enforced as written, which is perhaps not what was meant.
 */
export interface Condition {
  readonly type: ConditionType;
  readonly severity: 'degraded' | 'warning';
  readonly path: string;
  readonly message: string;
}

export type ConditionType =
  | 'L7NotEnforced' | 'ListenerNotEnforced' | 'L7NotAudited' | 'AuthenticationNotEnforced' | 'GroupsNotEnforced'
  | 'PeerCannotAuthenticate' | 'NoDNSRule' | 'NamespaceOverridden' | 'SelectsNothing' | 'EmptyMeansAny' | 'EndPortTooLarge' | 'RequiresIsDeny';

export interface PolicyError {
  /** `spec.ingress[0].toPorts[0].ports[0].port`. */
  readonly path: string;
  readonly message: string;
  /** What to do about it. */
  readonly mend: string;
}

export const protocols = { ICMP: 1, IGMP: 2, IPIP: 4, TCP: 6, UDP: 17, IPV6: 41, GRE: 47, ESP: 50, AH: 51, ICMPV6: 58, VRRP: 112, SCTP: 132 } as const;

const protocolNames: ReadonlyMap<number, string> = new Map([
  [1, 'ICMP'], [2, 'IGMP'], [4, 'IPIP'], [6, 'TCP'], [17, 'UDP'], [41, 'IPV6'], [47, 'GRE'], [50, 'ESP'], [51, 'AH'], [58, 'ICMPv6'], [112, 'VRRP'], [132, 'SCTP'],
]);

export function protocolName(protocol: number): string {
  return protocolNames.get(protocol) ?? `protocol ${protocol}`;
}

export const maxPort = 65535;

/** `CiliumNetworkPolicy shop/web`. */
export function policyText(policy: { readonly kind: string; readonly namespace?: string; readonly name: string }): string {
  return `${policy.kind} ${policy.namespace === undefined ? '' : `${policy.namespace}/`}${policy.name}`;
}

const tierRank: Readonly<Record<Tier, number>> = { admin: 0, normal: 1, baseline: 2 };

/** In the order in which they are asked; of equal priorities (which the API forbids or leaves open) the address settles. */
export function tierOrder(a: Policy, b: Policy): number {
  const [x, y] = [policyAddress(a), policyAddress(b)];
  return tierRank[a.tier] - tierRank[b.tier] || a.priority - b.priority || (x < y ? -1 : x > y ? 1 : 0);
}

/** `CiliumNetworkPolicy/shop/web`: sorts and identifies. */
export function policyAddress(policy: { readonly kind: string; readonly namespace?: string; readonly name: string }): string {
  return `${policy.kind}/${policy.namespace ?? ''}/${policy.name}`;
}
